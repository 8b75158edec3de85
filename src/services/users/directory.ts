/**
 * Who a credential stands for, now: from keys and tokens to principals with the scopes that their roles give them.
 *
 * Reads are prepared and answer at once on SQLite. What a user, a session or a key may changes here first: nothing is kept.
 */
import { narrowed, type Principal } from "#rpc/principal.ts";
import type { Clock } from "#std/clock.ts";
import { isInBlocks } from "#std/networks.ts";
import type { PreparedRead, Tables } from "#storage/storage.ts";
import type { AccessTokens, VerifiedGrant } from "./access-tokens.ts";
import type { ForeignGrant, Issuers } from "./issuers.ts";
import { type KeyMode, looksLikeKey, type ParsedKey, parseKey } from "./key-format.ts";
import { noteUse, prepareKeyRead } from "./key-store.ts";
import { builtInRole } from "./roles.ts";
import { isEqual, type Secrets } from "./secrets.ts";
import { prepareUserReads, type UserReads } from "./store.ts";
import type { KeyColumns, UserColumns, UsersTables } from "./tables.ts";
import { looksLikeTicket, type Tickets } from "./tickets.ts";

type Maybe<T> = T | Promise<T>;

/** A credential whose form and signature are good; whether it still stands is asked again and again. */
export interface Credential {
  /** Milliseconds since 1970; infinite: it says nothing of its end. */
  readonly expiresAt: number;
  /** Good for one call: its answer is not to be kept. */
  readonly once?: true;
  /** Undefined: it does not stand any more, or not from this address. */
  principal(address: string): Maybe<Principal | undefined>;
}

export interface Directory {
  /** Undefined: no credential of ours. */
  read(text: string): Maybe<Credential | undefined>;
  /** @param uri of a client certificate that the connection has proved. */
  certificate(uri: string): Credential;
  /** What a user may do; undefined: there is none, or it may do nothing. */
  scopesOf(tenant: string, user: string): Maybe<ReadonlySet<string> | undefined>;
}

/** A key's last use is written down no more often. */
const noteEveryMs = 60_000;

export function createDirectory(options: {
  readonly tables: Tables<UsersTables>;
  readonly secrets: Secrets;
  readonly tokens: AccessTokens;
  readonly tickets: Tickets;
  readonly issuers: Issuers;
  readonly clock: Clock;
  /** "live": keys made in development are nobody's. */
  readonly keyMode: KeyMode;
}): Directory {
  return new StoredDirectory(options.tables, options);
}

class StoredDirectory implements Directory {
  readonly #tables: Tables<UsersTables>;
  readonly #reads: UserReads;
  readonly #key: PreparedRead<KeyColumns>;
  readonly #secrets: Secrets;
  readonly #tokens: AccessTokens;
  readonly #tickets: Tickets;
  readonly #issuers: Issuers;
  readonly #clock: Clock;
  readonly #keyMode: KeyMode;

  constructor(tables: Tables<UsersTables>, options: Omit<Parameters<typeof createDirectory>[0], "tables">) {
    this.#tables = tables;
    this.#reads = prepareUserReads(tables);
    this.#key = prepareKeyRead(tables);
    this.#secrets = options.secrets;
    this.#tokens = options.tokens;
    this.#tickets = options.tickets;
    this.#issuers = options.issuers;
    this.#clock = options.clock;
    this.#keyMode = options.keyMode;
  }

  read(text: string): Maybe<Credential | undefined> {
    if (looksLikeTicket(text)) return this.#readTicket(text);
    if (!looksLikeKey(text)) return this.#readToken(text);
    const key = parseKey(text);
    if (key === undefined) return undefined;
    // A database that served in development holds the development key, which lay in a file.
    if (key.mode === "test" && this.#keyMode === "live") return undefined;
    const hash = this.#secrets.hashKey(key.text);
    return {
      expiresAt: Number.POSITIVE_INFINITY,
      principal: (address) => then(this.#key(key.id), (row) => this.#ofKey(key, { hash, row, address })),
    };
  }

  certificate(uri: string): Credential {
    return {
      expiresAt: Number.POSITIVE_INFINITY,
      principal: () => then(this.#reads.certificate(uri), (row) => row && this.#ofCertificate(uri, row)),
    };
  }

  scopesOf(tenant: string, user: string): Maybe<ReadonlySet<string> | undefined> {
    return then(this.#reads.tenant(tenant), (found) =>
      found?.state === "ACTIVE"
        ? then(this.#reads.user(tenant, user), (row) => this.#scopes(tenant, row))
        : undefined,
    );
  }

  async #readToken(text: string): Promise<Credential | undefined> {
    const grant = await this.#tokens.verify(text);
    if (grant !== undefined) return { expiresAt: grant.expiresAt, principal: () => this.#ofGrant(grant) };
    const foreign = await this.#issuers.verify(text);
    if (foreign === undefined) return undefined;
    return { expiresAt: foreign.expiresAt, principal: () => this.#ofForeign(foreign) };
  }

  #ofForeign(grant: ForeignGrant): Maybe<Principal | undefined> {
    const { tenant, user, roles, id, expiresAt } = grant;
    if (expiresAt <= this.#clock.now()) return undefined;
    return then(this.#owned(grant), (scopes) =>
      scopes === undefined
        ? undefined
        : {
            ...{ name: `users/${user}`, tenant, scopes, expiresAt, ...rolesOf(roles) },
            credential: `tokens/${id === "" ? user : id}`,
          },
    );
  }

  /**
   * What somebody may do by the roles that another issuer says, or else by those of the user. The tenant and its roles are ours, and so is a
   * user of the same id that somebody made in order to suspend it.
   */
  #owned(of: {
    readonly tenant: string;
    readonly user: string;
    readonly roles?: readonly string[] | undefined;
  }): Maybe<ReadonlySet<string> | undefined> {
    const { tenant, user, roles } = of;
    if (roles === undefined) return this.scopesOf(tenant, user);
    return then(this.#reads.tenant(tenant), (found) =>
      found?.state !== "ACTIVE"
        ? undefined
        : then(this.#reads.user(tenant, user), (row) =>
            row?.state === "SUSPENDED" ? undefined : this.#scopesOfRoles(tenant, roles),
          ),
    );
  }

  async #readTicket(text: string): Promise<Credential | undefined> {
    const row = await this.#tickets.take(text);
    if (row === undefined) return undefined;
    const { tenant, user_id: user, credential, credential_ends_at: endsAt, expires_at: expiresAt } = row;
    const wanted = new Set(JSON.parse(row.scopes) as string[]);
    const roles = row.roles === null ? undefined : (JSON.parse(row.roles) as string[]);
    return {
      expiresAt,
      once: true,
      principal: () =>
        then(this.#stands(tenant, credential, endsAt), (stands) =>
          then(stands ? this.#owned({ tenant, user, roles }) : undefined, (owned) =>
            owned === undefined
              ? undefined
              : {
                  ...{ name: `users/${user}`, tenant, scopes: narrowed(owned, wanted), credential },
                  ...rolesOf(roles),
                },
          ),
        ),
    };
  }

  /** Whether what a ticket was made with is still good: a stream that a ticket opened may go on for days. */
  #stands(tenant: string, credential: string, endsAt: number | null): Maybe<boolean> {
    const [kind, id = ""] = credential.split("/");
    const now = this.#clock.now();
    if (endsAt !== null && endsAt <= now) return false;
    if (kind === "sessions")
      return then(this.#reads.session(id, tenant, now), (session) => session !== undefined);
    if (kind === "apiKeys")
      return then(
        this.#key(id),
        (key) => key !== undefined && key.revoked_at === null && key.expires_at > now,
      );
    return true;
  }

  #ofKey(
    key: ParsedKey,
    found: { readonly hash: Uint8Array; readonly row: KeyColumns | undefined; readonly address: string },
  ): Maybe<Principal | undefined> {
    const { row, hash, address } = found;
    const now = this.#clock.now();
    if (row === undefined || row.revoked_at !== null || row.expires_at <= now) return undefined;
    const previous = row.previous_until !== null && row.previous_until > now ? row.previous_hash : null;
    if (!isEqual(hash, row.hash) && !isEqual(hash, previous)) return undefined;
    const networks = JSON.parse(row.networks) as string[];
    if (networks.length > 0 && !isInBlocks(address, networks)) return undefined;
    this.#note(row, { at: now, address });
    return then(this.scopesOf(row.tenant, row.owner), (owned) => {
      if (owned === undefined) return undefined;
      const wanted = JSON.parse(row.scopes) as string[];
      return {
        name: `users/${row.owner}`,
        tenant: row.tenant,
        scopes: wanted.length === 0 ? owned : narrowed(owned, new Set(wanted)),
        credential: `apiKeys/${key.id}`,
        expiresAt: row.expires_at,
      };
    });
  }

  #ofCertificate(
    uri: string,
    { tenant, user_id: user }: { readonly tenant: string; readonly user_id: string },
  ): Maybe<Principal | undefined> {
    return then(this.scopesOf(tenant, user), (scopes) =>
      scopes === undefined
        ? undefined
        : { name: `users/${user}`, tenant, scopes, credential: `certificates/${uri}` },
    );
  }

  #ofGrant(grant: VerifiedGrant): Maybe<Principal | undefined> {
    const now = this.#clock.now();
    if (grant.expiresAt <= now) return undefined;
    if (grant.session === "") return this.#granted(grant);
    return then(this.#reads.session(grant.session, grant.tenant, now), (session) =>
      session?.user_id === grant.user ? this.#granted(grant) : undefined,
    );
  }

  #granted(grant: VerifiedGrant): Maybe<Principal | undefined> {
    return then(this.#owned(grant), (owned) => {
      if (owned === undefined) return undefined;
      return {
        ...rolesOf(grant.roles),
        name: `users/${grant.user}`,
        tenant: grant.tenant,
        scopes: grant.scopes === undefined ? owned : narrowed(owned, new Set(grant.scopes)),
        credential: grant.session === "" ? `tokens/${grant.id}` : `sessions/${grant.session}`,
        expiresAt: grant.expiresAt,
      };
    });
  }

  #scopes(
    tenant: string,
    row: Pick<UserColumns, "state" | "roles"> | undefined,
  ): Maybe<ReadonlySet<string> | undefined> {
    // Invited people have no password; services need none, and are active from the start.
    if (row === undefined || row.state === "SUSPENDED") return undefined;
    return this.#scopesOfRoles(tenant, JSON.parse(row.roles) as string[]);
  }

  #scopesOfRoles(tenant: string, roles: readonly string[]): Maybe<ReadonlySet<string>> {
    const lists = roles.map((role) => {
      const own = builtInRole(role);
      return own === undefined
        ? then(this.#reads.role(tenant, role), (found) => JSON.parse(found?.scopes ?? "[]") as string[])
        : own.scopes;
    });
    return lists.some((list) => list instanceof Promise)
      ? Promise.all(lists.map((list) => Promise.resolve(list))).then((all) => new Set(all.flat()))
      : new Set((lists as (readonly string[])[]).flat());
  }

  #note(row: KeyColumns, use: { readonly at: number; readonly address: string }): void {
    if (row.last_used_at !== null && use.at - row.last_used_at < noteEveryMs) return;
    // A use that cannot be written down is no reason to refuse the call.
    void noteUse(this.#tables, row.id, use).catch(() => undefined);
  }
}

/** As a principal has them; a user of ours has its own. */
function rolesOf(roles: readonly string[] | undefined): Pick<Principal, "roles"> {
  return roles === undefined ? {} : { roles: roles.map((role) => `roles/${role}`) };
}

/** Goes on at once where there is nothing to wait for. */
function then<T, U>(value: Maybe<T>, next: (value: T) => Maybe<U>): Maybe<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
