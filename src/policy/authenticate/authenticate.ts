/**
 * Who calls: from the credential in the call's metadata to a principal.
 *
 * `Authorization: Bearer` with an access token or an API key, or `X-API-Key`; the same names in gRPC metadata. A call without
 * any, and every call of a public method, goes on as nobody. What a credential stands for is kept for two seconds, so a suspension or revocation is seen in less
 * than five on every process; its form and signature are checked once.
 */
import { hash } from "node:crypto";
import type { Call } from "#rpc/call.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { anonymous, type Principal } from "#rpc/principal.ts";
import type { Clock } from "#std/clock.ts";

/** A credential whose form and signature are good. */
export interface Credential {
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** Good for one call: it is not to be kept. */
  readonly once?: true;
  /** Whom it stands for now; undefined: nobody, or not from this address. */
  principal(address: string): Principal | undefined | Promise<Principal | undefined>;
}

/** What knows credentials. */
export interface Credentials {
  /** Undefined: it is none. */
  read(text: string): Credential | undefined | Promise<Credential | undefined>;
  /** @param uri of a client certificate that the connection has proved. */
  certificate(uri: string): Credential;
}

export interface AuthenticateOptions {
  readonly credentials: Credentials;
  readonly clock: Clock;
  /** Whether a method is for everybody: its callers are nobody, whatever they show. */
  isPublic(method: Method): boolean;
}

/** How long an answer of the directory is good, in milliseconds. */
const goodForMs = 2000;
const maxKnown = 10_000;
/** Longer ones are not looked at. */
const maxCharacters = 8192;

interface Known {
  readonly credential: Credential;
  readonly principal: Principal;
  readonly address: string;
  /** `clock.monotonic()` reading. */
  readonly checkedAt: number;
}

export function createAuthenticate(options: AuthenticateOptions): Interceptor {
  const authenticator = new Authenticator(options);
  return (next, method) => {
    // A stale token beside a refresh token, or any at a health check, is no reason to refuse.
    if (options.isPublic(method))
      return (call) => {
        call.principal = anonymous;
        return next(call);
      };
    return method.kind === "server_stream" || method.kind === "bidi_stream"
      ? watched(authenticator, next)
      : (call) => authenticated(authenticator, next, call);
  };
}

function authenticated(authenticator: Authenticator, next: Handler, call: Call): ReturnType<Handler> {
  const found = authenticator.principalOf(call);
  if (found instanceof Promise)
    return found.then((principal) => {
      call.principal = principal;
      return next(call);
    });
  call.principal = found;
  return next(call);
}

/** How often a stream's caller is looked at again, in milliseconds: what it may do can end before its call does. */
const lookAgainMs = 2000;

/** A stream may go on for days: it ends when its credential does, and when what it may do is no longer the same. */
function watched(authenticator: Authenticator, next: Handler): Handler {
  return async (call) => {
    const reply = await authenticated(authenticator, next, call);
    const { principal } = call;
    if (reply.kind !== "stream" || principal.name === "") return reply;
    const timer = setInterval(() => void lookAgain(authenticator, call, principal), lookAgainMs).unref();
    call.onCancel(() => clearInterval(timer));
    return { kind: "stream", responses: untilEnd(reply.responses, () => clearInterval(timer)) };
  };
}

async function* untilEnd<T>(messages: AsyncIterable<T>, ended: () => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } finally {
    ended();
  }
}

async function lookAgain(authenticator: Authenticator, call: Call, before: Principal): Promise<void> {
  try {
    const now = await authenticator.principalAgain(call, before);
    if (now.name !== before.name || !isSameSet(now.scopes, before.scopes)) call.cancel(rightsChanged());
  } catch (thrown) {
    const error = toRpcError(thrown);
    // A database that is away now is asked again at the next look.
    if (error.code === "unauthenticated") call.cancel(error);
  }
}

function isSameSet(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one === other || (one.size === other.size && [...one].every((scope) => other.has(scope)));
}

function rightsChanged(): RpcError {
  return new RpcError("unavailable", {
    reason: "RIGHTS_CHANGED",
    message: "what the caller may do changed while the stream was open; call again",
  });
}

class Authenticator {
  readonly #credentials: Credentials;
  readonly #clock: Clock;
  /** By the hash of the credential; the one that was checked longest ago is first. */
  readonly #known = new Map<string, Known>();

  /** Of those whose credential cannot be shown again. */
  readonly #once = new WeakMap<Principal, Credential>();

  constructor(options: AuthenticateOptions) {
    this.#credentials = options.credentials;
    this.#clock = options.clock;
  }

  /** @throws RpcError CREDENTIAL_INVALID, CREDENTIAL_AMBIGUOUS, CREDENTIALS_DIFFER. */
  principalOf(call: Call): Principal | Promise<Principal> {
    const bearer = bearerOf(call.metadata);
    const key = call.metadata.get("x-api-key");
    const { address, certificates } = call.peer;
    if (certificates !== undefined) return this.#withCertificate(certificates, { bearer, key, address });
    if (bearer === undefined) return key === undefined ? anonymous : this.#resolve(key, address);
    const principal = this.#resolve(bearer, address);
    return key === undefined ? principal : this.#same([principal, this.#resolve(key, address)]);
  }

  /** Whom a running call's credential stands for by now. @throws RpcError CREDENTIAL_INVALID. */
  async principalAgain(call: Call, before: Principal): Promise<Principal> {
    const once = this.#once.get(before);
    if (once === undefined) return await this.principalOf(call);
    const principal = await once.principal(call.peer.address);
    if (principal === undefined) throw invalid();
    return principal;
  }

  /** A certificate is a credential like the others, and all that come have to stand for one caller. */
  #withCertificate(
    uris: readonly string[],
    shown: {
      readonly bearer: string | undefined;
      readonly key: string | undefined;
      readonly address: string;
    },
  ): Promise<Principal> {
    const [uri, ...more] = uris;
    // Nobody's: it proves that somebody signed it, not who calls.
    if (uri === undefined || more.length > 0) throw invalid();
    const { bearer, key, address } = shown;
    return this.#same([
      ...(bearer === undefined ? [] : [this.#resolve(bearer, address)]),
      ...(key === undefined ? [] : [this.#resolve(key, address)]),
      this.#ofCertificate(uri, address),
    ]);
  }

  #ofCertificate(uri: string, address: string): Principal | Promise<Principal> {
    const id = `certificate ${uri}`;
    const known = this.#known.get(id);
    const age = this.#clock.monotonic() - (known?.checkedAt ?? 0);
    if (known !== undefined && age < goodForMs) return known.principal;
    return this.#ask(id, this.#credentials.certificate(uri), address);
  }

  #resolve(text: string, address: string): Principal | Promise<Principal> {
    if (text.length > maxCharacters) throw invalid();
    // Two headers of the name arrive as one, joined as lists are.
    if (text.includes(",")) throw ambiguous("a credential");
    const id = hash("sha256", text, "base64url");
    const known = this.#known.get(id);
    if (known === undefined) return this.#readNew(id, text, address);
    if (known.credential.expiresAt <= this.#clock.now()) throw invalid();
    const age = this.#clock.monotonic() - known.checkedAt;
    if (age < goodForMs && known.address === address) return known.principal;
    return this.#ask(id, known.credential, address);
  }

  #readNew(id: string, text: string, address: string): Principal | Promise<Principal> {
    const read = this.#credentials.read(text);
    return read instanceof Promise
      ? read.then((credential) => this.#ask(id, credential, address))
      : this.#ask(id, read, address);
  }

  #ask(id: string, credential: Credential | undefined, address: string): Principal | Promise<Principal> {
    const principal = credential?.principal(address);
    return principal instanceof Promise
      ? principal.then((found) => this.#keep(id, { credential, principal: found, address }))
      : this.#keep(id, { credential, principal, address });
  }

  /** Only what is good is kept: made-up credentials take no room. */
  #keep(
    id: string,
    found: { credential: Credential | undefined; principal: Principal | undefined; address: string },
  ): Principal {
    const { credential, principal, address } = found;
    this.#known.delete(id);
    if (credential === undefined || principal === undefined) throw invalid();
    if (credential.once === true) {
      this.#once.set(principal, credential);
      return principal;
    }
    this.#known.set(id, { credential, principal, address, checkedAt: this.#clock.monotonic() });
    if (this.#known.size > maxKnown) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    return principal;
  }

  async #same(all: readonly (Principal | Promise<Principal>)[]): Promise<Principal> {
    const [first, ...others] = await Promise.all(all.map((one) => Promise.resolve(one)));
    if (first === undefined) throw invalid();
    if (others.every((other) => other.name === first.name && other.tenant === first.tenant)) return first;
    throw new RpcError("unauthenticated", {
      reason: "CREDENTIALS_DIFFER",
      message: "the credentials of this call stand for different callers; send one of them",
    });
  }
}

/** The token of `Authorization: Bearer`; undefined: the header is not there. */
function bearerOf(metadata: Metadata): string | undefined {
  const text = metadata.get("authorization");
  if (text === undefined) return undefined;
  // Two headers of the name arrive as one, joined as lists are.
  if (text.includes(",")) throw ambiguous("authorization");
  const match = /^bearer +(\S+)$/i.exec(text);
  if (match === null) throw invalid();
  return match[1];
}

function ambiguous(name: string): RpcError {
  return new RpcError("unauthenticated", {
    reason: "CREDENTIAL_AMBIGUOUS",
    message: `${name} came more than once; send one credential`,
  });
}

/** One answer for all that can be wrong: who guesses learns nothing. */
function invalid(): RpcError {
  return new RpcError("unauthenticated", {
    reason: "CREDENTIAL_INVALID",
    message: "the credential is not good: it may be mistyped, over, revoked, or its user suspended",
  });
}
