/**
 * PostgreSQL's row security: the tenant's rows and no others, whatever a statement says.
 *
 * Work for a tenant runs in transactions as the role `portico_app`, which owns nothing and sees through a policy: rows of the tenant
 * that the transaction names. What concerns no tenant (migrations, looking up who a key is, forgetting what is over) runs as the owner.
 *
 * @see https://www.postgresql.org/docs/current/ddl-rowsecurity.html
 */
import type { ColumnTypes } from "./shape.ts";

export const tenantRole = "portico_app";
/** The setting that names the tenant for a transaction. */
export const tenantSetting = "app.tenant";

/** Created where it is not there yet; a role belongs to the whole server, and two databases may come at once. */
const createRole = `DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${tenantRole}') THEN
    CREATE ROLE ${tenantRole} NOLOGIN NOSUPERUSER NOBYPASSRLS NOINHERIT;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the role ${tenantRole} is missing and may not be made; let an administrator run: CREATE ROLE ${tenantRole} NOLOGIN; GRANT ${tenantRole} TO %', current_user;
END $$`;

const grantRole = `DO $$ BEGIN
  IF NOT pg_has_role(current_user, '${tenantRole}', 'MEMBER') THEN
    EXECUTE format('GRANT ${tenantRole} TO %I', current_user);
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO ${tenantRole}', current_schema());
END $$`;

/**
 * Statements of a migration; none on SQLite, where the stores alone keep tenants apart.
 *
 * @param tables with a column `tenant`.
 * @param besides what work for a tenant also writes, and that has no tenant in it.
 */
export function rowSecurity(
  { engine }: ColumnTypes,
  tables: readonly string[],
  besides: readonly string[] = [],
): readonly string[] {
  if (engine !== "postgres") return [];
  const own = `tenant = current_setting('${tenantSetting}', true)`;
  return [
    createRole,
    grantRole,
    ...tables.flatMap((table) => [
      `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
      `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`,
      `CREATE POLICY tenant ON ${table} TO ${tenantRole} USING (${own}) WITH CHECK (${own})`,
      `CREATE POLICY owner ON ${table} TO CURRENT_USER USING (true) WITH CHECK (true)`,
    ]),
    ...[...tables, ...besides].map(
      (table) => `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${tenantRole}`,
    ),
  ];
}
