/**
 * PostgreSQL through pg: where more than one process writes.
 *
 * A pool of few connections. Nothing waits for ever: neither for a connection nor for a statement or a lock, and no transaction stays
 * idle. A database that is away is `unavailable`, never an internal error.
 */
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import pg from "pg";
import { RpcError } from "#rpc/error.ts";
import { systemClock as clock } from "#std/clock.ts";
import { compileRead } from "./compiled-read.ts";
import { tenantRole, tenantSetting } from "./row-security.ts";
import { committed, type Storage, type StoreObserver, type Tables, withUnit } from "./shape.ts";

/** What PostgreSQL may take; each is an option (docs/reference/configuration.md says why). */
export interface PostgresLimits {
  /** Connections. Default 10. */
  readonly poolSize: number;
  /** Longest wait for a connection, in milliseconds. Default 2000. */
  readonly acquireMs: number;
  /** Longest statement, in milliseconds. Default 10 000. */
  readonly statementMs: number;
  /** Longest wait for a lock, in milliseconds. Default 3000. */
  readonly lockMs: number;
  /** Longest silence within a transaction, in milliseconds. Default 15 000. */
  readonly idleInTransactionMs: number;
}

export const defaultPostgresLimits: PostgresLimits = {
  ...{ poolSize: 10, acquireMs: 2000 },
  ...{ statementMs: 10_000, lockMs: 3000, idleInTransactionMs: 15_000 },
};

/** How much later than the server the client gives up on a statement, in milliseconds: a server that is gone ends none. */
const querySlackMs = 2000;

const int8 = 20;
/** 64-bit integers hold times and sizes: numbers, not the strings that pg gives by default. */
const types = {
  getTypeParser: ((oid: number, format?: "text" | "binary") =>
    oid === int8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** @throws Error when the URL is not one. */
export function openPostgres(
  url: string,
  {
    observer,
    limits: given,
  }: {
    readonly observer?: StoreObserver | undefined;
    readonly limits?: Partial<PostgresLimits> | undefined;
  } = {},
): Storage {
  const limits = { ...defaultPostgresLimits, ...given };
  const pool = new pg.Pool({
    connectionString: url,
    application_name: "portico",
    max: limits.poolSize,
    connectionTimeoutMillis: limits.acquireMs,
    statement_timeout: limits.statementMs,
    query_timeout: limits.statementMs + querySlackMs,
    lock_timeout: limits.lockMs,
    idle_in_transaction_session_timeout: limits.idleInTransactionMs,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    types,
  });
  // An idle connection that breaks is replaced at the next use: without a listener it would end the process.
  pool.on("error", () => undefined);
  // One that the server ends while a transaction holds it: the next statement says so. Without a listener it would end the process as well.
  pool.on("connect", (client) => client.on("error", () => undefined));
  if (observer !== undefined) observe(pool, observer);
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: translating(pool) }) });
  return {
    engine: "postgres",
    place: withoutPassword(url),
    pool: () => ({
      limit: limits.poolSize,
      open: pool.totalCount,
      idle: pool.idleCount,
      waiting: pool.waitingCount,
    }),
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

/** Times what passes through the pool: every way to a connection leads over `connect`, and every statement over its `query`. */
function observe(pool: pg.Pool, observer: StoreObserver): void {
  const connect = pool.connect.bind(pool) as () => Promise<pg.PoolClient>;
  const asked = new WeakSet<pg.PoolClient>();
  const timed = async (): Promise<pg.PoolClient> => {
    const startedAtMs = clock.monotonic();
    const client = await connect();
    observer.waited(clock.monotonic() - startedAtMs);
    if (!asked.has(client)) {
      asked.add(client);
      observeStatements(client, observer);
    }
    return client;
  };
  pool.connect = ((callback?: Parameters<pg.Pool["connect"]>[0]) => {
    if (callback === undefined) return timed();
    // pg's own `pool.query` asks so.
    timed().then(
      (client) => callback(undefined, client, (destroy) => client.release(destroy)),
      (error: Error) => callback(error, undefined, () => undefined),
    );
    return undefined;
  }) as pg.Pool["connect"];
}

function observeStatements(client: pg.PoolClient, observer: StoreObserver): void {
  const query = client.query.bind(client) as (...given: unknown[]) => unknown;
  let begunAtMs: number | undefined;
  const ended = (startedAtMs: number, text: string): void => {
    const now = clock.monotonic();
    observer.statement(now - startedAtMs);
    if (!/^\s*(commit|rollback)/i.test(text) || begunAtMs === undefined) return;
    observer.transaction(now - begunAtMs);
    begunAtMs = undefined;
  };
  client.query = ((...given: unknown[]) => {
    const [first] = given;
    const text = typeof first === "string" ? first : String((first as { readonly text?: string }).text ?? "");
    const startedAtMs = clock.monotonic();
    if (/^\s*(begin|start transaction)/i.test(text)) begunAtMs = startedAtMs;
    const callback = given.at(-1);
    if (typeof callback === "function")
      given[given.length - 1] = (...result: unknown[]) => {
        ended(startedAtMs, text);
        callback(...result);
      };
    const result = query(...given);
    if (result instanceof Promise) {
      const done = (): void => ended(startedAtMs, text);
      result.then(done, done);
    }
    return result;
  }) as pg.PoolClient["query"];
}

/** Tenants whose way to their rows is kept; making one costs a few microseconds. */
const maxTenants = 1000;

function tablesOf<Schema>(db: Kysely<Schema>, pool: pg.Pool): Tables<Schema> {
  let reads = 0;
  const scoped = new Map<string, Kysely<Schema>>();
  const dbOf = (tenant: string): Kysely<Schema> => {
    const known = scoped.get(tenant);
    if (known !== undefined) return known;
    const made = new Kysely<Schema>({
      dialect: new PostgresDialect({ pool: withinTenant(translating(pool), tenant) }),
    });
    scoped.set(tenant, made);
    const [oldest] = scoped.keys();
    if (scoped.size > maxTenants && oldest !== undefined) scoped.delete(oldest);
    return made;
  };
  return {
    ...workOn(db),
    of: (tenant) => workOn(dbOf(tenant)),
    prepare: <Row>(build: Parameters<Tables<Schema>["prepare"]>[0], scope?: "tenant") => {
      const read = compileRead(db, build);
      reads += 1;
      const name = `read_${reads}_${read.sql.length}`;
      return async (...parameters) => {
        const query = { name, text: read.sql, values: [...read.bind(parameters)] };
        try {
          const { rows } =
            scope === "tenant"
              ? await readWithin(pool, String(parameters[0]), query)
              : await pool.query<pg.QueryResultRow>(query);
          return rows[0] as Row | undefined;
        } catch (error) {
          throw translated(error);
        }
      };
    },
  };
}

function workOn<Schema>(db: Kysely<Schema>): Pick<Tables<Schema>, "engine" | "db" | "transaction"> {
  return {
    engine: "postgres",
    db,
    transaction: (work, unit) =>
      committed(
        db.transaction().execute((transaction) => withUnit(work, transaction, unit)),
        unit,
      ),
  };
}

/** One round trip: a transaction in which other tenants' rows are not there. */
function beginWithin(tenant: string): string {
  return `BEGIN; SET LOCAL ROLE ${tenantRole}; SET LOCAL ${tenantSetting} = ${pg.escapeLiteral(tenant)}`;
}

async function readWithin(
  pool: pg.Pool,
  tenant: string,
  query: pg.QueryConfig,
): Promise<pg.QueryResult<pg.QueryResultRow>> {
  const client = await pool.connect();
  try {
    // Sent one behind the other: the answer to the first is not waited for.
    const begun = client.query(beginWithin(tenant));
    const [, result] = await Promise.all([begun, client.query<pg.QueryResultRow>(query)]);
    endRead(client);
    return result;
  } catch (error) {
    // Whatever state it is in: the next one gets another connection.
    client.release(true);
    throw error;
  }
}

/** What was read is known: nobody waits for the end of a transaction that changed nothing. */
function endRead(client: pg.PoolClient): void {
  client.query("COMMIT").then(
    () => client.release(),
    (error: unknown) => client.release(error instanceof Error ? error : true),
  );
}

/** A pool whose connections see one tenant: in transactions of Kysely's, and in one of its own for each statement outside them. */
function withinTenant(pool: PostgresPool, tenant: string): PostgresPool {
  return {
    // Shared with all others: whoever opened it ends it.
    end: async () => undefined,
    options: pool.options,
    connect: async () => {
      const client = await pool.connect();
      let open = false;
      const query = async (text: string, values: readonly unknown[]) => {
        if (/^(begin|start transaction)/i.test(text)) {
          open = true;
          return await client.query(beginWithin(tenant), []);
        }
        if (open) {
          if (/^(commit|rollback)$/i.test(text)) open = false;
          return await client.query(text, values);
        }
        try {
          const [, result] = await Promise.all([
            client.query(beginWithin(tenant), []),
            client.query(text, values),
          ]);
          await client.query("COMMIT", []);
          return result;
        } catch (error) {
          await client.query("ROLLBACK", []).catch(() => undefined);
          throw error;
        }
      };
      return {
        query,
        release: (destroy?: boolean) => client.release(destroy),
      } as unknown as PostgresPoolClient;
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
/** With 23505: what two made at once with one name. Where that is anybody's business, it is asked before. */
const busyCodes = /^(23505|40001|40P01|55P03|57014)$/;
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
