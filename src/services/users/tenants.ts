/** What can be done with tenants: the methods of TenantService. Those of the tenant "default" manage all; others see their own. */
import { randomUUID } from "node:crypto";
import type { CreateTenantRequest, Tenant, UpdateTenantRequest } from "#gen/portico/users/v1/users_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { homeTenant } from "#rpc/principal.ts";
import {
  alreadyExists,
  checkEtag,
  demand,
  maskedFields,
  notFound,
  required,
  wrongState,
} from "#rpc/resource.ts";
import type { Clock } from "#std/clock.ts";
import type { Tables } from "#storage/storage.ts";
import { tenantEtag, toTenant } from "./model.ts";
import type { Passwords } from "./passwords.ts";
import { UsersStore } from "./store.ts";
import type { TenantRow, UsersTables } from "./tables.ts";

export class Tenants {
  readonly #tables: Tables<UsersTables>;
  readonly #passwords: Passwords;
  readonly #clock: Clock;

  constructor(tables: Tables<UsersTables>, passwords: Passwords, clock: Clock) {
    this.#tables = tables;
    this.#passwords = passwords;
    this.#clock = clock;
  }

  async get(id: string, call: CallHead): Promise<Tenant> {
    const { tenant } = call.principal;
    const wanted = id === "mine" ? tenant : id;
    if (wanted !== tenant && tenant !== homeTenant) throw missing(wanted);
    return toTenant(await this.#known(wanted));
  }

  async list(call: CallHead) {
    const { tenant } = call.principal;
    let query = this.#tables.db.selectFrom("users_tenants").selectAll().orderBy("id").limit(1000);
    if (tenant !== homeTenant) query = query.where("id", "=", tenant);
    return { tenants: (await query.execute()).map(toTenant) };
  }

  async create(request: CreateTenantRequest, call: CallHead): Promise<Tenant> {
    demandHome(call);
    demand(await this.#passwords.check(request.adminPassword, "adminPassword"));
    const now = this.#clock.now();
    const row: TenantRow = {
      id: request.tenantId,
      version: 1,
      display_name: request.displayName === "" ? request.tenantId : request.displayName,
      state: "ACTIVE",
      created_at: now,
      updated_at: now,
    };
    const password = await this.#passwords.hash(request.adminPassword);
    await this.#tables.transaction(async (db) => {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("users_tenants")
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirstOrThrow();
      if (numInsertedOrUpdatedRows === 0n) throw alreadyExists(`tenants/${row.id}`, "choose another id");
      await new UsersStore(db, this.#tables.engine, row.id).insert({
        ...{ tenant: row.id, id: "admin", uid: randomUUID(), version: 1, displayName: "Administrator" },
        ...{ email: request.adminEmail.toLowerCase(), state: "ACTIVE", kind: "PERSON", roles: ["admin"] },
        ...{
          labels: {},
          certificates: [],
          password,
          createdAt: now,
          updatedAt: now,
          lastSignInAt: undefined,
        },
      });
    }, call);
    return toTenant(row);
  }

  async update(request: UpdateTenantRequest, call: CallHead): Promise<Tenant> {
    demandHome(call);
    const { displayName, id, etag } = required(request.tenant, "tenant");
    const fields = maskedFields(request.updateMask?.paths, ["display_name"], () => displayName !== "");
    return await this.#change({ id, etag }, call, () =>
      fields.length === 0 ? {} : { display_name: displayName },
    );
  }

  async suspend(id: string, call: CallHead): Promise<Tenant> {
    demandHome(call);
    if (id === homeTenant)
      throw new RpcError("permission_denied", {
        reason: "SELF_FORBIDDEN",
        message: `tenants/${homeTenant} cannot be suspended: nobody would be left to bring it back`,
      });
    return await this.#change({ id, etag: "" }, call, (row) => {
      if (row.state === "SUSPENDED") throw wrongState(`tenants/${id} is suspended already`);
      return { state: "SUSPENDED" };
    });
  }

  async reactivate(id: string, call: CallHead): Promise<Tenant> {
    demandHome(call);
    return await this.#change({ id, etag: "" }, call, (row) => {
      if (row.state === "ACTIVE") throw wrongState(`tenants/${id} is not suspended`);
      return { state: "ACTIVE" };
    });
  }

  async #change(
    { id, etag }: { readonly id: string; readonly etag: string },
    call: CallHead,
    change: (row: TenantRow) => Partial<TenantRow>,
  ): Promise<Tenant> {
    return await this.#tables.transaction(async (db) => {
      const query = db.selectFrom("users_tenants").selectAll().where("id", "=", id);
      const before = await (this.#tables.engine === "postgres"
        ? query.forUpdate()
        : query
      ).executeTakeFirst();
      if (before === undefined) throw missing(id);
      checkEtag(`tenants/${id}`, tenantEtag(before), etag);
      const after = {
        ...before,
        ...change(before),
        version: before.version + 1,
        updated_at: this.#clock.now(),
      };
      await db.updateTable("users_tenants").set(after).where("id", "=", id).execute();
      return toTenant(after);
    }, call);
  }

  async #known(id: string): Promise<TenantRow> {
    const row = await this.#tables.db
      .selectFrom("users_tenants")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    if (row === undefined) throw missing(id);
    return row;
  }
}

function missing(id: string): RpcError {
  return notFound(`tenants/${id.slice(0, 100)}`);
}

/** Administrators of other tenants may do everything, in their own. */
function demandHome(call: CallHead): void {
  if (call.principal.tenant === homeTenant) return;
  throw new RpcError("permission_denied", {
    reason: "SCOPE_EXCEEDED",
    message: `tenants are managed by administrators of tenants/${homeTenant}`,
  });
}
