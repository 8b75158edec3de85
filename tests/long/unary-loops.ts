/**
 * Clients that ask one thing after the other while processes come and go, and know exactly what a client asks again: a stream that the server
 * refused, and a connection that was reset where it lay, in the queue of a listener that closed. Whatever else is no answer has failed.
 */
import http from "node:http";
import http2 from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceError } from "@grpc/grpc-js";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { bpmnXml } from "../support/portico.ts";

/** `refused`: the stream, by REFUSED_STREAM or as one above what GOAWAY named. `queued`: the connection, before anybody had taken it. */
export type Outcome = "answered" | "refused" | "queued" | { readonly failed: string };
export type Once = () => Promise<Outcome>;

export class Tally {
  answered = 0;
  refused = 0;
  queued = 0;
  readonly failed: string[] = [];

  get again(): number {
    return this.refused + this.queued;
  }
}

/** Asks until it is told to stop. A pause in between: the machine also runs what is measured. */
export async function keepAsking(
  tally: Tally,
  about: { readonly once: Once; readonly pauseMs: number; isOver(): boolean },
): Promise<void> {
  while (!about.isOver()) {
    const outcome = await about.once();
    if (typeof outcome === "object") tally.failed.push(outcome.failed);
    else tally[outcome] += 1;
    await sleep(about.pauseMs);
  }
}

const reset = (error: NodeJS.ErrnoException): boolean =>
  (error.code === "ECONNRESET" || error.code === "EPIPE") && ["read", "write"].includes(error.syscall ?? "");

/** One request on a connection that is kept. @param isRight what is wrong with the answer; undefined: nothing. */
function send(
  url: string,
  options: http.RequestOptions & { readonly body?: string },
  wrongWith: (response: http.IncomingMessage) => string | undefined,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const request = http.request(url, options, (response) => {
      response
        .resume()
        .once("end", () => {
          const wrong = wrongWith(response);
          resolve(wrong === undefined ? "answered" : { failed: wrong });
        })
        .once("error", (error) => resolve({ failed: `in the answer: ${error.message}` }));
    });
    request.once("error", (error: NodeJS.ErrnoException) => {
      const { reusedSocket, socket } = request;
      // The system answers for a listener that is gone; a process that had taken the connection and left it says so with an end ("socket hang up").
      if (reset(error) && !reusedSocket && socket?.bytesRead === 0) resolve("queued");
      else
        resolve({
          failed: `${error.message} (${error.syscall}), ${reusedSocket ? "a kept" : "a new"} connection, ${socket?.bytesRead} bytes read`,
        });
    });
    request.end(options.body);
  });
}

export function http1Loop(base: string): Once {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  return () =>
    send(`${base}/api/v1/bpmn/kept`, { agent }, ({ statusCode }) =>
      statusCode === 200 ? undefined : `HTTP ${statusCode}`,
    );
}

/** What is created in the last moments of a process has to be answered with where it is. */
export function writeLoop(base: string, name: number): Once {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  let count = 0;
  return () => {
    count += 1;
    const target = `${base}/api/v1/bpmn?documentId=w-${process.pid}-${name}-${count}`;
    const headers = { "content-type": "application/json", "idempotency-key": `w-${name}-${count}` };
    const body = JSON.stringify({ xml: bpmnXml() });
    return send(target, { method: "POST", agent, headers, body }, ({ statusCode, headers: { location } }) =>
      statusCode === 201 && location !== undefined ? undefined : `HTTP ${statusCode}, location ${location}`,
    );
  };
}

interface Connection {
  readonly session: http2.ClientHttp2Session;
  /** From GOAWAY: higher ones were not looked at. */
  lastStreamId: number;
  error: NodeJS.ErrnoException | undefined;
  /** The server's first frame comes as soon as it has taken the connection. */
  heard: boolean;
}

function openConnection(base: string, gone: () => void): Connection {
  const session = http2.connect(base);
  const made: Connection = {
    session,
    lastStreamId: Number.POSITIVE_INFINITY,
    error: undefined,
    heard: false,
  };
  session
    .once("remoteSettings", () => {
      made.heard = true;
    })
    // RFC 9113 section 6.8: after GOAWAY new requests go on a new connection, and what is on the old one ends there.
    .on("goaway", (_code, lastStreamId) => {
      made.lastStreamId = Math.min(made.lastStreamId, lastStreamId);
      gone();
      setTimeout(() => session.close(), 1000).unref();
    })
    .on("close", gone)
    .on("error", (error) => {
      made.error = error;
      session.destroy();
    });
  return made;
}

export function http2Loop(base: string): Once {
  let connection: Connection | undefined;
  return () => {
    connection ??= openConnection(base, () => {
      if (connection === used) connection = undefined;
    });
    const used: Connection = connection;
    return new Promise((resolve) => {
      const stream = used.session.request({ ":path": "/api/v1/bpmn/kept" });
      let status = 0;
      stream
        .on("response", (headers) => {
          status = Number(headers[":status"]);
        })
        .resume()
        .on("error", () => undefined)
        .on("close", () => resolve(outcomeOf(used, { status, id: stream.id ?? 0, rstCode: stream.rstCode })));
    });
  };
}

function outcomeOf(
  { lastStreamId, error, heard }: Connection,
  stream: { readonly status: number; readonly id: number; readonly rstCode: number },
): Outcome {
  const { status, id, rstCode } = stream;
  if (status === 200 && rstCode === http2.constants.NGHTTP2_NO_ERROR) return "answered";
  if (status === 0 && (rstCode === http2.constants.NGHTTP2_REFUSED_STREAM || id > lastStreamId))
    return "refused";
  if (status === 0 && !heard && error !== undefined && reset(error)) return "queued";
  return {
    failed: `HTTP ${status}, reset ${rstCode}, stream ${id} of at most ${lastStreamId}, ${error?.message}`,
  };
}

export function grpcLoop(port: number): Once {
  const client = connect(port);
  return () =>
    unary(client, BPMNService.method.getBPMN, { id: "kept" }).then(
      () => "answered",
      ({ code, details }: ServiceError) => {
        // In grpc-js' words (subchannel-call.ts): REFUSED_STREAM, which is also what a stream above GOAWAY's last one ends with.
        if (details === "Stream refused by server") return "refused";
        // No call was sent yet: it waits for the server's settings before it takes a connection for one.
        if (/^No connection established\. Last error: .*\b(ECONNRESET|EPIPE)\b/.test(details))
          return "queued";
        return { failed: `gRPC ${code}: ${details}` };
      },
    );
}
