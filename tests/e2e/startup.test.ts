/** What a process loads before anybody asks: libraries of what few use are memory that all pay for. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { serve } from "../support/process.ts";

/** Each is loaded with the first request, command or setting that needs it. */
const onDemand = [
  ...["graphql", "graphql-ws", "@modelcontextprotocol/server", "@fastify/busboy", "@grpc/grpc-js"],
  ...["oidc-provider", "openid-client", "light-my-request", "jose", "pg", "@node-rs/argon2"],
  ...["@opentelemetry/api", "@opentelemetry/sdk-trace", "@opentelemetry/otlp-transformer"],
];

/** Node's own parts that no server needs: the HTTP client behind fetch, which an import of node:http loads as well. */
const neverOfNode = ["internal/deps/undici/undici"];

/** Writes a line for every module of the main thread, and at the end one for each part of Node. */
const recorder = `
import { appendFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { isMainThread } from "node:worker_threads";
if (isMainThread) {
  const write = (line) => appendFileSync(process.env.LOADED, line + "\\n");
  registerHooks({
    load(url, context, next) {
      write(url);
      return next(url, context);
    },
  });
  process.on("exit", () => process.moduleLoadList.forEach(write));
}
`;

test("serving loads no library before somebody needs it", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "portico-startup-"));
  const hook = path.join(folder, "recorder.mjs");
  const file = path.join(folder, "loaded.txt");
  writeFileSync(hook, recorder);
  const env = { LOADED: file, NODE_OPTIONS: `--import=${pathToFileURL(hook).href}` };
  const running = await serve(path.join(folder, "data"), [], { env });
  try {
    const packages = (): Set<string> =>
      new Set(
        readFileSync(file, "utf8")
          .split("\n")
          .flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []),
      );
    assert.equal((await fetch(`${running.base}/readyz`)).status, 200);
    const loaded = packages();
    assert.ok(loaded.has("@bufbuild/protobuf"), "nothing was recorded");
    assert.deepEqual(
      onDemand.filter((name) => loaded.has(name)),
      [],
    );
    const body = JSON.stringify({ query: "{ __typename }" });
    const headers = { "content-type": "application/json" };
    assert.equal((await fetch(`${running.base}/graphql`, { method: "POST", headers, body })).status, 200);
    assert.ok(packages().has("graphql"), "what is needed is recorded");
    running.child.kill("SIGTERM");
    await running.ended;
    const ofNode = readFileSync(file, "utf8").matchAll(/^NativeModule (.+)$/gm);
    const parts = new Set(Array.from(ofNode, ([, part]) => part));
    assert.ok(parts.has("http"), "Node's own parts are recorded");
    assert.deepEqual(
      neverOfNode.filter((name) => parts.has(name)),
      [],
    );
  } finally {
    running.child.kill("SIGTERM");
    await running.ended;
    rmSync(folder, { recursive: true, force: true });
  }
});
