/** More calls at once than the thread can do, ninety of them in one piece on each connection: those that are refused hear so before the others are done. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import http2 from "node:http2";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

let child: ChildProcess;
let sessions: http2.ClientHttp2Session[];

before(async () => {
  const server = path.join(import.meta.dirname, "../long/overload-server.ts");
  child = spawn(process.execPath, [server], { stdio: ["ignore", "pipe", "inherit"] });
  assert.ok(child.stdout !== null);
  const [line] = await once(child.stdout, "data");
  const origin = `http://127.0.0.1:${String(line).trim().split(" ")[1]}`;
  sessions = Array.from({ length: 4 }, () => http2.connect(origin));
  await Promise.all(sessions.map((session) => once(session, "remoteSettings")));
});
after(() => {
  for (const session of sessions) session.destroy();
  child.kill("SIGTERM");
});

/** @returns its `grpc-status`. */
async function ask(session: http2.ClientHttp2Session | undefined, method = "Spin"): Promise<string> {
  assert.ok(session !== undefined);
  const stream = session.request({
    ...{
      ":method": "POST",
      ":path": `/work.v1.Work/${method}`,
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
  for (let count = 0; count < 40; count += 1) assert.equal(await ask(sessions[0]), "0");
  const served: number[] = [];
  const refused: number[] = [];
  const from = performance.now();
  await Promise.all(
    sessions.slice(0, 3).flatMap((session) =>
      Array.from({ length: 90 }, async () => {
        const answers = (await ask(session)) === "0" ? served : refused;
        answers.push(performance.now() - from);
      }),
    ),
  );
  assert.equal(served.length + refused.length, 270);
  assert.ok(
    served.length > 20 && refused.length > 20,
    `${served.length} were served, ${refused.length} refused`,
  );
  // In turn with the work, and for no more of the thread than that: a third of it would do.
  const early = served.filter((ms) => ms < (refused.at(-1) ?? 0)).length;
  assert.ok(
    early < served.length * (2 / 3),
    `${early} of ${served.length} were served before the last was refused`,
  );
});

test("whoever asks whether it is well, and who administers it, is answered meanwhile", async (t) => {
  for (let count = 0; count < 40; count += 1) assert.equal(await ask(sessions[0]), "0");
  let over = false;
  const normal = { served: 0, refused: 0 };
  // Sixty callers, and as many as are refused come again at once: several times what the thread can do.
  const callers = Array.from({ length: 60 }, async (_, index) => {
    while (!over) normal[(await ask(sessions[index % 3])) === "0" ? "served" : "refused"] += 1;
  });
  const watch = async (
    method: string,
  ): Promise<{ readonly statuses: string[]; readonly tookMs: number[] }> => {
    const statuses: string[] = [];
    const tookMs: number[] = [];
    while (!over) {
      const startedAtMs = performance.now();
      statuses.push(await ask(sessions[3], method));
      tookMs.push(performance.now() - startedAtMs);
      await sleep(20);
    }
    return { statuses, tookMs };
  };
  const watching = Promise.all(["Check", "Manage"].map(watch));
  await sleep(2500);
  over = true;
  await Promise.all(callers);
  const [health, managed] = await watching;
  assert.ok(normal.refused > 100 && normal.served > 20, JSON.stringify(normal));
  for (const [name, one] of Object.entries({ health, managed })) {
    const slowest = Math.max(...(one?.tookMs ?? []));
    t.diagnostic(
      `${name}: ${one?.statuses.length} asked, the slowest took ${slowest.toFixed(0)} ms; ${JSON.stringify(normal)}`,
    );
    assert.ok((one?.statuses.length ?? 0) >= 10, `${name} was asked`);
    assert.deepEqual([...new Set(one?.statuses)], ["0"], `${name} was refused`);
  }
});
