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
import { ProtobufMetricsSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { Clock } from "#std/clock.ts";
import type { MetricsReceiver, Rejected, Sent } from "./pushing.ts";

const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** Of an answer, in bytes: what is longer says nothing that is read. */
const maxAnswerBytes = 64 * 1024;

export interface SenderOptions {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** What is sent: the variables that count, where it goes below an endpoint, and how the receiver says what it did not take. */
export interface Signal {
  readonly name: "METRICS" | "TRACES";
  readonly path: string;
  /** @throws Error where the answer is none of its own. */
  rejectedOf(body: Uint8Array): { readonly count: number; readonly what: string; readonly message: string };
}

export const metrics: Signal = {
  ...{ name: "METRICS", path: "v1/metrics" },
  rejectedOf: (body) => {
    const { partialSuccess } = ProtobufMetricsSerializer.deserializeResponse(body);
    const { rejectedDataPoints: count = 0, errorMessage: message = "" } = partialSuccess ?? {};
    return { count, what: "points", message };
  },
};

export const traces: Signal = {
  ...{ name: "TRACES", path: "v1/traces" },
  rejectedOf: (body) => {
    const { partialSuccess } = ProtobufTraceSerializer.deserializeResponse(body);
    const { rejectedSpans: count = 0, errorMessage: message = "" } = partialSuccess ?? {};
    return { count, what: "spans", message };
  },
};

export function createSender(
  options: SenderOptions,
  signal: Signal,
): Pick<MetricsReceiver, "place" | "send" | "close"> {
  const settings = convertLegacyHttpOptions(
    { url: options.endpoint, headers: { ...options.headers } },
    signal.name,
    signal.path,
    { "Content-Type": "application/x-protobuf" },
  );
  const url = new URL(settings.url);
  let agent: Promise<Agent> | undefined;
  const send = async (body: Uint8Array, stop: AbortSignal): Promise<Sent> => {
    try {
      agent ??= Promise.resolve(settings.agentFactory(url.protocol)) as Promise<Agent>;
      const zipped = settings.compression === "gzip";
      const headers = {
        ...(await settings.headers()),
        ...(zipped ? { "content-encoding": "gzip" } : {}),
      };
      const { clock } = options;
      const request = { headers, agent: await agent, stop, timeoutMs: settings.timeoutMillis };
      const about = { clock, signal };
      return await attempt(url, zipped ? gzipSync(body) : body, { ...request, about });
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
    readonly stop: AbortSignal;
    readonly timeoutMs: number;
    readonly about: About;
  },
): Promise<Sent> {
  const { headers, agent, stop, timeoutMs, about } = request;
  return new Promise((resolve, reject) => {
    const outgoing = (url.protocol === "https:" ? requestHttps : requestHttp)(
      url,
      { method: "POST", headers: { ...headers, "content-length": body.length }, agent, signal: stop },
      (answer) => void sentOf(answer, about).then(resolve, reject),
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

/** What an answer is read with. */
interface About {
  readonly clock: Clock;
  readonly signal: Signal;
}

async function sentOf(answer: IncomingMessage, { clock, signal }: About): Promise<Sent> {
  const { statusCode: status = 0, headers } = answer;
  const body = await read(answer);
  if (status >= 200 && status <= 299) {
    const rejected = rejectedOf(body, signal);
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
function rejectedOf(body: Buffer | undefined, signal: Signal): Rejected | undefined {
  if (body === undefined || body.length === 0) return undefined;
  try {
    const { count, what, message } = signal.rejectedOf(body);
    return count === 0 && message === ""
      ? undefined
      : { count, text: `${count} ${what}: ${message.slice(0, 300)}` };
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
