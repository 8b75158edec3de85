/**
 * What the authorization server remembers, in our tables: found by keyed hashes and encrypted, so that a copy of the database holds
 * no code, no refresh token and no cookie that could be used.
 *
 * A grant, what a person allowed an application, is one of the person's sessions: it is listed with them, and ends with them.
 */
import { type Adapter, type AdapterPayload, errors } from "oidc-provider";
import type { Clock } from "#std/clock.ts";
import type { Tables } from "#storage/storage.ts";
import type { Secrets } from "../secrets.ts";
import { SessionStore } from "../session-store.ts";
import type { ArtifactRow, UsersTables } from "../tables.ts";

/** How long a grant may lie unused, in milliseconds: as long as any session. */
const idleMs = 24 * 3600 * 1000;

export interface AdapterOptions {
  readonly tables: Tables<UsersTables>;
  readonly secrets: Secrets;
  readonly clock: Clock;
  /** Clients are resources of their own. */
  readonly clients: {
    find(id: string): Promise<AdapterPayload | undefined>;
    register(id: string, payload: AdapterPayload): Promise<void>;
  };
  /** Whom a grant is from and for, for the list of sessions; undefined: nobody that may have one. */
  describe(payload: AdapterPayload): Promise<
    | {
        readonly tenant: string;
        readonly user: string;
        readonly application: string;
        readonly address: string;
      }
    | undefined
  >;
}

export function createAdapter(options: AdapterOptions): (model: string) => Adapter {
  return (model) => (model === "Client" ? clientAdapter(options) : new StoredAdapter(model, options));
}

/** The session that a grant is: a name that says nothing of the grant's own. */
export function sessionOf(secrets: Secrets, grantId: string): string {
  return `oauth-${secrets.oauth.hash(`session ${grantId}`).slice(0, 26)}`;
}

function clientAdapter({ clients }: AdapterOptions): Adapter {
  const never = () => Promise.reject(new Error("clients are resources of OAuthClientService"));
  return {
    find: (id) => clients.find(id),
    upsert: (id, payload) => clients.register(id, payload),
    findByUserCode: async () => undefined,
    findByUid: async () => undefined,
    consume: never,
    destroy: never,
    revokeByGrantId: never,
  };
}

class StoredAdapter implements Adapter {
  readonly #model: string;
  readonly #options: AdapterOptions;

  constructor(model: string, options: AdapterOptions) {
    this.#model = model;
    this.#options = options;
  }

  async upsert(id: string, payload: AdapterPayload, expiresIn: number | undefined): Promise<void> {
    const { secrets, clock, tables } = this.#options;
    const isGrant = this.#model === "Grant";
    const hashed = (text: unknown): string =>
      typeof text === "string" && text !== "" ? secrets.oauth.hash(text) : "";
    const row: ArtifactRow = {
      id: this.#key(id),
      model: this.#model,
      client: hashed(payload.clientId),
      grant_id: isGrant ? hashed(id) : hashed(payload.grantId),
      uid: isGrant ? sessionOf(secrets, id) : hashed(payload.uid),
      user_code: hashed(payload.userCode),
      payload: secrets.oauth.encrypt(JSON.stringify(payload)),
      consumed_at: null,
      expires_at: clock.now() + (expiresIn ?? 24 * 3600) * 1000,
    };
    const { id: _id, consumed_at: _consumed, ...columns } = row;
    const person = isGrant ? await this.#options.describe(payload) : undefined;
    await tables.transaction(async (db) => {
      await db
        .insertInto("users_oauth_artifacts")
        .values(row)
        .onConflict((conflict) => conflict.column("id").doUpdateSet(columns))
        .execute();
      const now = clock.now();
      const sessionEnd = Math.min(now + idleMs, row.expires_at);
      if (this.#model === "RefreshToken" && typeof payload.grantId === "string")
        await db
          .updateTable("users_sessions")
          .set({ last_used_at: now, expires_at: sessionEnd })
          .where("id", "=", sessionOf(secrets, payload.grantId))
          .execute();
      if (person === undefined) return;
      const store = new SessionStore(db, tables.engine);
      if ((await store.lock(row.uid)) !== undefined) return;
      await store.insert({
        id: row.uid,
        tenant: person.tenant,
        user_id: person.user,
        // No refresh token of AuthService is this long.
        token: new Uint8Array(0),
        previous_token: null,
        rotated_at: now,
        client: row.client,
        user_agent: `${person.application} (OAuth)`,
        address: person.address,
        created_at: now,
        last_used_at: now,
        expires_at: sessionEnd,
      });
    });
  }

  async find(id: string): Promise<AdapterPayload | undefined> {
    return await this.#read("id", this.#key(id));
  }

  async findByUid(uid: string): Promise<AdapterPayload | undefined> {
    return await this.#read("uid", this.#options.secrets.oauth.hash(uid));
  }

  async findByUserCode(userCode: string): Promise<AdapterPayload | undefined> {
    return await this.#read("user_code", this.#options.secrets.oauth.hash(userCode));
  }

  /** Of two that come at once with one code or token, one has it. */
  async consume(id: string): Promise<void> {
    const { tables, clock } = this.#options;
    const { numUpdatedRows } = await tables.db
      .updateTable("users_oauth_artifacts")
      .set({ consumed_at: clock.now() })
      .where("id", "=", this.#key(id))
      .where("consumed_at", "is", null)
      .executeTakeFirst();
    if (numUpdatedRows !== 1n) throw new errors.InvalidGrant("already used");
  }

  async destroy(id: string): Promise<void> {
    const { tables, secrets } = this.#options;
    await tables.transaction(async (db) => {
      await db.deleteFrom("users_oauth_artifacts").where("id", "=", this.#key(id)).execute();
      if (this.#model === "Grant")
        await db.deleteFrom("users_sessions").where("id", "=", sessionOf(secrets, id)).execute();
    });
  }

  async revokeByGrantId(grantId: string): Promise<void> {
    const { tables, secrets } = this.#options;
    await tables.db
      .deleteFrom("users_oauth_artifacts")
      .where("grant_id", "=", secrets.oauth.hash(grantId))
      .where("model", "=", this.#model)
      .execute();
  }

  async #read(column: "id" | "uid" | "user_code", value: string): Promise<AdapterPayload | undefined> {
    const { tables, clock, secrets } = this.#options;
    const row = await tables.db
      .selectFrom("users_oauth_artifacts")
      .selectAll()
      .where(column, "=", value)
      .where("model", "=", this.#model)
      .where("expires_at", ">", clock.now())
      .executeTakeFirst();
    if (row === undefined) return undefined;
    if (this.#model === "Grant" && !(await this.#hasSession(row.uid))) return undefined;
    const payload = JSON.parse(secrets.oauth.decrypt(row.payload)) as AdapterPayload;
    return row.consumed_at === null
      ? payload
      : { ...payload, consumed: Math.floor(row.consumed_at / 1000) as never };
  }

  /** Who ended the session ended the grant. */
  async #hasSession(id: string): Promise<boolean> {
    const { tables, clock } = this.#options;
    const row = await tables.db
      .selectFrom("users_sessions")
      .select("id")
      .where("id", "=", id)
      .where("expires_at", ">", clock.now())
      .executeTakeFirst();
    return row !== undefined;
  }

  #key(id: string): string {
    return this.#options.secrets.oauth.hash(`${this.#model} ${id}`);
  }
}
