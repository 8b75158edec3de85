/** The words that the rows of bad input are written in: what is sent, by which protocol, and the exact answer to it. */
import assert from "node:assert/strict";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import type { EchoServer } from "../support/echo.ts";
import { exchangeBytes, type HttpAnswer, parseAnswer, sendHttp1, sendHttp2 } from "../support/http-case.ts";
import type { TestPortico } from "../support/portico.ts";

export interface Servers {
  readonly portico: TestPortico;
  readonly echo: EchoServer;
}

export interface Case {
  readonly what: string;
  readonly run: (servers: Servers) => Promise<void>;
}

/** A row of the table: cases, or why there are none. */
export interface Row {
  readonly row: number;
  readonly says: string;
  readonly rest: readonly Case[] | string;
  readonly grpc: readonly Case[] | string;
  /** The other protocols, where the row has something to say to them. */
  readonly connect?: readonly Case[] | string;
  readonly grpcWeb?: readonly Case[] | string;
  readonly webSocket?: readonly Case[] | string;
}

export interface Expected {
  /** Over REST, the reason in the error's details. */
  readonly reason?: string;
  /** Fits the error's message. */
  readonly message?: RegExp;
  /** Header of the answer. */
  readonly header?: readonly [name: string, value: RegExp];
  readonly withinMs?: number;
  /** Fits the text of a good answer. */
  readonly body?: RegExp;
}

/** An answer was right and late. */
class Late extends Error {}

export function checkTime(ms: number, { withinMs }: Expected): void {
  if (withinMs !== undefined && ms > withinMs) throw new Late(`${ms} ms; ${withinMs} are allowed`);
}

/** A pause of a machine that others use does not come back three times; work that takes too long does. */
export async function runInTime(run: () => Promise<void>, left = 2): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof Late) || left === 0) throw error;
    await runInTime(run, left - 1);
  }
}

export type Where = "portico" | "echo";

/** Bytes on a connection of HTTP/1: the first answer has this status, and is the only one. */
export function bytes(what: string, sent: string | Uint8Array, status: number): Case {
  return {
    what,
    run: async ({ portico }) => {
      const raw = typeof sent === "string" ? Buffer.from(sent, "latin1") : sent;
      const answer = (await exchangeBytes(portico.httpPort, raw)).bytes;
      assert.equal(parseAnswer(answer, "GET").status, status, answer.toString("latin1").slice(0, 200));
      assert.equal(answer.toString("latin1").split(/^HTTP\/1\.1 /m).length - 1, 1, "more than one answer");
    },
  };
}

export interface RestInput {
  readonly at?: Where;
  readonly method?: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** A request over HTTP/1 and over clear-text HTTP/2, with the same answer to both. */
export function rest(what: string, input: RestInput, [status, expected = {}]: [number, Expected?]): Case {
  const { at = "portico", target, body } = input;
  const request = {
    method: input.method ?? (body === undefined ? "GET" : "POST"),
    target,
    headers: Object.entries({
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...input.headers,
    }),
    body: body === undefined ? undefined : Buffer.from(body),
  };
  return {
    what,
    run: async (servers) => {
      for (const send of [sendHttp1, sendHttp2]) {
        const started = performance.now();
        const answer = await send(servers[at].httpPort, request);
        const ms = performance.now() - started;
        assert.equal(answer.status, status, answer.body.toString().slice(0, 300));
        if (status >= 400 && request.method !== "HEAD") checkError(answer, expected);
        if (expected.header !== undefined)
          assert.match(answer.headers.get(expected.header[0]) ?? "", expected.header[1]);
        if (expected.body !== undefined) assert.match(answer.body.toString(), expected.body);
        checkTime(ms, expected);
      }
    },
  };
}

/** Every error over REST is a google.rpc.Status with a reason and the request's id, and tells nothing of the inside. */
function checkError(answer: HttpAnswer, expected: Expected): void {
  const text = answer.body.toString();
  const status = JSON.parse(text) as {
    readonly message: string;
    readonly details: readonly { readonly reason?: string; readonly requestId?: string }[];
  };
  if (expected.reason !== undefined) assert.equal(status.details[0]?.reason, expected.reason, text);
  if (expected.message !== undefined) assert.match(status.message, expected.message);
  assert.equal(status.details[1]?.requestId, answer.headers.get("x-request-id"), text);
  assert.doesNotMatch(text, /node_modules|\.ts:|at \w+ \(/);
}

export interface GrpcInput {
  readonly at?: Where;
  /** Default: the echo's unary method, or GetBPMN. */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly json?: boolean;
}

/** Frames written by hand, on the port of gRPC and on the other one. */
export function grpc(
  what: string,
  input: GrpcInput,
  [code, expected = {}]: [number | "rst" | "http", Expected?],
): Case {
  const { at = "echo", body } = input;
  const to = input.path ?? (at === "echo" ? "/test.v1.Echo/Unary" : "/portico.bpmn.v1.BPMNService/GetBPMN");
  return {
    what,
    run: async (servers) => {
      for (const port of [servers[at].grpcPort, servers[at].httpPort]) {
        const started = performance.now();
        const type = input.json === true ? { "content-type": "application/grpc+json" } : {};
        const answer = await callGrpc(port, to, { body, headers: { ...type, ...input.headers } });
        const ms = performance.now() - started;
        assert.equal(answer.status, 200);
        assert.equal(answer.code, code, `${answer.code} ${answer.message}`);
        if (expected.reason !== undefined) assert.equal(answer.reason, expected.reason);
        if (expected.message !== undefined) assert.match(answer.message, expected.message);
        if (expected.header !== undefined)
          assert.match(String(answer.headers[expected.header[0]]), expected.header[1]);
        if (expected.body !== undefined) assert.match(answer.body.toString(), expected.body);
        checkTime(ms, expected);
      }
    },
  };
}

export interface GrpcAnswer {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly reason: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
  /** Of RST_STREAM; 0 where the stream ended as it should. */
  readonly rst: number;
}

export function callGrpc(
  port: number,
  path: string,
  request: { readonly body: Uint8Array; readonly headers: Readonly<Record<string, string>> },
): Promise<GrpcAnswer> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`, { maxHeaderListPairs: 1000 });
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...request.headers,
    });
    const headers: Record<string, unknown> = {};
    const chunks: Buffer[] = [];
    const take = (more: IncomingHttpHeaders): void => {
      Object.assign(headers, more);
    };
    stream.on("response", take).on("trailers", take);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => {});
    stream.on("close", () => {
      session.close();
      const details = headers["grpc-status-details-bin"];
      resolve({
        status: Number(headers[":status"]),
        code: Number(headers["grpc-status"]),
        message: decodeURIComponent(String(headers["grpc-message"] ?? "")),
        reason: typeof details === "string" ? reasonIn(Buffer.from(details, "base64")) : undefined,
        headers,
        body: Buffer.concat(chunks),
        rst: stream.rstCode ?? 0,
      });
    });
    stream.end(request.body);
  });
}

/** In a serialised google.rpc.Status. */
export function reasonIn(details: Buffer): string | undefined {
  const info = fromBinary(StatusSchema, details).details.find(({ typeUrl }) => typeUrl.endsWith("ErrorInfo"));
  return info === undefined ? undefined : fromBinary(ErrorInfoSchema, info.value).reason;
}

/** A gRPC frame. */
export function frame(message: Uint8Array | string, flag = 0, length?: number): Buffer {
  const content = Buffer.from(message);
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length ?? content.length, 1);
  return Buffer.concat([head, content]);
}
