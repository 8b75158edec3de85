/** What telemetry, the deadline and each policy cost a call, in microseconds: its interceptor around a handler that answers at once. */
import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createDeadline } from "#gateway/dispatch/dispatch.ts";
import { GetBPMNRequestSchema, ListBPMNRequestSchema } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { createAdmit } from "#policy/admit/admit.ts";
import { createAudit } from "#policy/audit/audit.ts";
import { createAuthenticate } from "#policy/authenticate/authenticate.ts";
import { Authenticator } from "#policy/authenticate/authenticator.ts";
import { createAuthorize } from "#policy/authorize/authorize.ts";
import { createIdempotency } from "#policy/idempotency/idempotency.ts";
import { createLimit } from "#policy/limit/limit.ts";
import { createIdempotencyStore, loadRules, migrations as policyMigrations } from "#policy/policy.ts";
import { createValidate } from "#policy/validate/validate.ts";
import { createUnaryCall, type UnaryCall } from "#rpc/call.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { MessagePayload } from "#rpc/payload.ts";
import { localPrincipal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import { createUsers, migrations as usersMigrations } from "#services/users/users.ts";
import { systemClock as clock } from "#std/clock.ts";
import { openStorage } from "#storage/storage.ts";
import { createTelemetry, type TelemetryOptions } from "#telemetry/telemetry.ts";
import { median, type Row } from "./table.ts";

const reply = { kind: "unary" } as Reply;

/** Nobody listens there: what is measured is what a call waits for, not what is sent behind its back. */
const tracing = {
  ...{ endpoint: "http://127.0.0.1:9", headers: {}, serviceName: "bench", version: "0" },
  ...{ isWorker: false, encrypted: false, serverUrl: () => "http://localhost:8000" },
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
  const catalog = loadCatalog({
    descriptorSet: readFileSync(new URL("../src/gen/contract.binpb", import.meta.url)),
  });
  const { registry } = catalog;
  const storage = await openStorage({
    url: "memory:",
    migrations: [...policyMigrations, ...usersMigrations],
  });
  const issuer = "https://portico.bench";
  const users = createUsers({
    ...{ storage, secret: new Uint8Array(32), clock, keyMode: "test", issuer: () => issuer },
    ruleOf: () => undefined,
  });
  const idempotency = createIdempotencyStore(storage, clock);
  const rules = await loadRules(registry);
  const key = await users.developmentKey(undefined);
  const ruleOf = (method: Method) => catalog.optionsOf(method).access;
  const isPublic = (): boolean => false;
  const get = methodOf("GetBPMN");
  const list = methodOf("ListBPMN");
  const rate = { burst: 1e9, intervalMs: 1e-6 };
  const rule = `principal.tenant == "default" && request.id != ""`;
  const audit = { append: async () => undefined };
  const policies: readonly (readonly [string, Interceptor, Method])[] = [
    [
      "admit",
      createAdmit({
        ...{ maxConcurrentCalls: 1000, adaptive: true, clock, priorityOf: () => "normal" },
        pressure: { heapFull: false, late: false },
      }),
      get,
    ],
    [
      "authenticate, the same key again",
      createAuthenticate({
        authenticator: new Authenticator({ credentials: users.directory, clock }),
        isPublic,
      }),
      get,
    ],
    ["limit, caller and tenant", createLimit({ rate, tenantRate: rate, clock, costOf: () => 1 }), get],
    [
      "audit, entry made but not stored",
      createAudit({ audit, clock, registry, isPublic, isAudited: () => true }),
      get,
    ],
    [
      "audit, of a call that is not audited",
      createAudit({ audit, clock, registry, isPublic, isAudited: () => false }),
      get,
    ],
    ["authorize by scope", createAuthorize({ ruleOf, rules: undefined }), get],
    [
      "authorize by scope and a CEL rule",
      createAuthorize({ ruleOf: () => ({ public: false, scopes: ["bpmn:read"], rule }), rules }),
      get,
    ],
    ["validate, no constraints", createValidate({ registry }), get],
    ["validate, one constraint", createValidate({ registry }), list],
    ["idempotency, without a key", createIdempotency({ idempotency: idempotency.store, registry }), get],
  ];
  const rows: Row[] = [];
  for (const [name, interceptor, method] of policies)
    rows.push({
      what: `policy: ${name} (µs)`,
      target: "-",
      value: await costOf(interceptor, method, { calls, key }),
      digits: 2,
    });
  rows.push({
    what: "deadline (µs)",
    target: "-",
    value: await costOf(createDeadline({ clock }), get, { calls, key }),
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
  await idempotency.close();
  await users.close();
  await storage.close();
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
