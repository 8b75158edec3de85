/** What the database takes; the storage tells it through a port of its own that this satisfies. */
import { family, Histogram, labels, line } from "./instruments.ts";

const bounds = [0.000_01, 0.000_05, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];

export interface PoolState {
  /** Connections that there may be. */
  readonly limit: number;
  readonly open: number;
  readonly idle: number;
  /** Who waits for one. */
  readonly waiting: number;
}

export class StoreMetrics {
  readonly #statements = new Histogram(bounds);
  readonly #transactions = new Histogram(bounds);
  readonly #waits = new Histogram(bounds);

  /** @param durationMs of one statement. */
  statement(durationMs: number): void {
    this.#statements.observe(durationMs / 1000);
  }

  /** @param durationMs from its beginning to its commit or its end. */
  transaction(durationMs: number): void {
    this.#transactions.observe(durationMs / 1000);
  }

  /** @param durationMs for a connection. */
  waited(durationMs: number): void {
    this.#waits.observe(durationMs / 1000);
  }

  lines(pool: PoolState | undefined): string[] {
    const name = "portico_store_duration_seconds";
    return [
      ...family(
        name,
        { type: "histogram", help: "Time in the database, by statement and whole transaction." },
        [
          ...this.#statements.lines(name, labels({ operation: "statement" })),
          ...this.#transactions.lines(name, labels({ operation: "transaction" })),
        ],
      ),
      ...family(
        "portico_store_wait_seconds",
        { type: "histogram", help: "Time that was waited for a database connection." },
        this.#waits.lines("portico_store_wait_seconds", ""),
      ),
      ...(pool === undefined ? [] : poolLines(pool)),
    ];
  }
}

function poolLines({ limit, open, idle, waiting }: PoolState): string[] {
  const name = "portico_store_connections";
  return [
    ...family(name, { type: "gauge", help: "Database connections, by what they do." }, [
      line(name, labels({ state: "idle" }), idle),
      line(name, labels({ state: "used" }), open - idle),
    ]),
    ...family(
      "portico_store_connections_limit",
      { type: "gauge", help: "Database connections that there may be." },
      [line("portico_store_connections_limit", "", limit)],
    ),
    ...family("portico_store_waiting", { type: "gauge", help: "Who waits for a database connection." }, [
      line("portico_store_waiting", "", waiting),
    ]),
  ];
}
