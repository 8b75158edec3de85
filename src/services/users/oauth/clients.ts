/** What can be done with OAuth clients: the methods of OAuthClientService, and how the authorization server finds them. */
import { randomBytes } from "node:crypto";
import type { Kysely } from "kysely";
import {
  type OAuthClient,
  OAuthClient_Kind,
  type UpdateOAuthClientRequest,
} from "#gen/portico/users/v1/oauth_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import {
  checkEtag,
  demand,
  maskedFields,
  notFound,
  type PageSizes,
  pageSize,
  required,
  type Violation,
} from "#rpc/resource.ts";
import type { UnitOfWork } from "#rpc/unit-of-work.ts";
import type { Clock } from "#std/clock.ts";
import { ulid } from "#std/ulid.ts";
import { createPageTokens, type PageTokens } from "#storage/page-token.ts";
import type { Tables } from "#storage/storage.ts";
import { oauthClientEtag, toOAuthClient } from "../model.ts";
import { demandScopes } from "../rights.ts";
import type { Secrets } from "../secrets.ts";
import { UsersStore } from "../store.ts";
import type { OAuthClientRow, UsersTables } from "../tables.ts";

export interface OAuthClientsOptions {
  readonly tables: Tables<UsersTables>;
  readonly secrets: Secrets;
  readonly secret: Uint8Array;
  readonly clock: Clock;
  readonly pages?: PageSizes | undefined;
}

const mutable = ["display_name", "redirect_uris", "scopes"] as const;
type MutableField = (typeof mutable)[number];
const kinds: Readonly<Partial<Record<OAuthClient_Kind, OAuthClientRow["kind"]>>> = {
  [OAuthClient_Kind.PUBLIC]: "PUBLIC",
  [OAuthClient_Kind.CONFIDENTIAL]: "CONFIDENTIAL",
  [OAuthClient_Kind.SERVICE]: "SERVICE",
};

export class OAuthClients {
  readonly #options: OAuthClientsOptions;
  readonly #tokens: PageTokens;

  constructor(options: OAuthClientsOptions) {
    this.#options = options;
    this.#tokens = createPageTokens(options.secret, options.clock);
  }

  async create(given: OAuthClient | undefined, call: CallHead) {
    const client = required(given, "oauthClient");
    const kind = kinds[client.kind];
    demand([
      ...(kind === undefined
        ? [{ field: "oauthClient.kind", description: "must be PUBLIC, CONFIDENTIAL or SERVICE" }]
        : []),
      ...(client.displayName === ""
        ? [{ field: "oauthClient.displayName", description: "must not be empty" }]
        : []),
      ...checkFields(client),
      ...checkKind(client),
    ]);
    demandScopes(call.principal, client.scopes, "such a client");
    const { tables, clock } = this.#options;
    const account = client.serviceAccount.replace(/^users\//, "");
    if (account !== "") await this.#demandAccount(account, call);
    const secret = kind === "PUBLIC" ? "" : newSecret();
    const now = clock.now();
    const row: OAuthClientRow = {
      id: ulid(now),
      tenant: call.principal.tenant,
      version: 1,
      display_name: client.displayName,
      kind: kind ?? "PUBLIC",
      redirect_uris: JSON.stringify(client.redirectUris),
      scopes: JSON.stringify([...new Set(client.scopes)].sort()),
      service_account: account,
      secret: secret === "" ? "" : this.hashSecret(secret),
      metadata: "{}",
      created_at: now,
      updated_at: now,
    };
    await tables.of(row.tenant).transaction((db) => insertClient(db, row), call);
    return { oauthClient: toOAuthClient(row), secret };
  }

  async get(id: string, call: CallHead): Promise<OAuthClient> {
    return toOAuthClient(
      visible(await this.#find(this.#options.tables.of(call.principal.tenant).db, id, call), id),
    );
  }

  async list(request: { readonly pageSize: number; readonly pageToken: string }, call: CallHead) {
    const size = pageSize(request.pageSize, this.#options.pages);
    const { tenant } = call.principal;
    const bound = JSON.stringify(["oauthClients", tenant]);
    const after = request.pageToken === "" ? "" : String(this.#tokens.open(request.pageToken, bound)[0]);
    const rows = await this.#options.tables
      .of(tenant)
      .db.selectFrom("users_oauth_clients")
      .selectAll()
      .where("tenant", "=", tenant)
      .where("id", ">", after)
      .orderBy("id")
      .limit(size + 1)
      .execute();
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return {
      oauthClients: page.map(toOAuthClient),
      nextPageToken: rows.length > size && last !== undefined ? this.#tokens.seal([last.id], bound) : "",
    };
  }

  async update(request: UpdateOAuthClientRequest, call: CallHead): Promise<OAuthClient> {
    const client = required(request.oauthClient, "oauthClient");
    demand(checkFields(client));
    const { tables, clock } = this.#options;
    return await tables.of(call.principal.tenant).transaction(async (db) => {
      const before = visible(await this.#find(db, client.id, call), client.id);
      checkEtag(`oauthClients/${before.id}`, oauthClientEtag(before), client.etag);
      // AIP-203: what never changes may be sent back as it is.
      const paths = request.updateMask?.paths.filter((name) => !isSame(name, client, before));
      const fields = maskedFields(paths, mutable, (name) => isPresent(name, client));
      demandScopes(
        call.principal,
        JSON.parse(before.scopes) as string[],
        `changing oauthClients/${before.id}`,
      );
      demandScopes(call.principal, client.scopes, "such a client");
      const after: OAuthClientRow = {
        ...before,
        version: before.version + 1,
        updated_at: clock.now(),
        ...(fields.includes("display_name") ? { display_name: client.displayName } : {}),
        ...(fields.includes("redirect_uris") ? { redirect_uris: JSON.stringify(client.redirectUris) } : {}),
        ...(fields.includes("scopes") ? { scopes: JSON.stringify([...new Set(client.scopes)].sort()) } : {}),
      };
      const { id, tenant, ...columns } = after;
      await db
        .updateTable("users_oauth_clients")
        .set(columns)
        .where("tenant", "=", tenant)
        .where("id", "=", id)
        .execute();
      return toOAuthClient(after);
    }, call);
  }

  /** What people allowed the client ends with it: its refresh tokens and their sessions. */
  async remove(request: { readonly id: string; readonly etag: string }, call: CallHead): Promise<void> {
    const { tables, secrets } = this.#options;
    await tables.transaction(async (db) => {
      const row = visible(await this.#find(db, request.id, call), request.id);
      checkEtag(`oauthClients/${row.id}`, oauthClientEtag(row), request.etag);
      await db
        .deleteFrom("users_oauth_clients")
        .where("tenant", "=", row.tenant)
        .where("id", "=", row.id)
        .execute();
      const client = secrets.oauth.hash(row.id);
      const grants = db
        .selectFrom("users_oauth_artifacts")
        .select("uid")
        .where("client", "=", client)
        .where("model", "=", "Grant");
      await db.deleteFrom("users_sessions").where("id", "in", grants).execute();
      await db.deleteFrom("users_oauth_artifacts").where("client", "=", client).execute();
    }, call);
  }

  /** For the authorization server, which knows clients by nothing but their ids. */
  async lookUp(id: string): Promise<OAuthClientRow | undefined> {
    return await this.#options.tables.db
      .selectFrom("users_oauth_clients")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
  }

  /** Undefined: there is no such user. */
  async person(tenant: string, id: string) {
    const { tables } = this.#options;
    return await new UsersStore(tables.of(tenant).db, tables.engine, tenant).find(id);
  }

  async register(
    row: Omit<OAuthClientRow, "version" | "created_at" | "updated_at" | "service_account">,
    unit?: UnitOfWork,
  ): Promise<void> {
    const { tables, clock } = this.#options;
    const now = clock.now();
    const more = { version: 1, created_at: now, updated_at: now, service_account: "" };
    await tables.transaction((db) => insertClient(db, { ...row, ...more }), unit);
  }

  hashSecret(secret: string): string {
    return this.#options.secrets.oauth.hash(`secret ${secret}`);
  }

  async #find(db: Kysely<UsersTables>, id: string, call: CallHead): Promise<OAuthClientRow | undefined> {
    return await db
      .selectFrom("users_oauth_clients")
      .selectAll()
      .where("tenant", "=", call.principal.tenant)
      .where("id", "=", id)
      .executeTakeFirst();
  }

  /** The account is a service's, of this tenant, and may not do more than who makes the client. */
  async #demandAccount(id: string, call: CallHead): Promise<void> {
    const { tables } = this.#options;
    const { tenant } = call.principal;
    const store = new UsersStore(tables.of(tenant).db, tables.engine, tenant);
    const row = await store.find(id);
    if (row === undefined) throw notFound(`users/${id}`);
    if (row.kind !== "SERVICE")
      demand([
        { field: "oauthClient.serviceAccount", description: `users/${id} is a person; name a service` },
      ]);
    for (const role of row.roles)
      demandScopes(
        call.principal,
        (await store.findRole(role))?.scopes ?? [],
        `a client that acts as users/${id}`,
      );
  }
}

async function insertClient(db: Kysely<UsersTables>, row: OAuthClientRow): Promise<void> {
  await db.insertInto("users_oauth_clients").values(row).execute();
}

/** 256 bits. */
export function newSecret(): string {
  return `pts_${randomBytes(32).toString("base64url")}`;
}

function visible(row: OAuthClientRow | undefined, id: string): OAuthClientRow {
  if (row === undefined) throw notFound(`oauthClients/${id.slice(0, 100)}`);
  return row;
}

function checkFields(client: OAuthClient): Violation[] {
  const field = "oauthClient.redirectUris";
  return [...client.redirectUris.flatMap((uri, index) => checkRedirect(uri, `${field}[${index}]`))];
}

function checkKind(client: OAuthClient): Violation[] {
  const isService = client.kind === OAuthClient_Kind.SERVICE;
  const field = "oauthClient.serviceAccount";
  if (isService && client.redirectUris.length > 0)
    return [{ field: "oauthClient.redirectUris", description: "a service signs nobody in" }];
  if (isService && !/^users\/.+$/.test(client.serviceAccount))
    return [{ field, description: 'must name the user that the service acts as, "users/{id}"' }];
  if (!isService && client.serviceAccount !== "")
    return [{ field, description: "is for clients of the kind SERVICE" }];
  return [];
}

/** RFC 9700 section 2.1: exact addresses, nothing in clear text but loopback (RFC 8252), no fragments. */
export function checkRedirect(uri: string, field: string): Violation[] {
  const bad = (description: string): Violation[] => [{ field, description }];
  if (uri.length > 2000 || !URL.canParse(uri)) return bad("is not a URL");
  const { protocol, hostname, username, password } = new URL(uri);
  if (uri.includes("#")) return bad("must not have a fragment");
  if (username !== "" || password !== "") return bad("must not have a user or a password");
  if (protocol === "https:") return [];
  if (protocol === "http:")
    return ["localhost", "127.0.0.1", "[::1]"].includes(hostname)
      ? []
      : bad("must be https; http is for loopback alone");
  return /^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+:$/.test(protocol)
    ? []
    : bad("must be https, or a scheme of the application in reverse domain order, such as com.example.app:/");
}

function isPresent(name: MutableField, client: OAuthClient): boolean {
  switch (name) {
    case "display_name":
      return client.displayName !== "";
    case "redirect_uris":
      return client.redirectUris.length > 0;
    case "scopes":
      return client.scopes.length > 0;
  }
}

function isSame(name: string, client: OAuthClient, row: OAuthClientRow): boolean {
  if (name === "kind") return kinds[client.kind] === row.kind;
  return name === "service_account" && client.serviceAccount === toOAuthClient(row).serviceAccount;
}
