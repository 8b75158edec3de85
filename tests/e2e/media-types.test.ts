/** Media types are the same in any letter case (RFC 9110 section 8.3.1): each finds its protocol on the shared port. */
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { after, before, test } from "node:test";
import { type EchoServer, startEcho } from "../support/echo.ts";

let echo: EchoServer;
before(async () => {
  echo = await startEcho();
});
after(() => echo.close());

/** A message whose text is "a". */
const message = Buffer.from([0x0a, 1, 97]);
const envelope = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly grpcStatus: string | undefined;
}

async function send(path: string, type: string, body: Buffer): Promise<Answer> {
  const session = connect(`http://127.0.0.1:${echo.httpPort}`);
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": type,
      te: "trailers",
    });
    let [status, answered, grpcStatus]: [number, string, string | undefined] = [0, "", undefined];
    stream.once("response", (headers) => {
      status = Number(headers[":status"]);
      answered = String(headers["content-type"]);
      grpcStatus = headers["grpc-status"] as string | undefined;
    });
    stream.once("trailers", (trailers) => {
      grpcStatus = trailers["grpc-status"] as string | undefined;
    });
    stream.end(body);
    stream.resume();
    await new Promise((resolve, reject) => stream.once("close", resolve).once("error", reject));
    return { status, type: answered, grpcStatus };
  } finally {
    session.destroy();
  }
}

const unary = "/test.v1.Echo/Unary";
const stream = "/test.v1.Echo/ServerStream";
for (const [type, path, body, answered, grpcStatus] of [
  ["Application/GRPC", unary, envelope, "application/grpc", "0"],
  ["application/gRPC+Proto; Charset=UTF-8", unary, envelope, "application/grpc+proto", "0"],
  ["Application/gRPC-Web+Proto", unary, envelope, "application/grpc-web+proto", undefined],
  ["Application/Proto", unary, message, "application/proto", undefined],
  ["APPLICATION/CONNECT+PROTO", stream, envelope, "application/connect+proto", undefined],
  [
    "Application/JSON; Charset=UTF-8",
    unary,
    Buffer.from('{"text":"a"}'),
    "application/json; charset=utf-8",
    undefined,
  ],
] as const)
  test(`${type} is what ${type.toLowerCase()} is`, async () => {
    const answer = await send(path, type, body);
    assert.deepEqual(answer, { status: 200, type: answered, grpcStatus });
    assert.deepEqual(answer, await send(path, type.toLowerCase(), body));
  });
