/**
 * A company's identity provider: a second authorization server in a process of its own, for the tests of trusted issuers. Everybody who
 * comes to its page is signed in as the `login_hint`.
 *
 * Usage: node identity-provider.ts PORT KEY-ID
 */
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [port = "0", kid = "one"] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const people: Readonly<Record<string, object>> = {
  "olga@corp.example": { groups: ["ops", "everybody"], org: "acme" },
  "paul@corp.example": { groups: ["everybody"], org: "acme" },
  "root@corp.example": { groups: ["root"], org: "nowhere" },
};
const provider = new Provider(issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid, alg: "RS256", use: "sig" }] },
  clients: [
    {
      client_id: "robot",
      client_secret: "a secret of the robot's own",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
    {
      client_id: "desk",
      token_endpoint_auth_method: "none",
      application_type: "native",
      redirect_uris: ["http://127.0.0.1:9/callback"],
    },
  ],
  cookies: { keys: ["for tests alone"] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "https://portico.example",
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, resource) => ({
        ...{ audience: resource, scope: "api", accessTokenFormat: "jwt", accessTokenTTL: 300 },
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_context, token) =>
    token.kind === "AccessToken"
      ? { ...people[String(token.accountId)], realm_access: { roles: ["viewer"] } }
      : { groups: ["robots"], org: "acme" },
  interactions: { url: (_context, interaction) => `/sign-in/${interaction.uid}` },
  pkce: { required: () => true },
});

const serve = provider.callback();
createServer((request, response) => {
  if (request.url === "/jwks") process.stdout.write("keys\n");
  if (request.url?.startsWith("/sign-in/") !== true) {
    void serve(request, response);
    return;
  }
  void signIn().catch((error: unknown) => response.destroy(error as Error));
  async function signIn(): Promise<void> {
    const { params, prompt, session } = await provider.interactionDetails(request, response);
    if (prompt.name === "login") {
      const login = { accountId: String(params.login_hint) };
      await provider.interactionFinished(request, response, { login });
      return;
    }
    const grant = new provider.Grant({
      accountId: String(session?.accountId),
      clientId: String(params.client_id),
    });
    grant.addOIDCScope("openid");
    grant.addResourceScope("https://portico.example", "api");
    await provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
  }
}).listen(Number(port), "127.0.0.1", () => process.stdout.write("ready\n"));
