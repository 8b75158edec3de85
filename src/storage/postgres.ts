/**
 * PostgreSQL through pg: where more than one process writes.
 *
 * At most ten connections. Nothing waits for ever: two seconds for a connection, ten for a statement, three for a lock,
 * fifteen idle in a transaction. A database that is away is `unavailable`, never an internal error.
 */
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import pg from "pg";
import { RpcError } from "#rpc/error.ts";
import { compileRead } from "./compiled-read.ts";
import { type Storage, type Tables, withUnit } from "./shape.ts";

const int8 = 20;
/** 64-bit integers hold times and sizes: numbers, not the strings that pg gives by default. */
const types = {
  getTypeParser: ((oid: number, format?: "text" | "binary") =>
    oid === int8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** @throws Error when the URL is not one. */
export function openPostgres(url: string): Storage {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: "portico",
    max: 10,
    connectionTimeoutMillis: 2000,
    statement_timeout: 10_000,
    query_timeout: 12_000,
    lock_timeout: 3000,
    idle_in_transaction_session_timeout: 15_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    types,
  });
  // An idle connection that breaks is replaced at the next use: without a listener it would end the process.
  pool.on("error", () => undefined);
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: translating(pool) }) });
  return {
    engine: "postgres",
    place: withoutPassword(url),
    tables: <Schema>() => tablesOf(db as Kysely<Schema>, pool),
    ping: async () => {
      try {
        await pool.query("SELECT 1");
      } catch (error) {
        throw new Error(
          `cannot reach ${withoutPassword(url)} (${error instanceof Error ? error.message || error.name : "no answer"}); start the database, or mend PORTICO_DATABASE_URL`,
          { cause: error },
        );
      }
    },
    close: () => db.destroy(),
  };
}

function tablesOf<Schema>(db: Kysely<Schema>, pool: pg.Pool): Tables<Schema> {
  let reads = 0;
  return {
    engine: "postgres",
    db,
    transaction: (work, unit) => db.transaction().execute((transaction) => withUnit(work, transaction, unit)),
    prepare: <Row>(build: Parameters<Tables<Schema>["prepare"]>[0]) => {
      const read = compileRead(db, build);
      reads += 1;
      const name = `read_${reads}_${read.sql.length}`;
      return async (...parameters) => {
        try {
          const { rows } = await pool.query({ name, text: read.sql, values: [...read.bind(parameters)] });
          return rows[0] as Row | undefined;
        } catch (error) {
          throw translated(error);
        }
      };
    },
  };
}

/** The pool as Kysely uses it, its errors in our words. */
function translating(pool: pg.Pool): PostgresPool {
  const clients = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    end: () => pool.end(),
    options: pool.options,
    connect: async () => {
      const client = await pool.connect().catch((error: unknown) => Promise.reject(translated(error)));
      const known = clients.get(client);
      if (known !== undefined) return known;
      const made = {
        query: (text: string, values: readonly unknown[]) =>
          client.query(text, [...values]).catch((error: unknown) => Promise.reject(translated(error))),
        release: (destroy?: boolean) => client.release(destroy),
      } as unknown as PostgresPoolClient;
      clients.set(client, made);
      return made;
    },
  };
}

/** Classes and codes of appendix A of PostgreSQL's manual that say "not now" rather than "wrong". */
const awayCodes = /^(08...|57P0[123]|53[0-4]00|25P03|XX000)$/;
const busyCodes = /^(40001|40P01|55P03|57014)$/;
const awayTexts =
  /ECONNREFUSED|ECONNRESET|EPIPE|ENOTFOUND|ETIMEDOUT|timeout|Connection terminated|connection is closed|not queryable/i;

function translated(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof RpcError) return error;
  const code = (error as { readonly code?: string }).code ?? "";
  if (busyCodes.test(code))
    return new RpcError("aborted", {
      reason: "DATABASE_CONFLICT",
      message: "the same rows were being changed by another call; nothing was written; try again",
      cause: error,
    });
  if (code === "53100")
    return new RpcError("unavailable", {
      reason: "DATABASE_FULL",
      message:
        "the database has no room left; nothing was written; try again when the operator has made room",
      cause: error,
    });
  if (awayCodes.test(code) || awayTexts.test(`${code} ${error.message}`))
    return new RpcError("unavailable", {
      reason: "DATABASE_UNAVAILABLE",
      message: "the database does not answer; try again shortly",
      cause: error,
    });
  return error;
}

function withoutPassword(url: string): string {
  const parsed = new URL(url);
  return `postgres://${parsed.host}${parsed.pathname}`;
}
