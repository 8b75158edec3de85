/**
 * Call kind x codec x compression x protocol x outcome. Every combination is a test, or is absent for a reason that has a name; the last
 * test counts them, so that nothing vanishes in silence. Columns are in `protocols.ts`, rows in `outcomes.ts`.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Compression, compressions, type Driver } from "../support/drivers.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { maxMessageBytes, type Outcome, outcomes, type Run } from "./outcomes.ts";
import { type Cell, type Codec, codecs, kinds, type Protocol, protocols } from "./protocols.ts";

const options = {
  maxMessageBytes,
  limits: { drainNoticeMs: 5, drainGraceMs: 20 },
  webSocketLimits: { drainMs: 20 },
};

let echo: EchoServer;
before(async () => {
  echo = await startEcho(options);
});
after(() => echo.close());

let planned = 0;
let ran = 0;
const absent = new Map<string, number>();
function leaveOut(reason: string, count = 1): void {
  absent.set(reason, (absent.get(reason) ?? 0) + count);
}

let calls = 0;
function runOf(server: EchoServer, driver: Driver, about: Pick<Run, "cell" | "protocol">): Run {
  return {
    ...about,
    ran: (id) => server.ran(id),
    drain: () => server.drain(),
    start: (plan, { texts = ["a"], timeoutMs } = {}) => {
      calls += 1;
      const id = `matrix-${calls}`;
      const { kind } = about.cell;
      const running = driver.open({ kind, id, plan, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
      for (const text of texts) running.send(text);
      if (texts.length > 0) running.endSending();
      return { running, id, probe: server.probe(id) };
    },
  };
}

async function runAlone(outcome: Outcome, about: Pick<Run, "cell" | "protocol">): Promise<void> {
  const server = await startEcho(options);
  const driver = about.protocol.driver(server, about.cell);
  try {
    await outcome.run(runOf(server, driver, about));
  } finally {
    driver.close();
    await server.close();
  }
}

function testColumn(protocol: Protocol, codec: Codec, compression: Compression): void {
  let driver: Driver;
  before(() => {
    driver = protocol.driver(echo, { codec, compression });
  });
  after(() => driver.close());
  for (const kind of kinds) {
    const cell: Cell = { kind, codec, compression };
    const nowhere = protocol.absent(cell);
    const refusal = nowhere === undefined ? protocol.refused(cell) : undefined;
    if (nowhere !== undefined) {
      leaveOut(nowhere, outcomes.length);
      continue;
    }
    if (refusal !== undefined) {
      leaveOut(`refused with ${refusal.reason}, which a test shows once for the cell`, outcomes.length);
      test(`${kind} is refused with ${refusal.reason}`, { timeout: 10_000 }, async () => {
        const { running, id } = runOf(echo, driver, { cell, protocol }).start({});
        const { code, reason } = await running.end();
        assert.deepEqual({ code, reason }, refusal);
        assert.equal(echo.ran(id) && kind === "unary", false);
      });
      continue;
    }
    for (const outcome of outcomes) {
      const reason = outcome.absent?.(cell, protocol);
      if (reason !== undefined) {
        leaveOut(reason);
        continue;
      }
      planned += 1;
      test(`${kind} ${outcome.name}`, { timeout: 10_000 }, async () => {
        if (outcome.alone === true) await runAlone(outcome, { cell, protocol });
        else await outcome.run(runOf(echo, driver, { cell, protocol }));
        ran += 1;
      });
    }
  }
}

// Most of the time is waiting: for deadlines, for buffers that fill, for counters that stand still.
describe("a call", { concurrency: 2 }, () => {
  for (const protocol of protocols)
    for (const codec of codecs)
      for (const compression of compressions)
        describe(`${protocol.name}, ${codec}, ${compression}`, { concurrency: 4 }, () =>
          testColumn(protocol, codec, compression),
        );
});

test("every combination ran, or is absent for a reason", (t) => {
  const product = protocols.length * codecs.length * compressions.length * kinds.length * outcomes.length;
  let missing = 0;
  for (const [reason, count] of [...absent].sort(([, a], [, b]) => b - a)) {
    t.diagnostic(`${count} absent: ${reason}`);
    missing += count;
  }
  t.diagnostic(`${ran} of ${product} ran`);
  assert.equal(ran, planned);
  assert.equal(ran + missing, product);
});
