import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type EchoServer, startEcho } from "../support/echo.ts";

let echo: EchoServer;
let base = "";
before(async () => {
  echo = await startEcho({ heartbeatMs: 50 });
  base = `http://127.0.0.1:${echo.httpPort}`;
});
after(() => echo.close());

async function upload(body: FormData | string, type?: string): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${base}/v1/upload`, {
    method: "POST",
    body,
    ...(type === undefined ? {} : { headers: { "content-type": type } }),
  });
  return { status: answer.status, body: await answer.json() };
}

const reasonOf = (body: unknown): string | undefined =>
  (body as { details?: { reason?: string }[] }).details?.[0]?.reason;

describe("multipart/form-data", () => {
  test("fields become the metadata, the file the bytes", async () => {
    const form = new FormData();
    form.append("metadata.text", "name");
    form.append("file", new Blob(["x".repeat(300_000)]), "a.txt");
    assert.deepEqual(await upload(form), { status: 200, body: { text: "name", sizeBytes: "300000" } });
  });

  test("a file alone is enough", async () => {
    const form = new FormData();
    form.append("file", new Blob(["hello"]), "a.txt");
    assert.deepEqual(await upload(form), { status: 200, body: { text: "", sizeBytes: "5" } });
  });

  const boundary = 'multipart/form-data; boundary="b"';
  const file = '--b\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\nhello\r\n';
  const field = (name: string): string =>
    `--b\r\ncontent-disposition: form-data; name="${name}"\r\n\r\nx\r\n`;
  for (const [what, body, type, status, reason] of [
    [
      "a field behind the file",
      `${file}${field("metadata.text")}--b--\r\n`,
      boundary,
      400,
      "MESSAGE_MALFORMED",
    ],
    ["two files", `${file}${file}--b--\r\n`, boundary, 400, "MESSAGE_MALFORMED"],
    ["no file", `${field("metadata.text")}--b--\r\n`, boundary, 400, "MESSAGE_MALFORMED"],
    ["a form that breaks off", file, boundary, 400, "MESSAGE_MALFORMED"],
    ["no boundary", `${file}--b--\r\n`, "multipart/form-data; x=y", 400, "MESSAGE_MALFORMED"],
    ["an unknown field", `${field("metadata.txet")}${file}--b--\r\n`, boundary, 400, "FIELD_UNKNOWN"],
    ["another multipart", `${file}--b--\r\n`, "multipart/mixed; boundary=b", 415, "CONTENT_TYPE_UNSUPPORTED"],
    [
      "more fields than are taken",
      `${field("metadata.text").repeat(101)}${file}--b--\r\n`,
      boundary,
      400,
      "MESSAGE_MALFORMED",
    ],
  ] as const)
    test(`${what} is refused with ${status} ${reason}`, async () => {
      const answer = await upload(body, type);
      assert.deepEqual([answer.status, reasonOf(answer.body)], [status, reason], JSON.stringify(answer.body));
    });
});

describe("JSON lines", () => {
  for (const type of ["application/x-ndjson", "application/ndjson", "application/jsonl"])
    test(`are asked for, and sent, as ${type}`, async () => {
      const answer = await fetch(`${base}/test.v1.Echo/BidiStream`, {
        method: "POST",
        headers: { "content-type": type, accept: `${type}, text/event-stream;q=0.5` },
        body: '{"text":"a"}\n{"text":"b"}\n',
      });
      assert.equal(answer.headers.get("content-type"), `${type}; charset=utf-8`);
      const lines = (await answer.text()).trim().split("\n");
      assert.deepEqual(
        lines.map((line) => JSON.parse(line).result.text),
        ["a", "b"],
      );
    });
});

describe("what a refusal says is taken instead", () => {
  const file = "multipart/form-data, application/octet-stream, application/xml";
  const lines = "application/x-ndjson, application/json";
  for (const [path, sent, name, taken] of [
    ["/v1/upload", { "content-type": "application/json" }, "accept-post", file],
    ["/test.v1.Echo/ClientStream", { "content-type": "text/plain" }, "accept-post", lines],
    ["/test.v1.Echo/Unary", { "content-type": "text/plain" }, "accept-post", "application/json"],
    [
      "/v1/upload",
      { "content-type": "text/plain", "content-encoding": "gzip" },
      "accept-encoding",
      "identity",
    ],
    [
      "/test.v1.Echo/ClientStream",
      { "content-type": "application/json", "content-encoding": "gzip" },
      ...(["accept-encoding", "identity"] as const),
    ],
  ] as const)
    test(`${path}, ${JSON.stringify(sent)}: ${taken}`, async () => {
      const answer = await fetch(base + path, { method: "POST", headers: sent, body: "{}" });
      assert.equal(answer.status, 415);
      assert.equal(answer.headers.get(name), taken);
    });
});

describe("a silent stream", () => {
  for (const [type, beat] of [
    ["text/event-stream", ":\n\n"],
    ["application/x-ndjson", "\n"],
  ] as const)
    test(`${type} beats`, async () => {
      const leave = new AbortController();
      const answer = await fetch(`${base}/v1/stream?text=a`, {
        headers: {
          accept: type,
          "echo-plan": '{"early":true,"wait":true}',
          "x-request-id": `beat-${type.length}`,
        },
        signal: leave.signal,
      });
      let seen = "";
      const decoder = new TextDecoder();
      for await (const chunk of answer.body ?? []) {
        seen += decoder.decode(chunk as Uint8Array);
        if (seen.endsWith(beat + beat)) break;
      }
      assert.ok(seen.endsWith(beat + beat), seen);
      leave.abort();
      const probe = await echo.probe(`beat-${type.length}`);
      await probe.canceled;
    });
});

describe("a stream whose reader stops", () => {
  for (const accept of ["text/event-stream", "application/x-ndjson", "application/json"])
    test(`${accept} is not told either that there is more`, async () => {
      const warnings: Error[] = [];
      const warned = (warning: Error): number => warnings.push(warning);
      process.on("warning", warned);
      const id = `stops-${accept.length}`;
      // 4 GiB, if anybody took them.
      const plan = JSON.stringify({ count: 65_536, size: 65_536 });
      const socket = connect(echo.httpPort, "127.0.0.1").pause();
      socket.write(
        `GET /v1/stream?text=a HTTP/1.1\r\nhost: localhost\r\naccept: ${accept}\r\nx-request-id: ${id}\r\necho-plan: ${plan}\r\n\r\n`,
      );
      const probe = await echo.probe(id);
      // Long enough for twenty beats: each that waited had two listeners, and node warns of eleven.
      for (let before = -1; before !== probe.produced; ) {
        before = probe.produced;
        await sleep(1100);
      }
      assert.deepEqual(warnings, []);
      socket.destroy();
      await probe.over;
      process.removeListener("warning", warned);
    });
});

describe("an event that is too large", () => {
  const stream = (accept: string, size: number) =>
    fetch(`${base}/v1/stream?text=a`, {
      headers: { accept, "echo-plan": JSON.stringify({ count: 2, size, early: true }) },
    }).then((answer) => answer.text());

  test("ends the stream with an error that says how else to have it", async () => {
    const text = await stream("text/event-stream", 256 * 1024);
    assert.ok(text.length < 2000);
    const [last = ""] = text.split("\n\n").filter((event) => event.includes("event: error"));
    assert.match(last, /^id: end\nevent: error\ndata: \{"code":8,/);
    assert.match(last, /more than 262144 bytes; .* application\/x-ndjson or over gRPC/);
    assert.match(last, /"reason":"EVENT_TOO_LARGE"/);
  });

  test("is none one byte before, and none where it is a line", async () => {
    const around = (await stream("text/event-stream", 1)).match(/^data: .*\n\n/m)?.[0].length ?? 0;
    assert.ok(around > 0);
    const text = await stream("text/event-stream", 256 * 1024 - around + 1);
    assert.equal(text.match(/^data: .{1000}/gm)?.length, 2);
    assert.match(text, /event: end/);
    const lines = await stream("application/x-ndjson", 300_000);
    assert.equal(lines.split("\n").filter((line) => line.length > 300_000).length, 2);
  });
});
