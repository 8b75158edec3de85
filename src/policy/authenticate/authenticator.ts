/** Credentials to principals: whoever is looked up is kept for two seconds, whatever was checked of the credential's form as long as it is good. */
import { hash } from "node:crypto";
import type { Entry } from "#rpc/door.ts";
import { RpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Peer } from "#rpc/peer.ts";
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

export interface AuthenticatorOptions {
  readonly credentials: Credentials;
  readonly clock: Clock;
}

/** What of a call or a connection tells who calls. */
export interface Caller {
  readonly metadata: Metadata;
  readonly peer: Peer;
  /** Of a request that passed the door: who was found there. */
  readonly entry?: Entry | undefined;
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

export class Authenticator {
  readonly #credentials: Credentials;
  readonly #clock: Clock;
  /** By the hash of the credential; the one that was checked longest ago is first. */
  readonly #known = new Map<string, Known>();

  /** Of those whose credential cannot be shown again. */
  readonly #once = new WeakMap<Principal, Credential>();
  /** What was shown once on a connection stands for all its calls. */
  readonly #onConnection = new WeakMap<object, { readonly id: string; readonly principal: Principal }>();

  constructor(options: AuthenticatorOptions) {
    this.#credentials = options.credentials;
    this.#clock = options.clock;
  }

  /** @throws RpcError CREDENTIAL_INVALID, CREDENTIAL_AMBIGUOUS, CREDENTIALS_DIFFER. */
  principalOf({ metadata, peer, entry }: Caller): Principal | Promise<Principal> {
    const found = entry?.identity;
    if (found !== undefined) {
      // A request may go on for long; a credential that can be shown once has been.
      const isNew = this.#clock.monotonic() - found.foundAtMs < goodForMs;
      if (isNew && "error" in found) throw found.error;
      if ("principal" in found) {
        if (isNew) return found.principal;
        const once = this.#once.get(found.principal);
        if (once !== undefined) return this.#again(once, peer);
      }
    }
    const bearer = bearerOf(metadata);
    const key = metadata.get("x-api-key");
    if (peer.certificates !== undefined)
      return this.#withCertificate(peer.certificates, { bearer, key, peer });
    if (bearer === undefined) return key === undefined ? anonymous : this.#resolve(key, peer);
    const principal = this.#resolve(bearer, peer);
    return key === undefined ? principal : this.#same([principal, this.#resolve(key, peer)]);
  }

  /** Whom the credential of a running call or an open connection stands for by now. @throws RpcError CREDENTIAL_INVALID. */
  async principalAgain(caller: Caller, before: Principal): Promise<Principal> {
    const once = this.#once.get(before);
    return once === undefined ? await this.principalOf(caller) : await this.#again(once, caller.peer);
  }

  async #again(once: Credential, peer: Peer): Promise<Principal> {
    const principal = await once.principal(peer.address);
    if (principal === undefined) throw invalid();
    return principal;
  }

  /** When the credential that was looked at ends, in milliseconds since 1970; undefined: it does not, or there is none. */
  expiryOf({ metadata }: Caller): number | undefined {
    const shown = bearerOf(metadata) ?? metadata.get("x-api-key");
    return shown === undefined
      ? undefined
      : this.#known.get(hash("sha256", shown, "base64url"))?.credential.expiresAt;
  }

  /** A certificate is a credential like the others, and all that come have to stand for one caller. */
  #withCertificate(
    uris: readonly string[],
    shown: {
      readonly bearer: string | undefined;
      readonly key: string | undefined;
      readonly peer: Peer;
    },
  ): Promise<Principal> {
    const [uri, ...more] = uris;
    // Nobody's: it proves that somebody signed it, not who calls.
    if (uri === undefined || more.length > 0) throw invalid();
    const { bearer, key, peer } = shown;
    return this.#same([
      ...(bearer === undefined ? [] : [this.#resolve(bearer, peer)]),
      ...(key === undefined ? [] : [this.#resolve(key, peer)]),
      this.#ofCertificate(uri, peer),
    ]);
  }

  #ofCertificate(uri: string, peer: Peer): Principal | Promise<Principal> {
    const id = `certificate ${uri}`;
    const known = this.#known.get(id);
    const age = this.#clock.monotonic() - (known?.checkedAt ?? 0);
    if (known !== undefined && age < goodForMs) return known.principal;
    return this.#ask(id, this.#credentials.certificate(uri), peer);
  }

  #resolve(text: string, peer: Peer): Principal | Promise<Principal> {
    if (text.length > maxCharacters) throw invalid();
    // Two headers of the name arrive as one, joined as lists are.
    if (text.includes(",")) throw ambiguous("a credential");
    const id = hash("sha256", text, "base64url");
    const known = this.#known.get(id);
    if (known === undefined) return this.#readNew(id, text, peer);
    if (known.credential.expiresAt <= this.#clock.now()) throw invalid();
    const age = this.#clock.monotonic() - known.checkedAt;
    if (age < goodForMs && known.address === peer.address) return known.principal;
    return this.#ask(id, known.credential, peer);
  }

  #readNew(id: string, text: string, peer: Peer): Principal | Promise<Principal> {
    const here = peer.connection && this.#onConnection.get(peer.connection);
    const once = here?.id === id ? this.#once.get(here.principal) : undefined;
    if (once !== undefined) return this.#again(once, peer);
    const read = this.#credentials.read(text);
    return read instanceof Promise
      ? read.then((credential) => this.#ask(id, credential, peer))
      : this.#ask(id, read, peer);
  }

  #ask(id: string, credential: Credential | undefined, peer: Peer): Principal | Promise<Principal> {
    const principal = credential?.principal(peer.address);
    return principal instanceof Promise
      ? principal.then((found) => this.#keep(id, { credential, principal: found, peer }))
      : this.#keep(id, { credential, principal, peer });
  }

  /** Only what is good is kept: made-up credentials take no room. */
  #keep(
    id: string,
    found: { credential: Credential | undefined; principal: Principal | undefined; peer: Peer },
  ): Principal {
    const { credential, principal, peer } = found;
    this.#known.delete(id);
    if (credential === undefined || principal === undefined) throw invalid();
    if (credential.once === true) {
      this.#once.set(principal, credential);
      if (peer.connection !== undefined) this.#onConnection.set(peer.connection, { id, principal });
      return principal;
    }
    this.#known.set(id, { credential, principal, address: peer.address, checkedAt: this.#clock.monotonic() });
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
