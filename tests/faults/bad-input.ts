/** The words that the rows of bad input are written in: what is sent, by which protocol, and the exact answer to it. */
import assert from "node:assert/strict";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import type { EchoServer } from "../support/echo.ts";
import { exchangeBytes, type HttpAnswer, parseAnswer, sendHttp1, sendHttp2 } from "../support/http-case.ts";
import type { TestPortico } from "../support/portico.ts";
import { Raw, frame as textFrame } from "../support/websocket-bytes.ts";

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
        if (expected.withinMs !== undefined) assert.ok(ms <= expected.withinMs, `${ms} ms`);
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
        if (expected.withinMs !== undefined) assert.ok(ms <= expected.withinMs, `${ms} ms`);
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

function reasonIn(details: Buffer): string | undefined {
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

export interface ConnectInput extends Omit<RestInput, "target"> {
  readonly target?: string;
  /** Of the body. Default: JSON where it is a text, binary where it is bytes. */
  readonly type?: string;
}

/** A unary call over Connect, by HTTP/1 and HTTP/2: the status, and the code by its name. */
export function connect(
  what: string,
  input: ConnectInput,
  [status, code, expected = {}]: [number, string | undefined, Expected?],
): Case {
  const { at = "echo", body = "{}", target = "/test.v1.Echo/Unary" } = input;
  const type = input.type ?? (typeof body === "string" ? "application/json" : "application/proto");
  const headers = { "content-type": type, "connect-protocol-version": "1", ...input.headers };
  const method = input.method ?? "POST";
  const request = {
    ...{ method, target, headers: Object.entries(headers) },
    body: method === "GET" ? undefined : Buffer.from(body),
  };
  return {
    what,
    run: async (servers) => {
      for (const send of [sendHttp1, sendHttp2]) {
        const started = performance.now();
        const answer = await send(servers[at].httpPort, request);
        const ms = performance.now() - started;
        const text = answer.body.toString();
        assert.equal(answer.status, status, text.slice(0, 300));
        if (code !== undefined) checkConnect(text, code, expected);
        if (expected.body !== undefined) assert.match(text, expected.body);
        if (expected.header !== undefined)
          assert.match(answer.headers.get(expected.header[0]) ?? "", expected.header[1]);
        if (expected.withinMs !== undefined) assert.ok(ms <= expected.withinMs, `${ms} ms`);
      }
    },
  };
}

function checkConnect(text: string, code: string, expected: Expected): void {
  const error = JSON.parse(text) as {
    readonly code: string;
    readonly message?: string;
    readonly details?: readonly { readonly type: string; readonly value: string }[];
  };
  assert.equal(error.code, code, text);
  if (expected.message !== undefined) assert.match(error.message ?? "", expected.message);
  const info = error.details?.find(({ type }) => type.endsWith("ErrorInfo"));
  const reason = info && fromBinary(ErrorInfoSchema, Buffer.from(info.value, "base64")).reason;
  if (expected.reason !== undefined) assert.equal(reason, expected.reason, text);
  assert.doesNotMatch(text, /node_modules|\.ts:|at \w+ \(/);
}

/** Envelopes written by hand: HTTP's 200, and the error in the last envelope. */
export function connectStream(
  what: string,
  input: { readonly body: Uint8Array; readonly headers?: Readonly<Record<string, string>> },
  [code, expected = {}]: [string, Expected?],
): Case {
  return {
    what: `${what}, in a stream`,
    run: async ({ echo }) => {
      const headers = Object.entries({ "content-type": "application/connect+proto", ...input.headers });
      const started = performance.now();
      const answer = await sendHttp1(echo.httpPort, {
        ...{ method: "POST", target: "/test.v1.Echo/BidiStream", headers },
        body: Buffer.from(input.body),
      });
      const ms = performance.now() - started;
      assert.equal(answer.status, 200);
      const end = answer.body.indexOf(2);
      assert.notEqual(end, -1, answer.body.toString("latin1"));
      const last = JSON.parse(answer.body.subarray(end + 5).toString()) as { readonly error?: object };
      checkConnect(JSON.stringify(last.error), code, expected);
      if (expected.withinMs !== undefined) assert.ok(ms <= expected.withinMs, `${ms} ms`);
    },
  };
}

/** The same frames as over gRPC, from a browser: both flavours. */
export function grpcWeb(what: string, input: GrpcInput, [code, expected = {}]: [number, Expected?]): Case {
  const { at = "echo", body } = input;
  const target =
    input.path ?? (at === "echo" ? "/test.v1.Echo/Unary" : "/portico.bpmn.v1.BPMNService/GetBPMN");
  return {
    what,
    run: async (servers) => {
      for (const flavour of ["grpc-web", "grpc-web-text"]) {
        const isText = flavour === "grpc-web-text";
        const type = `application/${flavour}${input.json === true ? "+json" : "+proto"}`;
        const started = performance.now();
        const answer = await sendHttp1(servers[at].httpPort, {
          ...{ method: "POST", target },
          headers: Object.entries({ "content-type": type, ...input.headers }),
          body: isText ? Buffer.from(Buffer.from(body).toString("base64")) : Buffer.from(body),
        });
        const ms = performance.now() - started;
        assert.equal(answer.status, 200);
        const bytes = isText ? Buffer.from(answer.body.toString("latin1"), "base64") : answer.body;
        const trailers = bytes.subarray(bytes.lastIndexOf(0x80) + 5).toString("latin1");
        assert.equal(Number(/^grpc-status: (\d+)/m.exec(trailers)?.[1]), code, trailers);
        const details = /^grpc-status-details-bin: (\S+)/m.exec(trailers)?.[1];
        if (expected.reason !== undefined)
          assert.equal(reasonIn(Buffer.from(details ?? "", "base64")), expected.reason);
        if (expected.body !== undefined) assert.match(bytes.toString(), expected.body);
        if (expected.withinMs !== undefined) assert.ok(ms <= expected.withinMs, `${ms} ms`);
      }
    },
  };
}

/**
 * A message of a call at `/ws`, and how the call ends; or, where it is no JSON, the code that the socket closes with.
 * @param text put into the frame as it is.
 */
export function webSocket(
  what: string,
  text: string,
  [code, expected = {}]: [number, Expected?],
  call: { readonly at?: Where; readonly method?: string } = {},
): Case {
  return {
    what,
    run: async (servers) => {
      const raw = await new Raw(servers[call.at ?? "echo"].httpPort, "/ws").opened();
      const started = performance.now();
      const method = call.method ?? "test.v1.Echo/Unary";
      raw.socket.write(textFrame(1, `{"id":"1","call":{"method":"${method}"},"message":${text}}`));
      const ended = () =>
        raw.frames.map(({ payload }) => payload.toString()).find((one) => one.includes('"end"'));
      await raw.until(() => raw.ended || ended() !== undefined);
      const ms = performance.now() - started;
      raw.socket.destroy();
      if (code >= 1000) {
        assert.equal(raw.frames.at(-1)?.payload.readUInt16BE(0), code);
      } else {
        const frame = JSON.parse(ended() ?? "{}") as {
          readonly end?: {
            readonly status: {
              readonly code: number;
              readonly message?: string;
              readonly details?: readonly { readonly reason?: string }[];
            };
          };
        };
        const status = frame.end?.status;
        assert.equal(status?.code ?? 0, code, ended());
        if (expected.message !== undefined) assert.match(status?.message ?? "", expected.message);
        if (expected.reason !== undefined) assert.equal(status?.details?.[0]?.reason, expected.reason);
        const all = raw.frames.map(({ payload }) => payload.toString()).join("\n");
        if (expected.body !== undefined) assert.match(all, expected.body);
      }
      if (expected.withinMs !== undefined) assert.ok(ms <= expected.withinMs, `${ms} ms`);
    },
  };
}

/** One case a protocol. */
export interface Everywhere {
  readonly rest: Case;
  readonly grpc: Case;
  readonly connect?: Case;
  readonly grpcWeb?: Case;
  readonly webSocket?: Case;
}

/** The same JSON over every protocol that carries JSON, to the echo, with the same code and words. */
export function json(what: string, text: string | Uint8Array, expected: Expected): Everywhere {
  const withinMs = expected.withinMs === undefined ? {} : { withinMs: expected.withinMs };
  return {
    rest: rest(what, { at: "echo", target: "/v1/echo", body: text }, [400, expected]),
    grpc: grpc(what, { json: true, body: frame(text) }, [
      3,
      {
        ...withinMs,
        ...(expected.reason === undefined ? {} : { reason: expected.reason }),
        ...(expected.message === undefined ? {} : { message: expected.message }),
      },
    ]),
    connect: connect(what, { body: text, type: "application/json" }, [400, "invalid_argument", expected]),
    grpcWeb: grpcWeb(what, { json: true, body: frame(text) }, [3, expected]),
    // What is no JSON is no frame either.
    ...(typeof text === "string"
      ? { webSocket: webSocket(what, text, isJson(text) ? [3, expected] : [4400, withinMs]) }
      : {}),
  };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export function both(cases: readonly Everywhere[]): Omit<Row, "row" | "says"> {
  const column = (name: keyof Everywhere) => {
    const all = cases.map((one) => one[name]).filter((one) => one !== undefined);
    return all.length === 0 ? {} : { [name]: all };
  };
  return {
    rest: cases.map((one) => one.rest),
    grpc: cases.map((one) => one.grpc),
    ...column("connect"),
    ...column("grpcWeb"),
    ...column("webSocket"),
  };
}
