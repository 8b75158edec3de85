/**
 * `npm run monitoring`: asks a real Prometheus, which scrapes a Portico with traffic on it, for every expression of deploy/dashboards and
 * deploy/alerts. One that is not understood, or that finds nothing, fails; an alert is asked for without its bounds besides, and has to find
 * something then: two sides of an `and` whose labels differ never meet. The alerts are tried on made-up series besides
 * (deploy/alerts/portico.test.yaml). Where this Prometheus takes what is pushed over OTLP (from 2.47 on), it is asked for what the Portico
 * pushed, too: the same series with the same values as those it scraped. Says so where there is no Prometheus.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { serve } from "../tests/support/process.ts";

const root = path.resolve(import.meta.dirname, "..");
const rules = path.join(root, "deploy/alerts/portico.yaml");
const dashboards = path.join(root, "deploy/dashboards");
/** Long enough for rates over a few scrapes of a second. */
const trafficMs = 9000;

interface Asked {
  readonly where: string;
  readonly expression: string;
}

/** Expressions of alerts find something only while they ring: those are only to be understood, and asked for without their bounds. */
const alerts: Asked[] = [];
/** Are there with several workers alone; here is one process. */
const elsewhere = /portico_workers_missing/;
const shown: Asked[] = [];
/** What was pushed, beside what was scraped. */
const pushed = [
  ...["portico_calls_total", "portico_errors_total", "portico_limited_total", "portico_sent_bytes_total"],
  ...[
    "portico_objective_calls_total",
    "portico_call_duration_seconds_bucket",
    "portico_call_duration_seconds_sum",
  ],
  ...["portico_gateway_overhead_seconds_count", "portico_calls_open", "portico_store_duration_seconds_count"],
];

if (
  spawnSync("prometheus", ["--version"]).status !== 0 ||
  spawnSync("promtool", ["--version"]).status !== 0
) {
  console.log("monitoring: not run: there is no prometheus here; scripts/install-prometheus.sh installs it");
  process.exit(0);
}
for (const [command, file] of [
  ["check", rules],
  ["test", rules.replace(".yaml", ".test.yaml")],
] as const)
  execFileSync("promtool", [command, "rules", file], { stdio: "inherit" });
readDashboards();
readRules();
const failed = await run();
const compared =
  otlpFlag() === undefined
    ? "no pushed series: this Prometheus takes none"
    : `${pushed.length} pushed metrics`;
console.log(
  `monitoring: ${shown.length} expressions of dashboards and rules, ${alerts.length} of alerts, ${compared}; ${failed.length} failed`,
);
for (const line of failed) console.log(`  ${line}`);
process.exit(failed.length === 0 ? 0 : 1);

function readDashboards(): void {
  for (const file of readdirSync(dashboards)) {
    const { panels } = JSON.parse(readFileSync(path.join(dashboards, file), "utf8")) as {
      panels: { title: string; targets?: { expr: string }[] }[];
    };
    for (const { title, targets = [] } of panels)
      for (const { expr } of targets) shown.push({ where: `${file}: ${title}`, expression: plain(expr) });
  }
}

/** As Grafana would fill it in. */
function plain(expression: string): string {
  return expression.replaceAll("$__rate_interval", "5s").replaceAll(/\$(method|protocol|instance)\b/g, ".*");
}

function readRules(): void {
  const text = readFileSync(rules, "utf8");
  const rule = /- (record|alert): (\S+)\n\s+expr: \|\n((?: {10}.*\n)+)/g;
  for (const [, kind, name, expression] of text.matchAll(rule))
    (kind === "record" ? shown : alerts).push({
      where: `alerts: ${name}`,
      expression: String(expression).trim(),
    });
  const declared = text.match(/expr:/g)?.length;
  if (declared !== [...text.matchAll(rule)].length) throw new Error(`${rules}: not every rule was read`);
}

/** Without what chooses by value: finds something as long as both sides of every operator have the same labels. */
function unbounded(expression: string): string {
  return expression.replaceAll(/(?:[<>]=?|[=!]=)\s*[\d.]+(?:\s*\*\s*[\d.]+)*/g, "");
}

/** Undefined: it takes nothing that is pushed over OTLP. */
function otlpFlag(): string | undefined {
  const { stdout, stderr } = spawnSync("prometheus", ["--help"], { encoding: "utf8" });
  const help = stdout + stderr;
  if (help.includes("web.enable-otlp-receiver")) return "--web.enable-otlp-receiver";
  return help.includes("otlp-write-receiver") ? "--enable-feature=otlp-write-receiver" : undefined;
}

async function run(): Promise<string[]> {
  const folder = mkdtempSync(path.join(tmpdir(), "portico-monitoring-"));
  const port = await freePort();
  // Once: an interval that does not come again while this runs, and the last push.
  const push = ["--otlp-metrics-endpoint", `http://127.0.0.1:${port}/api/v1/otlp/v1/metrics`];
  // Takes spans, so that there is a number of those that were not taken.
  const spans = createHttpServer((request, answer) => request.resume().once("end", () => answer.end()));
  await new Promise<void>((resolve) => spans.listen(0, "127.0.0.1", resolve));
  const portico = await serve(folder, [
    ...["--otlp-endpoint", `http://127.0.0.1:${(spans.address() as AddressInfo).port}`],
    ...["--authentication", "on", "--rate-limit", "50/s:50", "--max-concurrent-calls", "2"],
    ...["--log-level", "warn", ...(otlpFlag() === undefined ? [] : [...push, "--service-name", "pushed"])],
  ]);
  const prometheus = spawn(
    "prometheus",
    prometheusFlags(folder, { port, target: new URL(portico.base).host }),
    {
      stdio: ["ignore", "ignore", "ignore"],
    },
  );
  try {
    const key = readFileSync(path.join(folder, "dev-key"), "utf8").trim();
    await traffic(portico.base, key);
    const failures: string[] = [];
    for (const asked of [...shown, ...alerts]) {
      const wrong = await ask(`http://127.0.0.1:${port}`, asked, alerts.includes(asked));
      if (wrong !== undefined) failures.push(`${asked.where}: ${wrong}: ${asked.expression}`);
    }
    for (const { where, expression } of alerts.filter((alert) => !elsewhere.test(alert.expression))) {
      const asked = { where, expression: unbounded(expression) };
      const wrong = await ask(`http://127.0.0.1:${port}`, asked, false);
      if (wrong !== undefined) failures.push(`${where}, without its bounds: ${wrong}: ${asked.expression}`);
    }
    if (otlpFlag() === undefined) return failures;
    // Its last push is what the last scrape saw.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    portico.child.kill("SIGTERM");
    await portico.ended;
    return [...failures, ...portico.lines, ...(await comparePushed(`http://127.0.0.1:${port}`))];
  } finally {
    prometheus.kill("SIGKILL");
    spans.close();
    portico.child.kill("SIGKILL");
    await portico.ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

function prometheusFlags(
  folder: string,
  { port, target }: { readonly port: number; readonly target: string },
): string[] {
  // The rules as they are, only sooner.
  const soon = readFileSync(rules, "utf8").replaceAll("interval: 30s", "interval: 1s");
  writeFileSync(path.join(folder, "rules.yaml"), soon);
  writeFileSync(
    path.join(folder, "prometheus.yaml"),
    JSON.stringify({
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: ["rules.yaml"],
      scrape_configs: [{ job_name: "portico", static_configs: [{ targets: [target] }] }],
    }),
  );
  return [
    `--config.file=${path.join(folder, "prometheus.yaml")}`,
    `--storage.tsdb.path=${path.join(folder, "prometheus")}`,
    `--web.listen-address=127.0.0.1:${port}`,
    ...[otlpFlag()].filter((flag) => flag !== undefined),
  ];
}

/** @returns what was pushed and is not as it was scraped. */
async function comparePushed(base: string): Promise<string[]> {
  const failures: string[] = [];
  for (const name of pushed) {
    const [scraped, got] = [await seriesOf(base, name, "portico"), await seriesOf(base, name, "pushed")];
    const differ = [...scraped].filter(([labels, value]) => got.get(labels) !== value);
    if (scraped.size === 0 || got.size !== scraped.size || differ.length > 0)
      failures.push(
        `pushed: ${name}: ${got.size} series, ${scraped.size} scraped, not the same: ${differ.map(([labels, value]) => `${labels} ${value}, not ${got.get(labels)}`).join("; ")}`,
      );
  }
  const version = await query(base, 'target_info{job="pushed",service_version!=""}');
  if (version.length !== 1) failures.push(`pushed: ${version.length} times target_info`);
  return failures;
}

/** By its labels, without those of who it came from, the last value. */
async function seriesOf(base: string, name: string, job: string): Promise<Map<string, number>> {
  const found = await query(base, `last_over_time(${name}{job="${job}"}[1m])`);
  return new Map(
    found.map(({ metric: { job: _, instance: __, __name__: ___, ...labels }, value }) => {
      // What is scraped gets "1.0" from Prometheus 3 on, what is pushed stays "1".
      const bound = labels.le === undefined || labels.le === "+Inf" ? {} : { le: String(Number(labels.le)) };
      return [JSON.stringify(Object.entries({ ...labels, ...bound }).sort()), Number(value[1])];
    }),
  );
}

/** Calls of many kinds: done, refused, failed, over the limit, and more at once than are taken. */
async function traffic(base: string, key: string): Promise<void> {
  const headers = { "x-api-key": key, "content-type": "application/json" };
  const xml = '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d"/>';
  const call = (
    method: string,
    target: string,
    more: { body?: object; headers?: object } = {},
  ): Promise<unknown> =>
    fetch(base + target, {
      method,
      headers: { ...headers, ...more.headers },
      ...(more.body === undefined ? {} : { body: JSON.stringify(more.body) }),
    }).then((answer) => answer.arrayBuffer());
  const following = new AbortController();
  const follow = fetch(`${base}/api/v1/events:subscribe?topics=bpmn/*`, {
    headers,
    signal: following.signal,
  });
  const until = performance.now() + trafficMs;
  for (let round = 0; performance.now() < until; round += 1) {
    const create = (at: number) =>
      call("POST", `/api/v1/bpmn?documentId=d-${round}-${at}`, { body: { xml } });
    await Promise.all([
      ...Array.from({ length: 8 }, (_, at) => create(at)),
      call("GET", "/api/v1/bpmn?pageSize=10"),
      ...Array.from({ length: 10 }, () => call("GET", "/api/v1/bpmn/none")),
      call("GET", "/nothing/here"),
      call("POST", "/portico.bpmn.v1.BPMNService/ListBPMN", {
        body: {},
        headers: { "connect-protocol-version": "1" },
      }),
      call("POST", "/graphql", { body: { query: "{ listBpmn { bpmn { id } } }" } }),
    ]);
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  following.abort();
  await follow.then((answer) => answer.body?.cancel()).catch(() => undefined);
}

interface Found {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** @throws Error with Prometheus' words. */
async function query(base: string, expression: string): Promise<readonly Found[]> {
  const answer = await fetch(`${base}/api/v1/query`, {
    method: "POST",
    body: new URLSearchParams({ query: expression }),
  });
  const { status, error, data } = (await answer.json()) as {
    readonly status: string;
    readonly error?: string;
    readonly data?: { readonly result: readonly Found[] };
  };
  if (status !== "success") throw new Error(error ?? status);
  return data?.result ?? [];
}

/** @returns what is wrong. */
async function ask(base: string, { expression }: Asked, mayBeEmpty: boolean): Promise<string | undefined> {
  const found = await query(base, expression).catch((error: unknown) => String(error));
  if (typeof found === "string") return found;
  if (mayBeEmpty) return undefined;
  const values = found.map(({ value }) => Number(value[1]));
  if (values.length === 0) return "finds nothing";
  return values.some((value) => Number.isFinite(value)) ? undefined : "finds no number";
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
