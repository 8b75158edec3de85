/** Who calls. The tenant comes from here and from nowhere else: never from a path, a body or a header. */
export interface Principal {
  /** Resource name of the caller, such as `users/ana`; empty: nobody showed who they are. */
  readonly name: string;
  readonly tenant: string;
  /** What the caller may do: `area:verb`, `area:*`, or `*` for everything. */
  readonly scopes: ReadonlySet<string>;
  /** Resource name of what was shown, `apiKeys/…` or `sessions/…`; empty where nothing was. */
  readonly credential: string;
  /** When the credential ends, in milliseconds since 1970; undefined: it does not by itself. */
  readonly expiresAt?: number;
  /** Resource names of its roles, where somebody else than a user of ours says them: the issuer of a token. Undefined: a user has them. */
  readonly roles?: readonly string[];
}

/**
 * The tenant whose administrators are the installation's. An administrator of another tenant has every scope too, in that tenant: what is no
 * tenant's (the process's log and metrics, the tenants themselves) is for those of this one.
 */
export const homeTenant = "default";

/** Everybody, while authentication is off: the process then listens on loopback only. */
export const localPrincipal: Principal = Object.freeze({
  name: "users/local",
  tenant: homeTenant,
  scopes: new Set(["*"]),
  credential: "",
  roles: ["roles/admin"],
});

/** A caller without a credential. */
export const anonymous: Principal = Object.freeze({
  name: "",
  tenant: "",
  scopes: new Set<string>(),
  credential: "",
});

/** Whether a set of scopes allows one: by its name, its area's `*`, or `*`. */
export function allows(scopes: ReadonlySet<string>, scope: string): boolean {
  if (scopes.has(scope) || scopes.has("*")) return true;
  const colon = scope.indexOf(":");
  return colon !== -1 && scopes.has(`${scope.slice(0, colon)}:*`);
}

/** What both sets allow: a credential narrowed to `wanted` never has more than its owner. */
export function narrowed(owned: ReadonlySet<string>, wanted: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([
    ...[...wanted].filter((scope) => allows(owned, scope)),
    ...[...owned].filter((scope) => allows(wanted, scope)),
  ]);
}
