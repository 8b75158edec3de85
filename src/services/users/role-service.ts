/** What can be done with roles: the methods of RoleService, over the store. */
import type { CreateRoleRequest, Role, UpdateRoleRequest } from "#gen/portico/users/v1/users_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { alreadyExists, checkEtag, maskedFields, notFound, required } from "#rpc/resource.ts";
import type { Tables } from "#storage/storage.ts";
import { roleEtag, toRole } from "./model.ts";
import { demandScopes } from "./rights.ts";
import { builtInRole, builtInRoles } from "./roles.ts";
import { UsersStore } from "./store.ts";
import type { RoleRow, UsersTables } from "./tables.ts";

const mutable = ["display_name", "description", "scopes"] as const;
type MutableField = (typeof mutable)[number];

export class RoleMethods {
  readonly #tables: Tables<UsersTables>;

  constructor(tables: Tables<UsersTables>) {
    this.#tables = tables;
  }

  async get(id: string, call: CallHead): Promise<Role> {
    return toRole(await known(this.#store(call), id));
  }

  async list(call: CallHead) {
    const own = await this.#store(call).listRoles();
    const all = [...builtInRoles, ...own].sort((a, b) => (a.id < b.id ? -1 : 1));
    return { roles: all.map(toRole) };
  }

  async create(request: CreateRoleRequest, call: CallHead): Promise<Role> {
    const role = required(request.role, "role");
    demandScopes(call.principal, role.scopes, "such a role");
    const row: RoleRow = {
      id: request.roleId,
      version: 1,
      displayName: role.displayName === "" ? request.roleId : role.displayName,
      description: role.description,
      scopes: [...new Set(role.scopes)].sort(),
    };
    await this.#tables.of(call.principal.tenant).transaction(async (db) => {
      const store = new UsersStore(db, this.#tables.engine, call.principal.tenant);
      if (builtInRole(row.id) !== undefined || !(await store.insertRole(row)))
        throw alreadyExists(`roles/${row.id}`, "choose another id, or update it");
    }, call);
    return toRole(row);
  }

  async update(request: UpdateRoleRequest, call: CallHead): Promise<Role> {
    const role = required(request.role, "role");
    const fields = maskedFields(request.updateMask?.paths, mutable, (name) => isPresent(name, role));
    return await this.#tables.of(call.principal.tenant).transaction(async (db) => {
      const store = new UsersStore(db, this.#tables.engine, call.principal.tenant);
      const before = await changeable(store, role.id);
      checkEtag(`roles/${before.id}`, roleEtag(before), role.etag);
      demandScopes(call.principal, before.scopes, `changing roles/${before.id}`);
      const after: RoleRow = {
        ...before,
        version: before.version + 1,
        ...(fields.includes("display_name") ? { displayName: role.displayName } : {}),
        ...(fields.includes("description") ? { description: role.description } : {}),
        ...(fields.includes("scopes") ? { scopes: [...new Set(role.scopes)].sort() } : {}),
      };
      demandScopes(call.principal, after.scopes, "such a role");
      await store.saveRole(after);
      return toRole(after);
    }, call);
  }

  async remove(request: { readonly id: string; readonly etag: string }, call: CallHead): Promise<void> {
    await this.#tables.of(call.principal.tenant).transaction(async (db) => {
      const store = new UsersStore(db, this.#tables.engine, call.principal.tenant);
      const row = await changeable(store, request.id);
      checkEtag(`roles/${row.id}`, roleEtag(row), request.etag);
      demandScopes(call.principal, row.scopes, `deleting roles/${row.id}`);
      if (await store.isRoleInUse(row.id))
        throw new RpcError("failed_precondition", {
          reason: "ROLE_IN_USE",
          message: `users have roles/${row.id}; take it from them first (list them with filter roles = "roles/${row.id}")`,
          metadata: { resource: `roles/${row.id}` },
        });
      await store.removeRole(row.id);
    }, call);
  }

  #store(call: CallHead): UsersStore {
    const { tenant } = call.principal;
    return new UsersStore(this.#tables.of(tenant).db, this.#tables.engine, tenant);
  }
}

async function known(store: UsersStore, id: string): Promise<RoleRow> {
  const row = await store.findRole(id);
  if (row === undefined) throw notFound(`roles/${id.slice(0, 100)}`);
  return row;
}

async function changeable(store: UsersStore, id: string): Promise<RoleRow> {
  const row = await known(store, id);
  if (row.version === 0)
    throw new RpcError("failed_precondition", {
      reason: "ROLE_BUILT_IN",
      message: `roles/${id} is built in and cannot be changed; create a role of your own`,
      metadata: { resource: `roles/${id}` },
    });
  return row;
}

function isPresent(name: MutableField, role: Role): boolean {
  switch (name) {
    case "display_name":
      return role.displayName !== "";
    case "description":
      return role.description !== "";
    case "scopes":
      return role.scopes.length > 0;
  }
}
