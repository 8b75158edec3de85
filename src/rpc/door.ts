/**
 * What stands before the protocols whose requests are work of their own, besides the calls that they make: GraphQL, MCP, the authorization server.
 *
 * A call is limited and admitted where it is dispatched. A request of those protocols is read, checked and sometimes answered without any call, so it
 * passes here first. What it pays here is paid for its calls: one with one call costs what that call costs.
 */
import { Metadata } from "./metadata.ts";
import type { Peer } from "./peer.ts";
import { anonymous, type Principal } from "./principal.ts";

/** Kinds of work that no call pays for; each is known by what it costs. */
export type Work = "graphql" | "mcp" | "oauth";

export interface Door {
  /**
   * Finds out who comes, and takes one from what they may do. A credential that is no good is no reason to refuse here: whoever asks for a principal is told.
   * @throws RpcError `resource_exhausted` RATE_LIMITED.
   */
  enter(entry: Entry): void | Promise<void>;
  /**
   * Runs what a request costs of the thread, at once or when its turn has come.
   * @throws RpcError `unavailable` OVERLOADED: it was not run.
   */
  run<T>(work: Work, run: () => T | Promise<T>): T | Promise<T>;
}

/** Where nobody is limited and everything can be carried. */
export const openDoor: Door = { enter: () => undefined, run: (_work, run) => run() };

/** Who a credential stands for, or what is wrong with it. */
export type Identity = ({ readonly principal: Principal } | { readonly error: unknown }) & {
  /** `std/clock` reading, in milliseconds. */
  readonly foundAtMs: number;
};

/** One request at the door, and its calls behind it. */
export class Entry {
  readonly metadata: Metadata;
  readonly peer: Peer;
  /** Of the answer: what is left of the caller's limit. */
  readonly responseHeaders = new Metadata();
  /** Set at the door; undefined: nobody has asked. */
  identity: Identity | undefined;
  #paid: string | undefined;

  constructor(metadata: Metadata, peer: Peer) {
    this.metadata = metadata;
    this.peer = peer;
  }

  /** Nobody, where the credential is no good. */
  get principal(): Principal {
    const { identity } = this;
    return identity !== undefined && "principal" in identity ? identity.principal : anonymous;
  }

  /** One was taken. @param bucket whose limit it was taken from. */
  pay(bucket: string): void {
    this.#paid = bucket;
  }

  /** What of a call's cost is paid already: one, once, by the same caller. */
  redeem(bucket: string): number {
    if (this.#paid !== bucket) return 0;
    this.#paid = undefined;
    return 1;
  }
}
