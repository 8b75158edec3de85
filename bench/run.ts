/**
 * `npm run bench`: Portico against its peers, the same contract and message, two servers at a time, alternating.
 * Only ratios of one run count: the machine may be shared. `--smoke` gives every pair one second and judges nothing; `--rounds=N` and
 * `--seconds=N` say how much there is of it, `--only=TEXT` which rows.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { measureCosts, startReceiver } from "./costs.ts";
import { createRotation, prepare } from "./documents.ts";
import { measureGatewayTime } from "./gateway-time.ts";
import { tools } from "./load.ts";
import { type Pair, pairs, rotating, rotation } from "./pairs.ts";
import { measurePolicies } from "./policies.ts";
import { type Measured, measured, type ServerProcess, startPeer, startPortico } from "./server-process.ts";
import { measureStreams } from "./streams.ts";
import { median, type Row, toMarkdown } from "./table.ts";

const smoke = process.argv.includes("--smoke");
const only = process.argv.find((argument) => argument.startsWith("--only="))?.slice(7);
const seconds = numberOf("seconds") ?? (smoke ? 1 : 4);
const rounds = numberOf("rounds") ?? (smoke ? 1 : 5);

/** `--name=N` of the command line. */
function numberOf(name: string): number | undefined {
  const given = process.argv.find((argument) => argument.startsWith(`--${name}=`));
  return given === undefined ? undefined : Number(given.slice(name.length + 3));
}

async function compare(pair: Pair, env: Record<string, string>, portico: ServerProcess): Promise<Row> {
  const peer = await startPeer(pair.peer, { ...env, ...pair.env });
  try {
    const ratios: number[] = [];
    const ours: Measured[] = [];
    const theirs: Measured[] = [];
    await pair.first?.(portico, 1);
    if (!smoke) await Promise.all([pair.portico(portico, 1), pair.other(peer, 1)]);
    for (let round = 0; round < rounds; round += 1) {
      const a = await measured(portico, () => pair.portico(portico, seconds));
      const b = await measured(peer, () => pair.other(peer, seconds));
      ours.push(a);
      theirs.push(b);
      ratios.push(a.perSecond / b.perSecond);
    }
    return {
      ...{ what: pair.what, target: pair.target, ratios },
      ours: median(ours.map((one) => one.perSecond)),
      theirs: median(theirs.map((one) => one.perSecond)),
      ourMicros: median(ours.map((one) => one.micros)),
      theirMicros: median(theirs.map((one) => one.micros)),
    };
  } finally {
    await peer.stop();
  }
}

async function measureProcess(): Promise<Row[]> {
  const starts: number[] = [];
  const idle: number[] = [];
  for (let round = 0; round < (smoke ? 1 : 5); round += 1) {
    const started = performance.now();
    const server = await startPortico();
    await (await fetch(`http://127.0.0.1:${server.httpPort}/readyz`)).text();
    starts.push(performance.now() - started);
    idle.push(server.residentBytes() / 1e6);
    await server.stop();
  }
  return [
    { what: "process start to first answer, SQLite (ms)", target: "<= 1000", value: median(starts) },
    { what: "resident memory, idle (MB)", target: "<= 130", value: median(idle) },
  ];
}

const rows: Row[] = [];
if (only === undefined || only === "process") rows.push(...(await measureProcess()));
if (only === undefined || only === "policy") rows.push(...(await measurePolicies(smoke ? 2000 : 200_000)));
if (only === undefined || only === "costs")
  rows.push(...(await measureCosts({ rounds, seconds, warm: !smoke })));
if (only === undefined || only === "gateway time") rows.push(...(await measureGatewayTime(smoke ? 1 : 20)));
if (only === undefined || only === "streams") rows.push(...(await measureStreams(smoke, rounds)));
const portico = await startPortico({ databaseUrl: "memory:" });
const receiver = await startReceiver();
// Traces are made and not sampled: what is sent is sent behind a call's back, and has rows of its own.
const secured = await startPortico({
  ...{ databaseUrl: "memory:", authentication: "on" },
  flags: ["--otlp-endpoint", receiver.endpoint, "--trace-ratio", "0"],
});
try {
  const env = await prepare(portico);
  const securedEnv = await prepare(secured);
  for (const pair of pairs) {
    if (only !== undefined && !pair.what.includes(only)) continue;
    if (pair.portico === rotating)
      for (let at = 0; at < rotation.count; at += 200)
        await createRotation(`http://127.0.0.1:${portico.httpPort}`, at);
    rows.push(
      pair.everything === true ? await compare(pair, securedEnv, secured) : await compare(pair, env, portico),
    );
    if (pair.memory !== undefined) rows.push({ ...pair.memory, value: portico.residentBytes() / 1e6 });
    // As they come: whoever ends it early, or is ended, has those.
    const made = pair.memory === undefined ? 1 : 2;
    console.log(toMarkdown(rows.slice(-made)).trim().split("\n").slice(-made).join("\n"));
  }
} finally {
  await portico.stop();
  await secured.stop();
  receiver.close();
}

const table = toMarkdown(rows);
console.log(
  `\n${table}\nload by ${tools.rest} (REST) and ${tools.grpc} (gRPC), ${rounds} rounds of ${seconds} s each\n`,
);
if (!smoke && only === undefined) keep(table);

/** The table in bench/README.md and the figures in bench/results/. */
function keep(text: string): void {
  const folder = import.meta.dirname;
  mkdirSync(path.join(folder, "results"), { recursive: true });
  writeFileSync(
    path.join(folder, "results/latest.json"),
    `${JSON.stringify({ node: process.version, tools, rounds, seconds, rows }, null, 2)}\n`,
  );
  const readme = path.join(folder, "README.md");
  const page = readFileSync(readme, "utf8");
  writeFileSync(
    readme,
    page.replace(
      /(<!-- table -->\n)[\s\S]*?(<!-- \/table -->)/,
      (_all, open: string, close: string) => `${open}${text}${close}`,
    ),
  );
}
