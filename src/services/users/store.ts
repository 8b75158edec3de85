/**
 * Rows of users and roles. A store belongs to one tenant and cannot see another's rows: every statement names the tenant, and the
 * tenant is given once, when the store is made.
 */
import { type Kysely, type RawBuilder, type SqlBool, sql } from "kysely";
import { RpcError } from "#rpc/error.ts";
import type { Order } from "#storage/order.ts";
import type { Engine, PreparedRead, Tables } from "#storage/storage.ts";
import { builtInRole } from "./roles.ts";
import {
  type RoleRow,
  toRoleRow,
  toUserColumns,
  toUserRow,
  type UserColumns,
  type UserRow,
  type UsersTables,
} from "./tables.ts";

/** A total is counted no further than this. */
export const maxTotal = 10_000;

export interface UserQuery {
  readonly condition: RawBuilder<SqlBool> | undefined;
  readonly order: Order;
}

export class UsersStore {
  readonly #db: Kysely<UsersTables>;
  readonly #engine: Engine;
  readonly #tenant: string;

  /** @param db outside a transaction or inside one: the store does not care. */
  constructor(db: Kysely<UsersTables>, engine: Engine, tenant: string) {
    this.#db = db;
    this.#engine = engine;
    this.#tenant = tenant;
  }

  async find(id: string): Promise<UserRow | undefined> {
    const row = await this.#users().selectAll().where("id", "=", id).executeTakeFirst();
    return row === undefined ? undefined : toUserRow(row);
  }

  /** In any tenant: for the authorization server, whose subjects are uids. */
  static async findByUid(db: Kysely<UsersTables>, uid: string): Promise<UserRow | undefined> {
    const row = await db
      .selectFrom("users_users")
      .selectAll()
      .where("uid", "=", uid)
      .limit(1)
      .executeTakeFirst();
    return row === undefined ? undefined : toUserRow(row);
  }

  async findByEmail(email: string): Promise<UserRow | undefined> {
    const row = await this.#users().selectAll().where("email", "=", email).executeTakeFirst();
    return row === undefined ? undefined : toUserRow(row);
  }

  /** Like `find`, and nobody else changes the row until the transaction ends. */
  async lock(id: string): Promise<UserRow | undefined> {
    const query = this.#users().selectAll().where("id", "=", id);
    // SQLite has one writer at a time, and no word for it.
    const row = await (this.#engine === "postgres" ? query.forUpdate() : query).executeTakeFirst();
    return row === undefined ? undefined : toUserRow(row);
  }

  async findMany(ids: readonly string[]): Promise<Map<string, UserRow>> {
    const rows = await this.#users()
      .selectAll()
      .where("id", "in", [...ids])
      .execute();
    return new Map(rows.map((row) => [row.id, toUserRow(row)]));
  }

  async list(query: UserQuery, after: readonly (string | number)[], limit: number): Promise<UserColumns[]> {
    let select = this.#matching(query).selectAll().orderBy(query.order.clause).limit(limit);
    if (after.length > 0) select = select.where(query.order.after(after));
    return await select.execute();
  }

  /** At most `maxTotal`. */
  async count(query: UserQuery): Promise<number> {
    const { total } = await this.#db
      .selectFrom(this.#matching(query).select("id").limit(maxTotal).as("matching"))
      .select(({ fn }) => fn.countAll<number>().as("total"))
      .executeTakeFirstOrThrow();
    return total;
  }

  /** False: the id is taken. */
  async insert(row: UserRow): Promise<boolean> {
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("users_users")
      .values(toUserColumns(row))
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirstOrThrow();
    if (numInsertedOrUpdatedRows === 0n) return false;
    await this.#saveLists(row);
    return true;
  }

  async save(row: UserRow): Promise<void> {
    const { tenant: _tenant, id, uid: _uid, ...columns } = toUserColumns(row);
    await this.#db
      .updateTable("users_users")
      .set(columns)
      .where("tenant", "=", this.#tenant)
      .where("id", "=", id)
      .execute();
    await this.#saveLists(row);
  }

  /** With roles, keys and sessions. */
  async remove(id: string): Promise<void> {
    await this.#db
      .deleteFrom("users_user_roles")
      .where("tenant", "=", this.#tenant)
      .where("user_id", "=", id)
      .execute();
    await this.#db
      .deleteFrom("users_certificates")
      .where("tenant", "=", this.#tenant)
      .where("user_id", "=", id)
      .execute();
    await this.#db
      .deleteFrom("users_api_keys")
      .where("tenant", "=", this.#tenant)
      .where("owner", "=", id)
      .execute();
    await this.#db
      .deleteFrom("users_sessions")
      .where("tenant", "=", this.#tenant)
      .where("user_id", "=", id)
      .execute();
    await this.#db
      .deleteFrom("users_users")
      .where("tenant", "=", this.#tenant)
      .where("id", "=", id)
      .execute();
  }

  async findRole(id: string): Promise<RoleRow | undefined> {
    const own = builtInRole(id);
    if (own !== undefined) return own;
    const row = await this.#roles().where("id", "=", id).executeTakeFirst();
    return row === undefined ? undefined : toRoleRow(row);
  }

  /** Without the built-in ones; in the order of their ids. */
  async listRoles(): Promise<RoleRow[]> {
    return (await this.#roles().orderBy("id").execute()).map(toRoleRow);
  }

  /** False: the id is taken. */
  async insertRole(row: RoleRow): Promise<boolean> {
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("users_roles")
      .values({
        tenant: this.#tenant,
        id: row.id,
        version: row.version,
        display_name: row.displayName,
        description: row.description,
        scopes: JSON.stringify(row.scopes),
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirstOrThrow();
    return numInsertedOrUpdatedRows !== 0n;
  }

  async saveRole(row: RoleRow): Promise<void> {
    await this.#db
      .updateTable("users_roles")
      .set({
        version: row.version,
        display_name: row.displayName,
        description: row.description,
        scopes: JSON.stringify(row.scopes),
      })
      .where("tenant", "=", this.#tenant)
      .where("id", "=", row.id)
      .execute();
  }

  async removeRole(id: string): Promise<void> {
    await this.#db
      .deleteFrom("users_roles")
      .where("tenant", "=", this.#tenant)
      .where("id", "=", id)
      .execute();
  }

  async isRoleInUse(id: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom("users_user_roles")
      .select("role")
      .where("tenant", "=", this.#tenant)
      .where("role", "=", `roles/${id}`)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  async #saveLists(row: UserRow): Promise<void> {
    await this.#db
      .deleteFrom("users_user_roles")
      .where("tenant", "=", this.#tenant)
      .where("user_id", "=", row.id)
      .execute();
    await this.#db
      .deleteFrom("users_certificates")
      .where("tenant", "=", this.#tenant)
      .where("user_id", "=", row.id)
      .execute();
    await this.#saveCertificates(row);
    if (row.roles.length === 0) return;
    await this.#db
      .insertInto("users_user_roles")
      .values(row.roles.map((role) => ({ tenant: this.#tenant, user_id: row.id, role: `roles/${role}` })))
      .execute();
  }

  /** Each for one user of all tenants: what another has is not overwritten, and may not even be seen. */
  async #saveCertificates(row: UserRow): Promise<void> {
    if (row.certificates.length === 0) return;
    await this.#db
      .insertInto("users_certificates")
      .values(row.certificates.map((uri) => ({ uri, tenant: this.#tenant, user_id: row.id })))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const saved = await this.#db
      .selectFrom("users_certificates")
      .select("uri")
      .where("tenant", "=", this.#tenant)
      .where("user_id", "=", row.id)
      .execute();
    const own = new Set(saved.map(({ uri }) => uri));
    const taken = row.certificates.find((uri) => !own.has(uri));
    if (taken === undefined) return;
    // Another tenant's, perhaps: whose it is stays unsaid.
    throw new RpcError("already_exists", {
      reason: "CERTIFICATE_TAKEN",
      message: `user.certificates: ${taken} stands for another user`,
      metadata: { field: "user.certificates" },
    });
  }

  #users() {
    return this.#db.selectFrom("users_users").where("users_users.tenant", "=", this.#tenant);
  }

  #matching(query: UserQuery) {
    return query.condition === undefined ? this.#users() : this.#users().where(query.condition);
  }

  #roles() {
    return this.#db.selectFrom("users_roles").selectAll().where("tenant", "=", this.#tenant);
  }
}

/** Reads that every call may make: compiled once, whatever the tenant. */
export interface UserReads {
  readonly tenant: PreparedRead<{ readonly state: string }>;
  readonly user: PreparedRead<Pick<UserColumns, "state" | "roles">>;
  readonly role: PreparedRead<{ readonly scopes: string }>;
  readonly certificate: PreparedRead<{ readonly tenant: string; readonly user_id: string }>;
  /** Of a session that is open. */
  readonly session: PreparedRead<{ readonly user_id: string }>;
}

export function prepareUserReads(tables: Tables<UsersTables>): UserReads {
  return {
    tenant: tables.prepare((db, parameter) =>
      db.selectFrom("users_tenants").select("state").where("id", "=", parameter<string>(0)),
    ),
    user: tables.prepare(
      (db, parameter) =>
        db
          .selectFrom("users_users")
          .select(["state", "roles"])
          .where("tenant", "=", parameter<string>(0))
          .where("id", "=", parameter<string>(1)),
      "tenant",
    ),
    role: tables.prepare(
      (db, parameter) =>
        db
          .selectFrom("users_roles")
          .select("scopes")
          .where("tenant", "=", parameter<string>(0))
          .where("id", "=", parameter<string>(1)),
      "tenant",
    ),
    certificate: tables.prepare((db, parameter) =>
      db
        .selectFrom("users_certificates")
        .select(["tenant", "user_id"])
        .where("uri", "=", parameter<string>(0)),
    ),
    session: tables.prepare((db, parameter) =>
      db
        .selectFrom("users_sessions")
        .select("user_id")
        .where("id", "=", parameter<string>(0))
        .where("tenant", "=", parameter<string>(1))
        .where("expires_at", ">", parameter<number>(2)),
    ),
  };
}

/** For filters by a list of roles. */
export const inRoles = (condition: RawBuilder<SqlBool>): RawBuilder<SqlBool> =>
  sql<SqlBool>`EXISTS (SELECT 1 FROM users_user_roles WHERE users_user_roles.tenant = users_users.tenant AND users_user_roles.user_id = users_users.id AND ${condition})`;
