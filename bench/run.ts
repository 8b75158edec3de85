/**
 * `npm run bench`: Portico against its peers, the same contract and message, two servers at a time, alternating.
 * Only ratios of one run count: the machine may be shared. `--smoke` gives every pair one second and judges nothing.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { type Load, loadGrpc, loadRest, tools } from "./load.ts";
import { documentId, GetBPMNRequestSchema, grpcPath, request, restPath, xml } from "./message.ts";
import { measurePolicies } from "./policies.ts";
import { type ServerProcess, startPeer, startPortico } from "./server-process.ts";
import { measureStreams } from "./streams.ts";
import { median, type Row, toMarkdown } from "./table.ts";

interface Pair {
  readonly what: string;
  readonly target: string;
  readonly peer: string;
  readonly env?: Record<string, string>;
  /** Portico with authentication, authorization and limits on. */
  readonly everything?: true;
  readonly portico: (server: ServerProcess, seconds: number) => Promise<Load>;
  readonly other: (server: ServerProcess, seconds: number) => Promise<Load>;
}

const smoke = process.argv.includes("--smoke");
const only = process.argv.find((argument) => argument.startsWith("--only="))?.slice(7);
const mcpRevision = "2026-07-28";
const seconds = smoke ? 1 : 4;
const rounds = smoke ? 1 : 5;

const message = toBinary(GetBPMNRequestSchema, request);
const rest = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}${restPath}`, duration);
const grpc = (server: ServerProcess, duration: number): Promise<Load> =>
  loadGrpc(server.grpcPort, { path: grpcPath, message }, duration);
/** With a credential, to a server where all policies are on. */
const restWithKey = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}${restPath}`, duration, {
    headers: { "x-api-key": server.key },
  });
const grpcWithKey = (server: ServerProcess, duration: number): Promise<Load> =>
  loadGrpc(server.grpcPort, { path: grpcPath, message, headers: { "x-api-key": server.key } }, duration);
/** More documents than the service keeps encoded, asked for in turn. */
const rotation = { prefix: `${documentId}-`, count: 2000 };
const rotating = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}`, duration, {
    rotate: { path: `/api/v1/bpmn/${rotation.prefix}`, count: rotation.count },
  });
const connectJson = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}${grpcPath}`, duration, {
    body: JSON.stringify({ id: documentId }),
  });
const graphqlQuery = `query Document($id: String!) { getBPMN(id: $id) {
  id name displayName sizeBytes etag labels { key value } createTime updateTime } }`;
const graphql = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}/graphql`, duration, {
    body: JSON.stringify({ query: graphqlQuery, variables: { id: documentId } }),
  });
/** One use of a tool, in the newest revision: one request, one answer. */
const mcpTool = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}/mcp`, duration, {
    headers: {
      accept: "application/json, text/event-stream",
      ...{ "mcp-protocol-version": mcpRevision, "mcp-method": "tools/call", "mcp-name": "get_bpmn" },
    },
    body: JSON.stringify({
      ...{ jsonrpc: "2.0", id: 1, method: "tools/call" },
      params: {
        ...{ name: "get_bpmn", arguments: { id: documentId } },
        _meta: {
          "io.modelcontextprotocol/protocolVersion": mcpRevision,
          "io.modelcontextprotocol/clientCapabilities": {},
        },
      },
    }),
  });

const pairs: readonly Pair[] = [
  {
    what: "REST GET by id, lean / bare node:http + toJson",
    target: ">= 0.80",
    peer: "node-http",
    portico: rest,
    other: rest,
  },
  {
    what: "REST GET by id, lean / Fastify 5 + toJson",
    target: "-",
    peer: "fastify",
    portico: rest,
    other: rest,
  },
  {
    what: "REST POST by method name / connect-node Connect JSON",
    target: "-",
    peer: "connect-node",
    env: { BENCH_HTTP1: "1" },
    portico: connectJson,
    other: connectJson,
  },
  {
    what: "GraphQL query / graphql-yoga with resolvers by hand",
    target: ">= 1.0",
    peer: "graphql-yoga",
    portico: graphql,
    other: graphql,
  },
  {
    what: "MCP tool call / MCP's library over node:http with a document it holds",
    target: "-",
    peer: "mcp-library",
    portico: mcpTool,
    other: mcpTool,
  },
  {
    what: "REST GET of 2,000 documents in turn, none kept encoded / bare node:http + toJson of one",
    target: "-",
    peer: "node-http",
    portico: rotating,
    other: rest,
  },
  {
    what: "gRPC unary, lean / bare node:http2",
    target: ">= 0.85",
    peer: "node-http2",
    portico: grpc,
    other: grpc,
  },
  { what: "gRPC unary, lean / @grpc/grpc-js", target: ">= 1.3", peer: "grpc-js", portico: grpc, other: grpc },
  {
    what: "REST GET by id, everything on / bare node:http + toJson",
    target: ">= 0.70",
    peer: "node-http",
    everything: true,
    portico: restWithKey,
    other: rest,
  },
  {
    what: "gRPC unary, everything on / bare node:http2",
    target: ">= 0.80",
    peer: "node-http2",
    everything: true,
    portico: grpcWithKey,
    other: grpc,
  },
  { what: "gRPC unary, lean / connect-node", target: "-", peer: "connect-node", portico: grpc, other: grpc },
];

/** Stores the document and learns what Portico answers, so that the peers can answer the same. */
async function prepare(server: ServerProcess): Promise<Record<string, string>> {
  const base = `http://127.0.0.1:${server.httpPort}`;
  const credential: Record<string, string> = server.key === "" ? {} : { "x-api-key": server.key };
  const created = await fetch(`${base}/api/v1/bpmn?documentId=${documentId}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...credential },
    body: JSON.stringify({ xml, displayName: "Order", labels: { team: "bench" } }),
  });
  if (!created.ok) throw new Error(`portico refused the document: ${await created.text()}`);
  const answer = await fetch(base + restPath, { headers: credential });
  const own = new Set(["connection", "content-length", "date", "keep-alive", "transfer-encoding"]);
  const headers = Object.fromEntries([...answer.headers].filter(([name]) => !own.has(name)));
  return { BENCH_DOCUMENT: await answer.text(), BENCH_HEADERS: JSON.stringify(headers) };
}

/** Two hundred more of the same document, under other ids. */
async function createRotation(base: string, from: number): Promise<void> {
  const requests = Array.from({ length: 200 }, (_, at) => ({
    documentId: `${rotation.prefix}${from + at}`,
    document: { xml, displayName: "Order", labels: { team: "bench" } },
  }));
  const created = await fetch(`${base}/api/v1/bpmn:batchCreate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ requests }),
  });
  if (!created.ok) throw new Error(`portico refused the documents: ${await created.text()}`);
}

async function compare(pair: Pair, env: Record<string, string>, portico: ServerProcess): Promise<Row> {
  const peer = await startPeer(pair.peer, { ...env, ...pair.env });
  try {
    const ratios: number[] = [];
    const ours: number[] = [];
    const theirs: number[] = [];
    if (!smoke) await Promise.all([pair.portico(portico, 1), pair.other(peer, 1)]);
    for (let round = 0; round < rounds; round += 1) {
      const a = await pair.portico(portico, seconds);
      const b = await pair.other(peer, seconds);
      ours.push(a.perSecond);
      theirs.push(b.perSecond);
      ratios.push(a.perSecond / b.perSecond);
    }
    return { what: pair.what, target: pair.target, ratios, ours: median(ours), theirs: median(theirs) };
  } finally {
    await peer.stop();
  }
}

async function measureProcess(): Promise<Row[]> {
  const starts: number[] = [];
  let idleBytes = 0;
  for (let round = 0; round < (smoke ? 1 : 5); round += 1) {
    const started = performance.now();
    const server = await startPortico();
    await (await fetch(`http://127.0.0.1:${server.httpPort}/readyz`)).text();
    starts.push(performance.now() - started);
    idleBytes = server.residentBytes();
    await server.stop();
  }
  return [
    { what: "process start to first answer, SQLite (ms)", target: "<= 1000", value: median(starts) },
    { what: "resident memory, idle (MB)", target: "<= 130", value: idleBytes / 1e6 },
  ];
}

const rows: Row[] = [];
if (only === undefined) rows.push(...(await measureProcess()));
if (only === undefined || only === "policy") rows.push(...(await measurePolicies(smoke ? 2000 : 200_000)));
if (only === undefined || only === "streams") rows.push(...(await measureStreams(smoke)));
const portico = await startPortico({ databaseUrl: "memory:" });
const secured = await startPortico({ databaseUrl: "memory:", authentication: "on" });
try {
  const env = await prepare(portico);
  const securedEnv = await prepare(secured);
  let before: Pair | undefined;
  for (const pair of pairs) {
    if (before !== undefined && before.portico === rotating)
      rows.push(
        residentRow("resident memory, after creating 2,000 documents and reading them in turn (MB)", "-"),
      );
    else if (before !== undefined && pair.portico === rotating)
      rows.push(residentRow("resident memory, after full REST load (MB)", "<= 250"));
    before = undefined;
    if (only !== undefined && !pair.what.includes(only)) continue;
    if (pair.portico === rotating)
      for (let at = 0; at < rotation.count; at += 200)
        await createRotation(`http://127.0.0.1:${portico.httpPort}`, at);
    rows.push(
      pair.everything === true ? await compare(pair, securedEnv, secured) : await compare(pair, env, portico),
    );
    before = pair;
    console.log(toMarkdown(rows.slice(-1)).split("\n").at(-2));
  }
  rows.push(residentRow("resident memory, after full gRPC load (MB)", "-"));
} finally {
  await portico.stop();
  await secured.stop();
}

function residentRow(what: string, target: string): Row {
  return { what, target, value: portico.residentBytes() / 1e6 };
}

const table = toMarkdown(rows);
console.log(
  `\n${table}\nload by ${tools.rest} (REST) and ${tools.grpc} (gRPC), ${rounds} rounds of ${seconds} s each\n`,
);
if (!smoke && only === undefined) keep(table);

/** The table in bench/README.md and the figures in bench/results/. */
function keep(text: string): void {
  const folder = import.meta.dirname;
  mkdirSync(path.join(folder, "results"), { recursive: true });
  writeFileSync(
    path.join(folder, "results/latest.json"),
    `${JSON.stringify({ node: process.version, tools, rounds, seconds, rows }, null, 2)}\n`,
  );
  const readme = path.join(folder, "README.md");
  const page = readFileSync(readme, "utf8");
  writeFileSync(
    readme,
    page.replace(
      /(<!-- table -->\n)[\s\S]*?(<!-- \/table -->)/,
      (_all, open: string, close: string) => `${open}${text}${close}`,
    ),
  );
}
