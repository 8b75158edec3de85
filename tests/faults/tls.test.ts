/** TLS on both ports, certificates of clients, and certificates that change: row 61 of the table of bad input. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import tls from "node:tls";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { type Authority, makeAuthority, type Pem } from "../support/certificates.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { startPortico } from "../support/portico.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-tls-"));
const file = (name: string): string => path.join(folder, name);
const spiffe = "spiffe://portico.test/importer";
let authority: Authority;
let stranger: Authority;
let importer: Pem;
const servers: IdentityServer[] = [];

before(async () => {
  authority = await makeAuthority("authority");
  stranger = await makeAuthority("stranger");
  importer = await authority.sign([{ type: "url", value: spiffe }]);
  await install(
    await authority.sign([
      { type: "dns", value: "localhost" },
      { type: "ip", value: "127.0.0.1" },
    ]),
  );
  writeFileSync(file("ca.pem"), authority.cert);
});
after(async () => {
  for (const server of servers) await server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function install({ cert, key }: Pem): Promise<void> {
  writeFileSync(file("cert.pem"), cert);
  writeFileSync(file("key.pem"), key);
}

async function start(clientCertificate: "off" | "request" | "require"): Promise<IdentityServer> {
  const server = await startIdentity({
    tls: {
      certFile: file("cert.pem"),
      keyFile: file("key.pem"),
      clientCaFile: file("ca.pem"),
      clientCertificate,
    },
  });
  servers.push(server);
  return server;
}

interface Answer {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders | Record<string, string | string[] | undefined>;
  readonly text: string;
}

interface Ask {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly client?: Pem;
}

/** Over HTTP/1 on a connection of its own. */
function ask(server: IdentityServer, target: string, options: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { cert, key } = options.client ?? {};
    const request = https.request(
      server.base + target,
      {
        ...{ ca: authority.cert, agent: false, method: options.method ?? "GET" },
        headers: {
          ...options.headers,
          ...(options.body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(cert === undefined || key === undefined ? {} : { cert, key }),
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}

function grpc(port: number, headers: Record<string, string>, client?: Pem): Promise<number> {
  const channel = credentials.createSsl(
    Buffer.from(authority.cert),
    client === undefined ? null : Buffer.from(client.key),
    client === undefined ? null : Buffer.from(client.cert),
  );
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const connection = new Client(`localhost:${port}`, channel);
  return new Promise((resolve) => {
    const same = (bytes: Buffer): Buffer => bytes;
    connection.makeUnaryRequest(
      ...(["/portico.bpmn.v1.BPMNService/ListBPMN", same, same, Buffer.alloc(0), metadata] as const),
      { deadline: Date.now() + 3000 },
      (error: ServiceError | null) => {
        connection.close();
        resolve(error?.code ?? 0);
      },
    );
  });
}

/** A service that the importer's certificate stands for. */
async function mapImporter(server: IdentityServer): Promise<void> {
  const headers = { "x-api-key": server.adminKey };
  const body = { kind: "SERVICE", roles: ["roles/viewer"], certificates: [spiffe] };
  const made = await ask(server, "/api/v1/users?userId=importer", { method: "POST", headers, body });
  assert.equal(made.status, 201, made.text);
}

describe("TLS", () => {
  test("both ports speak it, in every version of HTTP, and nothing else", async () => {
    const server = await start("off");
    const headers = { "x-api-key": server.adminKey };
    const first = await ask(server, "/api/v1/me", { headers });
    assert.equal(first.status, 200);
    assert.equal(first.headers["strict-transport-security"], "max-age=63072000; includeSubDomains");
    const session = http2.connect(server.base, { ca: authority.cert, servername: "localhost" });
    const stream = session.request({ ":path": "/api/v1/me", "x-api-key": server.adminKey });
    const answered = await new Promise<http2.IncomingHttpHeaders>((resolve) =>
      stream.on("response", resolve),
    );
    assert.deepEqual(
      [answered[":status"], answered["strict-transport-security"]],
      [200, "max-age=63072000; includeSubDomains"],
    );
    session.destroy();
    assert.equal(await grpc(server.grpcPort, headers), 0);
    assert.equal(await grpc(Number(new URL(server.base).port), headers), 0, "gRPC on the HTTP port");
    await assert.rejects(fetch(server.base.replace("https:", "http:")));
    const old = tls.connect({
      port: server.grpcPort,
      host: "127.0.0.1",
      ca: authority.cert,
      maxVersion: "TLSv1.1",
      minVersion: "TLSv1",
    });
    await assert.rejects(
      new Promise((resolve, reject) => old.once("secureConnect", resolve).once("error", reject)),
    );
    const forward = tls.connect({
      port: server.grpcPort,
      host: "127.0.0.1",
      ca: authority.cert,
      servername: "localhost",
      maxVersion: "TLSv1.2",
      ALPNProtocols: ["h2"],
    });
    await new Promise((resolve, reject) => forward.once("secureConnect", resolve).once("error", reject));
    assert.match(forward.getCipher().name, /^ECDHE-.*(GCM|POLY1305)/);
    forward.destroy();
  });

  test("every answer tells browsers to speak TLS again, for as long as the operator says", async () => {
    const origin = "https://app.example.org";
    const options = { tlsCert: file("cert.pem"), tlsKey: file("key.pem"), corsOrigins: origin };
    const portico = await startPortico({ ...options, hstsMaxAge: "300", corsMaxAge: "60" });
    const session = http2.connect(`https://127.0.0.1:${portico.httpPort}`, { ca: authority.cert });
    const preflight = { ":method": "OPTIONS", origin, "access-control-request-method": "POST" };
    try {
      for (const headers of [
        { ":path": "/api/v1/bpmn" },
        { ":path": "/nothing" },
        { ":path": "/api/v1/bpmn", ...preflight },
        { ":path": "/api/v1/events:subscribe?topics=bpmn/*", accept: "text/event-stream" },
      ]) {
        const stream = session.request(headers);
        const answered = await new Promise<http2.IncomingHttpHeaders>((resolve) =>
          stream.once("response", resolve),
        );
        stream.close();
        assert.equal(
          answered["strict-transport-security"],
          "max-age=300; includeSubDomains",
          headers[":path"],
        );
        const isPreflight = ":method" in headers;
        assert.equal(answered["access-control-max-age"], isPreflight ? "60" : undefined);
      }
    } finally {
      session.destroy();
      await portico.stop();
    }
  });

  test("61: a certificate that is asked for: none, good, of a stranger, of nobody here, with other credentials", async () => {
    const server = await start("request");
    await mapImporter(server);
    const http = Number(new URL(server.base).port);
    assert.equal((await ask(server, "/api/v1/me")).status, 401);
    const me = await ask(server, "/api/v1/me", { client: importer });
    assert.deepEqual([me.status, JSON.parse(me.text).id], [200, "importer"]);
    assert.deepEqual(
      [
        await grpc(server.grpcPort, {}, importer),
        await grpc(http, {}, importer),
        await grpc(server.grpcPort, {}),
      ],
      [0, 0, 16],
    );

    const unknown = await stranger.sign([{ type: "url", value: spiffe }]);
    await assert.rejects(ask(server, "/api/v1/me", { client: unknown }));
    assert.equal(await grpc(server.grpcPort, {}, unknown), 14);

    for (const names of [
      [{ type: "url", value: "spiffe://portico.test/other" }],
      [{ type: "dns", value: "importer" }],
      [
        { type: "url", value: spiffe },
        { type: "url", value: "spiffe://portico.test/other" },
      ],
    ] as const) {
      const client = await authority.sign(names);
      const refused = await ask(server, "/api/v1/me", { client });
      assert.deepEqual(
        [refused.status, await grpc(server.grpcPort, {}, client)],
        [401, 16],
        JSON.stringify(names),
      );
    }
    const both = await ask(server, "/api/v1/me", {
      client: importer,
      headers: { "x-api-key": server.adminKey },
    });
    assert.deepEqual([both.status, JSON.parse(both.text).details[0].reason], [401, "CREDENTIALS_DIFFER"]);
    const taken = await ask(server, "/api/v1/users", {
      method: "POST",
      headers: { "x-api-key": server.adminKey },
      body: { kind: "SERVICE", certificates: [spiffe] },
    });
    assert.deepEqual([taken.status, JSON.parse(taken.text).details[0].reason], [409, "CERTIFICATE_TAKEN"]);
  });

  test("61: a certificate that is required: without one there is no connection", async () => {
    const server = await start("require");
    await assert.rejects(ask(server, "/api/v1/me"));
    assert.equal(await grpc(server.grpcPort, {}), 14);
    assert.equal(
      (await ask(server, "/api/v1/me", { client: importer })).status,
      401,
      "good, and of nobody here",
    );
  });

  test("a new certificate serves new connections, and the open ones go on", async () => {
    const server = await start("off");
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: authority.cert });
    const get = (): Promise<number> =>
      new Promise((resolve, reject) => {
        https
          .get(`${server.base}/livez`, { agent }, (response) =>
            response.resume().on("end", () => resolve(response.statusCode ?? 0)),
          )
          .on("error", reject);
      });
    const serial = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = tls.connect({
          port: server.grpcPort,
          host: "127.0.0.1",
          ca: authority.cert,
          servername: "localhost",
          ALPNProtocols: ["h2"],
        });
        socket.once("error", reject).once("secureConnect", () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
      });
    assert.equal(await get(), 200);
    const [held] = Object.values(agent.freeSockets).flat();
    const before = await serial();
    await install(
      await authority.sign([
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
      ]),
    );
    const since = performance.now();
    while ((await serial()) === before) {
      assert.ok(performance.now() - since < 6000, "still the old one");
      assert.equal(await get(), 200);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.equal(await get(), 200);
    assert.equal(Object.values(agent.freeSockets).flat()[0], held, "the same connection all the time");
    agent.destroy();
  });

  test("a file that is not there is named", async () => {
    await assert.rejects(
      startIdentity({
        tls: {
          ...{ certFile: file("cert.pem"), keyFile: file("nothing.pem") },
          ...{ clientCaFile: undefined, clientCertificate: "off" },
        },
      }),
      /^Error: TLS: .*nothing\.pem cannot be read \(ENOENT\); give another file$/,
    );
  });

  test("files that do not fit together are refused at the start", async () => {
    writeFileSync(file("other.pem"), (await authority.sign([])).key);
    await assert.rejects(
      startIdentity({
        tls: {
          certFile: file("cert.pem"),
          keyFile: file("other.pem"),
          clientCaFile: undefined,
          clientCertificate: "off",
        },
      }),
      /do not make a certificate with its key/,
    );
  });
});
