/** Topics: what can be followed, and by whom. */
import { RpcError } from "#rpc/error.ts";
import type { TopicKind } from "#rpc/event.ts";
import { allows, type Principal } from "#rpc/principal.ts";

/** Which events a reader sees. */
export interface Selection {
  takes(subject: string): boolean;
}

const form = /^([a-zA-Z][a-zA-Z0-9]*)\/(\*|[^/*\s]{1,200})$/;

export class Topics {
  readonly #kinds: ReadonlyMap<string, TopicKind>;

  constructor(kinds: readonly TopicKind[]) {
    this.#kinds = new Map(kinds.map((kind) => [kind.kind, kind]));
  }

  /** @throws RpcError TOPIC_INVALID, TOPIC_FORBIDDEN. */
  select(topics: readonly string[], principal: Principal): Selection {
    const wanted = new Set<string>();
    for (const [index, topic] of topics.entries()) {
      const [, kind = "", id = ""] = form.exec(topic) ?? [];
      const known = this.#kinds.get(kind);
      if (known === undefined) throw this.#invalid(index, topic);
      const own = known.own === true && id !== "*" && `${kind}/${id}` === ownTopic(principal, kind, id);
      const name = own ? principal.name : topic;
      if (!own && !allows(principal.scopes, known.scope)) throw forbidden(topic, known.scope);
      wanted.add(name);
    }
    return { takes: (subject) => wanted.has(subject) || wanted.has(`${kindOf(subject)}/*`) };
  }

  /** All that a caller may see. @returns kinds, and the one topic of its own where it has no right to all of them. */
  visible(principal: Principal): { readonly kinds: readonly string[]; readonly own: string | undefined } {
    const all = [...this.#kinds.values()];
    const kinds = all.filter(({ scope }) => allows(principal.scopes, scope)).map(({ kind }) => kind);
    const own = all.some(({ kind, own: has }) => has === true && kindOf(principal.name) === kind);
    return { kinds, own: own ? principal.name : undefined };
  }

  /** Whether a caller may see what happens to a subject: `visible` for one. */
  sees(principal: Principal, subject: string): boolean {
    const kind = this.#kinds.get(kindOf(subject));
    if (kind === undefined) return false;
    return allows(principal.scopes, kind.scope) || (subject === principal.name && kind.own === true);
  }

  #invalid(index: number, topic: string): RpcError {
    const field = `topics[${index}]`;
    return new RpcError("invalid_argument", {
      reason: "TOPIC_INVALID",
      message: `${field}: "${topic.slice(0, 100)}" is no topic; there are ${[...this.#kinds.keys()].map((kind) => `${kind}/*`).join(", ")}, and one id instead of *`,
      metadata: { field },
    });
  }
}

/** `users/me` is the caller. */
function ownTopic({ name }: Principal, kind: string, id: string): string {
  return id === "me" && kindOf(name) === kind ? `${kind}/me` : name;
}

function kindOf(subject: string): string {
  return subject.slice(0, subject.indexOf("/"));
}

function forbidden(topic: string, scope: string): RpcError {
  return new RpcError("permission_denied", {
    reason: "TOPIC_FORBIDDEN",
    message: `${topic} needs the scope ${scope}, which the caller does not have`,
    metadata: { topic, scope },
  });
}
