/** What the database takes; the storage tells it through a port of its own that this satisfies. */
import { type Family, gauge, Histogram, labels, noLabels } from "./instruments.ts";

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

  families(pool: PoolState | undefined): Family[] {
    return [
      {
        kind: "histogram",
        name: "portico_store_duration_seconds",
        help: "Time in the database, by statement and whole transaction.",
        series: [
          this.#statements.series(labels({ operation: "statement" })),
          this.#transactions.series(labels({ operation: "transaction" })),
        ],
      },
      {
        kind: "histogram",
        name: "portico_store_wait_seconds",
        help: "Time that was waited for a database connection.",
        series: [this.#waits.series(noLabels)],
      },
      ...(pool === undefined ? [] : poolFamilies(pool)),
    ];
  }
}

function poolFamilies({ limit, open, idle, waiting }: PoolState): Family[] {
  return [
    {
      kind: "gauge",
      name: "portico_store_connections",
      help: "Database connections, by what they do.",
      series: [
        { labels: labels({ state: "idle" }), value: idle },
        { labels: labels({ state: "used" }), value: open - idle },
      ],
    },
    gauge("portico_store_connections_limit", "Database connections that there may be.", limit),
    gauge("portico_store_waiting", "Who waits for a database connection.", waiting),
  ];
}
