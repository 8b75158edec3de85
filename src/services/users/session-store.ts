/** Rows of sessions: found by their id alone when a refresh token is shown, and inside a tenant by everybody else. */
import type { Kysely } from "kysely";
import type { Engine } from "#storage/storage.ts";
import type { SessionRow, UsersTables } from "./tables.ts";

export class SessionStore {
  readonly #db: Kysely<UsersTables>;
  readonly #engine: Engine;

  constructor(db: Kysely<UsersTables>, engine: Engine) {
    this.#db = db;
    this.#engine = engine;
  }

  async insert(row: SessionRow): Promise<void> {
    await this.#db.insertInto("users_sessions").values(row).execute();
  }

  /** Nobody else changes the row until the transaction ends. */
  async lock(id: string): Promise<SessionRow | undefined> {
    const query = this.#db.selectFrom("users_sessions").selectAll().where("id", "=", id);
    return await (this.#engine === "postgres" ? query.forUpdate() : query).executeTakeFirst();
  }

  async save(row: SessionRow): Promise<void> {
    const { id, tenant: _tenant, user_id: _user, ...columns } = row;
    await this.#db.updateTable("users_sessions").set(columns).where("id", "=", id).execute();
  }

  /** Open ones, the latest first; at most 1000. */
  async list(tenant: string, user: string, now: number): Promise<SessionRow[]> {
    return await this.#db
      .selectFrom("users_sessions")
      .selectAll()
      .where("tenant", "=", tenant)
      .where("user_id", "=", user)
      .where("expires_at", ">", now)
      .orderBy("created_at", "desc")
      .limit(1000)
      .execute();
  }

  /** @param only ids; absent: all. @param but one that stays. */
  async remove(
    of: { readonly tenant: string; readonly user: string },
    which: { readonly only?: readonly string[]; readonly but?: string } = {},
  ): Promise<void> {
    let query = this.#db
      .deleteFrom("users_sessions")
      .where("tenant", "=", of.tenant)
      .where("user_id", "=", of.user);
    if (which.only !== undefined) query = query.where("id", "in", [...which.only]);
    if (which.but !== undefined) query = query.where("id", "<>", which.but);
    await query.execute();
  }

  async removeOne(id: string): Promise<void> {
    await this.#db.deleteFrom("users_sessions").where("id", "=", id).execute();
  }

  async removeExpired(now: number): Promise<void> {
    await this.#db.deleteFrom("users_sessions").where("expires_at", "<=", now).execute();
  }
}
