/** Rows to messages, and what follows from a row: names and etags. */
import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type ApiKey, ApiKey_State, ApiKeySchema } from "#gen/portico/users/v1/auth_pb.ts";
import { type OAuthClient, OAuthClient_Kind, OAuthClientSchema } from "#gen/portico/users/v1/oauth_pb.ts";
import {
  type Role,
  RoleSchema,
  type Session,
  SessionSchema,
  type Tenant,
  Tenant_State,
  TenantSchema,
  type User,
  User_Kind,
  User_State,
  UserSchema,
} from "#gen/portico/users/v1/users_pb.ts";
import type { Principal } from "#rpc/principal.ts";
import type {
  KeyColumns,
  OAuthClientRow,
  RoleRow,
  SessionRow,
  TenantRow,
  UserKind,
  UserRow,
} from "./tables.ts";

function etag(...parts: readonly (string | number)[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("base64url").slice(0, 16);
}

export function userEtag(row: UserRow): string {
  return etag(row.uid, row.version);
}

export function roleEtag(row: RoleRow): string {
  return etag("role", row.id, row.version);
}

export function tenantEtag(row: TenantRow): string {
  return etag("tenant", row.id, row.version);
}

export function keyEtag(row: KeyColumns): string {
  return etag("key", row.id, row.version);
}

export function oauthClientEtag(row: OAuthClientRow): string {
  return etag("oauthClient", row.id, row.version);
}

const kinds: Readonly<Record<UserKind, User_Kind>> = {
  PERSON: User_Kind.PERSON,
  SERVICE: User_Kind.SERVICE,
};

/** @param scopes what its roles give it. */
export function toUser(row: UserRow, scopes: ReadonlySet<string>): User {
  return create(UserSchema, {
    name: `users/${row.id}`,
    id: row.id,
    displayName: row.displayName,
    email: row.email,
    state: User_State[row.state],
    roles: row.roles.map((role) => `roles/${role}`),
    effectiveScopes: [...scopes].sort(),
    kind: kinds[row.kind],
    labels: { ...row.labels },
    certificates: [...row.certificates],
    etag: userEtag(row),
    createTime: timestampFromMs(row.createdAt),
    updateTime: timestampFromMs(row.updatedAt),
    ...(row.lastSignInAt === undefined ? {} : { lastSignInTime: timestampFromMs(row.lastSignInAt) }),
  });
}

/** The caller, as its credential has it: what it may do, and its roles where the credential says them. */
export function toSelf(row: UserRow, { scopes, roles }: Principal): User {
  const user = toUser(row, scopes);
  return roles === undefined ? user : { ...user, roles: [...roles] };
}

/** A caller of whom there is no user here; undefined: it has to be one. */
export function toGuest({ name, scopes, roles }: Principal): User | undefined {
  if (roles === undefined) return undefined;
  const id = name.slice("users/".length);
  return create(UserSchema, {
    ...{ name, id, displayName: id, state: User_State.ACTIVE, roles: [...roles] },
    effectiveScopes: [...scopes].sort(),
  });
}

export function toRole(row: RoleRow): Role {
  return create(RoleSchema, {
    name: `roles/${row.id}`,
    id: row.id,
    displayName: row.displayName,
    description: row.description,
    scopes: [...row.scopes],
    builtIn: row.version === 0,
    etag: roleEtag(row),
  });
}

export function toTenant(row: TenantRow): Tenant {
  return create(TenantSchema, {
    name: `tenants/${row.id}`,
    id: row.id,
    displayName: row.display_name,
    state: Tenant_State[row.state],
    etag: tenantEtag(row),
    createTime: timestampFromMs(row.created_at),
    updateTime: timestampFromMs(row.updated_at),
  });
}

/** @param current id of the session of the call. */
export function toSession(row: SessionRow, current: string): Session {
  return create(SessionSchema, {
    id: row.id,
    userAgent: row.user_agent,
    address: row.address,
    createTime: timestampFromMs(row.created_at),
    lastUseTime: timestampFromMs(row.last_used_at),
    current: row.id === current,
  });
}

export function toApiKey(row: KeyColumns, now: number): ApiKey {
  return create(ApiKeySchema, {
    name: `apiKeys/${row.id}`,
    id: row.id,
    displayName: row.display_name,
    owner: `users/${row.owner}`,
    scopes: JSON.parse(row.scopes) as string[],
    allowedNetworks: JSON.parse(row.networks) as string[],
    hint: row.hint,
    state: stateOf(row, now),
    expireTime: timestampFromMs(row.expires_at),
    createTime: timestampFromMs(row.created_at),
    ...(row.last_used_at === null ? {} : { lastUseTime: timestampFromMs(row.last_used_at) }),
    lastUseAddress: row.last_used_address,
    etag: keyEtag(row),
  });
}

export function toOAuthClient(row: OAuthClientRow): OAuthClient {
  return create(OAuthClientSchema, {
    name: `oauthClients/${row.id}`,
    id: row.id,
    displayName: row.display_name,
    kind: OAuthClient_Kind[row.kind],
    redirectUris: JSON.parse(row.redirect_uris) as string[],
    scopes: JSON.parse(row.scopes) as string[],
    serviceAccount: row.service_account === "" ? "" : `users/${row.service_account}`,
    createTime: timestampFromMs(row.created_at),
    updateTime: timestampFromMs(row.updated_at),
    etag: oauthClientEtag(row),
  });
}

function stateOf(row: KeyColumns, now: number): ApiKey_State {
  if (row.revoked_at !== null) return ApiKey_State.REVOKED;
  if (row.expires_at <= now) return ApiKey_State.EXPIRED;
  return row.previous_until !== null && row.previous_until > now
    ? ApiKey_State.ROTATING
    : ApiKey_State.ACTIVE;
}
