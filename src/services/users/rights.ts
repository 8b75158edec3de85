/** What callers may do to others: nobody gives away, takes or changes more than they have themselves. */
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { allows, type Principal } from "#rpc/principal.ts";
import type { Violation } from "#rpc/resource.ts";

/** The id that "me", and nothing at all, stand for. */
export function idOrMe(id: string, call: Pick<CallHead, "principal">): string {
  return id === "me" || id === "" ? ownId(call.principal) : id;
}

export function ownId(principal: Principal): string {
  return principal.name.slice("users/".length);
}

/** Ids of the caller's roles where another issuer says them; undefined: a user of ours has them. */
export function saidRoles({ roles }: Principal): readonly string[] | undefined {
  return roles?.map((role) => role.slice("roles/".length));
}

/** @throws RpcError SCOPE_EXCEEDED naming what is missing. */
export function demandScopes(principal: Principal, scopes: Iterable<string>, what: string): void {
  for (const scope of scopes) {
    if (allows(principal.scopes, scope)) continue;
    throw new RpcError("permission_denied", {
      reason: "SCOPE_EXCEEDED",
      message: `${what} needs ${scope}, which you do not have yourself`,
      metadata: { scope },
    });
  }
}

export function selfForbidden(what: string): RpcError {
  return new RpcError("permission_denied", {
    reason: "SELF_FORBIDDEN",
    message: `nobody may ${what} themselves; ask another administrator`,
  });
}

const emailForm = /^[^\s@]{1,64}@[^\s@]{1,190}$/;

/** Not whether it exists: only a message that arrives shows that. */
export function checkEmailForm(email: string, field: string): Violation[] {
  return emailForm.test(email) ? [] : [{ field, description: "is not an e-mail address" }];
}
