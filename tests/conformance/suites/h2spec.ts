/**
 * h2spec, strict cases included, against both ports, in the clear and over TLS, and against a bare `node:http2` of this Node version.
 *
 * HTTP/2 itself is Node's: what a bare server of it fails too is listed with that reason. A case that fails here and not there is ours.
 *
 * @see https://github.com/summerwind/h2spec
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createSecureServer, createServer, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { makeAuthority } from "../../support/certificates.ts";
import { startPortico } from "../../support/portico.ts";
import type { Suite } from "./suite.ts";
import { fetchTools, runProgram, toolsFolder } from "./suite.ts";

const version = "v2.2.1";

interface Judged {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
}

const unescape = (text: string): string =>
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
    const name = `${section} ${unescape(sentence)}`;
    if (body.includes("<failure") || body.includes("<error")) failed.push(name);
    else passed.push(name);
  }
  if (passed.length === 0) throw new Error(`h2spec counted nothing on port ${port}`);
  return { passed, failed };
}

async function withBare<T>(server: Http2Server, use: (port: number) => Promise<T>): Promise<T> {
  server.on("request", (_request, response) => response.end("hello"));
  // What h2spec sends is broken on purpose.
  server.on("sessionError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

/** Names of failures say whether a bare server has them too. */
function compare(name: string, ours: Judged, bare: Judged): readonly string[] {
  return ours.failed.map((one) => `${name}: ${one}${bare.failed.includes(one) ? " (bare node too)" : ""}`);
}

export const h2spec: Suite = {
  name: "h2spec",
  title: "h2spec --strict",
  against: `HTTP/2, both ports, clear and TLS, beside bare node:http2 (${process.version})`,
  missing: () => fetchTools("h2spec"),
  run: async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "portico-h2spec-"));
    const authority = await makeAuthority("h2spec");
    const { cert, key } = await authority.sign([{ type: "ip", value: "127.0.0.1" }]);
    const files = { tlsCert: path.join(folder, "cert.pem"), tlsKey: path.join(folder, "key.pem") };
    writeFileSync(files.tlsCert, cert);
    writeFileSync(files.tlsKey, key);
    const failures: string[] = [];
    let passed = 0;
    try {
      for (const tls of [false, true]) {
        const bare = await withBare(tls ? createSecureServer({ cert, key }) : createServer(), (port) =>
          judgePort(port, tls, folder),
        );
        await using portico = await startStoppable(tls ? files : {});
        for (const [name, port] of [
          [`${tls ? "TLS" : "clear"} shared port`, portico.httpPort],
          [`${tls ? "TLS" : "clear"} gRPC port`, portico.grpcPort],
        ] as const) {
          const ours = await judgePort(port, tls, folder);
          passed += ours.passed.length;
          failures.push(...compare(name, ours, bare));
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    return { version, passed, failures };
  },
};

async function startStoppable(flags: Readonly<Record<string, string>>) {
  const portico = await startPortico(flags);
  return Object.assign(portico, { [Symbol.asyncDispose]: () => portico.stop() });
}
