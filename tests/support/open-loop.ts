/** Load that does not wait: requests leave when their time has come, whether or not those before are answered. Bounded in time and connections. */
import http from "node:http";
import http2 from "node:http2";

export interface Load {
  /** Answers by HTTP status, those of gRPC by the one that REST would have; 0: no answer. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Answers of status 200 a second. */
  readonly goodput: number;
  /** Of answers of status 200, in milliseconds. */
  readonly p99Ms: number;
  /** Of answers of status 503, in milliseconds. */
  readonly shedP50Ms: number;
  readonly shedP90Ms: number;
}

export interface LoadOptions {
  readonly method?: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly seconds: number;
  /** Most requests at once; those whose time comes when all are out are not sent. */
  readonly connections: number;
  /** Given: calls of gRPC without a message's fields, spread over so many HTTP/2 connections. */
  readonly grpcSessions?: number;
  /** Requests a second; undefined: each connection sends the next when the last is answered. */
  readonly perSecond?: number;
}

/** What sends one request and resolves with its status. */
interface Client {
  send(): Promise<number>;
  close(): void;
}

export async function load(options: LoadOptions): Promise<Load> {
  const client =
    options.grpcSessions === undefined ? openHttp(options) : openGrpc(options, options.grpcSessions);
  const statuses = new Map<number, number>();
  const served: number[] = [];
  const shed: number[] = [];
  const send = async (): Promise<void> => {
    const startedAtMs = performance.now();
    const status = await client.send();
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const tookMs = performance.now() - startedAtMs;
    if (status === 200) served.push(tookMs);
    if (status === 503) shed.push(tookMs);
  };
  const endAtMs = performance.now() + options.seconds * 1000;
  if (options.perSecond === undefined)
    await Promise.all(
      Array.from({ length: options.connections }, async () => {
        while (performance.now() < endAtMs) await send();
      }),
    );
  else await sendInTime(options.perSecond, { endAtMs, most: options.connections, send });
  client.close();
  return {
    statuses,
    goodput: served.length / options.seconds,
    p99Ms: quantile(served, 0.99),
    shedP50Ms: quantile(shed, 0.5),
    shedP90Ms: quantile(shed, 0.9),
  };
}

async function sendInTime(
  perSecond: number,
  about: { readonly endAtMs: number; readonly most: number; send(): Promise<void> },
): Promise<void> {
  const running = new Set<Promise<void>>();
  const startedAtMs = performance.now();
  let sent = 0;
  while (performance.now() < about.endAtMs) {
    const due = Math.floor(((performance.now() - startedAtMs) / 1000) * perSecond);
    for (; sent < due; sent += 1) {
      if (running.size >= about.most) continue;
      const one = about.send().finally(() => running.delete(one));
      running.add(one);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(running);
}

function openHttp({ connections, method = "GET", url, headers = {}, body }: LoadOptions): Client {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const send = (): Promise<number> =>
    new Promise((resolve) => {
      http
        .request(url, { agent, method, headers }, (response) => {
          response
            .resume()
            .once("end", () => resolve(response.statusCode ?? 0))
            .once("error", () => resolve(0));
        })
        .once("error", () => resolve(0))
        .end(body);
    });
  return { send, close: () => agent.destroy() };
}

/** A message without a field, in its frame. */
const emptyFrame = Buffer.alloc(5);
const httpStatus: Readonly<Record<string, number>> = { "0": 200, "14": 503 };

function openGrpc({ url, headers = {} }: LoadOptions, count: number): Client {
  const { origin, pathname } = new URL(url);
  const sessions = Array.from({ length: count }, () => http2.connect(origin));
  const head = {
    ...{ ":method": "POST", ":path": pathname, "content-type": "application/grpc", te: "trailers" },
    ...headers,
  };
  let sent = 0;
  const send = (): Promise<number> =>
    new Promise((resolve) => {
      const stream = sessions[sent % count]?.request(head);
      sent += 1;
      let status = "";
      const read = (answer: http2.IncomingHttpHeaders): void => {
        status = String(answer["grpc-status"] ?? status);
      };
      stream
        ?.on("response", read)
        .on("trailers", read)
        .once("error", () => resolve(0))
        .once("close", () => resolve(httpStatus[status] ?? 0))
        .resume()
        .end(emptyFrame);
    });
  const close = (): void => {
    for (const session of sessions) session.close();
  };
  return { send, close };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
