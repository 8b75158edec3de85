/**
 * What is wrong with a request before any protocol looks at it: checks that node:http leaves to its user.
 * A refusal closes an HTTP/1 connection, because what follows on it cannot be trusted.
 */
import type { IncomingHttpHeaders } from "node:http2";
import { RpcError } from "#rpc/error.ts";
import type { ListenerLimits } from "./limits.ts";

export interface Refusal {
  readonly status: number;
  readonly error: RpcError;
}

/** Of node's own request. */
interface Head {
  readonly httpVersion: string;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Names and values alternating, as they came. */
  readonly rawHeaders: readonly string[];
}

export function refuseHttp1(head: Head, limits: ListenerLimits): Refusal | undefined {
  const { url = "" } = head;
  if (head.rawHeaders.length / 2 > limits.maxHeaders) return tooManyHeaders(limits);
  const hosts = countHosts(head.rawHeaders);
  if (hosts > 1) return refusal(400, "HOST_INVALID", "the request has more than one Host header");
  if (hosts === 0 && head.httpVersion === "1.1")
    return refusal(400, "HOST_INVALID", "the request has no Host header");
  if (head.httpVersion === "1.0" && head.headers["transfer-encoding"] !== undefined) {
    return refusal(
      400,
      "BODY_UNEXPECTED",
      "HTTP/1.0 has no Transfer-Encoding; send a Content-Length or use HTTP/1.1",
    );
  }
  const coding = head.headers["transfer-encoding"];
  // The parser finds out too, but only after the request was given to its protocol.
  if (coding !== undefined && String(coding).toLowerCase() !== "chunked")
    return refusal(400, "ENCODING_UNSUPPORTED", "transfer-encoding: must be chunked alone");
  if (!url.startsWith("/") && url !== "*") {
    return refusal(
      421,
      "HOST_FOREIGN",
      "the request line names a whole URL, and not one of whom Host names here: this is no proxy; send the path alone",
    );
  }
  return refuseUrl(url, limits);
}

export function refuseUrl(url: string, limits: ListenerLimits): Refusal | undefined {
  if (url.length <= limits.maxUrlBytes) return undefined;
  return refusal(414, "URL_TOO_LONG", `the URL has ${url.length} bytes; ${limits.maxUrlBytes} are allowed`);
}

/**
 * The fields of an HTTP/2 request. node holds the limit on their size itself, but only once the client has acknowledged our
 * settings; until then they are counted here.
 */
export function refuseFields(
  headers: IncomingHttpHeaders,
  limits: ListenerLimits,
  unacknowledged: boolean,
): Refusal | undefined {
  const names = Object.keys(headers);
  // Four pseudo-header fields come with every request.
  if (names.length > limits.maxHeaders + 4) return tooManyHeaders(limits);
  if (!unacknowledged) return undefined;
  // RFC 9113 section 6.5.2: each field counts 32 bytes more than its name and value.
  const size = names.reduce((sum, name) => sum + name.length + String(headers[name]).length + 32, 0);
  return size > limits.maxHeaderBytes ? tooManyHeaders(limits) : undefined;
}

/**
 * node keeps the first of several Authorization headers and drops the others: two parties that disagree about which one counts
 * disagree about who calls. Here they are joined, as lists are, and the policy sees that there was more than one.
 */
export function joinCredentials(
  headers: Record<string, string | string[] | undefined>,
  rawHeaders: readonly string[],
): void {
  if (headers.authorization === undefined) return;
  const values: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (name.length === 13 && name.toLowerCase() === "authorization") values.push(rawHeaders[at + 1] ?? "");
  }
  if (values.length > 1) headers.authorization = values.join(", ");
}

export function tooManyHeaders(limits: Pick<ListenerLimits, "maxHeaders" | "maxHeaderBytes">): Refusal {
  return {
    status: 431,
    error: new RpcError("resource_exhausted", {
      reason: "HEADERS_TOO_MANY",
      message: `the request has more than ${limits.maxHeaders} headers or more than ${limits.maxHeaderBytes} bytes of them`,
    }),
  };
}

export function refusal(
  status: number,
  reason: "HOST_INVALID" | "HOST_FOREIGN" | "BODY_UNEXPECTED" | "ENCODING_UNSUPPORTED" | "URL_TOO_LONG",
  message: string,
): Refusal {
  return { status, error: new RpcError("invalid_argument", { reason, message }) };
}

function countHosts(rawHeaders: readonly string[]): number {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (name.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  return hosts;
}
