/**
 * What the operator decided: plain frozen data with every default filled in.
 *
 * Reads flags, `PORTICO_*` variables and `portico.config.ts`; all mistakes are reported together, each with its remedy.
 * Reads nothing else and starts nothing. Boot options only: a change needs a restart.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import type { SelectedPolicy, TrustedIssuer } from "./access.ts";
import { developmentKeyName } from "./development-key.ts";
import { defaultLimits, type LimitName, type Limits, type LimitsOf, limitNames } from "./limits.ts";
import { gather, type Sources } from "./load.ts";
import { type Given, type OptionName, options } from "./options.ts";

export { developmentHeaderOf, readDevelopmentKey, writeDevelopmentKey } from "./development-key.ts";
export { type Limits, limitOptions } from "./limits.ts";
export type { Sources } from "./load.ts";
export type { Option } from "./option.ts";
export type { OptionName } from "./options.ts";
export { options } from "./options.ts";
export { readSecret } from "./secret.ts";

export interface Config {
  readonly mode: "development" | "production";
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  /** Undefined: `http://localhost:<the port that was bound>`. */
  readonly publicUrl: string | undefined;
  readonly dataDir: string;
  readonly databaseUrl: string;
  /** PostgreSQL only. */
  readonly autoMigrate: boolean;
  /** Undefined only in development: the secret is then generated in the data folder. */
  readonly secretFile: string | undefined;
  /** Undefined: none are listed. */
  readonly breachedPasswords: string | undefined;
  /** Undefined: clear text. */
  readonly tls:
    | {
        readonly certFile: string;
        readonly keyFile: string;
        readonly clientCaFile: string | undefined;
        readonly clientCertificate: "off" | "request" | "require";
        /** How long browsers are to remember that there is TLS. */
        readonly hstsMaxAgeSeconds: number;
      }
    | undefined;
  /** Off: everybody is `users/local` and may do everything. */
  readonly authentication: "on" | "off";
  /** For methods whose contract does not say who may call them. */
  readonly policies: readonly SelectedPolicy[];
  /** Whose pages may call from a browser. */
  readonly cors: {
    readonly origins: readonly string[];
    readonly credentials: boolean;
    readonly maxAgeSeconds: number;
  };
  /** Whose access tokens are good beside our own. */
  readonly trustedIssuers: readonly TrustedIssuer[];
  /** Whether applications may register themselves as OAuth clients. */
  readonly oauthRegistration: "on" | "off";
  /** Whether agents may find and call every method. */
  readonly mcpMetaTools: "on" | "off";
  /** A bucket of `burst` calls that gets one back every `intervalMs`; undefined: no limit. */
  readonly rateLimit: { readonly burst: number; readonly intervalMs: number } | undefined;
  /** The same for all callers of a tenant together. */
  readonly tenantRateLimit: Config["rateLimit"];
  /** Unary calls that this process works on at once. */
  readonly maxConcurrentCalls: number;
  /** Whether fewer may be found to be enough. */
  readonly adaptiveConcurrency: "on" | "off";
  /** Open connections on both ports together; undefined: what the process may open decides. */
  readonly maxConnections: number | undefined;
  /** Files that no connection gets. */
  readonly reservedFiles: number;
  /** Processes that share the ports. */
  readonly workers: number;
  /** Whether other processes may listen on the same ports. */
  readonly reusePort: "on" | "off";
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /** Part of the calls whose bodies are logged. */
  readonly logBodies: number;
  /** Undefined: nothing is traced. */
  readonly tracing:
    | {
        readonly endpoint: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly ratio: number;
        readonly serviceName: string;
      }
    | undefined;
  /** Undefined: metrics are not pushed. */
  readonly metricsPush:
    | {
        /** With its path. */
        readonly endpoint: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly intervalMs: number;
        readonly timeoutMs: number;
        readonly serviceName: string;
      }
    | undefined;
  /** Whether REST answers say how long they took. */
  readonly serverTiming: "on" | "off";
  readonly unknownParameters: "reject" | "ignore";
  readonly unknownFields: "reject" | "ignore";
  /** What tells strangers about the contract. */
  readonly reflection: "on" | "off";
  readonly docs: "on" | "off";
  /** Whether GraphQL tells its schema to whoever asks. */
  readonly graphqlIntrospection: "on" | "off";
  /** Whose X-Forwarded-For counts: networks, and how many of them in a row. */
  readonly proxies: { readonly trusted: readonly string[]; readonly hops: number };
  /** How much a client may take; each is described where it is declared. */
  readonly limits: Limits;
}

/** All that is wrong with a configuration, one line each. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      `the configuration has ${problems.length} problem${problems.length === 1 ? "" : "s"}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    );
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** The shape of `portico.config.ts`: `export default defineConfig({ … })`. */
export interface UserConfig {
  readonly mode?: Config["mode"];
  readonly host?: string;
  readonly http?: { readonly port?: number } & LimitsOf<"http">;
  readonly http2?: LimitsOf<"http2">;
  readonly grpc?: { readonly port?: number; readonly reflection?: "on" | "off" } & LimitsOf<"grpc">;
  readonly docs?: "on" | "off";
  readonly payload?: LimitsOf<"payload">;
  readonly webSocket?: LimitsOf<"webSocket">;
  readonly mcp?: { readonly metaTools?: "on" | "off" } & LimitsOf<"mcp">;
  readonly signIn?: LimitsOf<"signIn">;
  readonly graphql?: { readonly introspection?: "on" | "off" } & LimitsOf<"graphql">;
  readonly proxy?: { readonly trusted?: readonly string[]; readonly hops?: number };
  readonly publicUrl?: string;
  readonly dataDir?: string;
  readonly database?: { readonly url?: string; readonly autoMigrate?: boolean } & LimitsOf<"database">;
  readonly deadline?: LimitsOf<"deadline">;
  readonly page?: LimitsOf<"page">;
  readonly secretFile?: string;
  readonly breachedPasswords?: string;
  readonly tls?: {
    readonly cert?: string;
    readonly key?: string;
    readonly clientCa?: string;
    readonly clientCertificate?: "off" | "request" | "require";
    readonly hstsMaxAgeSeconds?: number;
  };
  readonly authentication?: "on" | "off";
  readonly policies?: readonly SelectedPolicy[];
  readonly cors?: {
    readonly origins?: readonly string[];
    readonly credentials?: boolean;
    readonly maxAgeSeconds?: number;
  };
  readonly trustedIssuers?: readonly TrustedIssuer[];
  readonly oauth?: { readonly registration?: "on" | "off" };
  readonly rateLimit?: string;
  readonly tenantRateLimit?: string;
  readonly maxConcurrentCalls?: number;
  readonly adaptiveConcurrency?: "on" | "off";
  readonly maxConnections?: number;
  readonly reservedFiles?: number;
  readonly workers?: number;
  readonly reusePort?: "on" | "off";
  readonly log?: { readonly level?: Config["logLevel"]; readonly bodies?: number };
  readonly telemetry?: {
    readonly otlpEndpoint?: string;
    readonly otlpHeaders?: Readonly<Record<string, string>>;
    readonly otlpMetrics?: "on" | "off";
    readonly otlpMetricsEndpoint?: string;
    readonly otlpMetricsHeaders?: Readonly<Record<string, string>>;
    readonly otlpMetricsIntervalMs?: number;
    readonly otlpMetricsTimeoutMs?: number;
    readonly traceRatio?: number;
    readonly serviceName?: string;
  };
  readonly rest?: {
    readonly serverTiming?: "on" | "off";
    readonly unknownParameters?: "reject" | "ignore";
    readonly unknownFields?: "reject" | "ignore";
  };
}

/** Gives an editor the keys of the configuration file; returns its argument. */
export function defineConfig(config: UserConfig): UserConfig {
  return config;
}

/** @throws ConfigError with every problem at once. */
export async function loadConfig(sources: Sources, fallbackMode: Config["mode"]): Promise<Config> {
  const { given, problems } = await gather(sources);
  const config = complete(given, fallbackMode);
  problems.push(...check(config, given));
  if (problems.length > 0) throw new ConfigError(problems);
  return frozen(config);
}

/** All the way down: what was checked is what runs. */
function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const inside of Object.values(value)) frozen(inside);
  return Object.freeze(value);
}

function complete(given: Given, fallbackMode: Config["mode"]): Config {
  const dataDir = given.dataDir ?? ".portico";
  const mode = given.mode ?? fallbackMode;
  const told = mode === "production" ? "off" : "on";
  return {
    mode,
    host: given.host ?? "127.0.0.1",
    httpPort: given.httpPort ?? 8000,
    grpcPort: given.grpcPort ?? 50_051,
    publicUrl: given.publicUrl,
    dataDir,
    databaseUrl: given.databaseUrl ?? `sqlite:${path.join(dataDir, "portico.db")}`,
    autoMigrate: given.autoMigrate ?? true,
    secretFile: given.secretFile,
    breachedPasswords: given.breachedPasswords,
    tls: tlsOf(given),
    authentication: given.authentication ?? "on",
    policies: given.policies ?? [],
    cors: {
      origins: given.corsOrigins ?? [],
      credentials: given.corsCredentials ?? false,
      maxAgeSeconds: given.corsMaxAge ?? 600,
    },
    trustedIssuers: given.trustedIssuers ?? [],
    oauthRegistration: given.oauthRegistration ?? "off",
    mcpMetaTools: given.mcpMetaTools ?? "off",
    rateLimit: "rateLimit" in given ? given.rateLimit : { burst: 200, intervalMs: 10 },
    tenantRateLimit: "tenantRateLimit" in given ? given.tenantRateLimit : { burst: 2000, intervalMs: 1 },
    maxConcurrentCalls: given.maxConcurrentCalls ?? 1000,
    adaptiveConcurrency: given.adaptiveConcurrency ?? "on",
    maxConnections: given.maxConnections,
    reservedFiles: given.reservedFiles ?? 32,
    workers: given.workers ?? 1,
    reusePort: given.reusePort ?? ((given.workers ?? 1) > 1 ? "on" : "off"),
    logLevel: given.logLevel ?? "info",
    logBodies: given.logBodies ?? 0,
    tracing: tracingOf(given),
    metricsPush: metricsPushOf(given),
    serverTiming: given.serverTiming ?? "on",
    unknownParameters: given.unknownParameters ?? "reject",
    unknownFields: given.unknownFields ?? "reject",
    reflection: given.reflection ?? told,
    docs: given.docs ?? told,
    graphqlIntrospection: given.graphqlIntrospection ?? told,
    proxies: { trusted: given.trustedProxies ?? [], hops: given.proxyHops ?? 1 },
    limits: limitsOf(given),
  };
}

function tracingOf(given: Given): Config["tracing"] {
  if (given.otlpEndpoint === undefined) return undefined;
  return {
    endpoint: given.otlpEndpoint,
    headers: given.otlpHeaders ?? {},
    ratio: given.traceRatio ?? 0.1,
    serviceName: given.serviceName ?? "portico",
  };
}

function metricsPushOf(given: Given): Config["metricsPush"] {
  const { otlpEndpoint, otlpMetricsEndpoint, otlpMetrics } = given;
  const endpoint = otlpMetricsEndpoint ?? (otlpEndpoint && `${otlpEndpoint.replace(/\/+$/, "")}/v1/metrics`);
  const wanted = otlpMetrics ?? (otlpMetricsEndpoint === undefined ? "off" : "on");
  if (endpoint === undefined || wanted === "off") return undefined;
  return {
    endpoint,
    headers: { ...given.otlpHeaders, ...given.otlpMetricsHeaders },
    intervalMs: given.otlpMetricsIntervalMs ?? 60_000,
    timeoutMs: given.otlpMetricsTimeoutMs ?? 30_000,
    serviceName: given.serviceName ?? "portico",
  };
}

function limitsOf(given: Given): Limits {
  const limits: Record<LimitName, number> = { ...defaultLimits };
  for (const name of limitNames) limits[name] = given[name] ?? limits[name];
  return limits;
}

function tlsOf(given: Given): Config["tls"] {
  if (given.tlsCert === undefined || given.tlsKey === undefined) return undefined;
  return {
    certFile: given.tlsCert,
    keyFile: given.tlsKey,
    clientCaFile: given.tlsClientCa,
    clientCertificate: given.clientCertificate ?? "off",
    hstsMaxAgeSeconds: given.hstsMaxAge ?? 63_072_000,
  };
}

function checkTls(given: Given): string[] {
  const problems: string[] = [];
  if ((given.tlsCert === undefined) !== (given.tlsKey === undefined))
    problems.push(`${spelled("tlsCert")} and ${spelled("tlsKey")} belong together: give both`);
  const wanted = given.clientCertificate !== undefined && given.clientCertificate !== "off";
  if (wanted && given.tlsCert === undefined)
    problems.push(
      `${spelled("clientCertificate")} needs TLS: give ${spelled("tlsCert")} and ${spelled("tlsKey")}`,
    );
  if (wanted && given.tlsClientCa === undefined)
    problems.push(
      `${spelled("clientCertificate")} needs ${spelled("tlsClientCa")}: who signs the certificates that are good`,
    );
  return problems;
}

/** What no single option can judge. */
function check(config: Config, given: Given): string[] {
  const problems = checkTls(given);
  const exposed = !isLoopback(config.host);
  if (exposed && config.authentication === "off") {
    problems.push(
      `${spelled("host")} is ${config.host}: without authentication Portico listens on loopback only; use 127.0.0.1 or ::1, or remove ${spelled("authentication")}`,
    );
  }
  if (exposed && config.mode === "development") {
    problems.push(
      `${spelled("host")} is ${config.host}: in development mode Portico listens on loopback only, for its key lies in a file; use 127.0.0.1 or ::1, or ${spelled("mode")}=production`,
    );
  }
  if (config.mode === "production" && existsSync(path.join(config.dataDir, developmentKeyName))) {
    problems.push(
      `${path.join(config.dataDir, developmentKeyName)} is a development key, which is no credential for production: remove the file, or choose another ${spelled("dataDir")}`,
    );
  }
  if (config.cors.credentials && config.cors.origins.includes("*")) {
    problems.push(
      `${spelled("corsOrigins")} is * and ${spelled("corsCredentials")} is true: every page on the web could then call as whoever looks at it; list the origins`,
    );
  }
  const { headersTimeoutMs, requestTimeoutMs } = config.limits;
  if (requestTimeoutMs < headersTimeoutMs) {
    problems.push(
      `${spelled("requestTimeoutMs")} is ${requestTimeoutMs} and ${spelled("headersTimeoutMs")} is ${headersTimeoutMs}: a request is not here before its headers; raise the one or lower the other`,
    );
  }
  const { deadlineMs, maxDeadlineMs } = config.limits;
  if (maxDeadlineMs < deadlineMs) {
    problems.push(
      `${spelled("maxDeadlineMs")} is ${maxDeadlineMs} and ${spelled("deadlineMs")} is ${deadlineMs}: who asks for nothing would get more than anybody may ask for; raise the one or lower the other`,
    );
  }
  if (given.otlpMetrics === "on" && config.metricsPush === undefined) {
    problems.push(
      `${spelled("otlpMetrics")} is on, but nobody is named who receives metrics: give ${spelled("otlpEndpoint")} or ${spelled("otlpMetricsEndpoint")}, or turn it off`,
    );
  }
  if (config.httpPort !== 0 && config.httpPort === config.grpcPort) {
    problems.push(
      `${spelled("httpPort")} and ${spelled("grpcPort")} are both ${config.httpPort}: give them different ports (gRPC is answered on both)`,
    );
  }
  if (config.workers > 1 && !/^postgres(ql)?:/.test(config.databaseUrl)) {
    problems.push(
      `${spelled("workers")} is ${config.workers}: several processes share a PostgreSQL database only; give one in ${spelled("databaseUrl")}, or use one worker`,
    );
  }
  if (config.workers > 1 && config.reusePort === "off") {
    problems.push(
      `${spelled("workers")} is ${config.workers} and ${spelled("reusePort")} is off: workers share their ports; remove one of the two`,
    );
  }
  if (config.mode === "production" && given.secretFile === undefined) {
    problems.push(
      `${spelled("secretFile")} is missing: production needs a secret that all processes share; make one with: head -c 32 /dev/urandom > portico.secret && chmod 600 portico.secret`,
    );
  }
  return problems;
}

/** How an option is called in messages: by its variable, which exists whatever the source was. */
function spelled(name: OptionName): string {
  return options[name].env;
}

function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return /^127(\.\d{1,3}){3}$/.test(host);
}
