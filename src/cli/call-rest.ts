/** The REST half of `portico call`: one HTTP request, its body passed through to standard output. */
import type { Catalog } from "#gateway/catalog/catalog.ts";
import type { CallRequest } from "./call-request.ts";
import { findMethod } from "./contract.ts";
import { CommandError, type ExitCode, type Terminal } from "./terminal.ts";

export type RestCall = {
  readonly url: string;
  readonly request: CallRequest;
  readonly terminal: Terminal;
} & (
  | { readonly path: string; readonly httpMethod: string | undefined }
  | { readonly catalog: Catalog; readonly method: string }
);

export async function callRest(call: RestCall): Promise<ExitCode> {
  const { request, terminal } = call;
  const body = request.messages[0];
  if (request.messages.length > 1)
    throw new CommandError(2, "REST takes one message; streams of requests go by gRPC");
  const target = "path" in call ? call.path : findMethod(call.catalog, call.method).path;
  const httpMethod =
    "path" in call ? (call.httpMethod ?? (body === undefined ? "GET" : "POST")).toUpperCase() : "POST";
  const headers = new Headers(request.headers.map(([name, value]) => [name, value]));
  if (body !== undefined && !headers.has("content-type")) headers.set("content-type", "application/json");
  const response = await fetch(new URL(target, call.url), {
    method: httpMethod,
    headers,
    signal: AbortSignal.timeout(request.timeoutSeconds * 1000),
    ...(body === undefined ? {} : { body }),
  }).catch((error: unknown) => {
    throw new CommandError(6, `${call.url} does not answer: ${causeOf(error)}; is portico serving there?`);
  });
  await pass(response, response.ok ? terminal.out : terminal.err);
  return exitCodeOf(response.status);
}

/** fetch hides what happened one level down. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}

async function pass(response: Response, to: NodeJS.WritableStream): Promise<void> {
  if (response.body === null) return;
  let last = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    const text = decoder.decode(chunk, { stream: true });
    to.write(text);
    if (text !== "") last = text;
  }
  if (!last.endsWith("\n")) to.write("\n");
}

function exitCodeOf(status: number): ExitCode {
  if (status < 400) return 0;
  const known: Readonly<Record<number, ExitCode>> = {
    401: 3,
    403: 3,
    404: 4,
    409: 5,
    412: 5,
    502: 6,
    503: 6,
    504: 6,
  };
  return known[status] ?? 1;
}
