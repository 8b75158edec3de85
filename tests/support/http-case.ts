/** HTTP requests and answers as text: parsed, sent over a socket of either HTTP version, compared with wildcards. */
import { connect as connectHttp2, constants } from "node:http2";
import { dial, type Where } from "./dial.ts";

export interface HttpRequest {
  readonly method: string;
  readonly target: string;
  /** In order; names as written. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  /** Lower-case names; repeated ones joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** False when the connection or stream ended in the middle of the body. */
  readonly complete: boolean;
}

/** Method and target, headers, an empty line, the body; as in RFC 9112, without the version. */
export function parseRequest(text: string): HttpRequest {
  const [head = "", body] = splitOnce(text, "\n\n");
  const [first = "", ...lines] = head.split("\n");
  const [method = "", target = ""] = splitOnce(first, " ");
  const headers = lines.map((line) => {
    const [name = "", value = ""] = splitOnce(line, ":");
    return [name.trim(), value.trim()] as const;
  });
  return {
    method,
    target: target ?? "",
    headers,
    body: body === undefined || body === "" ? undefined : bodyOf(body),
  };
}

/** `hex: 0a ff` is bytes; everything else is text. */
function bodyOf(text: string): Buffer {
  return text.startsWith("hex:")
    ? Buffer.from(text.slice(4).replaceAll(/\s/g, ""), "hex")
    : Buffer.from(text);
}

export function splitOnce(text: string, at: string): [string, string | undefined] {
  const index = text.indexOf(at);
  return index === -1 ? [text, undefined] : [text.slice(0, index), text.slice(index + at.length)];
}

/** Written by hand, so that nothing is normalised on the way. */
export function sendHttp1(port: number, request: HttpRequest): Promise<HttpAnswer> {
  const lines = [`${request.method} ${request.target} HTTP/1.1`, "Host: localhost", "Connection: close"];
  for (const [name, value] of request.headers) lines.push(`${name}: ${value}`);
  if (request.body !== undefined) lines.push(`Content-Length: ${request.body.length}`);
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "utf8");
  return exchangeBytes(port, Buffer.concat([head, request.body ?? Buffer.alloc(0)])).then(({ bytes }) =>
    parseAnswer(bytes, request.method),
  );
}

export interface RawExchange {
  readonly bytes: Buffer;
  /** Milliseconds until the server closed. */
  readonly ms: number;
}

/** Writes bytes and reads until the server closes; rejects after `timeoutMs`. */
export function exchangeBytes(where: Where, bytes: Uint8Array, timeoutMs = 5000): Promise<RawExchange> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = dial(where, () => socket.write(bytes));
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // A server that refuses before it has read everything resets the connection: its answer may be here already.
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve({ bytes: Buffer.concat(chunks), ms: performance.now() - started });
    });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(
        new Error(
          `the connection is still open after ${timeoutMs} ms; so far: ${Buffer.concat(chunks).toString("latin1").slice(0, 300)}`,
        ),
      );
    }, timeoutMs);
  });
}

/** The first answer in bytes off a connection that was closed after it. */
export function parseAnswer(bytes: Buffer, method: string): HttpAnswer {
  const end = bytes.indexOf("\r\n\r\n");
  if (end === -1) throw new Error(`no answer: ${bytes.toString("latin1").slice(0, 200)}`);
  const [first = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [name = "", value = ""] = splitOnce(line, ":");
    const before = headers.get(name.toLowerCase());
    headers.set(name.toLowerCase(), before === undefined ? value.trim() : `${before}, ${value.trim()}`);
  }
  const rest = bytes.subarray(end + 4);
  const status = Number(first.split(" ")[1]);
  if (method === "HEAD" || status === 304)
    return { status, headers, body: rest, complete: rest.length === 0 };
  if (headers.get("transfer-encoding") === "chunked") return { status, headers, ...dechunk(rest) };
  const length = Number(headers.get("content-length") ?? "-1");
  return { status, headers, body: rest, complete: length === -1 || length === rest.length };
}

function dechunk(bytes: Buffer): { body: Buffer; complete: boolean } {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf("\r\n", at);
    const size = end === -1 ? Number.NaN : Number.parseInt(bytes.toString("latin1", at, end), 16);
    if (Number.isNaN(size)) return { body: Buffer.concat(parts), complete: false };
    if (size === 0) return { body: Buffer.concat(parts), complete: true };
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

/** The same request over clear-text HTTP/2. */
export function sendHttp2(
  port: number,
  request: HttpRequest,
): Promise<HttpAnswer & { trailers: ReadonlyMap<string, string> }> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on("error", reject);
    const all: Record<string, string | string[]> = { ":method": request.method, ":path": request.target };
    for (const [name, value] of request.headers) {
      const key = name.toLowerCase();
      const before = all[key];
      all[key] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
    }
    const stream = session.request(all, { endStream: request.body === undefined });
    const headers = new Map<string, string>();
    const trailers = new Map<string, string>();
    const chunks: Buffer[] = [];
    let status = 0;
    const copy = (from: Readonly<Record<string, unknown>>, to: Map<string, string>): void => {
      for (const [name, value] of Object.entries(from))
        if (!name.startsWith(":")) to.set(name, Array.isArray(value) ? value.join(", ") : String(value));
    };
    stream.on("response", (received) => {
      status = Number(received[":status"]);
      copy(received, headers);
    });
    stream.on("trailers", (received) => copy(received, trailers));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => {});
    stream.on("close", () => {
      session.close();
      const body = Buffer.concat(chunks);
      resolve({ status, headers, trailers, body, complete: stream.rstCode === constants.NGHTTP2_NO_ERROR });
    });
    if (request.body !== undefined) stream.end(request.body);
  });
}

/** Undefined where `actual` fits `pattern`, in which `*` stands for anything. */
export function fits(actual: string, pattern: string): boolean {
  if (!pattern.includes("*")) return actual === pattern;
  const parts = pattern.split("*");
  const first = parts[0]!;
  const last = parts.at(-1)!;
  if (!actual.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = actual.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return actual.length - last.length >= at && actual.endsWith(last);
}
