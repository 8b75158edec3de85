/** Rows of API keys: found by their id alone when somebody shows one, and inside a tenant by everybody else. */
import type { Kysely } from "kysely";
import type { Engine, PreparedRead, Tables } from "#storage/storage.ts";
import type { KeyColumns, UsersTables } from "./tables.ts";

export class KeyStore {
  readonly #db: Kysely<UsersTables>;
  readonly #engine: Engine;
  readonly #tenant: string;

  constructor(db: Kysely<UsersTables>, engine: Engine, tenant: string) {
    this.#db = db;
    this.#engine = engine;
    this.#tenant = tenant;
  }

  async find(id: string): Promise<KeyColumns | undefined> {
    return await this.#keys().where("id", "=", id).executeTakeFirst();
  }

  /** Like `find`, and nobody else changes the row until the transaction ends. */
  async lock(id: string): Promise<KeyColumns | undefined> {
    const query = this.#keys().where("id", "=", id);
    return await (this.#engine === "postgres" ? query.forUpdate() : query).executeTakeFirst();
  }

  /** In the order of their ids. @param owner absent: everybody's. */
  async list(owner: string | undefined, after: string, limit: number): Promise<KeyColumns[]> {
    let query = this.#keys().where("id", ">", after).orderBy("id").limit(limit);
    if (owner !== undefined) query = query.where("owner", "=", owner);
    return await query.execute();
  }

  /** Writes over a key of the same id and tenant: the development key comes from a file. */
  async put(row: KeyColumns): Promise<void> {
    const { id: _id, tenant: _tenant, ...columns } = row;
    await this.#db
      .insertInto("users_api_keys")
      .values({ ...row, tenant: this.#tenant })
      .onConflict((conflict) => conflict.column("id").doUpdateSet(columns))
      .execute();
  }
  async save(row: KeyColumns): Promise<void> {
    const { id, tenant: _tenant, ...columns } = row;
    await this.#db
      .updateTable("users_api_keys")
      .set(columns)
      .where("tenant", "=", this.#tenant)
      .where("id", "=", id)
      .execute();
  }

  #keys() {
    return this.#db.selectFrom("users_api_keys").selectAll().where("tenant", "=", this.#tenant);
  }
}

export function prepareKeyRead(tables: Tables<UsersTables>): PreparedRead<KeyColumns> {
  return tables.prepare((db, parameter) =>
    db.selectFrom("users_api_keys").selectAll().where("id", "=", parameter<string>(0)),
  );
}

/** Keeps when and from where a key was used. */
export async function noteUse(
  tables: Tables<UsersTables>,
  id: string,
  use: { readonly at: number; readonly address: string },
): Promise<void> {
  await tables.db
    .updateTable("users_api_keys")
    .set({ last_used_at: use.at, last_used_address: use.address })
    .where("id", "=", id)
    .execute();
}
