/** A whole server in this process with authentication on, and what a test of it needs to know of the inside: its signing key. */
import { readFileSync } from "node:fs";
import { type JWTHeaderParameters, SignJWT } from "jose";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createDeadline, createRuntime } from "#gateway/dispatch/dispatch.ts";
import {
  createConnect,
  createGraphql,
  createGrpc,
  createGrpcWeb,
  createMcp,
  createMount,
  createPages,
  createRest,
  createWebSockets,
  listen,
} from "#gateway/ingress/ingress.ts";
import {
  Authenticator,
  createIdempotencyStore,
  createLimitStore,
  createPolicies,
  migrations as policyMigrations,
} from "#policy/policy.ts";
import type { Method } from "#rpc/method.ts";
import { migrations as bpmnMigrations, topics as bpmnTopics, createBpmn } from "#services/bpmn/bpmn.ts";
import { createEvents, type EventsHost, migrations as eventsMigrations } from "#services/events/events.ts";
import {
  createUsers,
  type TrustedIssuer,
  type UsersHost,
  migrations as usersMigrations,
  topics as usersTopics,
} from "#services/users/users.ts";
import { type Clock, systemClock } from "#std/clock.ts";
import type { Rate } from "#std/gcra.ts";
import { openStorage, type Storage } from "#storage/storage.ts";
import { ask } from "./portico.ts";

export interface IdentityServer {
  readonly base: string;
  readonly grpcPort: number;
  readonly issuer: string;
  readonly users: UsersHost;
  readonly storage: Storage;
  readonly events: EventsHost;
  readonly methods: readonly Method[];
  ruleOf(method: Method): { readonly public: boolean; readonly scopes: readonly string[] } | undefined;
  /** Of an administrator. */
  readonly adminKey: string;
  /** A user with these roles and a key for it. */
  userWithKey(id: string, roles: readonly string[], scopes?: readonly string[]): Promise<string>;
  /** Signed with the server's own key: the claims of a good token, and what the test changes of them. */
  token(claims?: Readonly<Record<string, unknown>>, header?: Partial<JWTHeaderParameters>): Promise<string>;
  /** As a process does that is told to end. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export async function startIdentity(
  options: {
    readonly databaseUrl?: string;
    readonly clock?: Clock;
    readonly rate?: Rate;
    readonly maxConcurrentCalls?: number;
    /** The issuer is where the server is reached, so that OAuth clients get there. */
    readonly reachable?: boolean;
    readonly oauthRegistration?: boolean;
    readonly trustedIssuers?: readonly TrustedIssuer[];
    readonly tls?: Parameters<typeof listen>[0]["tls"];
    readonly webSocketLimits?: Parameters<typeof createWebSockets>[0]["limits"];
    readonly mcpMetaTools?: boolean;
  } = {},
): Promise<IdentityServer> {
  const clock = options.clock ?? systemClock;
  const catalog = loadCatalog({
    descriptorSet: readFileSync(new URL("../../src/gen/contract.binpb", import.meta.url)),
  });
  const storage = await openStorage({
    url: options.databaseUrl ?? "memory:",
    migrations: [...policyMigrations, ...bpmnMigrations, ...usersMigrations, ...eventsMigrations],
  });
  const secret = new Uint8Array(32).fill(7);
  let base = "";
  const issuer = (): string => (options.reachable === true ? base : "https://portico.test");
  const ruleOf = (method: Method) => catalog.optionsOf(method).access;
  const limits = createLimitStore(storage);
  const events = createEvents({ ...{ storage, secret, clock }, topics: [...bpmnTopics, ...usersTopics] });
  const bpmn = createBpmn({ storage, secret, clock, events: events.log });
  const users = createUsers({
    ...{ storage, secret, clock, keyMode: "test", issuer },
    limits: limits.store,
    events: events.log,
    oauthRegistration: options.oauthRegistration === true,
    ...(options.trustedIssuers === undefined ? {} : { trustedIssuers: options.trustedIssuers }),
    scopes: () => ["bpmn:read", "bpmn:write"],
    ruleOf: (name) => {
      const method = catalog.methods.get(`/${name}`);
      return method && (ruleOf(method) ?? { public: false, scopes: [] });
    },
  });
  const authenticator = new Authenticator({ credentials: users.directory, clock });
  const { door, interceptors } = createPolicies({
    ...{ authenticator, clock, ruleOf, rate: options.rate },
    ...{ limits: limits.store, maxConcurrentCalls: options.maxConcurrentCalls },
    ...{ adaptive: false, pressure: { heapFull: false, late: false }, priorityOf: () => "normal" },
    ...{
      audit: users.audit,
      idempotency: createIdempotencyStore(storage, clock).store,
      registry: catalog.registry,
    },
    costOf: (method) => catalog.optionsOf(method).rateCost,
    isAudited: (method) => catalog.optionsOf(method).audited,
  });
  const runtime = createRuntime({
    catalog,
    services: [bpmn.service, events.service, ...users.services],
    interceptors: [createDeadline({ clock }), ...interceptors],
  });
  const graphql = createGraphql({ runtime: () => runtime, door });
  const adminKey = await users.developmentKey(undefined);
  const listener = await listen({
    host: "127.0.0.1",
    httpPort: 0,
    grpcPort: 0,
    clock,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    adapters: {
      grpc: createGrpc({ runtime: () => runtime }),
      grpcWeb: createGrpcWeb(createGrpc({ runtime: () => runtime, protocol: "grpc-web" })),
      connect: createConnect({ runtime: () => runtime }),
      rest: createRest({ runtime: () => runtime, serverUrl: () => base }),
      webSockets: createWebSockets({
        ...{ runtime: () => runtime, clock, authenticator, graphql: graphql.server },
        ...(options.webSocketLimits === undefined ? {} : { limits: options.webSocketLimits }),
      }),
      graphql,
      mcp: createMcp({
        ...{ clock, runtime: () => runtime, version: "0.0.0", serverUrl: () => base, authenticator, door },
        metaTools: options.mcpMetaTools === true,
      }),
      mounted: createMount(users.oauth, { door, runtime: () => runtime }),
      pages: createPages({
        ...{
          runtime: () => runtime,
          ready: () => true,
          publicKeys: () => users.signingKeys.published(),
          reasons: [],
          renderMetrics: () => "",
        },
        ...{ serverUrl: issuer, version: "0.0.0", authentication: true },
      }),
    },
  });
  base = `http${options.tls === undefined ? "" : "s"}://127.0.0.1:${listener.httpPort}`;
  const admin = { headers: { "x-api-key": adminKey } };
  return {
    base,
    issuer: issuer(),
    users,
    storage,
    events,
    ruleOf,
    adminKey,
    grpcPort: listener.grpcPort,
    methods: [...catalog.methods.values()].filter((method) => runtime.hosted.includes(method.service)),
    userWithKey: async (id, roles, scopes = []) => {
      const user = { kind: "SERVICE", roles: roles.map((role) => `roles/${role}`) };
      const created = await ask(base, "POST", `/api/v1/users?userId=${id}`, { ...admin, body: user });
      if (created.status !== 201) throw new Error(created.text);
      const key = await ask(base, "POST", "/api/v1/apiKeys", {
        ...admin,
        body: { owner: `users/${id}`, scopes },
      });
      if (key.status !== 201) throw new Error(key.text);
      return key.json.secret;
    },
    token: async (claims = {}, header = {}) => {
      const { id, key } = await users.signingKeys.signer();
      const now = Math.floor(Date.now() / 1000);
      const good = {
        ...{ iss: issuer(), aud: issuer(), sub: "admin", client_id: "portico", tid: "default" },
        ...{ jti: "01jf8z3c4m5n6p7q8r9s0t1v2w", iat: now, exp: now + 600 },
      };
      return await new SignJWT({ ...good, ...claims })
        .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: id, ...header })
        .sign(key);
    },
    drain: () => listener.drain(),
    close: async () => {
      events.drain();
      await listener.close();
      await users.close();
      await bpmn.close();
      await events.close();
      await limits.close();
      await storage.close();
    },
  };
}
