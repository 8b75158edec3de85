/** Signing in on the page of the authorization server. */
import { codes } from "#rpc/code.ts";
import { toRpcError } from "#rpc/error.ts";
import type { Clock } from "#std/clock.ts";
import type { AuditLog } from "../audit-log.ts";
import type { SignIn } from "../sign-in.ts";
import type { UserRow } from "../tables.ts";

/** Whose audit keeps attempts at tenants that are not there. */
const unknownTenant = "default";

/** A sign-in on the authorization server's page: kept in the audit as AuthService's are, good or bad. */
export async function auditedSignIn(
  { signIn, audit, clock }: { readonly signIn: SignIn; readonly audit: AuditLog; readonly clock: Clock },
  given: { readonly tenant: string; readonly email: string; readonly password: string },
  from: { readonly address: string; readonly client: string },
): Promise<UserRow> {
  const entry = {
    tenant: given.tenant === "" ? unknownTenant : given.tenant,
    time: clock.now(),
    credential: "",
    method: "oauth2/signIn",
    resource: `oauthClients/${from.client}`,
    protocol: "oauth",
    address: from.address,
    request: JSON.stringify({ email: given.email.slice(0, 200) }),
    requestId: "",
  };
  try {
    const user = await signIn.verify(given, from.address);
    await audit.append({ ...entry, principal: `users/${user.id}`, code: 0, reason: "" });
    return user;
  } catch (error) {
    const { code, reason } = toRpcError(error);
    // A stranger's guesses at tenants are no rows in them.
    const known = await signIn.isTenant(entry.tenant);
    const row = { ...entry, tenant: known ? entry.tenant : unknownTenant, principal: "" };
    await audit.append({ ...row, code: codes[code].number, reason }).catch(() => undefined);
    throw error;
  }
}
