/**
 * Every boot option, declared once: key in the file, environment variable, flag, type, default, and why the default is
 * what it is. The parser, the help text and docs/reference/configuration.md all come from this table.
 */
import * as z from "zod";
import { parseBlock } from "#std/networks.ts";
import { limitOptions } from "./limits.ts";
import type { Option } from "./option.ts";

const wholeNumber = "must be a whole number";
/** Decimal digits only: `""`, `0x50` and `1e3` are more likely mistakes than ports. */
const port = z
  .union(
    [
      z.number(),
      z
        .string()
        .regex(/^\d{1,9}$/)
        .transform(Number),
    ],
    wholeNumber,
  )
  .pipe(z.number().int(wholeNumber).min(0, "must be 0 to 65535").max(65_535, "must be 0 to 65535"));
/** Of decimal digits, or a number. */
const wholeNumberOf = (least: number, most: number) =>
  z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^\d{1,9}$/)
          .transform(Number),
      ],
      wholeNumber,
    )
    .pipe(
      z
        .number()
        .int(wholeNumber)
        .min(least, `must be at least ${least}`)
        .max(most, `must be at most ${most}`),
    );
const claim = z.string().min(1).max(200);
const resourceId = z.string().regex(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, "must be an id");
const issuerUrl = z.url({ protocol: /^https?$/ }).refine((url) => {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
}, "must be https; http is for loopback alone");
const trustedIssuer = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9]{0,30}$/, "must be lower-case letters and digits, at most 31"),
  issuer: issuerUrl,
  audience: z.string().min(1),
  algorithms: z
    .array(z.enum(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]))
    .min(1)
    .optional(),
  type: z.enum(["at+jwt", "any"]).optional(),
  tenant: z.union([resourceId, z.strictObject({ claim, map: z.record(z.string(), resourceId).optional() })]),
  roles: z.strictObject({
    always: z.array(resourceId).optional(),
    claim: claim.optional(),
    map: z.record(z.string(), z.array(resourceId)).optional(),
  }),
});
/** JSON in a variable or a flag. @param what the value is a list of. */
const listOf = <T extends z.ZodType>(what: string, item: T) =>
  z.preprocess(
    (given, context): unknown => {
      try {
        return typeof given === "string" ? JSON.parse(given) : given;
      } catch {
        context.issues.push({ code: "custom", message: `must be a list of ${what}, as JSON`, input: given });
        return z.NEVER;
      }
    },
    z.array(item, `must be a list of ${what}`),
  );
const trustedIssuers = listOf("issuers", trustedIssuer);
const scope = z
  .string()
  .regex(/^(\*|[a-z][A-Za-z0-9]{0,62}:(\*|[a-z][A-Za-z0-9]{0,62}))$/, 'must be "area:verb", "area:*" or "*"');
const policy = z.strictObject({
  selector: z
    .string()
    .regex(/^(\*|[A-Za-z_][\w]*(\.[A-Za-z_]\w*)*(\.\*)?)$/, "must be a name such as shop.v1.Orders.*"),
  public: z.boolean().optional(),
  scopes: z.array(scope).max(100).optional(),
  rule: z.string().max(10_000).optional(),
  rateCost: z.number().int().min(1).max(1000).optional(),
  audit: z.boolean().optional(),
});
const policies = listOf("policies", policy);
export type SelectedPolicy = z.infer<typeof policy>;
export type TrustedIssuer = z.infer<typeof trustedIssuer>;
const text = z.string().min(1, "must not be empty");

function isOrigin(origin: string): boolean {
  return origin === "*" || (URL.canParse(origin) && new URL(origin).origin === origin);
}

/** Undefined: off. */
function parseRate(rate: string): { readonly burst: number; readonly intervalMs: number } | undefined {
  const match = /^(\d+)\/s(?::(\d+))?$/.exec(rate);
  if (match === null) return undefined;
  const perSecond = Number(match[1]);
  return { intervalMs: 1000 / perSecond, burst: match[2] === undefined ? 2 * perSecond : Number(match[2]) };
}

const rate = z
  .string()
  .regex(/^(off|[1-9]\d{0,6}\/s(:[1-9]\d{0,6})?)$/, 'must be a rate such as 100/s or 100/s:200, or "off"')
  .transform(parseRate);

/** A part of the whole, as people write it: 0.1. */
const ratio = z
  .union(
    [
      z.number(),
      z
        .string()
        .regex(/^(\d+(\.\d+)?|\.\d+)$/)
        .transform(Number),
    ],
    "must be a number from 0 to 1",
  )
  .pipe(z.number().min(0, "must be at least 0").max(1, "must be at most 1"));
const wrongHeaders = "must be name=value, several separated by commas";
/** `name=value,name=value` as OpenTelemetry has it: values are percent-encoded. */
const headerList = z.union(
  [
    z.record(z.string(), z.string()),
    z.string().transform((list, context) => {
      try {
        return Object.fromEntries(
          list
            .split(",")
            .filter((one) => one.trim() !== "")
            .map(parseHeader),
        );
      } catch {
        context.issues.push({ code: "custom", message: wrongHeaders, input: list });
        return z.NEVER;
      }
    }),
  ],
  wrongHeaders,
);

/** @throws URIError, SyntaxError */
function parseHeader(text: string): [string, string] {
  const match = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=(.*)$/.exec(text);
  if (match === null) throw new SyntaxError("not name=value");
  return [String(match[1]).toLowerCase(), decodeURIComponent(String(match[2]).trim())];
}

export const options = {
  mode: {
    key: "mode",
    env: "PORTICO_MODE",
    flag: "--mode",
    value: "MODE",
    schema: z.enum(["development", "production"], "must be development or production"),
    default: "production for `portico serve`, development for `npm start`",
    range: "development, production",
    doc: "Development makes what production demands to be given: the secret in the data folder, for example.",
  },
  host: {
    key: "host",
    env: "PORTICO_HOST",
    flag: "--host",
    value: "ADDRESS",
    schema: text,
    default: "127.0.0.1",
    range: "an IP address, localhost",
    doc: "Address to listen on. Loopback only in development mode and without authentication.",
  },
  httpPort: {
    key: "http.port",
    env: "PORTICO_HTTP_PORT",
    flag: "--http-port",
    value: "PORT",
    schema: port,
    default: "8000",
    range: "0 to 65535; 0 takes any free port",
    doc: "REST, documentation, health and gRPC over HTTP/1 and clear-text HTTP/2.",
  },
  grpcPort: {
    key: "grpc.port",
    env: "PORTICO_GRPC_PORT",
    flag: "--grpc-port",
    value: "PORT",
    schema: port,
    default: "50051",
    range: "0 to 65535; 0 takes any free port",
    doc: "gRPC over clear-text HTTP/2.",
  },
  publicUrl: {
    key: "publicUrl",
    env: "PORTICO_PUBLIC_URL",
    flag: "--public-url",
    value: "URL",
    schema: z
      .url({ protocol: /^https?$/, error: "must be an http or https URL" })
      .transform((url) => url.replace(/\/+$/, "")),
    default: "http://localhost:<http.port>",
    range: "an http or https URL",
    doc: "Where clients reach this installation; named in the OpenAPI document and in `Location` headers.",
  },
  dataDir: {
    key: "dataDir",
    env: "PORTICO_DATA_DIR",
    flag: "--data-dir",
    value: "FOLDER",
    schema: text,
    default: ".portico",
    range: "a folder; made if missing",
    doc: "Where the embedded database and the generated secret live, relative to the working directory.",
  },
  databaseUrl: {
    key: "database.url",
    env: "PORTICO_DATABASE_URL",
    flag: "--database-url",
    value: "URL",
    schema: z
      .string()
      .regex(
        /^(sqlite:.+|memory:|postgres(ql)?:\/\/[^\s]+)$/s,
        "must be sqlite:PATH, memory: or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
      ),
    default: "sqlite:<dataDir>/portico.db",
    range: "sqlite:PATH, memory:, postgres://…",
    doc: "The database. `memory:` forgets everything when the process ends. PostgreSQL where more than one process writes.",
  },
  autoMigrate: {
    key: "database.autoMigrate",
    env: "PORTICO_AUTO_MIGRATE",
    flag: "--auto-migrate",
    value: "BOOLEAN",
    schema: z.union([z.boolean(), z.stringbool()], "must be true or false"),
    default: "true",
    range: "true, false",
    doc: "PostgreSQL only: bring the schema up to date at the start, under a lock. With false, a schema that is not current is refused. SQLite always migrates itself.",
  },
  secretFile: {
    key: "secretFile",
    env: "PORTICO_SECRET_FILE",
    flag: "--secret-file",
    value: "FILE",
    schema: text,
    default: "<dataDir>/secret in development; none in production",
    range: "a file of exactly 32 bytes, or 64 hexadecimal digits",
    doc: "The installation's secret: page tokens, key hashes, passwords, encryption of signing keys. Shared by all its processes. Required in production.",
  },
  breachedPasswords: {
    key: "breachedPasswords",
    env: "PORTICO_BREACHED_PASSWORDS",
    flag: "--breached-passwords",
    value: "FILE",
    schema: text,
    default: "none",
    range: "a file of SHA-1 hashes in order, one a line, as Have I Been Pwned gives it out",
    doc: "Passwords that nobody may choose. Looked into where it lies; nothing is sent anywhere.",
  },
  tlsCert: {
    key: "tls.cert",
    env: "PORTICO_TLS_CERT",
    flag: "--tls-cert",
    value: "FILE",
    schema: text,
    default: "none: clear text",
    range: "a PEM file",
    doc: "Certificate chain for both ports, which then speak TLS alone. Read again when it changes; open connections go on.",
  },
  tlsKey: {
    key: "tls.key",
    env: "PORTICO_TLS_KEY",
    flag: "--tls-key",
    value: "FILE",
    schema: text,
    default: "none",
    range: "a PEM file",
    doc: "Private key of the certificate.",
  },
  tlsClientCa: {
    key: "tls.clientCa",
    env: "PORTICO_TLS_CLIENT_CA",
    flag: "--tls-client-ca",
    value: "FILE",
    schema: text,
    default: "none",
    range: "a PEM file",
    doc: "Authorities whose client certificates are good. A URI in a certificate's subject alternative names stands for the user that has it among its certificates.",
  },
  clientCertificate: {
    key: "tls.clientCertificate",
    env: "PORTICO_CLIENT_CERT",
    flag: "--client-cert",
    value: "POLICY",
    schema: z.enum(["off", "request", "require"], "must be off, request or require"),
    default: "off",
    range: "off, request, require",
    doc: "Whether clients may show a certificate, or have to.",
  },
  authentication: {
    key: "authentication",
    env: "PORTICO_AUTHENTICATION",
    flag: "--authentication",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "on",
    range: "on, off",
    doc: "Off: everybody may do everything, as users/local; on loopback only.",
  },
  policies: {
    key: "policies",
    env: "PORTICO_POLICIES",
    flag: "--policies",
    value: "JSON",
    schema: policies,
    default: "none: administrators alone; health and reflection are for everybody",
    range: "a list of policies; as a variable or a flag the same list in JSON",
    doc: "Who may call methods whose contract does not say: `selector` (a method, `shop.v1.Orders.*`, `shop.*` or `*`; the most specific wins), `public`, `scopes`, `rule`, `rateCost`, `audit`.",
  },
  corsOrigins: {
    key: "cors.origins",
    env: "PORTICO_CORS_ORIGINS",
    flag: "--cors-origins",
    value: "ORIGINS",
    schema: z.preprocess(
      (given) => (typeof given === "string" ? given.split(/[\s,]+/).filter((one) => one !== "") : given),
      z
        .array(z.string().refine(isOrigin, "must be an origin such as https://app.example.org, or *"))
        .max(100),
    ),
    default: "none",
    range: "exact origins, in a variable separated by commas; * for everybody's",
    doc: "Origins whose pages may call from a browser. Everybody's, only without credentials.",
  },
  corsCredentials: {
    key: "cors.credentials",
    env: "PORTICO_CORS_CREDENTIALS",
    flag: "--cors-credentials",
    value: "BOOLEAN",
    schema: z.union([z.boolean(), z.stringbool()], "must be true or false"),
    default: "false",
    range: "true, false",
    doc: "Whether browsers may send client certificates and cookies with calls of those origins. API keys and tokens need it not.",
  },
  trustedIssuers: {
    key: "trustedIssuers",
    env: "PORTICO_TRUSTED_ISSUERS",
    flag: "--trusted-issuers",
    value: "JSON",
    schema: trustedIssuers,
    default: "none",
    range: "a list of issuers; as a variable or a flag the same list in JSON",
    doc: "Identity providers whose access tokens are good here, and how their claims become a tenant and roles. See the guide to identity.",
  },
  oauthRegistration: {
    key: "oauth.registration",
    env: "PORTICO_OAUTH_REGISTRATION",
    flag: "--oauth-registration",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "off",
    range: "on, off",
    doc: "On: applications may register themselves as OAuth clients (RFC 7591) with a credential that has `oauthClients:write`.",
  },
  graphqlIntrospection: {
    key: "graphql.introspection",
    env: "PORTICO_GRAPHQL_INTROSPECTION",
    flag: "--graphql-introspection",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "on in development, off in production",
    range: "on, off",
    doc: "On: GraphQL clients may ask for the schema, and in development mode browsers are shown GraphiQL at `/graphql`.",
  },
  mcpMetaTools: {
    key: "mcp.metaTools",
    env: "PORTICO_MCP_META_TOOLS",
    flag: "--mcp-meta-tools",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "off",
    range: "on, off",
    doc: "On: agents find and call every method with `search_methods` and `call_method`, besides the tools that the contract names. Policies hold as ever.",
  },
  rateLimit: {
    key: "rateLimit",
    env: "PORTICO_RATE_LIMIT",
    flag: "--rate-limit",
    value: "RATE",
    schema: rate,
    default: "100/s:200",
    range: "<calls>/s, <calls>/s:<burst>, off",
    doc: "How often each caller may call. The burst is what it may do at once; default: twice the rate.",
  },
  tenantRateLimit: {
    key: "tenantRateLimit",
    env: "PORTICO_TENANT_RATE_LIMIT",
    flag: "--tenant-rate-limit",
    value: "RATE",
    schema: rate,
    default: "1000/s:2000",
    range: "<calls>/s, <calls>/s:<burst>, off",
    doc: "How often all callers of a tenant together may call.",
  },
  maxConcurrentCalls: {
    key: "maxConcurrentCalls",
    env: "PORTICO_MAX_CONCURRENT_CALLS",
    flag: "--max-concurrent-calls",
    value: "NUMBER",
    schema: wholeNumberOf(1, 1_000_000),
    default: "1000",
    range: "1 to 1000000",
    doc: "Unary calls that a process works on at once; one more is answered UNAVAILABLE (503) with Retry-After.",
  },
  adaptiveConcurrency: {
    key: "adaptiveConcurrency",
    env: "PORTICO_ADAPTIVE_CONCURRENCY",
    flag: "--adaptive-concurrency",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "on",
    range: "on, off",
    doc: "On: a process works on fewer calls at once than it may while more of them only wait for each other. What is too much is answered UNAVAILABLE (503) with Retry-After; health first, administration next.",
  },
  maxConnections: {
    key: "maxConnections",
    env: "PORTICO_MAX_CONNECTIONS",
    flag: "--max-connections",
    value: "NUMBER",
    schema: wholeNumberOf(1, 1_000_000),
    default: "60 % of the files that the process may open, at most 20000",
    range: "1 to 1000000",
    doc: "Open connections on both ports together; one more is closed at once. The rest of the files is for the database and for answers; the last 32 are kept back whatever is asked for.",
  },
  workers: {
    key: "workers",
    env: "PORTICO_WORKERS",
    flag: "--workers",
    value: "NUMBER",
    schema: wholeNumberOf(1, 64),
    default: "1",
    range: "1 to 64",
    doc: "Processes that share the ports and the database, which has to be PostgreSQL for more than one. One that dies is replaced; SIGHUP replaces one after the other.",
  },
  reusePort: {
    key: "reusePort",
    env: "PORTICO_REUSE_PORT",
    flag: "--reuse-port",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "off; on with more than one worker",
    range: "on, off",
    doc: "On: other processes of the same user may listen on the same ports, and the system spreads connections over them (SO_REUSEPORT): a new version starts beside the old one.",
  },
  logLevel: {
    key: "log.level",
    env: "PORTICO_LOG_LEVEL",
    flag: "--log-level",
    value: "LEVEL",
    schema: z.enum(
      ["trace", "debug", "info", "warn", "error", "silent"],
      "must be trace, debug, info, warn, error or silent",
    ),
    default: "info",
    range: "trace, debug, info, warn, error, silent",
    doc: "Least severe log lines to write. Access lines are `info`. Can be changed while the process runs: see the guide to operations.",
  },
  logBodies: {
    key: "log.bodies",
    env: "PORTICO_LOG_BODIES",
    flag: "--log-bodies",
    value: "RATIO",
    schema: ratio,
    default: "0: none",
    range: "0 to 1",
    doc: "Part of the calls whose request and response are written into their access line: what the contract marks as sensitive is masked, long ones are cut (4 KiB). Can be changed while the process runs.",
  },
  otlpEndpoint: {
    key: "telemetry.otlpEndpoint",
    env: "PORTICO_OTLP_ENDPOINT",
    standardEnv: "OTEL_EXPORTER_OTLP_ENDPOINT",
    flag: "--otlp-endpoint",
    value: "URL",
    schema: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }),
    default: "none: nothing is traced",
    range: "an http or https URL, without /v1/traces or /v1/metrics",
    doc: "Who receives traces, and metrics where `PORTICO_OTLP_METRICS` says so: OTLP over HTTP, in protobuf. Without it no library of OpenTelemetry is even loaded.",
  },
  otlpHeaders: {
    key: "telemetry.otlpHeaders",
    env: "PORTICO_OTLP_HEADERS",
    standardEnv: "OTEL_EXPORTER_OTLP_HEADERS",
    flag: "--otlp-headers",
    value: "HEADERS",
    schema: headerList,
    default: "none",
    range: "name=value, several separated by commas",
    doc: "Headers of what is sent there, such as its credential.",
  },
  otlpMetrics: {
    key: "telemetry.otlpMetrics",
    env: "PORTICO_OTLP_METRICS",
    flag: "--otlp-metrics",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "on where `PORTICO_OTLP_METRICS_ENDPOINT` is given, else off",
    range: "on, off",
    doc: "Whether everything that `/metrics` shows is pushed, too: to `/v1/metrics` of the OTLP endpoint, or to an endpoint of its own. `OTEL_METRICS_EXPORTER` says the same with `otlp` and `none`.",
  },
  otlpMetricsEndpoint: {
    key: "telemetry.otlpMetricsEndpoint",
    env: "PORTICO_OTLP_METRICS_ENDPOINT",
    standardEnv: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    flag: "--otlp-metrics-endpoint",
    value: "URL",
    schema: z.url({ protocol: /^https?$/, error: "must be an http or https URL" }),
    default: "`/v1/metrics` of the OTLP endpoint",
    range: "an http or https URL, with its path",
    doc: "Who receives metrics, where it is not who receives traces. It is used as it is: Prometheus has `/api/v1/otlp/v1/metrics`.",
  },
  otlpMetricsHeaders: {
    key: "telemetry.otlpMetricsHeaders",
    env: "PORTICO_OTLP_METRICS_HEADERS",
    standardEnv: "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    flag: "--otlp-metrics-headers",
    value: "HEADERS",
    schema: headerList,
    default: "none",
    range: "name=value, several separated by commas",
    doc: "Headers of pushed metrics, beside those of everything that is sent; these win.",
  },
  otlpMetricsIntervalMs: {
    key: "telemetry.otlpMetricsIntervalMs",
    env: "PORTICO_OTLP_METRICS_INTERVAL_MS",
    standardEnv: "OTEL_METRIC_EXPORT_INTERVAL",
    flag: "--otlp-metrics-interval-ms",
    value: "NUMBER",
    schema: wholeNumberOf(100, 86_400_000),
    default: "60000",
    range: "100 to 86400000 milliseconds",
    doc: "Time between two pushes of metrics. The last one is at the end of the process.",
  },
  otlpMetricsTimeoutMs: {
    key: "telemetry.otlpMetricsTimeoutMs",
    env: "PORTICO_OTLP_METRICS_TIMEOUT_MS",
    standardEnv: "OTEL_METRIC_EXPORT_TIMEOUT",
    flag: "--otlp-metrics-timeout-ms",
    value: "NUMBER",
    schema: wholeNumberOf(100, 600_000),
    default: "30000",
    range: "100 to 600000 milliseconds",
    doc: "Time of one push of metrics with all its attempts; the next interval tries again. The last push takes 5 seconds of it at most. One attempt takes `OTEL_EXPORTER_OTLP_TIMEOUT` (10000).",
  },
  traceRatio: {
    key: "telemetry.traceRatio",
    env: "PORTICO_TRACE_RATIO",
    standardEnv: "OTEL_TRACES_SAMPLER_ARG",
    flag: "--trace-ratio",
    value: "RATIO",
    schema: ratio,
    default: "0.1",
    range: "0 to 1",
    doc: "Part of the calls that are traced, where the caller did not decide: one that sends `traceparent` is followed.",
  },
  serviceName: {
    key: "telemetry.serviceName",
    env: "PORTICO_SERVICE_NAME",
    standardEnv: "OTEL_SERVICE_NAME",
    flag: "--service-name",
    value: "NAME",
    schema: text,
    default: "portico",
    range: "any text",
    doc: "What traces and pushed metrics call this installation. `OTEL_RESOURCE_ATTRIBUTES` adds more.",
  },
  serverTiming: {
    key: "rest.serverTiming",
    env: "PORTICO_REST_SERVER_TIMING",
    flag: "--rest-server-timing",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "on",
    range: "on, off",
    doc: "Whether REST answers say in `Server-Timing` how long the gateway and the service took.",
  },
  unknownParameters: {
    key: "rest.unknownParameters",
    env: "PORTICO_REST_UNKNOWN_PARAMETERS",
    flag: "--rest-unknown-parameters",
    value: "POLICY",
    schema: z.enum(["reject", "ignore"], "must be reject or ignore"),
    default: "reject",
    range: "reject, ignore",
    doc: "What REST does with query parameters that the method does not have: refuse them, naming the nearest, or pass over them.",
  },
  reflection: {
    key: "grpc.reflection",
    env: "PORTICO_GRPC_REFLECTION",
    flag: "--grpc-reflection",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "on in development, off in production",
    range: "on, off",
    doc: "gRPC's server reflection: grpcurl and its like ask it for the contract. Off, it is UNIMPLEMENTED.",
  },
  docs: {
    key: "docs",
    env: "PORTICO_DOCS",
    flag: "--docs",
    value: "SWITCH",
    schema: z.enum(["on", "off"], "must be on or off"),
    default: "on in development, off in production",
    range: "on, off",
    doc: "The page at /docs, from which people send requests. The documents that it is made of (/openapi.json and others) are served in any case.",
  },
  trustedProxies: {
    key: "proxy.trusted",
    env: "PORTICO_PROXY_TRUSTED",
    flag: "--proxy-trusted",
    value: "NETWORKS",
    schema: z.preprocess(
      (given) => (typeof given === "string" ? given.split(/[\s,]+/).filter((one) => one !== "") : given),
      z
        .array(
          z.string().refine((one) => parseBlock(one) !== undefined, "must be a network such as 10.0.0.0/8"),
          "must be a list of networks",
        )
        .max(100),
    ),
    default: "none: who connects is who calls",
    range: "IP addresses and CIDR blocks, in a variable separated by commas",
    doc: "Proxies in front whose word about the client's address is taken, from the last entries of `X-Forwarded-For`. From everybody else that header, `Forwarded` and their like are dropped, and no service ever sees them.",
  },
  proxyHops: {
    key: "proxy.hops",
    env: "PORTICO_PROXY_HOPS",
    flag: "--proxy-hops",
    value: "NUMBER",
    schema: z
      .union(
        [
          z.number(),
          z
            .string()
            .regex(/^\d{1,2}$/)
            .transform(Number),
        ],
        "must be a whole number",
      )
      .pipe(
        z.number().int("must be a whole number").min(1, "must be at least 1").max(10, "must be at most 10"),
      ),
    default: "1",
    range: "1 to 10",
    doc: "How many trusted proxies may stand in a row: so many entries of `X-Forwarded-For` are looked at, from the last.",
  },
  unknownFields: {
    key: "rest.unknownFields",
    env: "PORTICO_REST_UNKNOWN_FIELDS",
    flag: "--rest-unknown-fields",
    value: "POLICY",
    schema: z.enum(["reject", "ignore"], "must be reject or ignore"),
    default: "reject",
    range: "reject, ignore",
    doc: "What JSON bodies may do with fields that the message does not have: be refused, naming the nearest, or be passed over.",
  },
  ...limitOptions,
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof options;

/** Parsed values by option name; absent where nobody said anything. */
export type Given = { -readonly [K in OptionName]?: z.output<(typeof options)[K]["schema"]> };
