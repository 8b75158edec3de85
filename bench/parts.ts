/** What a call passes on its way to its handler, each part by itself: what policies.ts measures alone, and parts-server.ts in whole calls. */
import { readFileSync } from "node:fs";
import { type Catalog, loadCatalog } from "#gateway/catalog/catalog.ts";
import { createDeadline } from "#gateway/dispatch/dispatch.ts";
import { createAdmit } from "#policy/admit/admit.ts";
import { createAudit } from "#policy/audit/audit.ts";
import { createAuthenticate } from "#policy/authenticate/authenticate.ts";
import { Authenticator } from "#policy/authenticate/authenticator.ts";
import { createAuthorize } from "#policy/authorize/authorize.ts";
import { createIdempotency } from "#policy/idempotency/idempotency.ts";
import { createLimit } from "#policy/limit/limit.ts";
import { createIdempotencyStore, loadRules, migrations as policyMigrations } from "#policy/policy.ts";
import { createValidate } from "#policy/validate/validate.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import { createUsers, migrations as usersMigrations } from "#services/users/users.ts";
import { systemClock as clock } from "#std/clock.ts";
import { openStorage } from "#storage/storage.ts";
import { createTelemetry } from "#telemetry/telemetry.ts";

/** In the order in which calls pass them. */
export const partNames = [
  ...["metrics", "deadline", "admit", "authenticate", "limit"],
  ...["audit, not audited", "audit", "authorize", "authorize by a rule", "validate", "idempotency"],
] as const;
export type PartName = (typeof partNames)[number];

export interface Parts {
  readonly catalog: Catalog;
  /** A credential that `authenticate` knows. */
  readonly key: string;
  readonly of: Readonly<Record<PartName, Interceptor>>;
  close(): Promise<void>;
}

export async function createParts(): Promise<Parts> {
  const catalog = loadCatalog({
    descriptorSet: readFileSync(new URL("../src/gen/contract.binpb", import.meta.url)),
  });
  const { registry } = catalog;
  const storage = await openStorage({
    url: "memory:",
    migrations: [...policyMigrations, ...usersMigrations],
  });
  const users = createUsers({
    ...{ storage, secret: new Uint8Array(32), clock, keyMode: "test", issuer: () => "https://portico.bench" },
    ruleOf: () => undefined,
  });
  const idempotency = createIdempotencyStore(storage, clock);
  const telemetry = await createTelemetry({ logLevel: "silent", clock, registry });
  const rules = await loadRules(registry);
  const ruleOf = (method: Method) => catalog.optionsOf(method).access;
  const isPublic = (): boolean => false;
  const rate = { burst: 1e9, intervalMs: 1e-6 };
  const rule = `principal.tenant == "default" && request.id != ""`;
  // What is stored of an audited call is stored behind its back.
  const audit = { append: async () => undefined };
  const authenticator = new Authenticator({ credentials: users.directory, clock });
  return {
    catalog,
    key: await users.developmentKey(undefined),
    of: {
      metrics: telemetry.interceptor,
      deadline: createDeadline({ clock }),
      admit: createAdmit({
        ...{ maxConcurrentCalls: 1000, adaptive: true, clock, priorityOf: () => "normal" },
        pressure: { heapFull: false, late: false },
      }),
      authenticate: createAuthenticate({ authenticator, isPublic }),
      limit: createLimit({ rate, tenantRate: rate, clock, costOf: () => 1 }),
      audit: createAudit({ audit, clock, registry, isPublic, isAudited: () => true }),
      "audit, not audited": createAudit({ audit, clock, registry, isPublic, isAudited: () => false }),
      authorize: createAuthorize({ ruleOf, rules: undefined }),
      "authorize by a rule": createAuthorize({
        // A rule looks at one request: streams have none.
        ruleOf: ({ desc }) =>
          desc.name === "GetBPMN" ? { public: false, scopes: ["bpmn:read"], rule } : undefined,
        rules,
      }),
      validate: createValidate({ registry }),
      idempotency: createIdempotency({ idempotency: idempotency.store, registry }),
    },
    close: async () => {
      await telemetry.close();
      await idempotency.close();
      await users.close();
      await storage.close();
    },
  };
}
