/** Clients of HTTP/2 that read nothing when they are told to go: nothing that is written beside the session may end the process. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Running, serve } from "../support/process.ts";
import { frameBytes } from "./http2-bytes.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-drain-stalled-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const start = (name: string, flags: readonly string[] = []): Promise<Running> =>
  serve(path.join(folder, name), ["--database-url", "memory:", "--log-level", "warn", ...flags]);

/** GET of the largest page, as literals without Huffman (RFC 7541 section 6.2.2). */
function get(stream: number): Buffer {
  const fields = [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/openapi.json"],
    [":authority", "localhost"],
  ];
  const literals = fields.map(([name = "", value = ""]) =>
    Buffer.concat([
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
  return frameBytes(1, 5, stream, Buffer.concat(literals));
}

/** Asks for more than the system holds, with room for all of it, and reads none. */
async function stalled({ base }: Running): Promise<Socket> {
  const socket = connect(Number(new URL(base).port), "127.0.0.1");
  socket.on("error", () => {});
  socket.pause();
  const window = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]);
  const ofAll = Buffer.from([0x7f, 0xfe, 0, 0]);
  const asked = Array.from({ length: 40 }, (_unused, at) => get(2 * at + 1));
  socket.write(
    Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      ...[frameBytes(4, 0, 0, window), frameBytes(8, 0, 0, ofAll), ...asked],
    ]),
  );
  await sleep(700);
  return socket;
}

describe("who reads nothing and is told to go", () => {
  for (const [name, then] of [
    ["reads on", (socket: Socket) => socket.resume()],
    ["leaves", (socket: Socket) => socket.destroy()],
  ] as const)
    test(`by a drain, and ${name}`, async () => {
      const running = await start(name.replace(" ", "-"));
      const socket = await stalled(running);
      running.child.kill("SIGTERM");
      await sleep(200);
      then(socket);
      assert.deepEqual([await running.ended, running.child.signalCode], [0, null]);
      socket.destroy();
    });

  test("because its connection is old", async () => {
    const running = await start("old", ["--http2-max-age-ms", "500", "--http2-age-grace-ms", "2000"]);
    const socket = await stalled(running);
    await sleep(500);
    socket.resume();
    await sleep(500);
    socket.destroy();
    assert.equal((await fetch(`${running.base}/livez`)).status, 200);
    running.child.kill("SIGTERM");
    assert.equal(await running.ended, 0);
  });
});
