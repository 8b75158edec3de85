/** More calls at once than the thread can do, ninety of them in one piece on each connection: those that are refused hear so before the others are done. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import http2 from "node:http2";
import path from "node:path";
import { after, before, test } from "node:test";

/** What one call takes, as `overload-server.ts` has it. */
const spinMs = 2;

let child: ChildProcess;
let sessions: http2.ClientHttp2Session[];

before(async () => {
  const server = path.join(import.meta.dirname, "../long/overload-server.ts");
  child = spawn(process.execPath, [server], { stdio: ["ignore", "pipe", "inherit"] });
  assert.ok(child.stdout !== null);
  const [line] = await once(child.stdout, "data");
  const origin = `http://127.0.0.1:${String(line).trim().split(" ")[1]}`;
  sessions = [http2.connect(origin), http2.connect(origin), http2.connect(origin)];
  await Promise.all(sessions.map((session) => once(session, "remoteSettings")));
});
after(() => {
  for (const session of sessions) session.destroy();
  child.kill("SIGTERM");
});

/** @returns its `grpc-status`. */
async function spin(session: http2.ClientHttp2Session | undefined): Promise<string> {
  assert.ok(session !== undefined);
  const stream = session.request({
    ...{
      ":method": "POST",
      ":path": "/work.v1.Work/Spin",
      "content-type": "application/grpc",
      te: "trailers",
    },
  });
  let status = "";
  const read = (answer: http2.IncomingHttpHeaders): void => {
    status = String(answer["grpc-status"] ?? status);
  };
  stream.on("response", read).on("trailers", read).resume().end(Buffer.alloc(5));
  await once(stream, "close");
  return status;
}

test("those of many calls that cannot be carried are refused before the others are done", async () => {
  // What a call costs is known after some.
  for (let count = 0; count < 40; count += 1) assert.equal(await spin(sessions[0]), "0");
  const served: number[] = [];
  const refused: number[] = [];
  const from = performance.now();
  await Promise.all(
    sessions.flatMap((session) =>
      Array.from({ length: 90 }, async () => {
        const answers = (await spin(session)) === "0" ? served : refused;
        answers.push(performance.now() - from);
      }),
    ),
  );
  assert.equal(served.length + refused.length, 270);
  assert.ok(
    served.length > 20 && refused.length > 20,
    `${served.length} were served, ${refused.length} refused`,
  );
  const laterMs = (served.at(-1) ?? 0) - (refused.at(-1) ?? 0);
  assert.ok(
    laterMs > served.length * (spinMs / 2),
    `the last of ${served.length} was served ${laterMs} ms after the last was refused`,
  );
});
