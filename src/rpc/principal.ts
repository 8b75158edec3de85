/** Who calls. The tenant comes from here and from nowhere else: never from a path, a body or a header. */
export interface Principal {
  /** Resource name of the caller, such as `users/ana`. */
  readonly name: string;
  readonly tenant: string;
}

/** Everybody, while the process listens on loopback only and knows no identities. */
export const localPrincipal: Principal = Object.freeze({ name: "users/local", tenant: "default" });
