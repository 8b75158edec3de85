/**
 * A web application whose people sign in at Portico: authorization code with PKCE, through `openid-client`. The browser never sees a
 * token; the application calls the API for whoever has its cookie.
 *
 *     node examples/02-sign-in-with-a-browser/app.ts [http://localhost:8000] [3000]
 *
 * Registers itself as an OAuth client with the API key in PORTICO_API_KEY, or the development key in .portico/.
 */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import * as oidc from "openid-client";

const [portico = "http://localhost:8000", port = "3000"] = process.argv.slice(2);
const file = ".portico/dev-key";
const key = process.env.PORTICO_API_KEY ?? (existsSync(file) ? readFileSync(file, "utf8").trim() : "");

/** By the application's cookie: what waits for the way back, and then the tokens. */
const visits = new Map<string, { verifier: string; state: string; token?: string }>();

const server = createServer((request, response) => {
  void serve(request, response).catch((error: unknown) => {
    response.writeHead(500, { "content-type": "text/plain" }).end(`${String(error)}\n`);
  });
}).listen(Number(port), "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const here = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const config = await register();
console.log(`open ${here}`);

async function register(): Promise<oidc.Configuration> {
  const made = await fetch(`${portico}/api/v1/oauthClients`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json" },
    body: JSON.stringify({
      ...{ displayName: "Model desk", kind: "CONFIDENTIAL" },
      ...{ redirectUris: [`${here}/callback`], scopes: ["bpmn:read"] },
    }),
  });
  const { oauthClient, secret } = (await made.json()) as { oauthClient: { id: string }; secret: string };
  // Clear text is for this machine alone.
  const options = { execute: [oidc.allowInsecureRequests] };
  return await oidc.discovery(new URL(portico), oauthClient.id, secret, undefined, options);
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", here);
  const visit = visits.get(/visit=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1] ?? "");
  if (url.pathname === "/callback" && visit !== undefined) {
    const tokens = await oidc.authorizationCodeGrant(config, url, {
      pkceCodeVerifier: visit.verifier,
      expectedState: visit.state,
    });
    visit.token = tokens.access_token;
    response.writeHead(303, { location: "/" }).end();
  } else if (visit?.token === undefined) await signIn(response);
  else await show(visit.token, response);
}

async function signIn(response: ServerResponse): Promise<void> {
  const verifier = oidc.randomPKCECodeVerifier();
  const state = oidc.randomState();
  const id = randomUUID();
  visits.set(id, { verifier, state });
  const location = oidc.buildAuthorizationUrl(config, {
    ...{ redirect_uri: `${here}/callback`, scope: "openid profile bpmn:read", state },
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const cookie = `visit=${id}; HttpOnly; SameSite=Lax; Path=/`;
  response.writeHead(303, { location: location.href, "set-cookie": cookie }).end();
}

async function show(token: string, response: ServerResponse): Promise<void> {
  const headers = { authorization: `Bearer ${token}` };
  const me = (await (await fetch(`${portico}/api/v1/me`, { headers })).json()) as { name: string };
  const models = await fetch(`${portico}/api/v1/bpmn`, { headers });
  response
    .writeHead(200, { "content-type": "text/plain; charset=utf-8" })
    .end(`You are ${me.name}; the models answer ${models.status}.\n`);
}
