/**
 * h2spec, strict cases included, against both ports, in the clear and over TLS, and against a bare `node:http2` of this Node version.
 *
 * HTTP/2 itself is Node's: what a bare server of it fails too is listed with that reason. A case that fails here and not there is ours.
 *
 * @see https://github.com/summerwind/h2spec
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createSecureServer, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createRuntime } from "#gateway/dispatch/dispatch.ts";
import {
  type Adapter,
  createConnect,
  createGrpc,
  createGrpcWeb,
  createPages,
  createRest,
  listen,
} from "#gateway/ingress/ingress.ts";
import { systemClock as clock } from "#std/clock.ts";
import { makeAuthority, type Pem } from "../../support/certificates.ts";
import { echoDescriptors } from "../../support/echo.ts";
import type { Suite } from "./suite.ts";
import { fetchTools, runProgram, toolsFolder } from "./suite.ts";

const version = "v2.2.1";

interface Server {
  readonly ports: Readonly<Record<string, number>>;
  close(): Promise<void>;
}

interface Judged {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
}

const unescaped = (text: string): string =>
  text
    .replaceAll("&#39;", "'")
    .replaceAll("&#34;", '"')
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");

/** One run; cases are named by section and sentence. */
async function judgePort(port: number, tls: boolean, folder: string): Promise<Judged> {
  const report = path.join(folder, `${port}.xml`);
  const flags = ["-h", "127.0.0.1", "-p", String(port), "-S", "-o", "1", "-j", report];
  await runProgram(path.join(toolsFolder, "go/h2spec"), [...flags, ...(tls ? ["-t", "-k"] : [])], {
    timeoutMs: 120_000,
  });
  const passed: string[] = [];
  const failed: string[] = [];
  const cases = readFileSync(report, "utf8").matchAll(
    /<testcase package="([^"]*)" classname="([^"]*)"[^>]*>([\s\S]*?)<\/testcase>/g,
  );
  for (const [, section = "", sentence = "", body = ""] of cases) {
    if (body.includes("<skipped")) continue;
    const name = `${section} ${unescaped(sentence)}`;
    if (body.includes("<failure") || body.includes("<error")) failed.push(name);
    else passed.push(name);
  }
  if (passed.length === 0) throw new Error(`h2spec counted nothing on port ${port}`);
  return { passed, failed };
}

/**
 * Many cases send a frame that is wrong after a request that is right, and take the request's answer for the answer to the frame. So both
 * servers answer late: what h2spec sees first is what the wrong frame did.
 */
const answerAfterMs = 100;

async function startBare(tls: Pem | undefined): Promise<Server> {
  const server = tls === undefined ? createServer() : createSecureServer({ ...tls });
  server.on("request", (_request, response) => setTimeout(() => response.end("hello"), answerAfterMs));
  // What h2spec sends is broken on purpose.
  server.on("sessionError", () => {});
  server.on("error", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    ports: { bare: (server.address() as AddressInfo).port },
    close: async () => void server.close(),
  };
}

async function startOurs(tls: Pem | undefined, folder: string): Promise<Server> {
  const put = (name: string, text: string): string => {
    writeFileSync(path.join(folder, name), text);
    return path.join(folder, name);
  };
  const runtime = createRuntime({
    ...{ catalog: loadCatalog({ descriptorSet: echoDescriptors() }), services: [], interceptors: [] },
  });
  const late = (adapter: Adapter): Adapter => ({
    handle: (exchange) => void setTimeout(() => adapter.handle(exchange), answerAfterMs),
  });
  const own = { runtime: () => runtime };
  const pages = createPages({
    ...{ runtime: () => runtime, ready: () => true, publicKeys: async () => ({ keys: [] }), reasons: [] },
    ...{ renderMetrics: () => "", serverUrl: () => "", version: "0", authentication: false },
  });
  const listener = await listen({
    ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock },
    adapters: {
      grpc: late(createGrpc(own)),
      grpcWeb: createGrpcWeb(createGrpc({ ...own, protocol: "grpc-web" })),
      connect: createConnect(own),
      rest: late(createRest({ ...own, serverUrl: () => "" })),
      pages: { ...late(pages), owns: (where) => pages.owns(where) },
    },
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...{ certFile: put("cert.pem", tls.cert), keyFile: put("key.pem", tls.key) },
            ...{ clientCaFile: undefined, clientCertificate: "off" },
          },
        }),
  });
  return {
    ports: { "shared port": listener.httpPort, "gRPC port": listener.grpcPort },
    close: () => listener.close(),
  };
}

/** Names of failures say whether a bare server has them too. */
function compare(name: string, ours: Judged, bare: Judged): readonly string[] {
  return ours.failed.map((one) => `${name}: ${one}${bare.failed.includes(one) ? " (bare node too)" : ""}`);
}

async function judgeServer(server: Server, tls: boolean, folder: string): Promise<Map<string, Judged>> {
  const judged = new Map<string, Judged>();
  try {
    for (const [name, port] of Object.entries(server.ports))
      judged.set(name, await judgePort(port, tls, folder));
  } finally {
    await server.close();
  }
  return judged;
}

export const h2spec: Suite = {
  name: "h2spec",
  title: "h2spec --strict",
  against: "HTTP/2, both ports, clear and TLS, beside bare node:http2",
  missing: () => fetchTools("h2spec"),
  run: async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "portico-h2spec-"));
    const authority = await makeAuthority("h2spec");
    const pem = await authority.sign([{ type: "ip", value: "127.0.0.1" }]);
    const failures: string[] = [];
    let passed = 0;
    try {
      for (const [transport, tls] of [["clear", undefined] as const, ["TLS", pem] as const]) {
        const bare = await judgeServer(await startBare(tls), tls !== undefined, folder);
        const ours = await judgeServer(await startOurs(tls, folder), tls !== undefined, folder);
        for (const [name, judged] of ours) {
          passed += judged.passed.length;
          failures.push(...compare(`${transport} ${name}`, judged, bare.get("bare") as Judged));
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    return { version: `${version}, Node ${process.version}`, passed, failures };
  },
};
