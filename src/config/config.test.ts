import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import {
  ConfigError,
  loadConfig,
  type OptionName,
  options,
  readSecret,
  type Sources,
  type UserConfig,
} from "./config.ts";
import { defaultLimits, type LimitKey, type LimitName, limitNames } from "./limits.ts";

/** The keys of a type, dotted, as those of options are. */
type Dotted<T, Before extends string = ""> = {
  [K in keyof T & string]-?: NonNullable<T[K]> extends string | number | boolean | readonly unknown[]
    ? `${Before}${K}`
    : string extends keyof NonNullable<T[K]>
      ? `${Before}${K}`
      : Dotted<NonNullable<T[K]>, `${Before}${K}.`>;
}[keyof T & string];
type OptionKey = LimitKey | (typeof options)[Exclude<OptionName, LimitName>]["key"];
/** Of two lists what only one of them has; `none` where they are alike. */
type Differences<A, B> = [Exclude<A, B> | Exclude<B, A>] extends [never]
  ? "none"
  : Exclude<A, B> | Exclude<B, A>;

const folders: string[] = [];
let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(path.join(tmpdir(), "portico-config-"));
  folders.push(cwd);
});
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const load = (sources: Partial<Sources> = {}) =>
  loadConfig({ flags: {}, env: {}, cwd, ...sources }, "development");

async function problemsOf(sources: Partial<Sources>): Promise<readonly string[]> {
  try {
    await load(sources);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

describe("configuration", () => {
  test("has a default for everything, and is frozen", async () => {
    const config = await load();
    assert.deepEqual(
      { ...config },
      {
        mode: "development",
        host: "127.0.0.1",
        httpPort: 8000,
        grpcPort: 50051,
        publicUrl: undefined,
        tenantRateLimit: { burst: 2000, intervalMs: 1 },
        maxConcurrentCalls: 1000,
        adaptiveConcurrency: "on",
        maxConnections: undefined,
        reservedFiles: 32,
        workers: 1,
        reusePort: "off",
        breachedPasswords: undefined,
        policies: [],
        cors: { origins: [], credentials: false, maxAgeSeconds: 600 },
        trustedIssuers: [],
        oauthRegistration: "off",
        graphqlIntrospection: "on",
        mcpMetaTools: "off",
        dataDir: ".portico",
        databaseUrl: `sqlite:${path.join(".portico", "portico.db")}`,
        autoMigrate: true,
        secretFile: undefined,
        tls: undefined,
        authentication: "on",
        rateLimit: { burst: 200, intervalMs: 10 },
        logLevel: "info",
        logBodies: 0,
        tracing: undefined,
        metricsPush: undefined,
        serverTiming: "on",
        unknownParameters: "reject",
        unknownFields: "reject",
        reflection: "on",
        docs: "on",
        proxies: { trusted: [], hops: 1 },
        limits: defaultLimits,
      },
    );
  });

  test("nobody can change it while it runs, nor anything in it, wherever that came from", async () => {
    const issuer = {
      ...{ name: "corp", issuer: "https://id.example.org", audience: "portico" },
      ...{ tenant: { claim: "org", map: { x: "y" } }, roles: { map: { staff: ["viewer"] } } },
    };
    writeFileSync(
      path.join(cwd, "portico.config.js"),
      `export default {
        http: { maxHeaders: 50 },
        cors: { origins: ["https://app.example.org"], maxAgeSeconds: 60 },
        policies: [{ selector: "*", scopes: ["a:b"] }],
        telemetry: { otlpHeaders: { a: "1" } },
      }`,
    );
    const config = await load({
      flags: { tlsCert: "c.pem", tlsKey: "k.pem", proxyHops: "2" },
      env: {
        PORTICO_TRUSTED_ISSUERS: JSON.stringify([issuer]),
        PORTICO_PROXY_TRUSTED: "10.0.0.0/8",
        ...{ PORTICO_OTLP_ENDPOINT: "http://a:4318", PORTICO_OTLP_METRICS: "on", PORTICO_RATE_LIMIT: "5/s" },
      },
    });
    let looked = 0;
    const look = (value: unknown, place: string): void => {
      if (typeof value !== "object" || value === null) return;
      looked += 1;
      assert.ok(Object.isFrozen(value), place);
      for (const [key, inside] of Object.entries(value)) look(inside, `${place}.${key}`);
    };
    look(config, "config");
    assert.ok(looked > 20, String(looked));
    const changed = config as unknown as {
      limits: { maxHeaders: number };
      cors: { origins: string[] };
      mode: string;
    };
    assert.throws(() => changed.cors.origins.push("https://evil.example"), TypeError);
    assert.throws(() => Object.assign(changed.limits, { maxHeaders: 1_000_000 }), TypeError);
    assert.throws(() => Object.assign(changed, { authentication: "off" }), TypeError);
    assert.deepEqual([config.limits.maxHeaders, config.cors.origins], [50, ["https://app.example.org"]]);
  });

  test("the type of the file has a key for every option, and no other", () => {
    // Judged by the compiler.
    const differences: Differences<OptionKey, Dotted<UserConfig>> = "none";
    assert.equal(differences, "none");
  });

  test("OpenTelemetry's variables mean what ours do, and ours win", async () => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318",
      OTEL_EXPORTER_OTLP_HEADERS: "Authorization=Basic%20abc,x-tenant=1",
      OTEL_TRACES_SAMPLER_ARG: "0.5",
      OTEL_SERVICE_NAME: "",
    };
    const headers = { authorization: "Basic abc", "x-tenant": "1" };
    const endpoint = "http://collector:4318";
    assert.deepEqual((await load({ env })).tracing, {
      endpoint,
      headers,
      ratio: 0.5,
      serviceName: "portico",
    });
    const more = { ...env, PORTICO_TRACE_RATIO: "1", PORTICO_SERVICE_NAME: "edge" };
    assert.deepEqual((await load({ env: more })).tracing, {
      endpoint,
      headers,
      ratio: 1,
      serviceName: "edge",
    });
    const always = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER: "parentbased_always_on" };
    assert.equal((await load({ env: always })).tracing?.ratio, 1);
    assert.equal((await load({ env: { ...env, OTEL_SDK_DISABLED: "true" } })).tracing, undefined);
    assert.equal((await load({ env: { OTEL_TRACES_SAMPLER_ARG: "1" } })).tracing, undefined);
  });

  test("metrics are pushed where somebody says so: beside the traces, elsewhere, or alone", async () => {
    const pushOf = async (env: Readonly<Record<string, string>>) => (await load({ env })).metricsPush;
    const beside = { PORTICO_OTLP_ENDPOINT: "http://collector:4318/", PORTICO_OTLP_HEADERS: "a=1,b=1" };
    assert.equal(await pushOf(beside), undefined);
    assert.deepEqual(await pushOf({ ...beside, PORTICO_OTLP_METRICS: "on" }), {
      ...{ endpoint: "http://collector:4318/v1/metrics", headers: { a: "1", b: "1" } },
      ...{ intervalMs: 60_000, timeoutMs: 30_000, serviceName: "portico" },
    });
    const elsewhere = {
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "https://prometheus:9090/api/v1/otlp/v1/metrics",
      OTEL_EXPORTER_OTLP_METRICS_HEADERS: "b=2",
    };
    assert.deepEqual(await pushOf({ ...beside, ...elsewhere, OTEL_METRIC_EXPORT_INTERVAL: "5000" }), {
      endpoint: "https://prometheus:9090/api/v1/otlp/v1/metrics",
      ...{ headers: { a: "1", b: "2" }, intervalMs: 5000, timeoutMs: 30_000, serviceName: "portico" },
    });
    assert.equal((await load({ env: elsewhere })).tracing, undefined);
    assert.equal(await pushOf({ ...elsewhere, OTEL_METRICS_EXPORTER: "none" }), undefined);
    assert.equal(await pushOf({ ...elsewhere, OTEL_SDK_DISABLED: "true" }), undefined);
    assert.notEqual(await pushOf({ ...beside, OTEL_METRICS_EXPORTER: "console, otlp" }), undefined);
    assert.equal(await pushOf({ ...beside, OTEL_METRICS_EXPORTER: "prometheus" }), undefined);
    const [problem, ...more] = await problemsOf({ env: { OTEL_METRICS_EXPORTER: "otlp" } });
    assert.deepEqual(more, []);
    assert.match(
      problem ?? "",
      /^PORTICO_OTLP_METRICS is on, but nobody is named who receives metrics: give /,
    );
  });

  test("a flag beats the environment, the environment the file, the file the default", async () => {
    writeFileSync(
      path.join(cwd, "portico.config.ts"),
      "const port: number = 1001;\nexport default { http: { port }, grpc: { port: 1002 }, log: { level: 'warn' } };\n",
    );
    const config = await load({
      flags: { httpPort: "3001" },
      env: { PORTICO_HTTP_PORT: "2001", PORTICO_GRPC_PORT: "2002", HOME: "/", PORTICOX: "1" },
    });
    assert.deepEqual(
      [config.httpPort, config.grpcPort, config.logLevel, config.host],
      [3001, 2002, "warn", "127.0.0.1"],
    );
  });

  test("the default database follows the data folder", async () => {
    const { databaseUrl } = await load({ env: { PORTICO_DATA_DIR: "there" } });
    assert.equal(databaseUrl, `sqlite:${path.join("there", "portico.db")}`);
  });

  test("a rate is calls a second, with a burst of twice as many or as given, or off", async () => {
    const rateOf = async (PORTICO_RATE_LIMIT: string) =>
      (await load({ env: { PORTICO_RATE_LIMIT } })).rateLimit;
    assert.deepEqual(await rateOf("50/s"), { intervalMs: 20, burst: 100 });
    assert.deepEqual(await rateOf("50/s:60"), { intervalMs: 20, burst: 60 });
    assert.equal(await rateOf("off"), undefined);
  });

  test("a URL loses its last slash", async () => {
    assert.equal(
      (await load({ env: { PORTICO_PUBLIC_URL: "https://a.example/p//" } })).publicUrl,
      "https://a.example/p",
    );
  });
});

/** Option, a value that is refused, and what is said after the variable's name. */
const wrong: readonly (readonly [OptionName, string, RegExp])[] = [
  ["mode", "prod", /must be development or production; it is "prod"/],
  ["host", "", /must not be empty; it is ""/],
  ["httpPort", "-1", /must be a whole number; it is "-1"/],
  ["httpPort", "65536", /must be 0 to 65535/],
  ["httpPort", "80.5", /must be a whole number/],
  ["httpPort", "http", /must be a whole number; it is "http"/],
  ["httpPort", "", /must be a whole number; it is ""/],
  ["httpPort", "0x50", /must be a whole number/],
  ["httpPort", "1e3", /must be a whole number/],
  ["grpcPort", " ", /must be a whole number/],
  ["publicUrl", "ftp://a", /must be an http or https URL; it is "ftp:\/\/a"/],
  ["publicUrl", "a.example", /must be an http or https URL/],
  ["dataDir", "", /must not be empty/],
  [
    "databaseUrl",
    "mysql://root:hunter2@db/x",
    /must be sqlite:PATH, memory: or postgres:\/\/.*; it is something else$/,
  ],
  // What a password has to be written as, where it has such signs.
  [
    "databaseUrl",
    "postgres://portico:hunter2/#@db:5432/portico",
    /no URL: .* postgres:\/\/USER:PASSWORD@HOST:PORT\/DATABASE, .* %40 .*; it is something else$/,
  ],
  ["databaseUrl", "postgres://portico:hunter2@db:port/portico", /no URL/],
  ["databaseUrl", "postgres://portico:hunter2%E0@db/portico", /no URL/],
  ["autoMigrate", "maybe", /must be true or false; it is "maybe"/],
  ["secretFile", "", /must not be empty/],
  ["breachedPasswords", "", /must not be empty/],
  ["tlsCert", "", /must not be empty/],
  ["tlsKey", "", /must not be empty/],
  ["tlsClientCa", "", /must not be empty/],
  ["clientCertificate", "maybe", /must be off, request or require/],
  ["authentication", "maybe", /must be on or off; it is "maybe"/],
  ["trustedIssuers", '[{"secret":"hunter2"', /must be a list of issuers, as JSON; it is something else$/],
  ["policies", '[{"selector":"shop..x"}]', /\[0\]\.selector: must be a name/],
  ["corsOrigins", "https://a.example/path", /\[0\]: must be an origin/],
  ["corsCredentials", "maybe", /must be true or false/],
  ["corsMaxAge", "86401", /must be at most 86400/],
  ["hstsMaxAge", "-1", /must be a whole number/],
  [
    "trustedIssuers",
    '[{"name":"corp","issuer":"http://idp.example","audience":"a","tenant":"default","roles":{}}]',
    /\[0\]\.issuer: must be https/,
  ],
  ["trustedIssuers", '[{"name":"corp","isuer":"https://idp.example"}]', /\[0\]/],
  ["oauthRegistration", "open", /must be on or off/],
  ["graphqlIntrospection", "maybe", /must be on or off/],
  ["mcpMetaTools", "yes", /must be on or off/],
  ["rateLimit", "100", /must be a rate such as 100\/s or 100\/s:200, or "off"; it is "100"/],
  ["rateLimit", "0/s", /must be a rate/],
  ["tenantRateLimit", "1/h", /must be a rate/],
  ["maxConcurrentCalls", "0", /must be at least 1/],
  ["adaptiveConcurrency", "auto", /must be on or off/],
  ["reservedFiles", "7", /must be at least 8/],
  ["maxConnections", "none", /must be a whole number/],
  ["workers", "65", /must be at most 64/],
  ["reusePort", "yes", /must be on or off/],
  ["logLevel", "loud", /must be trace, debug, info, warn, error or silent; it is "loud"/],
  ["logBodies", "2", /must be at most 1; it is "2"/],
  ["logBodies", "some", /must be a number from 0 to 1; it is "some"/],
  ["otlpEndpoint", "collector:4317", /must be an http or https URL; it is something else/],
  ["otlpHeaders", "secret", /must be name=value, several separated by commas; it is something else/],
  ["otlpHeaders", "a=%E0%A4%A", /must be name=value, several separated by commas; it is something else/],
  ["otlpMetrics", "otlp", /must be on or off; it is "otlp"/],
  ["otlpMetricsEndpoint", "collector:4317", /must be an http or https URL; it is something else/],
  ["otlpMetricsHeaders", "secret", /must be name=value, several separated by commas; it is something else/],
  ["otlpMetricsIntervalMs", "1s", /must be a whole number; it is "1s"/],
  ["otlpMetricsTimeoutMs", "99", /must be at least 100; it is "99"/],
  ["traceRatio", "-1", /must be a number from 0 to 1; it is "-1"/],
  ["serviceName", "", /must not be empty/],
  ["serverTiming", "yes", /must be on or off; it is "yes"/],
  ["unknownParameters", "warn", /must be reject or ignore/],
  ["unknownFields", "keep", /must be reject or ignore/],
  ["reflection", "yes", /must be on or off/],
  ["docs", "yes", /must be on or off/],
  ["trustedProxies", "10.0.0.0/33", /\[0\]: must be a network/],
  ["proxyHops", "0", /must be at least 1/],
  ...limitNames.map((name) => [name, "9999999999", /must be \d+ to \d+; it is "9999999999"/] as const),
  ["http2MaxStreams", "0", /must be 1 to 10000/],
  ["http2MaxStreams", "many", /must be a whole number/],
];

test("a request has at least the time of its headers", async () => {
  assert.match(
    (await problemsOf({ flags: { requestTimeoutMs: "100" } })).join(),
    /PORTICO_HTTP_REQUEST_TIMEOUT_MS is 100 and PORTICO_HTTP_HEADERS_TIMEOUT_MS is 10000: .* raise the one/,
  );
});

describe("values that are refused", () => {
  for (const [name, value, message] of wrong)
    test(`${name} ${JSON.stringify(value)}`, async () => {
      const { env, flag } = options[name];
      const [fromVariable, ...rest] = await problemsOf({ env: { [env]: value } });
      assert.deepEqual(rest, []);
      assert.match(fromVariable ?? "", message);
      assert.ok(fromVariable?.startsWith(`${env}: `), fromVariable);
      const [fromFlag] = await problemsOf({ flags: { [name]: value } });
      assert.ok(fromFlag?.startsWith(`${flag}: `), fromFlag);
    });

  test("every option is among them", () => {
    assert.deepEqual([...new Set(wrong.map(([name]) => name))].sort(), Object.keys(options).sort());
  });

  test("a variable of OpenTelemetry is named where it is wrong", async () => {
    assert.deepEqual(await problemsOf({ env: { OTEL_TRACES_SAMPLER_ARG: "many" } }), [
      'OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1; it is "many"',
    ]);
  });

  test("all are reported together, from every source, and those that no single option can judge", async () => {
    writeFileSync(
      path.join(cwd, "portico.config.ts"),
      "export default { http: { prot: 1 }, grpc: { port: 'x' }, mode: 'production', log: 3 };\n",
    );
    const problems = await problemsOf({
      flags: { logLevel: "loud" },
      env: { PORTICO_HOST: "0.0.0.0", PORTICO_HTTP_PROT: "1" },
    });
    assert.deepEqual(
      problems.map((line) => line.replace(/;.*$/s, "")),
      [
        "portico.config.ts: http.prot: no such key",
        "portico.config.ts: log: no such key",
        "PORTICO_HTTP_PROT: no such variable",
        "portico.config.ts: grpc.port: must be a whole number",
        "--log-level: must be trace, debug, info, warn, error or silent",
        "PORTICO_SECRET_FILE is missing: production needs a secret that all processes share",
      ],
    );
    assert.match(problems[0] ?? "", /did you mean http\.port\?$/);
    assert.match(problems[2] ?? "", /did you mean PORTICO_HTTP_PORT\?$/);
  });

  test("everybody's pages with credentials", async () => {
    for (const mode of ["development", "production"])
      assert.ok(
        (await problemsOf({ flags: { mode, corsOrigins: "*", corsCredentials: "true" } })).some((line) =>
          /PORTICO_CORS_ORIGINS is \*.*list the origins/.test(line),
        ),
      );
  });

  test("the same port twice", async () => {
    assert.match(
      (await problemsOf({ flags: { httpPort: "9", grpcPort: "9" } }))[0] ?? "",
      /are both 9: give them different ports/,
    );
    assert.deepEqual(await problemsOf({ flags: { httpPort: "0", grpcPort: "0" } }), []);
  });

  test("of an address that is not loopback: in development, and without authentication", async () => {
    const host = "0.0.0.0";
    assert.deepEqual((await problemsOf({ flags: { host, mode: "production", secretFile: "s" } })).length, 0);
    const off = await problemsOf({
      flags: { host, mode: "production", secretFile: "s", authentication: "off" },
    });
    assert.match(
      off[0] ?? "",
      /without authentication Portico listens on loopback only.*remove PORTICO_AUTHENTICATION$/,
    );
    const development = await problemsOf({ flags: { host } });
    assert.match(development[0] ?? "", /in development mode .* or PORTICO_MODE=production$/);
  });

  test("of a development key in production", async () => {
    writeFileSync(path.join(cwd, "dev-key"), "ptk_test_\n");
    const flags = { mode: "production", secretFile: "s", dataDir: cwd };
    assert.match((await problemsOf({ flags }))[0] ?? "", /dev-key is a development key.*remove the file/);
  });

  test("of a password among the flags, where everybody sees it; not elsewhere", async () => {
    for (const databaseUrl of [
      "postgres://u:hunter2@db/portico",
      "postgres://u@db/portico?password=hunter2",
    ]) {
      const problems = await problemsOf({ flags: { databaseUrl } });
      assert.match(problems.join("\n"), /^--database-url: holds a password.*give it as PORTICO_DATABASE_URL/);
      assert.doesNotMatch(problems.join("\n"), /hunter2/);
      assert.deepEqual(await problemsOf({ env: { PORTICO_DATABASE_URL: databaseUrl } }), []);
    }
    assert.deepEqual(await problemsOf({ flags: { databaseUrl: "postgres://u@db/portico" } }), []);
  });

  test("of a database in the file that is no URL, by its key and without its password", async () => {
    const file = path.join(cwd, "portico.config.ts");
    writeFileSync(file, 'export default { database: { url: "postgres://u:hunter2@@/:x/db" } };\n');
    const [problem, ...more] = await problemsOf({ file });
    assert.deepEqual(more, []);
    assert.match(String(problem), /^portico\.config\.ts: database\.url: is no URL: /);
    assert.doesNotMatch(String(problem), /hunter2/);
  });

  test("of what is long, without all of it", async () => {
    const [problem] = await problemsOf({ env: { PORTICO_LOG_LEVEL: "loud".repeat(1000) } });
    assert.ok(String(problem).length < 300, problem);
  });

  test("of TLS that is half given", async () => {
    assert.match((await problemsOf({ flags: { tlsCert: "c" } }))[0] ?? "", /belong together/);
    const wanted = await problemsOf({ flags: { clientCertificate: "require" } });
    assert.deepEqual(
      wanted.map((line) => line.split(":")[0]),
      ["PORTICO_CLIENT_CERT needs TLS", "PORTICO_CLIENT_CERT needs PORTICO_TLS_CLIENT_CA"],
    );
  });

  test("a client's variables are none of the server's", async () => {
    assert.deepEqual(await problemsOf({ env: { PORTICO_API_KEY: "ptk_live_x" } }), []);
  });

  for (const host of ["0.0.0.0", "::", "192.168.1.1", "example.org", "127.0.0.1.example.org"])
    test(`the address ${host}, for it is not loopback`, async () => {
      assert.match(
        (await problemsOf({ flags: { host, authentication: "off" } }))[0] ?? "",
        /loopback only; use 127\.0\.0\.1 or ::1/,
      );
    });
});

describe("portico.config.ts", () => {
  const file = (text: string) => writeFileSync(path.join(cwd, "portico.config.ts"), text);
  for (const [name, text, message] of [
    ["does not parse", "export default {", /^portico\.config\.ts: /],
    ["throws", "throw new Error('no luck today');", /^portico\.config\.ts: no luck today$/],
    ["exports nothing", "const a = 1;", /must export the configuration as its default export/],
    ["exports a number", "export default 3;", /must export the configuration as its default export/],
    ["imports what is not there", "import './gone.ts';\nexport default {};", /gone\.ts/],
  ] as const)
    test(`that ${name} is one problem`, async () => {
      file(text);
      const problems = await problemsOf({});
      assert.equal(problems.length, 1, problems.join("\n"));
      assert.match(problems[0] ?? "", message);
    });

  test("is named by --config, from anywhere, and missing it is a problem", async () => {
    writeFileSync(path.join(cwd, "other.config.ts"), "export default { log: { level: 'error' } };\n");
    assert.equal((await load({ file: "other.config.ts" })).logLevel, "error");
    assert.deepEqual(await problemsOf({ file: "gone.config.ts" }), [
      "--config: there is no file gone.config.ts",
    ]);
  });
});

describe("the secret", () => {
  const secretIn = (text: string | Uint8Array): (() => Uint8Array) => {
    const secretFile = path.join(cwd, "secret-file");
    writeFileSync(secretFile, text);
    return () => readSecret({ secretFile, dataDir: cwd });
  };
  test("is made once, for its owner alone", () => {
    const dataDir = path.join(cwd, "data");
    const first = readSecret({ secretFile: undefined, dataDir });
    assert.deepEqual(readSecret({ secretFile: undefined, dataDir }), first);
    assert.equal(first.length, 32);
    assert.equal(statSync(path.join(dataDir, "secret")).mode & 0o777, 0o600);
  });
  test("is 32 bytes, or 64 digits and a line end", () => {
    assert.equal(secretIn(new Uint8Array(32))().length, 32);
    assert.equal(secretIn(`${"ab".repeat(32)}\n`)()[0], 0xab);
  });
  for (const text of ["", "short", "g".repeat(64), "a".repeat(63)])
    test(`of ${text.length} bytes that are neither is refused without being shown`, () => {
      assert.throws(secretIn(text), (error: Error) => {
        assert.match(error.message, /secret-file: must hold exactly 32 bytes, or 64 hexadecimal digits/);
        assert.ok(text === "" || !error.message.includes(text));
        return true;
      });
    });
});
