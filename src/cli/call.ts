/** `portico call`: calls a method of a running server, by gRPC or REST, with JSON in and JSON out. */
import { Command, Option } from "commander";
import type { CallRequest } from "./call-request.ts";
import { callRest } from "./call-rest.ts";
import { loadContract } from "./contract.ts";
import { withCredential } from "./credential.ts";
import { CommandError, type ExitCode, type Terminal } from "./terminal.ts";

interface Given {
  readonly data?: string;
  readonly header: readonly string[];
  readonly url: string;
  readonly grpc: string;
  readonly via?: "grpc" | "rest";
  readonly request?: string;
  readonly timeout: string;
}

const description = `call a method and print its answer as JSON, a line a message
  by name:  portico call BPMNService/GetBPMN -d '{"id":"order"}'          (gRPC)
  by path:  portico call /api/v1/bpmn/order                               (REST)
Sends the API key in PORTICO_API_KEY, or the sign-in of portico login, or the development key of the data folder here.`;

export function callCommand(terminal: Terminal, finish: (code: ExitCode) => void): Command {
  return new Command("call")
    .description(description)
    .argument("<METHOD|PATH>", "method name (Service/Method is enough), or a path that begins with /")
    .option(
      "-d, --data <JSON>",
      "request message; - reads standard input; one JSON a line for streams of requests",
    )
    .option("-H, --header <NAME: VALUE>", "request header or metadata, repeatable", collect, [])
    .option("-X, --request <METHOD>", "HTTP method for a path (default: GET, with data POST)")
    .option("--url <URL>", "REST address", "http://127.0.0.1:8000")
    .option("--grpc <HOST:PORT>", "gRPC address", "127.0.0.1:50051")
    .option("--timeout <SECONDS>", "longest time the call may take", "30")
    .addOption(
      new Option("--via <PROTOCOL>", "protocol for a method name (default: grpc)").choices(["grpc", "rest"]),
    )
    .action(async (target: string, given: Given) => {
      finish(await call(target, given, terminal));
    });
}

/**
 * Whose sign-in is to be sent. With gRPC that of the REST address on the same host: a token goes nowhere but to the server that it is
 * for.
 */
function serverOf(target: string, { url, grpc, via }: Given): string {
  if (target.startsWith("/") || via === "rest") return url;
  const { protocol, hostname } = new URL(url);
  const host = grpc.replace(/:\d+$/, "");
  return host === hostname ? url : `${protocol}//${host}`;
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function call(target: string, given: Given, terminal: Terminal): Promise<ExitCode> {
  const request: CallRequest = {
    messages: await readMessages(given.data),
    headers: await withCredential(given.header.map(parseHeader), serverOf(target, given), terminal),
    timeoutSeconds: parseTimeout(given.timeout),
  };
  if (!target.startsWith("/")) {
    const catalog = loadContract();
    if (given.via === "rest") return callRest({ catalog, method: target, url: given.url, request, terminal });
    // Its library is a sixth of what `serve` would load, which does not need it.
    const { callGrpc } = await import("./call-grpc.ts");
    return callGrpc({ catalog, method: target, address: given.grpc, request, terminal });
  }
  if (given.via === "grpc")
    throw new CommandError(
      2,
      `"${target}" is a path and paths are REST; name the method instead, for example BPMNService/GetBPMN`,
    );
  return callRest({ path: target, httpMethod: given.request, url: given.url, request, terminal });
}

async function readMessages(data: string | undefined): Promise<string[]> {
  if (data === undefined) return [];
  const text = data === "-" ? await readStandardInput() : data;
  if (isJson(text)) return [text];
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const bad = lines.findIndex((line) => !isJson(line));
  if (bad === -1) return lines;
  throw new CommandError(
    2,
    lines.length === 1 ? "--data is not JSON" : `--data is neither JSON nor one JSON a line: line ${bad + 1}`,
  );
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function parseHeader(text: string): readonly [string, string] {
  const colon = text.indexOf(":");
  if (colon < 1) throw new CommandError(2, `--header "${text}" is not of the form "name: value"`);
  return [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()];
}

function parseTimeout(text: string): number {
  const seconds = Number(text);
  if (seconds > 0 && seconds <= 3600) return seconds;
  throw new CommandError(2, `--timeout "${text}" must be a number of seconds, more than 0 and at most 3600`);
}
