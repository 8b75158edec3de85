/**
 * Sends to an OTLP/HTTP receiver, one request at a time. What OpenTelemetry's variables say of time, compression and certificates is read by
 * its own library; attempts are ours, because the library's own can neither be stopped nor told to come back later.
 *
 * @see https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
 */
import { type Agent, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { gzipSync } from "node:zlib";
import { convertLegacyHttpOptions } from "@opentelemetry/otlp-exporter-base/node-http";
import { ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import type { Clock } from "#std/clock.ts";
import type { MetricsReceiver, Sent } from "./pushing.ts";

const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** Of an answer, in bytes: what is longer says nothing that is read. */
const maxAnswerBytes = 64 * 1024;

export interface SenderOptions {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

export function createSender(options: SenderOptions): Pick<MetricsReceiver, "place" | "send" | "close"> {
  const settings = convertLegacyHttpOptions(
    { url: options.endpoint, headers: { ...options.headers } },
    ...(["METRICS", "v1/metrics"] as const),
    { "Content-Type": "application/x-protobuf" },
  );
  const url = new URL(settings.url);
  let agent: Promise<Agent> | undefined;
  const send = async (body: Uint8Array, signal: AbortSignal): Promise<Sent> => {
    try {
      agent ??= Promise.resolve(settings.agentFactory(url.protocol)) as Promise<Agent>;
      const zipped = settings.compression === "gzip";
      const headers = {
        ...(await settings.headers()),
        ...(zipped ? { "content-encoding": "gzip" } : {}),
      };
      const { clock } = options;
      const request = { headers, agent: await agent, signal, timeoutMs: settings.timeoutMillis, clock };
      return await attempt(url, zipped ? gzipSync(body) : body, request);
    } catch (error) {
      return { kind: "later", why: wordsOf(error) };
    }
  };
  return {
    place: url.origin + url.pathname,
    send,
    close: () => void agent?.then((made) => made.destroy()),
  };
}

/** @throws Error of the network. */
function attempt(
  url: URL,
  body: Uint8Array,
  request: {
    readonly headers: Readonly<Record<string, string>>;
    readonly agent: Agent;
    readonly signal: AbortSignal;
    readonly timeoutMs: number;
    readonly clock: Clock;
  },
): Promise<Sent> {
  const { headers, agent, signal, timeoutMs, clock } = request;
  return new Promise((resolve, reject) => {
    const outgoing = (url.protocol === "https:" ? requestHttps : requestHttp)(
      url,
      { method: "POST", headers: { ...headers, "content-length": body.length }, agent, signal },
      (answer) => void sentOf(answer, clock).then(resolve, reject),
    );
    // Of the whole: a receiver that sends a byte now and then has not answered.
    const timer = setTimeout(
      () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    outgoing.once("close", () => clearTimeout(timer)).once("error", reject);
    outgoing.end(body);
  });
}

async function sentOf(answer: IncomingMessage, clock: Clock): Promise<Sent> {
  const { statusCode: status = 0, headers } = answer;
  const body = await read(answer);
  if (status >= 200 && status <= 299) {
    const rejected = rejectedOf(body);
    return rejected === undefined ? { kind: "accepted" } : { kind: "accepted", rejected };
  }
  const why = `the receiver answers ${status}`;
  if (!retryable.has(status)) return { kind: "refused", why };
  const afterMs = retryAfterMs(headers["retry-after"], clock);
  return afterMs === undefined ? { kind: "later", why } : { kind: "later", why, afterMs };
}

/** Undefined: it is too long to be what is expected. */
async function read(answer: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving ends the connection: there may be no end to what comes.
    if (size > maxAnswerBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What was not taken of what was accepted; undefined: nothing. */
function rejectedOf(body: Buffer | undefined): string | undefined {
  if (body === undefined || body.length === 0) return undefined;
  try {
    const { partialSuccess } = ProtobufMetricsSerializer.deserializeResponse(body);
    const { rejectedDataPoints = 0, errorMessage = "" } = partialSuccess ?? {};
    return rejectedDataPoints === 0 && errorMessage === ""
      ? undefined
      : `${rejectedDataPoints} points: ${errorMessage.slice(0, 300)}`;
  } catch {
    // Accepted all the same: some answer with JSON, or with words.
    return undefined;
  }
}

/** Seconds, or a date; undefined: neither. */
function retryAfterMs(text: string | undefined, clock: Clock): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - clock.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? String(error.code) : "";
  return error.message === "" ? code : error.message;
}
