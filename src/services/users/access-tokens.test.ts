import assert from "node:assert/strict";
import { createHmac, createPublicKey, webcrypto } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK } from "jose";
import type { Clock } from "#std/clock.ts";
import { openStorage, type Storage } from "#storage/storage.ts";
import { type AccessTokens, createAccessTokens } from "./access-tokens.ts";
import { migrations } from "./migrations.ts";
import { createSecrets } from "./secrets.ts";
import { createSigningKeys, type SigningKeys } from "./signing-keys.ts";
import type { UsersTables } from "./tables.ts";

const issuer = "https://portico.test";
let time = Date.UTC(2026, 0, 1);
const clock: Clock = { now: () => time, monotonic: () => time };
const secrets = createSecrets(new Uint8Array(32).fill(1));
let storage: Storage;
let keys: SigningKeys;
let tokens: AccessTokens;
let own: { readonly id: string; readonly key: CryptoKey };
let ownPublic: JWK;
let attacker: { readonly key: CryptoKey; readonly jwk: JWK };

before(async () => {
  storage = await openStorage({ url: "memory:", migrations });
  keys = createSigningKeys({ tables: storage.tables<UsersTables>(), secrets, clock });
  tokens = createAccessTokens({ keys, clock, issuer: () => issuer });
  own = await keys.signer();
  ownPublic = (await keys.published()).keys[0]!;
  const pair = await generateKeyPair("ES256", { extractable: true });
  attacker = { key: pair.privateKey, jwk: await exportJWK(pair.publicKey) };
});
after(() => storage.close());

const encode = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

async function sign(head: string, body: string, key: CryptoKey = own.key): Promise<string> {
  const data = Buffer.from(`${head}.${body}`);
  const signature = await webcrypto.subtle.sign(
    { name: "ECDSA", hash: "SHA-256" },
    key as webcrypto.CryptoKey,
    data,
  );
  return `${head}.${body}.${Buffer.from(signature).toString("base64url")}`;
}

type Fields = Record<string, unknown>;
const header = (changes: Fields = {}): Fields => ({ alg: "ES256", typ: "at+jwt", kid: own.id, ...changes });
const claims = (changes: Fields = {}): Fields => {
  const iat = Math.floor(time / 1000);
  return {
    ...{ iss: issuer, aud: issuer, sub: "ana", client_id: "portico", tid: "default" },
    ...{ jti: "01jf8z3c4m5n6p7q8r9s0t1v2w", iat, exp: iat + 600 },
    ...changes,
  };
};
const without = (fields: Fields, name: string): Fields => {
  const { [name]: _removed, ...rest } = fields;
  return rest;
};
const made = (head: Fields, body: Fields, key?: CryptoKey) => sign(encode(head), encode(body), key);
const seconds = () => Math.floor(time / 1000);
const good = () => made(header(), claims());
const parts = async () => (await good()).split(".") as [string, string, string];
const hmac = (secret: string | Buffer) => {
  const data = `${encode(header({ alg: "HS256" }))}.${encode(claims())}`;
  return `${data}.${createHmac("sha256", secret).update(data).digest("base64url")}`;
};
const pem = () =>
  createPublicKey({ key: ownPublic as never, format: "jwk" }).export({ type: "spki", format: "pem" });

/** Every known way to make a verifier take what nobody issued; each is well made but for the one thing. */
const attacks: Readonly<Record<string, () => string | Promise<string>>> = {
  // No signature, or one of nobody.
  "alg none, without a signature": () => `${encode(header({ alg: "none" }))}.${encode(claims())}.`,
  "alg none, with the signature kept": async () =>
    `${encode(header({ alg: "none" }))}.${encode(claims())}.${(await parts())[2]}`,
  "alg nOnE": () => `${encode(header({ alg: "nOnE" }))}.${encode(claims())}.AA`,
  "alg NONE": () => `${encode(header({ alg: "NONE" }))}.${encode(claims())}.AA`,
  "no alg": () => made(without(header(), "alg"), claims()),
  "alg that is no text": () => made(header({ alg: 256 }), claims()),
  "alg as a list": () => made(header({ alg: ["ES256"] }), claims()),
  "a stripped signature": async () => (await parts()).slice(0, 2).join("."),
  "an empty signature": async () => `${(await parts()).slice(0, 2).join(".")}.`,
  "a cut signature": async () => (await good()).slice(0, -10),
  "a lengthened signature": async () => `${await good()}AAAA`,
  "a signature of zeros": async () =>
    `${(await parts()).slice(0, 2).join(".")}.${Buffer.alloc(64).toString("base64url")}`,
  "a signature of the group's order": async () =>
    `${(await parts()).slice(0, 2).join(".")}.${Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551".repeat(2), "hex").toString("base64url")}`,
  "the signature of another token": async () =>
    `${encode(header())}.${encode(claims({ sub: "admin" }))}.${(await parts())[2]}`,
  "a changed claim": async () => {
    const [head, , signature] = await parts();
    return `${head}.${encode(claims({ tid: "other" }))}.${signature}`;
  },
  "another key under our key id": () => made(header(), claims(), attacker.key),
  // Confusion of algorithms.
  "HS256 with our public key in PEM": () => hmac(pem()),
  "HS256 with our public key as JWK": () => hmac(JSON.stringify(ownPublic)),
  "HS256 with an empty secret": () => hmac(""),
  "HS256 with the key id": () => hmac(own.id),
  "RS256 in the header": () => made(header({ alg: "RS256" }), claims()),
  "PS256 in the header": () => made(header({ alg: "PS256" }), claims()),
  "ES384 in the header": () => made(header({ alg: "ES384" }), claims()),
  "EdDSA in the header": () => made(header({ alg: "EdDSA" }), claims()),
  "PBES2 in the header": () => made(header({ alg: "PBES2-HS256+A128KW", p2c: 1_000_000_000 }), claims()),
  "dir in the header": () => made(header({ alg: "dir", enc: "A256GCM" }), claims()),
  // Keys from elsewhere.
  "no kid": () => made(without(header(), "kid"), claims()),
  "an unknown kid": () => made(header({ kid: "unknown" }), claims(), attacker.key),
  "a kid that is a path": () => made(header({ kid: "../../dev/null" }), claims(), attacker.key),
  "a kid that is SQL": () =>
    made(header({ kid: "' UNION SELECT public_key FROM users_signing_keys --" }), claims(), attacker.key),
  "a kid that is a list": () => made(header({ kid: [own.id] }), claims()),
  "a kid that is an object": () => made(header({ kid: { toString: own.id } }), claims()),
  "an empty kid": () => made(header({ kid: "" }), claims()),
  "__proto__ as kid": () => made(header({ kid: "__proto__" }), claims(), attacker.key),
  "jwk in the header": () => made(header({ jwk: attacker.jwk }), claims(), attacker.key),
  "jwk in the header, signed by us": () => made(header({ jwk: attacker.jwk }), claims()),
  "jku in the header": () => made(header({ jku: "https://evil.test/jwks.json" }), claims(), attacker.key),
  "jku in the header, signed by us": () => made(header({ jku: "https://evil.test/jwks.json" }), claims()),
  "x5u in the header": () => made(header({ x5u: "https://evil.test/cert.pem" }), claims()),
  "x5c in the header": () => made(header({ x5c: ["MIIB"] }), claims()),
  // What a header may ask for.
  "an unknown critical parameter": () => made(header({ crit: ["exp2"], exp2: 1 }), claims()),
  "an empty crit": () => made(header({ crit: [] }), claims()),
  "b64 false": () => made(header({ crit: ["b64"], b64: false }), claims()),
  "a compressed payload": () => made(header({ zip: "DEF" }), claims()),
  "a nested token": async () => sign(encode(header({ cty: "JWT" })), encode(await good())),
  "an additional header parameter": () => made(header({ more: 1 }), claims()),
  // Another kind of token.
  "an ID token": () => made(header({ typ: "JWT" }), claims({ nonce: "n" })),
  "no typ": () => made(without(header(), "typ"), claims()),
  "typ application/at+jwt": () => made(header({ typ: "application/at+jwt" }), claims()),
  "typ AT+JWT": () => made(header({ typ: "AT+JWT" }), claims()),
  "an encrypted token": async () => `${(await good()).replaceAll(".", "..")}`,
  // Times.
  "expired six seconds ago": () => made(header(), claims({ iat: seconds() - 600, exp: seconds() - 6 })),
  "valid from in six seconds": () => made(header(), claims({ nbf: seconds() + 6 })),
  "issued in the future": () => made(header(), claims({ iat: seconds() + 60 })),
  "issued long ago, valid for long": () => made(header(), claims({ iat: seconds() - 4000 })),
  "no exp": () => made(header(), without(claims(), "exp")),
  "exp as text": () => made(header(), claims({ exp: String(seconds() + 600) })),
  "exp null": () => made(header(), claims({ exp: null })),
  "no iat": () => made(header(), without(claims(), "iat")),
  "iat as text": () => made(header(), claims({ iat: String(seconds()) })),
  "nbf as text": () => made(header(), claims({ nbf: "0" })),
  // Claims.
  "another issuer": () => made(header(), claims({ iss: "https://evil.test" })),
  "the issuer with a slash": () => made(header(), claims({ iss: `${issuer}/` })),
  "the issuer in a list": () => made(header(), claims({ iss: [issuer] })),
  "no issuer": () => made(header(), without(claims(), "iss")),
  "another audience": () => made(header(), claims({ aud: "https://else.test" })),
  "us among other audiences": () => made(header(), claims({ aud: [issuer, "https://else.test"] })),
  "no audience": () => made(header(), without(claims(), "aud")),
  "no subject": () => made(header(), without(claims(), "sub")),
  "a subject that is no text": () => made(header(), claims({ sub: { id: "ana" } })),
  "no tenant": () => made(header(), without(claims(), "tid")),
  "a tenant that is a list": () => made(header(), claims({ tid: ["default"] })),
  "no id": () => made(header(), without(claims(), "jti")),
  "scopes as a list": () => made(header(), claims({ scope: ["*"] })),
  "roles that are a text": () => made(header(), claims({ roles: "admin" })),
  "roles that are no texts": () => made(header(), claims({ roles: [["admin"]] })),
  "a session that is a number": () => made(header(), claims({ sid: 1 })),
  // Encodings.
  "padding behind the header": async () => (await good()).replace(".", "=="),
  "padding behind the signature": async () => `${await good()}==`,
  "a space in front": async () => ` ${await good()}`,
  "a line end behind": async () => `${await good()}\n`,
  "a fourth part": async () => `${await good()}.AA`,
  "the alphabet of plain base64": async () => `${(await good()).slice(0, -2)}+/`,
  "a duplicate claim": () =>
    sign(encode(header()), encode(JSON.stringify(claims()).replace("{", '{"sub":"admin",'))),
  "a duplicate header": () =>
    sign(encode(JSON.stringify(header()).replace("{", '{"alg":"none",')), encode(claims())),
  "white space in the claims": () => sign(encode(header()), encode(JSON.stringify(claims(), null, 1))),
  "escapes in the claims": () =>
    sign(encode(header()), encode(JSON.stringify(claims()).replace('"sub"', '"\\u0073ub"'))),
  "claims that are a list": () => sign(encode(header()), encode([claims()])),
  "claims that are null": () => sign(encode(header()), encode("null")),
  "claims that are no JSON": () => sign(encode(header()), encode("sub=ana")),
  "claims that are not UTF-8": () =>
    sign(encode(header()), Buffer.from([0x22, 0xff, 0x22]).toString("base64url")),
  "__proto__ among the claims": () =>
    sign(encode(header()), encode(`{"__proto__":${JSON.stringify(claims())}}`)),
  "more than 8 KiB": () => made(header(), claims({ more: "x".repeat(8192) })),
  nothing: () => "",
  "dots alone": () => "..",
};

describe("access tokens", () => {
  test("of ours are read", async () => {
    const grant = { tenant: "default", user: "ana", session: "s1", scopes: ["bpmn:read"] };
    const read = await tokens.verify(await tokens.issue(grant));
    assert.deepEqual(
      { ...read, id: "", expiresAt: 0 },
      { ...grant, id: "", client: "portico", expiresAt: 0 },
    );
    const roles = ["viewer", "operator"];
    assert.deepEqual((await tokens.verify(await tokens.issue({ ...grant, roles })))?.roles, roles);
    assert.equal(
      (await tokens.verify(await good()))?.user,
      "ana",
      "the pattern that the attacks vary is a good token",
    );
  });
  test("there are at least sixty attacks", () => assert.ok(Object.keys(attacks).length >= 60));
  for (const [name, make] of Object.entries(attacks))
    test(`${name}: not accepted`, async () => {
      assert.equal(await tokens.verify(await make()), undefined);
    });
});

describe("signing keys", () => {
  test("a new key is published before it signs, and the old one verifies until its tokens are over", async () => {
    const before = await good();
    await keys.rotate(60_000);
    assert.equal((await keys.published()).keys.length, 2);
    assert.equal((await keys.signer()).id, own.id, "the new key does not sign yet");
    time += 61_000;
    assert.notEqual((await keys.signer()).id, own.id);
    assert.notEqual(await tokens.verify(before), undefined);
    assert.notEqual(
      await tokens.verify(await tokens.issue({ tenant: "t", user: "u", session: "", scopes: undefined })),
      undefined,
    );
    time += 16 * 60_000;
    assert.equal((await keys.published()).keys.length, 1);
    assert.equal(await tokens.verify(await good()), undefined, "signed by a key that is over");
    await keys.maintain();
    assert.equal((await keys.published()).keys.length, 1);
  });
  test("of another process are found, and a made-up key id costs no query", async () => {
    const other = createSigningKeys({ tables: storage.tables<UsersTables>(), secrets, clock });
    const theirs = createAccessTokens({ keys: other, clock, issuer: () => issuer });
    await other.rotate(0);
    const token = await theirs.issue({ tenant: "t", user: "u", session: "", scopes: undefined });
    time += 2001;
    assert.equal((await tokens.verify(token))?.user, "u");
  });
  test("are encrypted, and useless with another secret", async () => {
    const rows = await storage
      .tables<UsersTables>()
      .db.selectFrom("users_signing_keys")
      .selectAll()
      .execute();
    assert.ok(rows.every((row) => !Buffer.from(row.private_key).toString("latin1").includes('"d"')));
    const stranger = createSigningKeys({
      tables: storage.tables<UsersTables>(),
      secrets: createSecrets(new Uint8Array(32).fill(2)),
      clock,
    });
    await assert.rejects(stranger.signer());
  });
});
