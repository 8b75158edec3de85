/** Each protocol as a way to send bytes of a Specimen to the mirror and to read what it says: a message, or why not. */
import type { JsonValue } from "@bufbuild/protobuf";
import { codes, type ErrorCode } from "#rpc/code.ts";
import { type ByteStream, type Http, openHttp, parseEvent } from "../../support/byte-stream.ts";
import type { EchoServer } from "../../support/echo.ts";
import { frame } from "../../support/grpc-driver.ts";
import { type Answer, type Mirror, unframe } from "./mirror.ts";

export interface Carrier {
  readonly name: string;
  /** Of the bytes that are sent, and of those that come back. */
  readonly encoding: "proto" | "json";
  /** Of a message's ProtoJSON what the protocol can carry; absent: all of it. */
  carried?(json: JsonValue): JsonValue;
  /** Whether what is sent is read as JSON by the protocol, before anything of ours sees it; what is not JSON has its own answer there. */
  readonly readsJson?: true;
  send(bytes: Buffer): Promise<Answer>;
  close?(): Promise<void> | void;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

/** What carriers over HTTP share. */
export class Caller {
  readonly mirror: Mirror;
  readonly port: number;
  readonly #http: Http;

  constructor(echo: EchoServer, mirror: Mirror) {
    this.mirror = mirror;
    this.port = echo.httpPort;
    this.#http = openHttp(echo.httpPort, 2);
  }

  async post(path: string, headers: Readonly<Record<string, string>>, body: Uint8Array): Promise<Reply> {
    const stream = this.#http.open({ method: "POST", path, headers });
    stream.write(body);
    stream.end();
    return await replyOf(stream);
  }

  async get(path: string): Promise<Reply> {
    const stream = this.#http.open({ method: "GET", path, headers: {} });
    stream.end();
    return await replyOf(stream);
  }

  close(): void {
    this.#http.close();
  }
}

async function replyOf(stream: ByteStream): Promise<Reply> {
  const { status, headers } = await stream.head;
  const chunks: Buffer[] = [];
  for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) chunks.push(chunk);
  return { status, headers, trailers: stream.trailers, body: Buffer.concat(chunks) };
}

const encodings = ["proto", "json"] as const;

export function grpcCarriers(caller: Caller): Carrier[] {
  const { mirror } = caller;
  const answer = (
    all: Readonly<Record<string, unknown>>,
    bytes: Buffer | undefined,
    encoding: "proto" | "json",
  ) => {
    const details = all["grpc-status-details-bin"];
    if (details !== undefined) return mirror.status(Buffer.from(String(details), "base64"));
    if (all["grpc-status"] !== "0" || bytes === undefined)
      return mirror.failure(
        Number(all["grpc-status"] ?? 2),
        decodeURIComponent(String(all["grpc-message"])),
        [],
      );
    return mirror.answer(bytes, encoding);
  };
  const grpc = encodings.map(
    (encoding): Carrier => ({
      name: `grpc ${encoding}`,
      encoding,
      send: async (bytes) => {
        const type = { "content-type": `application/grpc+${encoding}`, te: "trailers" };
        const { headers, trailers, body } = await caller.post("/test.v1.Mirror/Reflect", type, frame(bytes));
        return answer({ ...headers, ...trailers }, unframe(body)[0]?.bytes, encoding);
      },
    }),
  );
  const web = (["", "-text"] as const).flatMap((text) =>
    encodings.map(
      (encoding): Carrier => ({
        name: `grpc-web${text} ${encoding}`,
        encoding,
        send: async (bytes) => {
          const framed = frame(bytes);
          const sent = text === "" ? framed : Buffer.from(framed.toString("base64"));
          const type = { "content-type": `application/grpc-web${text}+${encoding}` };
          const { headers, body } = await caller.post("/test.v1.Mirror/Reflect", type, sent);
          const frames = unframe(text === "" ? body : unpadded(body));
          const trailers: Record<string, string> = {};
          for (const line of frames
            .find(({ flag }) => flag === 0x80)
            ?.bytes.toString()
            .split("\r\n") ?? [])
            if (line !== "")
              trailers[line.slice(0, line.indexOf(":"))] = line.slice(line.indexOf(":") + 1).trim();
          return answer({ ...headers, ...trailers }, frames.find(({ flag }) => flag === 0)?.bytes, encoding);
        },
      }),
    ),
  );
  return [...grpc, ...web];
}

/** Groups of four may be padded each for itself. */
function unpadded(body: Buffer): Buffer {
  const groups = body.toString("latin1").match(/[^=]{4}|[^=]{2}==|[^=]{3}=/g) ?? [];
  return Buffer.concat(groups.map((group) => Buffer.from(group, "base64")));
}

interface ConnectError {
  readonly code: ErrorCode;
  readonly message?: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

export function connectCarriers(caller: Caller): Carrier[] {
  const { mirror } = caller;
  const failure = ({ code, message = "", details = [] }: ConnectError): Answer =>
    mirror.failure(
      codes[code].number,
      message,
      details.map((detail) => mirror.detail(detail)),
    );
  const unary = ({ status, body }: Reply, encoding: "proto" | "json"): Answer =>
    status === 200 ? mirror.answer(body, encoding) : failure(JSON.parse(body.toString()) as ConnectError);
  return encodings.flatMap((encoding): Carrier[] => [
    {
      name: `connect ${encoding}`,
      encoding,
      send: async (bytes) => {
        const type = { "content-type": `application/${encoding}`, "connect-protocol-version": "1" };
        return unary(await caller.post("/test.v1.Mirror/Reflect", type, bytes), encoding);
      },
    },
    {
      name: `connect get ${encoding}`,
      encoding,
      send: async (bytes) => {
        const query = `connect=v1&encoding=${encoding}&base64=1&message=${bytes.toString("base64url")}`;
        return unary(await caller.get(`/test.v1.Mirror/Reflect?${query}`), encoding);
      },
    },
    {
      name: `connect stream ${encoding}`,
      encoding,
      send: async (bytes) => {
        const type = { "content-type": `application/connect+${encoding}` };
        const { body } = await caller.post("/test.v1.Mirror/ReflectStream", type, frame(bytes));
        const frames = unframe(body);
        const end = JSON.parse(frames.at(-1)?.bytes.toString() ?? "") as { error?: ConnectError };
        return end.error === undefined ? mirror.answer(frames[0]!.bytes, encoding) : failure(end.error);
      },
    },
  ]);
}

interface JsonStatus {
  readonly code: number;
  readonly message: string;
  readonly details: readonly JsonValue[];
}

const isStatus = (value: JsonValue): boolean =>
  typeof value === "object" && value !== null && "details" in value;

export function restCarriers(caller: Caller): Carrier[] {
  const { mirror } = caller;
  const failure = ({ code, message, details }: JsonStatus): Answer => mirror.failure(code, message, details);
  const json = (value: unknown): Answer =>
    isStatus(value as JsonValue)
      ? failure(value as JsonStatus)
      : { kind: "message", message: mirror.fromJson(value as JsonValue) };
  const one = ({ body }: Reply): Answer => json(JSON.parse(body.toString()));
  const type = (name: string, accept: string) => ({ "content-type": name, accept });
  const unary = (name: string, path: string): Carrier => ({
    ...{ name, encoding: "json" },
    send: async (bytes) => one(await caller.post(path, type("application/json", "application/json"), bytes)),
  });
  const stream = "/v1/mirror:stream";
  const each = "/test.v1.Mirror/ReflectEach";
  const lines = ({ status, body }: Reply): Answer => {
    if (status !== 200) return json(JSON.parse(body.toString()));
    const { result, error } = JSON.parse(body.toString().split("\n")[0] ?? "") as {
      result?: JsonValue;
      error?: JsonValue;
    };
    return json(error ?? result);
  };
  const array = ({ status, body }: Reply): Answer => {
    if (status !== 200) return json(JSON.parse(body.toString()));
    const [only] = JSON.parse(body.toString()) as JsonValue[];
    return json(only);
  };
  return [
    unary("rest body", "/v1/mirror"),
    unary("rest by the method's name", "/test.v1.Mirror/Reflect"),
    {
      ...{ name: "rest lines", encoding: "json" },
      send: async (bytes) =>
        lines(await caller.post(stream, type("application/json", "application/x-ndjson"), bytes)),
    },
    {
      ...{ name: "rest array", encoding: "json" },
      send: async (bytes) =>
        array(await caller.post(stream, type("application/json", "application/json"), bytes)),
    },
    {
      ...{ name: "rest events", encoding: "json" },
      send: async (bytes) => {
        const reply = await caller.post(stream, type("application/json", "text/event-stream"), bytes);
        if (reply.status !== 200) return one(reply);
        const events = reply.body.toString().split("\n\n").map(parseEvent);
        return json(JSON.parse(events.find((event) => event !== undefined)?.data ?? ""));
      },
    },
    {
      ...{ name: "rest lines both ways", encoding: "json" },
      send: async (bytes) =>
        lines(await caller.post(each, type("application/x-ndjson", "application/x-ndjson"), bytes)),
    },
    {
      ...{ name: "rest array both ways", encoding: "json" },
      send: async (bytes) => {
        const body = Buffer.concat([Buffer.from("["), bytes, Buffer.from("]")]);
        return array(await caller.post(each, type("application/json", "application/json"), body));
      },
    },
  ];
}

/** Carriers of a part of the message: what they do not carry is not sent. */
export function restFieldCarriers(
  caller: Caller,
  toQuery: (json: JsonValue) => { query: string; carried: JsonValue },
): Carrier[] {
  const { mirror } = caller;
  const kindsOf = (json: JsonValue): JsonValue => (json as { kinds?: JsonValue }).kinds ?? {};
  return [
    {
      ...{ name: "rest body of one field", encoding: "json" },
      carried: (json) => ({ kinds: kindsOf(json) }),
      send: async (bytes) => {
        const body = Buffer.from(rawKinds(bytes));
        const type = { "content-type": "application/json" };
        const reply = await caller.post("/v1/mirror/kinds", type, body);
        const value = JSON.parse(reply.body.toString()) as JsonValue;
        const { code, message, details } = value as unknown as JsonStatus;
        return reply.status === 200
          ? { kind: "message", message: mirror.fromJson({ kinds: value }) }
          : mirror.failure(code, message, details);
      },
    },
    {
      ...{ name: "rest query", encoding: "json" },
      carried: (json) => toQuery(json).carried,
      send: async (bytes) => {
        const { query } = toQuery(JSON.parse(bytes.toString()) as JsonValue);
        const { status, body } = await caller.get(`/v1/mirror?${query}`);
        const value = JSON.parse(body.toString()) as JsonValue;
        const { code, message, details } = value as unknown as JsonStatus;
        return status === 200
          ? { kind: "message", message: mirror.fromJson(value) }
          : mirror.failure(code, message, details);
      },
    },
  ];
}

/** The value of `{"kinds": …}` as it is written: minus zero would not survive reading and writing. */
function rawKinds(bytes: Buffer): string {
  return bytes.toString().slice('{"kinds":'.length, -1);
}
