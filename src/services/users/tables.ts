/** The service's tables, as Kysely types its queries, and their rows as the service works with them. */

export type UserState = "INVITED" | "ACTIVE" | "SUSPENDED";
export type UserKind = "PERSON" | "SERVICE";

export interface UsersTables {
  readonly users_tenants: TenantRow;
  readonly users_users: UserColumns;
  /** Resource names of roles, as filters have them. */
  readonly users_user_roles: { tenant: string; user_id: string; role: string };
  readonly users_certificates: { uri: string; tenant: string; user_id: string };
  readonly users_roles: RoleColumns;
  readonly users_sessions: SessionRow;
  readonly users_api_keys: KeyColumns;
  readonly users_signing_keys: SigningKeyRow;
  readonly users_oauth_clients: OAuthClientRow;
  readonly users_oauth_artifacts: ArtifactRow;
  readonly users_tickets: TicketRow;
  readonly users_audit: AuditRow;
  /** The last entry of each tenant: locked by whoever adds the next. */
  readonly users_audit_heads: { tenant: string; number: number; chain: string };
}

export interface TenantRow {
  id: string;
  version: number;
  display_name: string;
  state: "ACTIVE" | "SUSPENDED";
  created_at: number;
  updated_at: number;
}

export interface UserColumns {
  tenant: string;
  id: string;
  uid: string;
  version: number;
  display_name: string;
  /** In lower case; empty: none. */
  email: string;
  state: UserState;
  kind: UserKind;
  /** JSON list of role ids, in order; `users_user_roles` has the same for filters. */
  roles: string;
  /** JSON object of strings. */
  labels: string;
  /** JSON list of URIs; `users_certificates` finds users by them. */
  certificates: string;
  /** Hash of argon2; empty: none. */
  password: string;
  created_at: number;
  updated_at: number;
  last_sign_in_at: number | null;
}

export interface UserRow {
  readonly tenant: string;
  readonly id: string;
  readonly uid: string;
  readonly version: number;
  readonly displayName: string;
  readonly email: string;
  readonly state: UserState;
  readonly kind: UserKind;
  /** Ids of roles. */
  readonly roles: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly certificates: readonly string[];
  readonly password: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly lastSignInAt: number | undefined;
}

export interface RoleColumns {
  tenant: string;
  id: string;
  version: number;
  display_name: string;
  description: string;
  /** JSON list. */
  scopes: string;
}

export interface RoleRow {
  readonly id: string;
  /** 0: built in. */
  readonly version: number;
  readonly displayName: string;
  readonly description: string;
  readonly scopes: readonly string[];
}

export interface SessionRow {
  id: string;
  tenant: string;
  user_id: string;
  /** SHA-256 of the refresh token that is good now, and of the one before it. */
  token: Uint8Array;
  previous_token: Uint8Array | null;
  rotated_at: number;
  /** Hash of what tells one client from another. */
  client: string;
  user_agent: string;
  address: string;
  created_at: number;
  last_used_at: number;
  expires_at: number;
}

export interface KeyColumns {
  id: string;
  tenant: string;
  /** Id of the user. */
  owner: string;
  version: number;
  display_name: string;
  hint: string;
  /** JSON list; empty: all that the owner has. */
  scopes: string;
  /** JSON list of CIDR blocks. */
  networks: string;
  /** Keyed hash of the key, and of the one before it. */
  hash: Uint8Array;
  previous_hash: Uint8Array | null;
  previous_until: number | null;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
  last_used_at: number | null;
  last_used_address: string;
}

export interface AuditRow {
  tenant: string;
  /** 1, 2, 3 … without a gap in each tenant. */
  number: number;
  time: number;
  principal: string;
  credential: string;
  method: string;
  resource: string;
  protocol: string;
  address: string;
  code: number;
  reason: string;
  request: string;
  request_id: string;
  /** Keyed hash of this entry and of the chain before it. */
  chain: string;
}

export interface SigningKeyRow {
  id: string;
  /** JWK as JSON. */
  public_key: string;
  /** JWK as JSON, encrypted. */
  private_key: Uint8Array;
  created_at: number;
  /** Published before it signs, so that everybody who keeps the key set has it by then. */
  signs_from: number;
  /** Its tokens are not accepted after this; null: it is in use. */
  retires_at: number | null;
}

export interface OAuthClientRow {
  id: string;
  tenant: string;
  version: number;
  display_name: string;
  kind: "PUBLIC" | "CONFIDENTIAL" | "SERVICE";
  /** JSON list. */
  redirect_uris: string;
  /** JSON list. */
  scopes: string;
  /** Id of the user that a service acts as; empty: none. */
  service_account: string;
  /** Keyed hash of the secret; empty: none. */
  secret: string;
  /** JSON object: what a client that registered itself said beyond that. */
  metadata: string;
  created_at: number;
  updated_at: number;
}

/** What the authorization server remembers: codes, refresh tokens, grants, sign-ins under way. Ids are keyed hashes. */
export interface ArtifactRow {
  id: string;
  model: string;
  /** Empty: it belongs to no client. */
  client: string;
  grant_id: string;
  uid: string;
  user_code: string;
  /** JSON, encrypted. */
  payload: Uint8Array;
  consumed_at: number | null;
  expires_at: number;
}

export interface TicketRow {
  /** SHA-256 of the ticket. */
  hash: string;
  tenant: string;
  user_id: string;
  /** JSON list. */
  scopes: string;
  /** Resource name of what the caller showed when it asked for the ticket. */
  credential: string;
  /** JSON list of ids: of somebody whose roles another issuer says. Null: a user of ours has them. */
  roles: string | null;
  /** When the credential ends that cannot be looked at again. Null: it can. */
  credential_ends_at: number | null;
  expires_at: number;
}

export function toUserRow(row: UserColumns): UserRow {
  return {
    tenant: row.tenant,
    id: row.id,
    uid: row.uid,
    version: row.version,
    displayName: row.display_name,
    email: row.email,
    state: row.state,
    kind: row.kind,
    roles: JSON.parse(row.roles) as string[],
    labels: JSON.parse(row.labels) as Record<string, string>,
    certificates: JSON.parse(row.certificates) as string[],
    password: row.password,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    lastSignInAt: row.last_sign_in_at ?? undefined,
  };
}

export function toUserColumns(row: UserRow): UserColumns {
  return {
    tenant: row.tenant,
    id: row.id,
    uid: row.uid,
    version: row.version,
    display_name: row.displayName,
    email: row.email,
    state: row.state,
    kind: row.kind,
    roles: JSON.stringify(row.roles),
    labels: JSON.stringify(row.labels),
    certificates: JSON.stringify(row.certificates),
    password: row.password,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
    last_sign_in_at: row.lastSignInAt ?? null,
  };
}

export function toRoleRow(row: RoleColumns): RoleRow {
  return {
    id: row.id,
    version: row.version,
    displayName: row.display_name,
    description: row.description,
    scopes: JSON.parse(row.scopes) as string[],
  };
}
