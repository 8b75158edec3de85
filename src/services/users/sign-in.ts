/** What can be done about being somebody: the methods of AuthService. */
import { create } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import type {
  ChangePasswordRequest,
  CheckAccessRequest,
  ExchangeTokenRequest,
  SignInRequest,
} from "#gen/portico/users/v1/auth_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { allows } from "#rpc/principal.ts";
import { demand, notFound } from "#rpc/resource.ts";
import type { Clock } from "#std/clock.ts";
import { type LimitStore, SharedLimiter } from "#std/shared-limiter.ts";
import type { Tables } from "#storage/storage.ts";
import { type AccessTokens, lifeSeconds, maxCharacters } from "./access-tokens.ts";
import type { Directory } from "./directory.ts";
import { toUser } from "./model.ts";
import type { Passwords } from "./passwords.ts";
import { demandScopes, ownId, saidRoles } from "./rights.ts";
import { SessionStore } from "./session-store.ts";
import type { OpenedSession, Sessions } from "./sessions.ts";
import { UsersStore } from "./store.ts";
import type { UserRow, UsersTables } from "./tables.ts";

/** What a method asks of its callers. */
export interface MethodRule {
  readonly public: boolean;
  /** Any of these; "self" among them: anybody, for themselves. Empty: administrators. */
  readonly scopes: readonly string[];
  /** CEL that reads the request too. Absent or empty: none. */
  readonly rule?: string;
}

/** How often may be tried. */
export interface SignInLimits {
  /** For one account, from wherever. Default 10. */
  readonly perAccount: number;
  /** From one IP address, for whichever accounts. Default 100. */
  readonly perAddress: number;
  /** The time that both count for, in milliseconds. Default 900 000. */
  readonly windowMs: number;
}

export const defaultSignInLimits: SignInLimits = {
  perAccount: 10,
  perAddress: 100,
  windowMs: 15 * 60 * 1000,
};

export interface SignInOptions {
  readonly tables: Tables<UsersTables>;
  readonly directory: Directory;
  readonly passwords: Passwords;
  readonly tokens: AccessTokens;
  readonly sessions: Sessions;
  readonly clock: Clock;
  /** What the processes of an installation share; undefined: each counts for itself. */
  readonly limits: LimitStore | undefined;
  readonly attempts: SignInLimits;
  /** Undefined: there is no such method. @param name `package.Service/Method`. */
  ruleOf(name: string): MethodRule | undefined;
}

const defaultTenant = "default";

export class SignIn {
  readonly #options: SignInOptions;
  readonly #byAccount: SharedLimiter;
  readonly #byAddress: SharedLimiter;

  constructor(options: SignInOptions) {
    this.#options = options;
    // A password costs a core for 20 ms, and each is a guess: counted before it is looked at.
    const about = { now: () => options.clock.monotonic(), store: options.limits, exact: true };
    const { perAccount, perAddress, windowMs } = options.attempts;
    const perWindow = (burst: number) => ({ burst, intervalMs: windowMs / burst });
    this.#byAccount = new SharedLimiter(perWindow(perAccount), { ...about, name: "sign-in account" });
    this.#byAddress = new SharedLimiter(perWindow(perAddress), { ...about, name: "sign-in address" });
  }

  async signIn(request: SignInRequest, call: CallHead) {
    const row = await this.verify(request, call.peer.address);
    const { tenant } = row;
    // From here on the call is known to be this user's: for the log and the audit.
    call.principal = { name: `users/${row.id}`, tenant, scopes: new Set(), credential: "" };
    return await this.#answer(row, await this.#options.sessions.open(row, call));
  }

  /**
   * The user whose e-mail and password these are. As long, and with the same words, for users that are not there as for wrong
   * passwords.
   *
   * @throws RpcError FIELD_INVALID, SIGN_IN_LIMITED, SIGN_IN_OVERLOADED, SIGN_IN_REFUSED.
   */
  async verify(
    request: { readonly tenant: string; readonly email: string; readonly password: string },
    address: string,
  ): Promise<UserRow> {
    const tenant = request.tenant === "" ? defaultTenant : request.tenant;
    const email = request.email.toLowerCase();
    const account = `${tenant}\0${email}`;
    await this.#demandPatience(account, address);
    const store = this.#store(tenant);
    const row = await store.findByEmail(email);
    const right = await this.#options.passwords.matches(request.password, row?.password ?? "");
    if (row === undefined || !right || row.state !== "ACTIVE" || row.kind !== "PERSON") throw signInRefused();
    // Asked last, and of everybody who knows the password: a suspended tenant lets nobody in.
    if ((await this.#options.directory.scopesOf(tenant, row.id)) === undefined) throw signInRefused();
    this.#byAccount.clear(account);
    return row;
  }

  async isTenant(id: string): Promise<boolean> {
    const row = await this.#options.tables.db
      .selectFrom("users_tenants")
      .select("id")
      .where("id", "=", id)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** @throws RpcError REFRESH_TOKEN_INVALID. */
  async refresh(refreshToken: string, call: CallHead) {
    const opened = await this.#options.sessions.refresh(refreshToken, call);
    const row = await this.#store(opened.row.tenant).find(opened.row.user_id);
    if (row === undefined || (await this.#options.directory.scopesOf(row.tenant, row.id)) === undefined)
      throw signInRefused();
    return await this.#answer(row, opened);
  }

  async signOut(everywhere: boolean, call: CallHead): Promise<void> {
    const { tenant, credential } = call.principal;
    const session = /^sessions\/(.+)$/.exec(credential)?.[1];
    if (!everywhere && session === undefined)
      demand([
        {
          field: "everywhere",
          description: "there is no session behind this credential; set it to end all of yours",
        },
      ]);
    const only = everywhere || session === undefined ? {} : { only: [session] };
    await this.#options.tables
      .of(tenant)
      .transaction(
        (db) =>
          new SessionStore(db, this.#options.tables.engine).remove(
            { tenant, user: ownId(call.principal) },
            only,
          ),
        call,
      );
  }

  async changePassword(request: ChangePasswordRequest, call: CallHead): Promise<void> {
    const { passwords, sessions } = this.#options;
    const { tenant, credential } = call.principal;
    const row = await this.#own(call);
    demand(await passwords.check(request.newPassword, "newPassword"));
    await this.#demandPatience(`${tenant}\0${row.email}`, call.peer.address);
    if (!(await passwords.matches(request.currentPassword, row.password))) throw signInRefused();
    const password = await passwords.hash(request.newPassword);
    await this.#options.tables.of(tenant).transaction(async (db) => {
      const store = new UsersStore(db, this.#options.tables.engine, tenant);
      const now = (await store.lock(row.id)) ?? row;
      await store.save({ ...now, password, version: now.version + 1, updatedAt: this.#options.clock.now() });
    }, call);
    await sessions.close(tenant, row.id, { but: credential.replace(/^sessions\//, "") });
  }

  async exchange(request: ExchangeTokenRequest, call: CallHead) {
    const { principal } = call;
    demandScopes(principal, request.scopes, "such a token");
    const left = Math.floor(
      ((principal.expiresAt ?? Number.POSITIVE_INFINITY) - this.#options.clock.now()) / 1000,
    );
    const asked =
      request.lifetime === undefined ? lifeSeconds : Math.floor(durationMs(request.lifetime) / 1000);
    const seconds = Math.min(asked, left);
    const scopes = request.scopes.length === 0 ? [...principal.scopes].sort() : [...new Set(request.scopes)];
    const accessToken = await this.#options.tokens.issue(
      {
        tenant: principal.tenant,
        user: ownId(principal),
        session: /^sessions\/(.+)$/.exec(principal.credential)?.[1] ?? "",
        scopes,
        roles: saidRoles(principal),
      },
      seconds,
    );
    if (accessToken.length > maxCharacters)
      demand([
        { field: "scopes", description: "are so many that the token would be too long; ask for fewer" },
      ]);
    return { accessToken, tokenType: "Bearer", expiresIn: durationFromMs(seconds * 1000), scopes };
  }

  async checkAccess(request: CheckAccessRequest, call: CallHead) {
    const rule = this.#options.ruleOf(request.method);
    if (rule === undefined) throw notFound(`method ${request.method.slice(0, 150)}`);
    const id =
      request.principal === "" || request.principal === "users/me"
        ? ownId(call.principal)
        : request.principal.replace(/^users\//, "");
    const scopes =
      id === ownId(call.principal)
        ? call.principal.scopes
        : await this.#options.directory.scopesOf(call.principal.tenant, id);
    if (rule.public) return { allowed: true, reason: "everybody may" };
    if (scopes === undefined)
      return {
        allowed: false,
        reason: `users/${id.slice(0, 80)} may do nothing: it is suspended, or not there`,
      };
    // No request is here to hold it against: what is said is what it depends on.
    const conditional = (rule.rule ?? "") !== "";
    const may = (reason: string, dependsOnRequest = conditional) => ({
      ...{ allowed: true, dependsOnRequest },
      reason: conditional ? `${reason}; a rule decides on each request` : reason,
    });
    const held = rule.scopes.find((scope) => allows(scopes, scope));
    if (held !== undefined) return may(`${held} is held`);
    if (allows(scopes, "*")) return may("administrators may");
    if (rule.scopes.includes("self")) return may("for themselves alone", true);
    const missingScopes = rule.scopes.length === 0 ? ["*"] : [...rule.scopes];
    return { allowed: false, reason: `${missingScopes.join(" or ")} is missing`, missingScopes };
  }

  async #own(call: CallHead): Promise<UserRow> {
    const id = ownId(call.principal);
    const row = await this.#store(call.principal.tenant).find(id);
    if (row === undefined) throw notFound(`users/${id}`);
    return row;
  }

  async #answer(row: UserRow, opened: OpenedSession) {
    const { tokens, directory } = this.#options;
    const accessToken = await tokens.issue({
      tenant: row.tenant,
      user: row.id,
      session: opened.row.id,
      scopes: undefined,
    });
    const scopes = (await directory.scopesOf(row.tenant, row.id)) ?? new Set<string>();
    return {
      accessToken,
      tokenType: "Bearer",
      expiresIn: durationFromMs(lifeSeconds * 1000),
      refreshToken: opened.refreshToken,
      scopes: [...scopes].sort(),
      user: toUser(row, scopes),
    };
  }

  /** @throws RpcError SIGN_IN_LIMITED, with RetryInfo; DATABASE_UNAVAILABLE. */
  async #demandPatience(account: string, address: string): Promise<void> {
    const verdicts = await Promise.all([this.#byAccount.take(account), this.#byAddress.take(address)]);
    const waitMs = Math.max(...verdicts.map((verdict) => verdict.retryAfterMs));
    if (waitMs === 0) return;
    throw new RpcError("resource_exhausted", {
      reason: "SIGN_IN_LIMITED",
      message: `too many attempts; try again in ${Math.ceil(waitMs / 1000)} s`,
      details: [create(RetryInfoSchema, { retryDelay: durationFromMs(Math.ceil(waitMs / 1000) * 1000) })],
    });
  }

  #store(tenant: string): UsersStore {
    const { db, engine } = this.#options.tables.of(tenant);
    return new UsersStore(db, engine, tenant);
  }
}

function signInRefused(): RpcError {
  return new RpcError("unauthenticated", {
    reason: "SIGN_IN_REFUSED",
    message: "the e-mail or the password is not right, or the user may not sign in",
  });
}
