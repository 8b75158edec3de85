/** What telemetry, the deadline and each policy cost a call, in microseconds: its interceptor around a handler that answers at once. */
import { create } from "@bufbuild/protobuf";
import { GetBPMNRequestSchema, ListBPMNRequestSchema } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { createUnaryCall, type UnaryCall } from "#rpc/call.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { MessagePayload } from "#rpc/payload.ts";
import { localPrincipal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import { systemClock as clock } from "#std/clock.ts";
import { createTelemetry, type TelemetryOptions } from "#telemetry/telemetry.ts";
import { createParts, type PartName } from "./parts.ts";
import { median, type Row } from "./table.ts";

const reply = { kind: "unary" } as Reply;

/** Nobody listens there: what is measured is what a call waits for, not what is sent behind its back. */
const tracing = {
  ...{ endpoint: "http://127.0.0.1:9", headers: {}, serviceName: "bench", version: "0" },
  ...{ isWorker: false, encrypted: false },
};
const watching: readonly (readonly [string, Partial<TelemetryOptions>])[] = [
  ["metrics", {}],
  ["metrics and the access log", { logLevel: "info", logFile: "/dev/null" }],
  ["metrics and a trace that is not sampled", { tracing: { ...tracing, ratio: 0 } }],
  ["metrics and a sampled trace", { tracing: { ...tracing, ratio: 1 } }],
  ["metrics, the access log and its bodies", { logLevel: "info", logFile: "/dev/null", logBodyRatio: 1 }],
];

/** @param calls of one round. */
export async function measurePolicies(calls: number): Promise<Row[]> {
  const parts = await createParts();
  const { catalog, key } = parts;
  const { registry } = catalog;
  const get = methodOf("GetBPMN");
  const list = methodOf("ListBPMN");
  const policies: readonly (readonly [string, PartName, Method])[] = [
    ["policy: admit", "admit", get],
    ["policy: authenticate, the same key again", "authenticate", get],
    ["policy: limit, caller and tenant", "limit", get],
    ["policy: audit, entry made but not stored", "audit", get],
    ["policy: audit, of a call that is not audited", "audit, not audited", get],
    ["policy: authorize by scope", "authorize", get],
    ["policy: authorize by scope and a CEL rule", "authorize by a rule", get],
    ["policy: validate, no constraints", "validate", get],
    ["policy: validate, one constraint", "validate", list],
    ["policy: idempotency, without a key", "idempotency", get],
    ["deadline", "deadline", get],
  ];
  const rows: Row[] = [];
  for (const [name, part, method] of policies)
    rows.push({
      what: `${name} (µs)`,
      target: "-",
      value: await costOf(parts.of[part], method, { calls, key }),
      digits: 2,
    });
  for (const [name, options] of watching) {
    const telemetry = await createTelemetry({ logLevel: "silent", clock, registry, ...options });
    rows.push({
      what: `telemetry: ${name} (µs)`,
      target: "-",
      value: await costOf(telemetry.interceptor, get, { calls, key }),
      digits: 2,
    });
    await telemetry.close();
  }
  await parts.close();
  return rows;

  function methodOf(name: string): Method {
    const method = catalog.methods.get(`/portico.bpmn.v1.BPMNService/${name}`);
    if (method === undefined) throw new Error(`there is no ${name}`);
    return method;
  }
}

/** Of the median round, less what the call costs without the policy. */
async function costOf(
  interceptor: Interceptor,
  method: Method,
  about: { readonly calls: number; readonly key: string },
): Promise<number> {
  const schema = method.desc.name === "GetBPMN" ? GetBPMNRequestSchema : ListBPMNRequestSchema;
  const payload = new MessagePayload(method.input, create(schema, { pageSize: 10, id: "order" } as object));
  const headers = { "x-api-key": about.key };
  // Of one moment for all: they come before any of them can be late.
  const startedAtMs = performance.now();
  const newCall = (): UnaryCall =>
    createUnaryCall(
      {
        ...{ method, id: "bench", protocol: "rest", timeoutMs: undefined, startedAtMs },
        ...{ peer: { address: "127.0.0.1", port: 1 }, principal: localPrincipal },
        metadata: new Metadata(() => [], headers),
      },
      payload,
    );
  const rounds = async (handler: (call: UnaryCall) => Reply | Promise<Reply>): Promise<number> => {
    const times: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const started = performance.now();
      for (let count = 0; count < about.calls; count += 1) {
        const call = newCall();
        const answer = handler(call);
        if (answer instanceof Promise) await answer;
        call.close();
      }
      times.push(((performance.now() - started) * 1000) / about.calls);
    }
    return median(times);
  };
  const without = await rounds(() => reply);
  return Math.max(0, (await rounds(interceptor(() => reply, method))) - without);
}
