/**
 * A server that can be overloaded in both ways: `Spin` takes the thread for two milliseconds, `Wait` takes one of ten places for ten. `Manage` and
 * `Inspect` are the same for those who administer, `Check` asks whether it is well.
 * Prints `ready PORT`; whoever started it ends it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createDeadline, createRuntime } from "#gateway/dispatch/dispatch.ts";
import {
  createConnect,
  createGrpc,
  createGrpcWeb,
  createPages,
  createRest,
  listen,
} from "#gateway/ingress/ingress.ts";
import { createAdmit, type Priority, watchPressure } from "#policy/policy.ts";
import { systemClock as clock } from "#std/clock.ts";
import { compileProto } from "../support/compile-proto.ts";

const proto = `syntax = "proto3";
package work.v1;
import "google/api/annotations.proto";
message Nothing {}
service Work {
  rpc Spin(Nothing) returns (Nothing) { option (google.api.http) = {get: "/v1/spin"}; }
  rpc Wait(Nothing) returns (Nothing) { option (google.api.http) = {get: "/v1/wait"}; }
  rpc Manage(Nothing) returns (Nothing) { option (google.api.http) = {get: "/v1/manage"}; }
  rpc Inspect(Nothing) returns (Nothing) { option (google.api.http) = {get: "/v1/inspect"}; }
  rpc Check(Nothing) returns (Nothing) { option (google.api.http) = {get: "/v1/check"}; }
  rpc Idle(Nothing) returns (Nothing) { option (google.api.http) = {get: "/v1/idle"}; }
}
`;
const spinMs = 2;
const places = 10;
const placeMs = 10;

let taken = 0;
const queue: (() => void)[] = [];
async function wait(): Promise<object> {
  if (taken === places) await new Promise<void>((resolve) => queue.push(resolve));
  else taken += 1;
  await sleep(placeMs);
  const next = queue.shift();
  if (next === undefined) taken -= 1;
  else next();
  return {};
}

function spin(): object {
  for (const until = performance.now() + spinMs; performance.now() < until; );
  return {};
}

const catalog = loadCatalog({ descriptorSet: compileProto("work/v1/work.proto", proto) });
const desc = catalog.registry.getService("work.v1.Work");
if (desc === undefined) throw new Error("there is no service");
const services = [
  { desc, implementation: { spin, wait, manage: spin, inspect: wait, check: () => ({}), idle: () => ({}) } },
];
const priorities: Readonly<Record<string, Priority>> = {
  Manage: "urgent",
  Inspect: "urgent",
  Check: "health",
};
const admit = createAdmit({
  ...{ maxConcurrentCalls: 1000, adaptive: process.argv[2] !== "off", clock },
  pressure: watchPressure({ clock }),
  priorityOf: (method) => priorities[method.desc.name] ?? "normal",
});
const runtime = createRuntime({
  catalog,
  services,
  interceptors: process.argv[2] === "off" ? [createDeadline({ clock })] : [createDeadline({ clock }), admit],
});
const of = { runtime: () => runtime };
const listener = await listen({
  ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock },
  adapters: {
    grpc: createGrpc(of),
    grpcWeb: createGrpcWeb(createGrpc({ ...of, protocol: "grpc-web" })),
    connect: createConnect(of),
    rest: createRest({ ...of, serverUrl: () => "" }),
    pages: createPages({
      ...{ ...of, ready: () => true, reasons: [], version: "0", authentication: false },
      ...{ publicKeys: async () => ({ keys: [] }), renderMetrics: () => "", serverUrl: () => "" },
    }),
  },
});
console.log(`ready ${listener.httpPort}`);
process.once("SIGTERM", () => process.exit());
