/** Who may connect and call: TLS, identity, browsers, the proxies in front. */
import * as z from "zod";
import { parseBlock } from "#std/networks.ts";
import type { Option } from "./option.ts";
import { listOf, onOff, separated, text, trueFalse, wholeNumberOf } from "./values.ts";

const claim = z.string().min(1).max(200);
const resourceId = z.string().regex(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, "must be an id");
const issuerUrl = z.url({ protocol: /^https?$/ }).refine((url) => {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
}, "must be https; http is for loopback alone");
const trustedIssuer = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9]{0,30}$/, "must be lower-case letters and digits, at most 31"),
  issuer: issuerUrl,
  audience: z.string().min(1),
  algorithms: z
    .array(z.enum(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]))
    .min(1)
    .optional(),
  type: z.enum(["at+jwt", "any"]).optional(),
  tenant: z.union([resourceId, z.strictObject({ claim, map: z.record(z.string(), resourceId).optional() })]),
  roles: z.strictObject({
    always: z.array(resourceId).optional(),
    claim: claim.optional(),
    map: z.record(z.string(), z.array(resourceId)).optional(),
  }),
});
const scope = z
  .string()
  .regex(/^(\*|[a-z][A-Za-z0-9]{0,62}:(\*|[a-z][A-Za-z0-9]{0,62}))$/, 'must be "area:verb", "area:*" or "*"');
const policy = z.strictObject({
  selector: z
    .string()
    .regex(/^(\*|[A-Za-z_][\w]*(\.[A-Za-z_]\w*)*(\.\*)?)$/, "must be a name such as shop.v1.Orders.*"),
  public: z.boolean().optional(),
  scopes: z.array(scope).max(100).optional(),
  rule: z.string().max(10_000).optional(),
  rateCost: z.number().int().min(1).max(1000).optional(),
  audit: z.boolean().optional(),
});
function isOrigin(origin: string): boolean {
  return origin === "*" || (URL.canParse(origin) && new URL(origin).origin === origin);
}

export type SelectedPolicy = z.infer<typeof policy>;
export type TrustedIssuer = z.infer<typeof trustedIssuer>;

export const accessOptions = {
  tlsCert: {
    key: "tls.cert",
    env: "PORTICO_TLS_CERT",
    flag: "--tls-cert",
    value: "FILE",
    schema: text,
    default: "none: clear text",
    range: "a PEM file",
    doc: "Certificate chain for both ports, which then speak TLS alone. Read again when it changes; open connections go on.",
  },
  tlsKey: {
    key: "tls.key",
    env: "PORTICO_TLS_KEY",
    flag: "--tls-key",
    value: "FILE",
    schema: text,
    default: "none",
    range: "a PEM file",
    doc: "Private key of the certificate.",
  },
  tlsClientCa: {
    key: "tls.clientCa",
    env: "PORTICO_TLS_CLIENT_CA",
    flag: "--tls-client-ca",
    value: "FILE",
    schema: text,
    default: "none",
    range: "a PEM file",
    doc: "Authorities whose client certificates are good. A URI in a certificate's subject alternative names stands for the user that has it among its certificates.",
  },
  clientCertificate: {
    key: "tls.clientCertificate",
    env: "PORTICO_CLIENT_CERT",
    flag: "--client-cert",
    value: "POLICY",
    schema: z.enum(["off", "request", "require"], "must be off, request or require"),
    default: "off",
    range: "off, request, require",
    doc: "Whether clients may show a certificate, or have to.",
  },
  hstsMaxAge: {
    key: "tls.hstsMaxAgeSeconds",
    env: "PORTICO_TLS_HSTS_MAX_AGE_SECONDS",
    flag: "--tls-hsts-max-age-seconds",
    value: "SECONDS",
    schema: wholeNumberOf(0, 126_230_400),
    default: "63072000: two years",
    range: "0 to 126230400 seconds; 0: they forget it",
    doc: "Over TLS: how long browsers speak nothing but TLS with this host and those below it (Strict-Transport-Security). Short where TLS is being tried: browsers cannot be told to come back in clear text.",
  },
  authentication: {
    key: "authentication",
    env: "PORTICO_AUTHENTICATION",
    flag: "--authentication",
    value: "SWITCH",
    schema: onOff,
    default: "on",
    range: "on, off",
    doc: "Off: everybody may do everything, as users/local; on loopback only.",
  },
  policies: {
    key: "policies",
    env: "PORTICO_POLICIES",
    flag: "--policies",
    value: "JSON",
    schema: listOf("policies", policy),
    default: "none: administrators alone; health and reflection are for everybody",
    range: "a list of policies; as a variable or a flag the same list in JSON",
    doc: "Who may call methods whose contract does not say: `selector` (a method, `shop.v1.Orders.*`, `shop.*` or `*`; the most specific wins), `public`, `scopes`, `rule`, `rateCost`, `audit`.",
  },
  trustedIssuers: {
    key: "trustedIssuers",
    env: "PORTICO_TRUSTED_ISSUERS",
    flag: "--trusted-issuers",
    value: "JSON",
    schema: listOf("issuers", trustedIssuer),
    default: "none",
    range: "a list of issuers; as a variable or a flag the same list in JSON",
    doc: "Identity providers whose access tokens are good here, and how their claims become a tenant and roles. See the guide to identity.",
  },
  oauthRegistration: {
    key: "oauth.registration",
    env: "PORTICO_OAUTH_REGISTRATION",
    flag: "--oauth-registration",
    value: "SWITCH",
    schema: onOff,
    default: "off",
    range: "on, off",
    doc: "On: applications may register themselves as OAuth clients (RFC 7591) with a credential that has `oauthClients:write`.",
  },
  corsOrigins: {
    key: "cors.origins",
    env: "PORTICO_CORS_ORIGINS",
    flag: "--cors-origins",
    value: "ORIGINS",
    schema: separated(
      z
        .array(z.string().refine(isOrigin, "must be an origin such as https://app.example.org, or *"))
        .max(100),
    ),
    default: "none",
    range: "exact origins, in a variable separated by commas; * for everybody's",
    doc: "Origins whose pages may call from a browser. Everybody's, only without credentials.",
  },
  corsCredentials: {
    key: "cors.credentials",
    env: "PORTICO_CORS_CREDENTIALS",
    flag: "--cors-credentials",
    value: "BOOLEAN",
    schema: trueFalse,
    default: "false",
    range: "true, false",
    doc: "Whether browsers may send client certificates and cookies with calls of those origins. API keys and tokens need it not.",
  },
  corsMaxAge: {
    key: "cors.maxAgeSeconds",
    env: "PORTICO_CORS_MAX_AGE_SECONDS",
    flag: "--cors-max-age-seconds",
    value: "SECONDS",
    schema: wholeNumberOf(0, 86_400),
    default: "600",
    range: "0 to 86400 seconds",
    doc: "How long a browser may keep what it was told of an origin before it asks again. Without it, each call of a page takes two trips; with a long one, an origin that was taken off the list calls on. Browsers cut it at one day or at two hours.",
  },
  trustedProxies: {
    key: "proxy.trusted",
    env: "PORTICO_PROXY_TRUSTED",
    flag: "--proxy-trusted",
    value: "NETWORKS",
    schema: separated(
      z
        .array(
          z.string().refine((one) => parseBlock(one) !== undefined, "must be a network such as 10.0.0.0/8"),
          "must be a list of networks",
        )
        .max(100),
    ),
    default: "none: who connects is who calls",
    range: "IP addresses and CIDR blocks, in a variable separated by commas",
    doc: "Proxies in front whose word about the client's address is taken, from the last entries of `X-Forwarded-For`. From everybody else that header, `Forwarded` and their like are dropped, and no service ever sees them.",
  },
  proxyHops: {
    key: "proxy.hops",
    env: "PORTICO_PROXY_HOPS",
    flag: "--proxy-hops",
    value: "NUMBER",
    schema: wholeNumberOf(1, 10),
    default: "1",
    range: "1 to 10",
    doc: "How many trusted proxies may stand in a row: so many entries of `X-Forwarded-For` are looked at, from the last.",
  },
} as const satisfies Record<string, Option>;
