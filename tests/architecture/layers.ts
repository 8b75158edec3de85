/**
 * Who may import whom. This table is the architecture of src/; ARCHITECTURE.md prints it.
 *
 * An "area" is a folder with a row. `packages` are the outside packages an area may use besides `node:` modules that
 * touch neither the network nor a database (those have a list of their own below).
 */
export interface Row {
  readonly uses: readonly string[];
  /** Every file is public; otherwise only the door, the file named like the folder, may be imported from outside. */
  readonly library?: true;
  readonly packages?: readonly string[];
  readonly why: string;
}

const protobuf = "@bufbuild/protobuf";

export const layers: Readonly<Record<string, Row>> = {
  std: { uses: [], library: true, why: "knows nothing of this product; it could be an npm package" },
  gen: { uses: [], library: true, packages: [protobuf], why: "generated from the contract" },
  rpc: {
    uses: ["std", "gen"],
    library: true,
    packages: [protobuf],
    why: "the nouns of a call; everything else stands on it",
  },
  "gateway/wire": {
    uses: ["std", "rpc", "gen"],
    library: true,
    packages: [protobuf],
    why: "framing, pure functions; no sockets",
  },
  "gateway/codec": {
    uses: ["std", "rpc", "gen"],
    library: true,
    packages: [protobuf],
    why: "messages to bytes and back; no sockets",
  },
  "gateway/router": { uses: ["std"], why: "paths only; knows no protobuf" },
  "gateway/catalog": {
    uses: ["std", "rpc", "gen", "gateway/codec", "gateway/router"],
    packages: [protobuf],
    why: "compiles descriptors; serves nobody",
  },
  "gateway/dispatch": {
    uses: ["std", "rpc", "gateway/catalog"],
    packages: [protobuf],
    why: "the narrow waist: no sockets, no upstreams, no policy by name",
  },
  "gateway/describe": {
    uses: ["std", "rpc", "gen", "gateway/catalog"],
    packages: [protobuf],
    why: "catalogue to documents; serves nobody",
  },
  "gateway/ingress": {
    uses: [
      "std",
      "rpc",
      "gen",
      "gateway/wire",
      "gateway/codec",
      "gateway/catalog",
      "gateway/dispatch",
      "gateway/describe",
    ],
    packages: [
      ...[protobuf, "@fastify/busboy", "@modelcontextprotocol/server"],
      ...["graphql", "graphql-ws", "ws"],
    ],
    why: "speaks protocols; decides nothing",
  },
  "gateway/admin": {
    uses: ["std", "rpc", "gen", "gateway/catalog", "gateway/describe"],
    packages: [protobuf],
    why: "the gateway's own services, like any other service",
  },
  telemetry: {
    uses: ["std", "rpc"],
    packages: [
      ...[
        protobuf,
        "pino",
        "@opentelemetry/api",
        "@opentelemetry/context-async-hooks",
        "@opentelemetry/core",
      ],
      ...["@opentelemetry/resources", "@opentelemetry/sdk-trace"],
      ...[
        "@opentelemetry/otlp-exporter-base",
        "@opentelemetry/otlp-transformer",
        "@opentelemetry/sdk-metrics",
      ],
    ],
    why: "watches calls; changes nothing",
  },
  policy: {
    uses: ["std", "rpc", "gen", "storage"],
    packages: [protobuf, "kysely", "@bufbuild/cel", "@bufbuild/protovalidate"],
    why: "judges calls; never sees bytes",
  },
  config: { uses: ["std"], packages: ["zod"], why: "plain data with defaults" },
  storage: {
    uses: ["std", "rpc"],
    library: true,
    packages: ["kysely", "pg"],
    why: "rows and transactions; no domain words",
  },
  "services/bpmn": {
    uses: ["std", "rpc", "gen", "storage"],
    packages: [protobuf, "kysely", "bpmn-moddle", "bpmnlint"],
    why: "does not know how it was called; never another service",
  },
  "services/events": {
    uses: ["std", "rpc", "gen", "storage"],
    packages: [protobuf, "kysely"],
    why: "what happened; other services tell it through rpc, never by its name",
  },
  "services/users": {
    uses: ["std", "rpc", "gen", "storage"],
    packages: [protobuf, "kysely", "jose", "@node-rs/argon2", "oidc-provider", "light-my-request"],
    why: "who there is; does not know how it was called; never another service",
  },
  client: {
    uses: [],
    why: "what programs of others use, in browsers too: depends on nothing, not even on Node",
  },
  cli: {
    uses: ["std", "rpc", "gen", "config", "gateway/catalog"],
    packages: [protobuf, "commander", "@grpc/grpc-js", "openid-client"],
    why: "a client that reads the contract; its serve command alone composes a gateway",
  },
  ".": { uses: ["*"], why: "main.ts and compose.ts wire everything: someone has to" },
};

/** Single imports that the table does not allow, each with its reason. */
export const exceptions: readonly { readonly file: string; readonly target: string; readonly why: string }[] =
  [
    { file: "cli/serve.ts", target: "compose.ts", why: "serve runs a gateway in this process" },
    {
      file: "cli/users.ts",
      target: "compose.ts",
      why: "the first administrator is made in the database directly",
    },
  ];

/** Modules that open sockets or databases, and the only files that may import them (types apart). */
export const guarded: Readonly<Record<string, readonly string[]>> = {
  // The sender asks whoever receives metrics, and nobody else.
  "node:http": ["gateway/ingress/node-http.ts", "telemetry/otlp-sender.ts"],
  "node:http2": ["gateway/ingress/http2-server.ts"],
  "node:https": ["gateway/ingress/http1-server.ts", "telemetry/otlp-sender.ts"],
  "node:tls": ["gateway/ingress/tls.ts"],
  // BlockList and isIP: no sockets.
  "node:net": ["gateway/ingress/ports.ts", "gateway/ingress/client-headers.ts", "std/networks.ts"],
  "node:sqlite": ["storage/"],
  pg: ["storage/"],
  "node:vm": [],
  // Portico itself again, as one of several workers; never anybody's command.
  "node:child_process": ["cli/workers.ts"],
};
