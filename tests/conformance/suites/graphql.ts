/**
 * The audit of graphql-http: what GraphQL over HTTP demands (MUST), recommends (SHOULD) and allows (MAY) of servers.
 *
 * @see https://github.com/graphql/graphql-http
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { auditServer } from "graphql-http";
import { startEcho } from "../../support/echo.ts";
import type { Suite } from "./suite.ts";

const manifest = createRequire(import.meta.url).resolve("graphql-http/package.json");
const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };

export const graphql: Suite = {
  name: "graphql",
  title: "graphql-http audit",
  against: "GraphQL over HTTP",
  missing: () => undefined,
  run: async () => {
    const server = await startEcho();
    try {
      const results = await auditServer({ url: `http://127.0.0.1:${server.httpPort}/graphql` });
      const failures = results.filter(({ status }) => status !== "ok").map(({ id, name }) => `${id} ${name}`);
      return { version, passed: results.length - failures.length, failures };
    } finally {
      await server.close();
    }
  },
};
