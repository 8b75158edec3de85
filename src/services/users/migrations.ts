/** Tables of the users service. A row belongs to one tenant; keys are also found by their id alone, which names the tenant. */
import { type Migration, rowSecurity } from "#storage/storage.ts";

export const migrations: readonly Migration[] = [
  {
    name: "users_0001_identity",
    statements: ({ text, integer, bytes, options }) => [
      `CREATE TABLE users_tenants (
        id ${text} NOT NULL PRIMARY KEY, version ${integer} NOT NULL, display_name ${text} NOT NULL, state ${text} NOT NULL,
        created_at ${integer} NOT NULL, updated_at ${integer} NOT NULL)${options}`,
      "INSERT INTO users_tenants VALUES ('default', 1, 'Default', 'ACTIVE', 0, 0)",
      `CREATE TABLE users_users (
        tenant ${text} NOT NULL, id ${text} NOT NULL, uid ${text} NOT NULL, version ${integer} NOT NULL,
        display_name ${text} NOT NULL, email ${text} NOT NULL, state ${text} NOT NULL, kind ${text} NOT NULL,
        roles ${text} NOT NULL, labels ${text} NOT NULL, certificates ${text} NOT NULL, password ${text} NOT NULL,
        created_at ${integer} NOT NULL, updated_at ${integer} NOT NULL, last_sign_in_at ${integer},
        PRIMARY KEY (tenant, id))${options}`,
      "CREATE UNIQUE INDEX users_users_email ON users_users (tenant, email) WHERE email <> ''",
      `CREATE TABLE users_certificates (
        uri ${text} NOT NULL PRIMARY KEY, tenant ${text} NOT NULL, user_id ${text} NOT NULL)${options}`,
      "CREATE INDEX users_certificates_user ON users_certificates (tenant, user_id)",
      `CREATE TABLE users_user_roles (
        tenant ${text} NOT NULL, user_id ${text} NOT NULL, role ${text} NOT NULL,
        PRIMARY KEY (tenant, user_id, role))${options}`,
      "CREATE INDEX users_user_roles_role ON users_user_roles (tenant, role)",
      `CREATE TABLE users_roles (
        tenant ${text} NOT NULL, id ${text} NOT NULL, version ${integer} NOT NULL,
        display_name ${text} NOT NULL, description ${text} NOT NULL, scopes ${text} NOT NULL,
        PRIMARY KEY (tenant, id))${options}`,
      `CREATE TABLE users_sessions (
        id ${text} NOT NULL PRIMARY KEY, tenant ${text} NOT NULL, user_id ${text} NOT NULL,
        token ${bytes} NOT NULL, previous_token ${bytes}, rotated_at ${integer} NOT NULL,
        client ${text} NOT NULL, user_agent ${text} NOT NULL, address ${text} NOT NULL,
        created_at ${integer} NOT NULL, last_used_at ${integer} NOT NULL, expires_at ${integer} NOT NULL)${options}`,
      "CREATE INDEX users_sessions_user ON users_sessions (tenant, user_id, created_at)",
      "CREATE INDEX users_sessions_expires ON users_sessions (expires_at)",
      `CREATE TABLE users_api_keys (
        id ${text} NOT NULL PRIMARY KEY, tenant ${text} NOT NULL, owner ${text} NOT NULL, version ${integer} NOT NULL,
        display_name ${text} NOT NULL, hint ${text} NOT NULL, scopes ${text} NOT NULL, networks ${text} NOT NULL,
        hash ${bytes} NOT NULL, previous_hash ${bytes}, previous_until ${integer},
        created_at ${integer} NOT NULL, expires_at ${integer} NOT NULL, revoked_at ${integer},
        last_used_at ${integer}, last_used_address ${text} NOT NULL)${options}`,
      "CREATE INDEX users_api_keys_owner ON users_api_keys (tenant, owner, id)",
      `CREATE TABLE users_audit (
        tenant ${text} NOT NULL, number ${integer} NOT NULL, time ${integer} NOT NULL, principal ${text} NOT NULL,
        credential ${text} NOT NULL, method ${text} NOT NULL, resource ${text} NOT NULL, protocol ${text} NOT NULL,
        address ${text} NOT NULL, code ${integer} NOT NULL, reason ${text} NOT NULL, request ${text} NOT NULL,
        request_id ${text} NOT NULL, chain ${text} NOT NULL,
        PRIMARY KEY (tenant, number))${options}`,
      "CREATE INDEX users_audit_time ON users_audit (tenant, time)",
      `CREATE TABLE users_audit_heads (
        tenant ${text} NOT NULL PRIMARY KEY, number ${integer} NOT NULL, chain ${text} NOT NULL)${options}`,
      `CREATE TABLE users_signing_keys (
        id ${text} NOT NULL PRIMARY KEY, public_key ${text} NOT NULL, private_key ${bytes} NOT NULL,
        created_at ${integer} NOT NULL, signs_from ${integer} NOT NULL, retires_at ${integer})${options}`,
    ],
  },
  {
    name: "users_0002_oauth",
    statements: ({ text, integer, bytes, options }) => [
      "CREATE INDEX users_users_uid ON users_users (uid)",
      `CREATE TABLE users_oauth_clients (
        id ${text} NOT NULL PRIMARY KEY, tenant ${text} NOT NULL, version ${integer} NOT NULL,
        display_name ${text} NOT NULL, kind ${text} NOT NULL, redirect_uris ${text} NOT NULL, scopes ${text} NOT NULL,
        service_account ${text} NOT NULL, secret ${text} NOT NULL, metadata ${text} NOT NULL,
        created_at ${integer} NOT NULL, updated_at ${integer} NOT NULL)${options}`,
      "CREATE INDEX users_oauth_clients_tenant ON users_oauth_clients (tenant, id)",
      `CREATE TABLE users_oauth_artifacts (
        id ${text} NOT NULL PRIMARY KEY, model ${text} NOT NULL, client ${text} NOT NULL, grant_id ${text} NOT NULL,
        uid ${text} NOT NULL, user_code ${text} NOT NULL, payload ${bytes} NOT NULL,
        consumed_at ${integer}, expires_at ${integer} NOT NULL)${options}`,
      "CREATE INDEX users_oauth_artifacts_grant ON users_oauth_artifacts (grant_id) WHERE grant_id <> ''",
      "CREATE INDEX users_oauth_artifacts_uid ON users_oauth_artifacts (uid) WHERE uid <> ''",
      "CREATE INDEX users_oauth_artifacts_code ON users_oauth_artifacts (user_code) WHERE user_code <> ''",
      "CREATE INDEX users_oauth_artifacts_client ON users_oauth_artifacts (client)",
      "CREATE INDEX users_oauth_artifacts_expires ON users_oauth_artifacts (expires_at)",
      `CREATE TABLE users_tickets (
        hash ${text} NOT NULL PRIMARY KEY, tenant ${text} NOT NULL, user_id ${text} NOT NULL, scopes ${text} NOT NULL,
        credential ${text} NOT NULL, expires_at ${integer} NOT NULL)${options}`,
      "CREATE INDEX users_tickets_expires ON users_tickets (expires_at)",
    ],
  },
  {
    name: "users_0003_row_security",
    statements: (types) =>
      rowSecurity(types, [
        ...["users_users", "users_user_roles", "users_certificates", "users_roles", "users_sessions"],
        ...["users_api_keys", "users_audit", "users_audit_heads", "users_oauth_clients", "users_tickets"],
      ]),
  },
  {
    name: "users_0004_ticket_roles",
    statements: ({ text, integer }) => [
      `ALTER TABLE users_tickets ADD COLUMN roles ${text}`,
      `ALTER TABLE users_tickets ADD COLUMN credential_ends_at ${integer}`,
    ],
  },
];
