/** What can be done with users: the methods of UserService, over the store. */
import { randomUUID } from "node:crypto";
import type {
  CreateUserRequest,
  ListUsersRequest,
  RevokeSessionsRequest,
  UpdateUserRequest,
  User,
} from "#gen/portico/users/v1/users_pb.ts";
import { User_Kind } from "#gen/portico/users/v1/users_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { EventLog } from "#rpc/event.ts";
import { allows } from "#rpc/principal.ts";
import {
  alreadyExists,
  checkEtag,
  demand,
  inBatch,
  maskedFields,
  notFound,
  type PageSizes,
  pageSize,
  required,
  type Violation,
  within,
  wrongState,
} from "#rpc/resource.ts";
import type { UnitOfWork } from "#rpc/unit-of-work.ts";
import type { Clock } from "#std/clock.ts";
import { ulid } from "#std/ulid.ts";
import { parseFilter } from "#storage/filter.ts";
import { type FilterFields, toCondition } from "#storage/filter-sql.ts";
import { type OrderFields, parseOrder } from "#storage/order.ts";
import { createPageTokens, type PageTokens } from "#storage/page-token.ts";
import type { Tables } from "#storage/storage.ts";
import type { Directory } from "./directory.ts";
import { toGuest, toSelf, toSession, toUser, userEtag } from "./model.ts";
import type { Passwords } from "./passwords.ts";
import { demandScopes, idOrMe, ownId, selfForbidden } from "./rights.ts";
import { SessionStore } from "./session-store.ts";
import { inRoles, UsersStore } from "./store.ts";
import { toUserRow, type UserColumns, type UserRow, type UsersTables } from "./tables.ts";

export interface AccountsOptions {
  readonly tables: Tables<UsersTables>;
  readonly directory: Directory;
  readonly passwords: Passwords;
  readonly secret: Uint8Array;
  readonly clock: Clock;
  readonly pages?: PageSizes | undefined;
  readonly events: EventLog;
}

const text = (column: string) => ({ type: "text", column: `users_users.${column}` }) as const;
const time = (column: string) => ({ type: "time", column: `users_users.${column}` }) as const;
const filterFields: FilterFields = {
  id: text("id"),
  display_name: text("display_name"),
  email: text("email"),
  state: text("state"),
  kind: text("kind"),
  roles: { type: "text", column: "users_user_roles.role", exists: inRoles },
  labels: { type: "map", column: "users_users.labels" },
  create_time: time("created_at"),
  update_time: time("updated_at"),
  last_sign_in_time: time("last_sign_in_at"),
};
const orderFields: OrderFields = {
  id: "id",
  display_name: "display_name",
  email: "email",
  create_time: "created_at",
};

/** What of a call matters here. */
type Caller = Pick<CallHead, "principal" | keyof UnitOfWork>;

const mutable = ["display_name", "email", "roles", "kind", "labels", "certificates"] as const;
type MutableField = (typeof mutable)[number];
/** What people may change of themselves. */
const ownFields: readonly MutableField[] = ["display_name", "labels"];

export class Accounts {
  readonly #options: AccountsOptions;
  readonly #tokens: PageTokens;

  constructor(options: AccountsOptions) {
    this.#options = options;
    this.#tokens = createPageTokens(options.secret, options.clock);
  }

  async get(given: string, call: CallHead): Promise<User> {
    const { principal } = call;
    const id = idOrMe(given, call);
    const row = await this.#store(call).find(id);
    if (row === undefined) {
      const own = id === ownId(principal) ? toGuest(principal) : undefined;
      if (own === undefined) throw missing(id);
      return own;
    }
    // Who asks who they are asks what they may do with what they showed.
    return given === "me" || given === "" ? toSelf(row, principal) : await this.#toUser(row);
  }

  /** In the order of the ids; one that is missing fails the call. */
  async getMany(ids: readonly string[], call: CallHead): Promise<User[]> {
    const rows = await this.#store(call).findMany(ids.map((id) => idOrMe(id, call)));
    const users: User[] = [];
    for (const [index, id] of ids.entries()) {
      const row = rows.get(idOrMe(id, call));
      if (row === undefined) throw inBatch("ids", index, missing(id));
      users.push(await this.#toUser(row));
    }
    return users;
  }

  async list(request: ListUsersRequest, call: CallHead) {
    const store = this.#store(call);
    const size = pageSize(request.pageSize, this.#options.pages);
    const filter = parseFilter(request.filter);
    const scope = {
      engine: this.#options.tables.engine,
      fields: filterFields,
      anywhere: ["id", "display_name", "email"],
    };
    const query = {
      condition: filter === undefined ? undefined : toCondition(filter, scope),
      order: parseOrder(request.orderBy, orderFields, "id"),
    };
    const bound = JSON.stringify(["users", call.principal.tenant, request.filter, request.orderBy]);
    const after = request.pageToken === "" ? [] : this.#tokens.open(request.pageToken, bound);
    const rows = await store.list(query, after, size + 1);
    const page = rows.slice(0, size);
    const last = page.at(-1);
    const cursor = last && query.order.columns.map(({ column }) => last[column as keyof UserColumns] ?? "");
    return {
      users: await Promise.all(page.map((row) => this.#toUser(toUserRow(row)))),
      nextPageToken: rows.length > size && cursor !== undefined ? this.#tokens.seal(cursor, bound) : "",
      ...(request.includeTotalSize ? { totalSize: await store.count(query) } : {}),
    };
  }

  /** All or none. @param field name of the batch in errors; absent: a single request. */
  async create(requests: readonly CreateUserRequest[], call: Caller, field?: string): Promise<User[]> {
    const rows: UserRow[] = [];
    for (const [index, request] of requests.entries())
      await within(field, index, async () => {
        rows.push(await this.#fresh(request, call));
      });
    await this.#transaction(call, async (store) => {
      for (const [index, row] of rows.entries())
        await within(field, index, async () => {
          await this.#checkRoles(store, row.roles, call);
          await checkEmail(store, row);
          if (!(await store.insert(row)))
            throw alreadyExists(`users/${row.id}`, "choose another id, or update it");
          this.#tell("created", row, call);
        });
    });
    return await Promise.all(rows.map((row) => this.#toUser(row)));
  }

  async update(request: UpdateUserRequest, call: CallHead): Promise<User> {
    const user = requiredUser(request.user);
    const id = idOrMe(user.id, call);
    const fields = maskedFields(request.updateMask?.paths, mutable, (name) => isPresent(name, user));
    if (!allows(call.principal.scopes, "users:write")) demandOwn(fields);
    const row = await this.#transaction(call, async (store) => {
      const before = await this.#outranked(store, id, call);
      checkEtag(`users/${id}`, userEtag(before), user.etag);
      const after = this.#changed(before, pick(fields, user));
      if (fields.includes("roles")) await this.#checkRoles(store, after.roles, call);
      if (after.email !== before.email) await checkEmail(store, after);
      await store.save(after);
      this.#tell("updated", after, call);
      return after;
    });
    return await this.#toUser(row);
  }

  async remove(request: { readonly id: string; readonly etag: string }, call: CallHead): Promise<void> {
    const id = idOrMe(request.id, call);
    if (id === ownId(call.principal)) throw selfForbidden("delete");
    await this.#transaction(call, async (store) => {
      const before = await this.#outranked(store, id, call);
      checkEtag(`users/${id}`, userEtag(before), request.etag);
      await store.remove(id);
      this.#tell("deleted", before, call);
    });
  }

  async suspend(given: string, call: CallHead): Promise<User> {
    const id = idOrMe(given, call);
    if (id === ownId(call.principal)) throw selfForbidden("suspend");
    const row = await this.#transaction(call, async (store, sessions) => {
      const before = await this.#outranked(store, id, call);
      if (before.state === "SUSPENDED") throw wrongState(`users/${id} is suspended already`);
      const after = this.#changed(before, { state: "SUSPENDED" });
      await store.save(after);
      await sessions.remove({ tenant: before.tenant, user: id });
      this.#tell("updated", after, call);
      return after;
    });
    return await this.#toUser(row);
  }

  async reactivate(given: string, call: CallHead): Promise<User> {
    const id = idOrMe(given, call);
    const row = await this.#transaction(call, async (store) => {
      const before = await this.#outranked(store, id, call);
      if (before.state !== "SUSPENDED") throw wrongState(`users/${id} is not suspended`);
      const after = this.#changed(before, { state: stateOf(before) });
      await store.save(after);
      this.#tell("updated", after, call);
      return after;
    });
    return await this.#toUser(row);
  }

  async listSessions(given: string, call: CallHead) {
    const { principal } = call;
    const row = await this.#known(this.#store(call), idOrMe(given, call));
    const { tables, clock } = this.#options;
    const sessions = await new SessionStore(tables.of(row.tenant).db, tables.engine).list(
      row.tenant,
      row.id,
      clock.now(),
    );
    const current = principal.credential.replace(/^sessions\//, "");
    return { sessions: sessions.map((session) => toSession(session, current)) };
  }

  async revokeSessions(request: RevokeSessionsRequest, call: CallHead): Promise<void> {
    const id = idOrMe(request.id, call);
    await this.#transaction(call, async (store, sessions) => {
      const row = await this.#outranked(store, id, call);
      const only = request.sessionIds.length === 0 ? {} : { only: request.sessionIds };
      await sessions.remove({ tenant: row.tenant, user: row.id }, only);
    });
  }

  #tell(what: string, row: UserRow, call: Caller): void {
    const data = { displayName: row.displayName, state: row.state };
    this.#options.events.record(
      { type: `user.${what}`, subject: `users/${row.id}`, etag: userEtag(row), data },
      call,
    );
  }

  #store(call: CallHead): UsersStore {
    const { tables } = this.#options;
    const { tenant } = call.principal;
    return new UsersStore(tables.of(tenant).db, tables.engine, tenant);
  }

  #transaction<T>(call: Caller, work: (store: UsersStore, sessions: SessionStore) => Promise<T>): Promise<T> {
    const { tables } = this.#options;
    return tables
      .of(call.principal.tenant)
      .transaction(
        (db) =>
          work(new UsersStore(db, tables.engine, call.principal.tenant), new SessionStore(db, tables.engine)),
        call,
      );
  }

  /** A malformed id is like one that does not exist. */
  async #known(store: UsersStore, id: string): Promise<UserRow> {
    const row = await store.find(id);
    if (row === undefined) throw missing(id);
    return row;
  }

  /** The row of somebody who may not do more than the caller; the caller's own too. */
  async #outranked(store: UsersStore, id: string, call: CallHead): Promise<UserRow> {
    const row = await store.lock(id);
    if (row === undefined) throw missing(id);
    if (id !== ownId(call.principal))
      for (const role of row.roles)
        demandScopes(call.principal, (await store.findRole(role))?.scopes ?? [], `changing users/${id}`);
    return row;
  }

  async #checkRoles(store: UsersStore, roles: readonly string[], call: Caller): Promise<void> {
    for (const [index, id] of roles.entries()) {
      const role = await store.findRole(id);
      if (role === undefined)
        demand([{ field: `user.roles[${index}]`, description: `there is no roles/${id.slice(0, 80)}` }]);
      else demandScopes(call.principal, role.scopes, `giving roles/${id}`);
    }
  }

  async #fresh(request: CreateUserRequest, call: Caller): Promise<UserRow> {
    const user = requiredUser(request.user);
    const violations: Violation[] = [];
    const kind = user.kind === User_Kind.SERVICE ? "SERVICE" : "PERSON";
    if (request.password !== "")
      violations.push(...(await this.#options.passwords.check(request.password, "password")));
    if (request.password !== "" && kind === "SERVICE")
      violations.push({ field: "password", description: "services have API keys instead of passwords" });
    if (kind === "PERSON" && user.email === "")
      violations.push({ field: "user.email", description: "must be given for a person" });
    demand(violations);
    const now = this.#options.clock.now();
    const password = request.password === "" ? "" : await this.#options.passwords.hash(request.password);
    const id = request.userId === "" ? `usr-${ulid(now)}` : request.userId;
    return {
      tenant: call.principal.tenant,
      id,
      uid: randomUUID(),
      version: 1,
      displayName: user.displayName === "" ? id : user.displayName,
      email: user.email.toLowerCase(),
      state: stateOf({ kind, password }),
      kind,
      roles: rolesOf(user),
      labels: user.labels,
      certificates: [...new Set(user.certificates)].sort(),
      password,
      createdAt: now,
      updatedAt: now,
      lastSignInAt: undefined,
    };
  }

  #changed(before: UserRow, changes: Partial<UserRow>): UserRow {
    return { ...before, ...changes, version: before.version + 1, updatedAt: this.#options.clock.now() };
  }

  async #toUser(row: UserRow): Promise<User> {
    const scopes = await this.#options.directory.scopesOf(row.tenant, row.id);
    return toUser(row, scopes ?? new Set());
  }
}

/** People without a password cannot do anything yet; services do not need one. */
function stateOf(row: Pick<UserRow, "kind" | "password">): "ACTIVE" | "INVITED" {
  return row.kind === "SERVICE" || row.password !== "" ? "ACTIVE" : "INVITED";
}

function missing(id: string): RpcError {
  return notFound(`users/${id.slice(0, 100)}`);
}

function requiredUser(given: User | undefined): User {
  const user = required(given, "user");
  if (user.name !== "" && !user.name.startsWith("users/"))
    demand([{ field: "user.name", description: "is the resource name; put the label into displayName" }]);
  return user;
}

function demandOwn(fields: readonly MutableField[]): void {
  const forbidden = fields.find((field) => !ownFields.includes(field));
  if (forbidden === undefined) return;
  throw new RpcError("permission_denied", {
    reason: "SCOPE_MISSING",
    message: `changing ${forbidden} needs users:write; of yourself you may change ${ownFields.join(" and ")}`,
    metadata: { scopes: "users:write", field: forbidden },
  });
}

function isPresent(name: MutableField, user: User): boolean {
  switch (name) {
    case "display_name":
      return user.displayName !== "";
    case "email":
      return user.email !== "";
    case "roles":
      return user.roles.length > 0;
    case "kind":
      return user.kind !== User_Kind.KIND_UNSPECIFIED;
    case "labels":
      return Object.keys(user.labels).length > 0;
    case "certificates":
      return user.certificates.length > 0;
  }
}

function pick(fields: readonly MutableField[], user: User): Partial<UserRow> {
  return {
    ...(fields.includes("display_name") ? { displayName: user.displayName } : {}),
    ...(fields.includes("email") ? { email: user.email.toLowerCase() } : {}),
    ...(fields.includes("roles") ? { roles: rolesOf(user) } : {}),
    ...(fields.includes("kind") ? { kind: user.kind === User_Kind.SERVICE ? "SERVICE" : "PERSON" } : {}),
    ...(fields.includes("labels") ? { labels: user.labels } : {}),
    ...(fields.includes("certificates") ? { certificates: [...new Set(user.certificates)].sort() } : {}),
  };
}

/** Ids, each once, in order. */
function rolesOf(user: User): readonly string[] {
  return [...new Set(user.roles.map((role) => role.slice("roles/".length)))].sort();
}

async function checkEmail(store: UsersStore, row: UserRow): Promise<void> {
  if (row.email === "") return;
  const other = await store.findByEmail(row.email);
  if (other === undefined || other.id === row.id) return;
  throw new RpcError("already_exists", {
    reason: "EMAIL_TAKEN",
    message: `user.email: users/${other.id} has this e-mail`,
    metadata: { resource: `users/${other.id}`, field: "user.email" },
  });
}
