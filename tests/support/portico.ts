/** A whole Portico in this process, on free ports, with its data in memory. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Portico, start } from "#compose.ts";
import { loadConfig } from "#config/config.ts";

export interface TestPortico extends Portico {
  readonly base: string;
  /** The development key; empty where authentication is off. */
  readonly key: string;
}

export async function startPortico(flags: Readonly<Record<string, string>> = {}): Promise<TestPortico> {
  const dataDir = mkdtempSync(path.join(tmpdir(), "portico-test-"));
  // A database's password is refused as a flag.
  const { databaseUrl = "memory:", ...more } = flags;
  const all = {
    httpPort: "0",
    grpcPort: "0",
    authentication: "off",
    logLevel: "silent",
    dataDir,
    ...more,
  };
  const env = { PORTICO_DATABASE_URL: databaseUrl };
  const config = await loadConfig({ flags: all, env, cwd: dataDir }, "development");
  const portico = await start(config);
  return Object.assign(portico, {
    base: `http://127.0.0.1:${portico.httpPort}`,
    key:
      portico.developmentKeyFile === undefined ? "" : readFileSync(portico.developmentKeyFile, "utf8").trim(),
    stop: ((stop) => async () => {
      await stop();
      rmSync(dataDir, { recursive: true, force: true });
    })(portico.stop),
  });
}

/** A document with one process of the given id and name. */
export function bpmnXml(id = "p", name = "Order"): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d" targetNamespace="urn:test">
  <process id="${id}" name="${name}" isExecutable="true"><startEvent id="s"><outgoing>f</outgoing></startEvent>
  <sequenceFlow id="f" sourceRef="s" targetRef="e"/><endEvent id="e"><incoming>f</incoming></endEvent></process>
</definitions>
`;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of many shapes
  readonly json: any;
}

export async function ask(
  base: string,
  method: string,
  target: string,
  options: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const { body } = options;
  const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  const headers = raw ? { ...options.headers } : { "content-type": "application/json", ...options.headers };
  const response = await fetch(base + target, {
    method,
    headers,
    ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
  });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Not every answer is JSON; those that should be are looked at through `json`.
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

export function reasonOf(answer: Answer): string | undefined {
  return answer.json?.details?.[0]?.reason;
}
