/**
 * The wiring, from top to bottom: what exists in a running Portico and who is given what. No logic; the table of contents.
 */
import { readFileSync } from "node:fs";
import { type Config, readDevelopmentKey, readSecret, writeDevelopmentKey } from "#config/config.ts";
import {
  reasons as adminReasons,
  createHealth,
  createLogService,
  createReflection,
} from "#gateway/admin/admin.ts";
import { type Catalog, loadCatalog } from "#gateway/catalog/catalog.ts";
import {
  createDeadline,
  createDeprecation,
  createRuntime,
  type Runtime,
} from "#gateway/dispatch/dispatch.ts";
import {
  type Adapters,
  createConnect,
  createGraphql,
  createGrpc,
  createGrpcWeb,
  createMcp,
  createMount,
  createPages,
  createRest,
  createWebSockets,
  graphqlPaths,
  reasons as ingressReasons,
  type Listener,
  listen,
  mcpPaths,
  pagePaths,
} from "#gateway/ingress/ingress.ts";
import { reasons as wireReasons } from "#gateway/wire/reasons.ts";
import {
  Authenticator,
  createIdempotencyStore,
  createLimitStore,
  createOpenPolicies,
  createPolicies,
  loadRules,
  type PolicyOptions,
  type Priority,
  migrations as policyMigrations,
  reasons as policyReasons,
  watchPressure,
} from "#policy/policy.ts";
import type { Door } from "#rpc/door.ts";
import type { Method } from "#rpc/method.ts";
import { reasons as rpcReasons } from "#rpc/reasons.ts";
import {
  migrations as bpmnMigrations,
  reasons as bpmnReasons,
  topics as bpmnTopics,
  createBpmn,
} from "#services/bpmn/bpmn.ts";
import {
  createEvents,
  migrations as eventsMigrations,
  reasons as eventsReasons,
} from "#services/events/events.ts";
import {
  createUsers,
  openBreachList,
  type UsersHost,
  migrations as usersMigrations,
  reasons as usersReasons,
  topics as usersTopics,
} from "#services/users/users.ts";
import { systemClock as clock } from "#std/clock.ts";
import { reasons as storageReasons } from "#storage/reasons.ts";
import { openStorage, type Storage } from "#storage/storage.ts";
import {
  createTelemetry,
  type LogSettings,
  mergeMetrics,
  type Telemetry,
  type WorkerText,
} from "#telemetry/telemetry.ts";

/** A gateway that runs. */
export interface Portico {
  readonly version: string;
  /** Where REST is, without a slash at the end. */
  readonly url: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  /** Where the data is, for people. */
  readonly database: string;
  /** Where the development key is; undefined in production, and without authentication. */
  readonly developmentKeyFile: string | undefined;
  /** What its siblings ask it for: its own alone. */
  renderMetrics(): string;
  changeLog(settings: Partial<LogSettings>): void;
  /** Drains in order, then closes everything. */
  stop(): Promise<void>;
}

/** The other processes that share its ports, where there are any. */
export interface Siblings {
  /** Everybody's metrics, this one's `own` among them; undefined: there are no others. */
  metrics(
    own: string,
  ): Promise<{ readonly texts: readonly WorkerText[]; readonly missing: number } | undefined>;
  /** Resolves when the others have done it. */
  changeLog(settings: Partial<LogSettings>): Promise<void>;
}

export const version = "0.1.0";

const migrations = [...policyMigrations, ...usersMigrations, ...bpmnMigrations, ...eventsMigrations];

const reasons = [
  rpcReasons,
  wireReasons,
  ingressReasons,
  adminReasons,
  policyReasons,
  storageReasons,
  usersReasons,
  bpmnReasons,
  eventsReasons,
];

/** @throws Error with what, why and what to do, when a port, the database or the contract is not usable. */
export async function start(config: Config, siblings?: Siblings): Promise<Portico> {
  const catalog = catalogOf(config);
  const telemetry = await createTelemetry({
    ...{ logLevel: config.logLevel, logBodyRatio: config.logBodies, clock, registry: catalog.registry },
    ...receiversOf(config, siblings !== undefined, () => url()),
  });
  const storage = await openStorage({
    url: config.databaseUrl,
    migrations,
    autoMigrate: config.autoMigrate,
    observer: telemetry.store,
    limits: databaseLimits(config),
  });
  let listener: Listener | undefined;
  const url = (): string =>
    config.publicUrl ??
    `${config.tls === undefined ? "http" : "https"}://localhost:${listener?.httpPort ?? config.httpPort}`;
  const { hosted, users, events, policies, authenticator, closeServices } = await createServices(config, {
    catalog,
    storage,
    issuer: url,
    onShed: (_method, why) => telemetry.turned.shed("call", why),
  });

  const served = [...hosted, createLogService(logOfAll(telemetry, siblings))];
  const names = served.map((service) => service.desc.typeName);
  const health = createHealth(names);
  const reflection =
    config.reflection === "on" ? createReflection(catalog, [...names, "grpc.health.v1.Health"]) : [];
  const runtime = createRuntime({
    catalog,
    services: [...served, health.service, ...reflection],
    clock,
    onRefused: (refusal) => telemetry.refused(refusal),
    traceRequest: telemetry.traceRequest,
    interceptors: [
      telemetry.interceptor, // outermost: sees every call, the refused ones too
      createDeprecation({ noticeOf: (method) => catalog.optionsOf(method).deprecation }), // refused callers are told too
      createDeadline(deadlinesOf(config, catalog)), // before any work is done
      ...policies.interceptors,
    ],
  });

  const close = async (): Promise<void> => {
    await closeServices();
    await storage.close();
    await telemetry.close();
  };
  let developmentKeyFile: string | undefined;
  const adapters = adaptersOf(config, {
    ...{ runtime, users, authenticator, url, door: policies.door },
    renderMetrics: () => metricsOfAll(telemetry, siblings),
    ready: () => listener !== undefined && !listener.draining,
  });
  try {
    developmentKeyFile = await developmentKeyOf(config, users);
    listener = await listen({
      ...{ ...portsOf(config), clock, adapters },
      ...{ turned: telemetry.turned, onRefused: (refusal) => telemetry.refused(refusal) },
    });
  } catch (error) {
    await close();
    throw error;
  }
  const running = listener;
  telemetry.watchSources({
    connections: () => running.connections,
    webSockets: () => adapters.webSockets?.sockets ?? 0,
    pool: () => storage.pool(),
  });
  return {
    version,
    url: url(),
    httpPort: running.httpPort,
    grpcPort: running.grpcPort,
    database: storage.place,
    developmentKeyFile,
    renderMetrics: () => telemetry.renderMetrics(),
    changeLog: (settings) => telemetry.changeLog(settings),
    stop: async () => {
      health.setServing(false);
      const drained = running.drain();
      // Nobody new is let in: who follows comes again at another process.
      events.drain();
      await drained;
      await close();
    },
  };
}

/** Who is sent traces and metrics. Each of several processes pushes its own: none knows the others' start, and each may end alone. */
function receiversOf({ tracing, metricsPush, tls }: Config, isWorker: boolean, serverUrl: () => string) {
  const about = { version, isWorker };
  return {
    tracing: tracing && { ...tracing, ...about, encrypted: tls !== undefined, serverUrl },
    push: metricsPush && { ...metricsPush, ...about },
  };
}

/** One that is asked answers for all. */
function metricsOfAll(telemetry: Telemetry, siblings: Siblings | undefined): string | Promise<string> {
  const own = telemetry.renderMetrics();
  if (siblings === undefined) return own;
  return siblings
    .metrics(own)
    .then((all) => (all === undefined ? own : mergeMetrics(all.texts, all.missing)));
}

/** One that is told tells the others. */
function logOfAll(
  telemetry: Telemetry,
  siblings: Siblings | undefined,
): Parameters<typeof createLogService>[0] {
  return {
    get logSettings() {
      return telemetry.logSettings;
    },
    changeLog: (settings) => {
      telemetry.changeLog(settings);
      return siblings?.changeLog(settings);
    },
  };
}

/** The contract, or everything that is wrong with it. */
function catalogOf(config: Config): Catalog {
  const { maxElements, maxDepth, maxJsonDepth, maxQueryParameters } = config.limits;
  return loadCatalog({
    descriptorSet: readFileSync(new URL("./gen/contract.binpb", import.meta.url)),
    codec: { unknownFields: config.unknownFields, maxElements, maxDepth, jsonMaxDepth: maxJsonDepth },
    query: { unknown: config.unknownParameters, maxParameters: maxQueryParameters },
    reservedPaths: [...pagePaths, ...graphqlPaths, ...mcpPaths],
    policyRequired: ["portico."],
    policies: config.policies,
  });
}

/** Of calls: by default, at most, and as the contract says of a method. */
function deadlinesOf({ limits }: Config, catalog: Catalog): Parameters<typeof createDeadline>[0] {
  return {
    ...{ clock, defaultMs: limits.deadlineMs, maximumMs: limits.maxDeadlineMs },
    of: (method) => catalog.optionsOf(method).deadline,
  };
}

function databaseLimits({ limits }: Config) {
  return {
    poolSize: limits.databasePoolSize,
    acquireMs: limits.databaseAcquireMs,
    statementMs: limits.databaseStatementMs,
    lockMs: limits.databaseLockMs,
    idleInTransactionMs: limits.databaseIdleMs,
  };
}

function signInLimitsOf({ limits }: Config) {
  return {
    perAccount: limits.signInsPerAccount,
    perAddress: limits.signInsPerAddress,
    windowMs: limits.signInWindowMs,
  };
}

/** Where connections come in, and how much each may take. */
function portsOf({ host, httpPort, grpcPort, cors, limits, proxies, tls, ...config }: Config) {
  return {
    ...{ host, httpPort, grpcPort, cors, limits, proxies },
    ...{ maxConnections: config.maxConnections, reservedFiles: config.reservedFiles },
    reusePort: config.reusePort === "on",
    ...(tls === undefined ? {} : { tls }),
  };
}

/** One a protocol. */
function adaptersOf(
  config: Config,
  parts: {
    readonly runtime: Runtime;
    readonly users: UsersHost;
    readonly authenticator: Authenticator;
    readonly door: Door;
    renderMetrics(): string | Promise<string>;
    url(): string;
    ready(): boolean;
  },
): Adapters {
  const { users, authenticator, door, renderMetrics, url, ready } = parts;
  const runtime = (): Runtime => parts.runtime;
  const authenticated = config.authentication === "on";
  const { limits } = config;
  const { maxMessageBytes, maxEventBytes, heartbeatMs, maxJsonDepth, maxElements } = limits;
  const { maxQueryParameters } = limits;
  const { maxInflation, inflationFreeBytes } = limits;
  const inflation = { maxInflation, inflationFreeBytes };
  const graphql = createGraphql({
    ...{ runtime, door, introspection: config.graphqlIntrospection === "on" },
    page: config.mode === "development" && config.graphqlIntrospection === "on",
    ...{ maxBodyBytes: limits.maxJsonBytes, ...inflation, maxJsonDepth, maxElements },
    ...{ maxEnvelope: limits.mcpMaxEnvelope, maxQueryParameters },
    ...{ maxEventBytes, heartbeatMs, initMs: limits.socketInitMs, maxBatch: limits.graphqlMaxBatch },
    limits: {
      maxDepth: limits.graphqlMaxDepth,
      maxAliases: limits.graphqlMaxAliases,
      maxTokens: limits.graphqlMaxTokens,
      maxCost: limits.graphqlMaxCost,
    },
  });
  return {
    grpc: createGrpc({ runtime, maxMessageBytes, ...inflation }),
    grpcWeb: createGrpcWeb(createGrpc({ runtime, maxMessageBytes, ...inflation, protocol: "grpc-web" })),
    connect: createConnect({ runtime, maxMessageBytes, maxQueryParameters, ...inflation }),
    rest: createRest({
      ...{ runtime, limits, serverUrl: url },
      timingClock: config.serverTiming === "on" ? clock : undefined,
    }),
    graphql,
    webSockets: createWebSockets({
      ...{ runtime, clock, graphql: graphql.server },
      limits: {
        ...{ ...limits, initMs: limits.socketInitMs },
        ...{ maxControlFrames: limits.maxSocketControls, controlWindowMs: limits.socketControlWindowMs },
      },
      ...(authenticated ? { authenticator } : {}),
    }),
    mcp: createMcp({
      ...{ runtime, door, version, serverUrl: url, origins: config.cors.origins, ...inflation },
      ...{ maxBodyBytes: limits.maxJsonBytes, maxElements, maxJsonDepth, maxEnvelope: limits.mcpMaxEnvelope },
      ...(authenticated ? { authenticator } : {}),
      metaTools: config.mcpMetaTools === "on",
      secret: readSecret(config),
    }),
    ...(authenticated ? { mounted: createMount(users.oauth, { door, runtime }) } : {}),
    pages: createPages({
      ...{ runtime, ready, reasons, version, renderMetrics },
      publicKeys: () => users.signingKeys.published(),
      ...(authenticated ? { authenticator } : {}),
      serverUrl: url,
      authentication: authenticated,
      docs: config.docs === "on",
    }),
  };
}

/** The hosted services, and the policies that need them. */
async function createServices(
  config: Config,
  parts: {
    readonly catalog: Catalog;
    readonly storage: Storage;
    issuer(): string;
    readonly onShed: NonNullable<PolicyOptions["onShed"]>;
  },
) {
  const { catalog, storage, issuer, onShed } = parts;
  const secret = readSecret(config);
  const pages = { usual: config.limits.pageSize, most: config.limits.maxPageSize };
  const ruleOf = (method: Method) => catalog.optionsOf(method).access;
  const keyMode = config.mode === "production" ? "live" : "test";
  const idempotency = createIdempotencyStore(storage, clock);
  const limits = createLimitStore(storage);
  const breached = await openBreached(config);
  const events = createEvents({
    ...{ storage, secret, clock, pages },
    topics: [...bpmnTopics, ...usersTopics],
  });
  const bpmn = createBpmn({ storage, secret, clock, pages, events: events.log });
  const users = createUsers({
    ...{ storage, secret, clock, pages, keyMode, issuer, breachedPasswords: breached },
    oauthRegistration: config.oauthRegistration === "on",
    trustedIssuers: config.trustedIssuers,
    limits: limits.store,
    signInLimits: signInLimitsOf(config),
    events: events.log,
    scopes: () => scopesOf([...catalog.methods.values()].map(ruleOf)),
    ruleOf: (name) => {
      const method = catalog.methods.get(`/${name}`);
      return method && (ruleOf(method) ?? { public: false, scopes: [] });
    },
  });

  const ruled = [...catalog.methods.values()].some((method) => (ruleOf(method)?.rule ?? "") !== "");
  const authenticator = new Authenticator({ credentials: users.directory, clock });
  const pressure = watchPressure({ clock });
  const options: PolicyOptions = {
    rules: ruled ? await loadRules(catalog.registry) : undefined,
    ...{ authenticator, clock, ruleOf, rate: config.rateLimit },
    ...{ tenantRate: config.tenantRateLimit, limits: limits.store },
    maxConcurrentCalls: config.maxConcurrentCalls,
    ...{ adaptive: config.adaptiveConcurrency === "on", pressure, onShed },
    priorityOf: (method) => priorityOf(method, catalog),
    waits: (method) =>
      catalog.routes.some((route) => route.method === method && route.rest?.wait !== undefined),
    ...{ audit: users.audit, idempotency: idempotency.store, registry: catalog.registry },
    costOf: (method) => catalog.optionsOf(method).rateCost,
    isAudited: (method) => catalog.optionsOf(method).audited,
  };
  const policies = config.authentication === "off" ? createOpenPolicies(options) : createPolicies(options);
  const closeServices = async (): Promise<void> => {
    pressure.stop();
    await idempotency.close();
    await limits.close();
    await breached?.close();
    await users.close();
    await bpmn.close();
    await events.close();
  };
  const hosted = [bpmn.service, events.service, ...users.services];
  return { hosted, users, events, policies, authenticator, closeServices };
}

/** Who is sent away last when there is too much to do. */
function priorityOf(method: Method, catalog: Catalog): Priority {
  if (method.service === "grpc.health.v1.Health") return "health";
  return catalog.optionsOf(method).plane === "admin" ? "urgent" : "normal";
}

/** Every scope that a method asks for, in order. */
function scopesOf(rules: readonly ({ readonly scopes: readonly string[] } | undefined)[]): readonly string[] {
  const scopes = new Set(rules.flatMap((rule) => rule?.scopes ?? []));
  scopes.delete("self");
  return [...scopes].sort();
}

async function openBreached({ breachedPasswords: file }: Config) {
  return file === undefined ? undefined : await openBreachList(file);
}

/** The users of an installation without a gateway around them: for its administrators' command line. */
export async function openUsers(config: Config): Promise<{ users: UsersHost; close(): Promise<void> }> {
  const storage = await openStorage({
    url: config.databaseUrl,
    migrations,
    autoMigrate: config.autoMigrate,
    limits: databaseLimits(config),
  });
  try {
    const breached = await openBreached(config);
    const users = createUsers({
      ...{ storage, clock, secret: readSecret(config), keyMode: "live", breachedPasswords: breached },
      issuer: () => config.publicUrl ?? "",
      ruleOf: () => undefined,
    });
    const close = async (): Promise<void> => {
      await users.close();
      await breached?.close();
      await storage.close();
    };
    return { users, close };
  } catch (error) {
    await storage.close();
    throw error;
  }
}

/** In the file and in whatever store this process runs on, `memory:` included. */
async function developmentKeyOf(config: Config, users: UsersHost): Promise<string | undefined> {
  if (config.mode !== "development" || config.authentication === "off") return undefined;
  return writeDevelopmentKey(config.dataDir, await users.developmentKey(readDevelopmentKey(config.dataDir)));
}
