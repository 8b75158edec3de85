/** The words for rows of bad input over Connect, gRPC-Web and WebSocket, and for rows that are the same over every protocol. */
import assert from "node:assert/strict";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { sendHttp1, sendHttp2 } from "../support/http-case.ts";
import { Raw, frame as textFrame } from "../support/websocket-bytes.ts";
import {
  type Case,
  checkTime,
  type Expected,
  frame,
  type GrpcInput,
  grpc,
  type RestInput,
  type Row,
  reasonIn,
  rest,
  type Where,
} from "./bad-input.ts";

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
        checkTime(ms, expected);
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
      checkTime(ms, expected);
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
        const request = {
          ...{ method: "POST", target },
          headers: Object.entries({ "content-type": type, ...input.headers }),
          body: isText ? Buffer.from(Buffer.from(body).toString("base64")) : Buffer.from(body),
        };
        const started = performance.now();
        const answer = await sendHttp1(servers[at].httpPort, request);
        const ms = performance.now() - started;
        assert.equal(answer.status, 200);
        const bytes = isText ? Buffer.from(answer.body.toString("latin1"), "base64") : answer.body;
        const trailers = bytes.subarray(bytes.lastIndexOf(0x80) + 5).toString("latin1");
        assert.equal(Number(/^grpc-status: (\d+)/m.exec(trailers)?.[1]), code, trailers);
        const details = /^grpc-status-details-bin: (\S+)/m.exec(trailers)?.[1];
        if (expected.reason !== undefined)
          assert.equal(reasonIn(Buffer.from(details ?? "", "base64")), expected.reason);
        if (expected.body !== undefined) assert.match(bytes.toString(), expected.body);
        checkTime(ms, expected);
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
  call: {
    readonly at?: Where;
    readonly method?: string;
    readonly metadata?: Readonly<Record<string, string>>;
  } = {},
): Case {
  return {
    what,
    run: async (servers) => {
      const raw = await new Raw(servers[call.at ?? "echo"].httpPort, "/ws").opened();
      const method = call.method ?? "test.v1.Echo/Unary";
      const metadata = JSON.stringify(call.metadata ?? {});
      const begun = `{"id":"1","call":{"method":"${method}","metadata":${metadata}}`;
      const sent = textFrame(1, `${begun},"message":${text}}`);
      const started = performance.now();
      raw.socket.write(sent);
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
      checkTime(ms, expected);
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
