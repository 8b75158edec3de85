/**
 * Users: who there is, how they show who they are, and what they may do. UserService, RoleService, TenantService, AuthService,
 * ApiKeyService and AuditService.
 *
 * Behind them a directory that answers for every call whom its credential stands for. Everything belongs to one tenant, which
 * comes from the credential. Passwords, keys and refresh tokens are stored as hashes only.
 */
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AuditService } from "#gen/portico/users/v1/audit_pb.ts";
import { ApiKeyService, AuthService } from "#gen/portico/users/v1/auth_pb.ts";
import { OAuthClientService } from "#gen/portico/users/v1/oauth_pb.ts";
import {
  CreateUserRequestSchema,
  RoleService,
  TenantService,
  UserSchema,
  UserService,
} from "#gen/portico/users/v1/users_pb.ts";
import { type EventLog, noEvents, type TopicKind } from "#rpc/event.ts";
import { localPrincipal } from "#rpc/principal.ts";
import { demand, isId, type PageSizes } from "#rpc/resource.ts";
import { type HostedService, hostService } from "#rpc/service.ts";
import type { Clock } from "#std/clock.ts";
import type { LimitStore } from "#std/shared-limiter.ts";
import type { Storage } from "#storage/storage.ts";
import { createAccessTokens } from "./access-tokens.ts";
import { Accounts } from "./accounts.ts";
import { ApiKeys } from "./api-keys.ts";
import { AuditLog } from "./audit-log.ts";
import type { BreachList } from "./breach-list.ts";
import { createDirectory, type Directory } from "./directory.ts";
import { createIssuers, type TrustedIssuer } from "./issuers.ts";
import { hintOf, newKey, newKeyId, parseKey } from "./key-format.ts";
import { KeyStore } from "./key-store.ts";
import { auditedSignIn } from "./oauth/audited-sign-in.ts";
import { OAuthClients } from "./oauth/clients.ts";
import { createOAuth, type OAuth } from "./oauth/oauth.ts";
import { createPasswords } from "./passwords.ts";
import { checkEmailForm } from "./rights.ts";
import { RoleMethods } from "./role-service.ts";
import { createSecrets, isEqual, type Secrets } from "./secrets.ts";
import { Sessions } from "./sessions.ts";
import { defaultSignInLimits, type MethodRule, SignIn, type SignInLimits } from "./sign-in.ts";
import { createSigningKeys, type SigningKeys } from "./signing-keys.ts";
import { UsersStore } from "./store.ts";
import type { UsersTables } from "./tables.ts";
import { Tenants } from "./tenants.ts";
import { Tickets } from "./tickets.ts";

export { openBreachList } from "./breach-list.ts";
export type { Credential, Directory } from "./directory.ts";
export type { TrustedIssuer } from "./issuers.ts";
export { migrations } from "./migrations.ts";
export type { MountedAnswer, MountedRequest, OAuth } from "./oauth/oauth.ts";
export { reasons } from "./reasons.ts";
export type { MethodRule } from "./sign-in.ts";
export type { SigningKeys } from "./signing-keys.ts";

export interface UsersOptions {
  readonly storage: Storage;
  /** The installation's: seals page tokens, keys hashes, encrypts signing keys. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
  /** Of its lists. */
  readonly pages?: PageSizes | undefined;
  /** "test": new keys say that they are not for production. */
  readonly keyMode: "live" | "test";
  /** The issuer of tokens: where clients reach this installation. */
  issuer(): string;
  /** Passwords that nobody may choose. Default: none are listed. */
  readonly breachedPasswords?: BreachList | undefined;
  /** Counts of attempts that the processes of an installation share. Default: each counts for itself. */
  readonly limits?: LimitStore | undefined;
  /** How often signing in may be tried. */
  readonly signInLimits?: SignInLimits | undefined;
  /** Whose access tokens are good beside our own. Default: nobody's. */
  readonly trustedIssuers?: readonly TrustedIssuer[];
  /** Whether applications may register themselves as OAuth clients, with a credential that may. Default false. */
  readonly oauthRegistration?: boolean;
  /** Where changes are told. Default: nowhere. */
  readonly events?: EventLog;
  /** All scopes that methods ask for, for the authorization server's description of itself. */
  scopes?(): readonly string[];
  /** What a method asks of its callers; undefined: there is no such method. */
  ruleOf(name: string): MethodRule | undefined;
}

export interface UsersHost {
  readonly services: readonly HostedService[];
  readonly directory: Directory;
  readonly signingKeys: SigningKeys;
  readonly audit: Pick<AuditLog, "append">;
  /** The authorization server. */
  readonly oauth: OAuth;
  /**
   * Makes sure that there are an administrator, `users/admin`, and a key for it: the one given, written into this store again, or a
   * new one. For development.
   */
  developmentKey(given: string | undefined): Promise<string>;
  /**
   * Makes an administrator of the tenant "default" without asking anybody: for who holds the database.
   *
   * @throws RpcError FIELD_INVALID, RESOURCE_EXISTS, EMAIL_TAKEN.
   */
  createAdministrator(admin: {
    readonly id: string;
    readonly email: string;
    readonly password: string;
  }): Promise<void>;
  close(): Promise<void>;
}

/** What of it can be followed. */
export const topics: readonly TopicKind[] = [{ kind: "users", scope: "users:read", own: true }];

const maintainEveryMs = 3600 * 1000;

export function createUsers(options: UsersOptions): UsersHost {
  const { storage, secret, clock } = options;
  const tables = storage.tables<UsersTables>();
  const secrets = createSecrets(secret);
  const passwords = createPasswords(secrets, options.breachedPasswords);
  const signingKeys = createSigningKeys({ tables, secrets, clock });
  const tokens = createAccessTokens({ keys: signingKeys, clock, issuer: options.issuer });
  const tickets = new Tickets(tables, clock);
  const issuers = createIssuers({ issuers: options.trustedIssuers ?? [], clock });
  const directory = createDirectory({
    ...{ tables, secrets, tokens, tickets, issuers, clock },
    keyMode: options.keyMode,
  });
  const sessions = new Sessions(tables, clock);
  const { events = noEvents, pages } = options;
  const accounts = new Accounts({ tables, directory, passwords, secret, clock, events, pages });
  const signIn = new SignIn({
    tables,
    directory,
    passwords,
    tokens,
    sessions,
    clock,
    limits: options.limits,
    attempts: options.signInLimits ?? defaultSignInLimits,
    ruleOf: options.ruleOf,
  });
  const keys = new ApiKeys({ tables, directory, secrets, secret, clock, mode: options.keyMode, pages });
  const clients = new OAuthClients({ tables, secrets, secret, clock, pages });
  const audit = new AuditLog(tables, secrets, { secret, clock, pages });
  const oauth = createOAuth({
    ...{ tables, secrets, clock, clients, signingKeys, issuer: options.issuer, limits: options.limits },
    registration: options.oauthRegistration === true,
    scopes: () => options.scopes?.() ?? [],
    findUser: async (uid) => {
      const user = await UsersStore.findByUid(tables.db, uid);
      return user && (await directory.scopesOf(user.tenant, user.id)) && user;
    },
    signIn: (given, from) => auditedSignIn({ signIn, audit, clock }, given, from),
    isSecret: (given, stored) => isEqual(Buffer.from(clients.hashSecret(given)), Buffer.from(stored)),
    verify: (token) => tokens.verify(token),
    principalOf: async (text, address) => await (await directory.read(text))?.principal(address),
    closeSession: (tenant, user, session) => sessions.close(tenant, user, { only: [session] }),
  });
  let maintaining: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    // A database that is away now is asked again in an hour.
    const work = [sessions.purge(), tickets.purge(), oauth.purge(), signingKeys.maintain()];
    maintaining = Promise.all(work).catch(() => undefined);
  }, maintainEveryMs).unref();
  return {
    services: [
      userService(accounts),
      roleService(new RoleMethods(tables)),
      tenantService(new Tenants(tables, passwords, clock)),
      authService(signIn, tickets),
      apiKeyService(keys),
      oauthClientService(clients),
      auditService(audit),
    ],
    directory,
    audit,
    signingKeys,
    oauth,
    createAdministrator: async ({ id, email, password }) => {
      const user = create(UserSchema, { email, roles: ["roles/admin"], displayName: "Administrator" });
      const request = create(CreateUserRequestSchema, { user, userId: id, password });
      // No call, so nothing to be kept beside it.
      const call = {
        ...{ principal: localPrincipal, beforeCommit: () => {}, runBeforeCommit: async () => {} },
        ...{ afterCommit: () => {}, runAfterCommit: () => {} },
      };
      // No gateway stands before this one to hold it against the contract.
      demand([
        ...(isId(id) ? [] : [{ field: "id", description: "must be lower-case letters, digits and hyphens" }]),
        ...checkEmailForm(email, "email"),
      ]);
      await accounts.create([request], call);
    },
    developmentKey: (given) => developmentKey({ storage, secrets, clock }, given),
    close: async () => {
      clearInterval(timer);
      await maintaining;
    },
  };
}

function userService(accounts: Accounts): HostedService {
  return hostService(UserService, {
    createUser: async (request, call) => (await accounts.create([request], call))[0] ?? {},
    batchCreateUsers: async (request, call) => ({
      users: await accounts.create(request.requests, call, "requests"),
    }),
    getUser: (request, call) => accounts.get(request.id, call),
    batchGetUsers: async (request, call) => ({
      users: await accounts.getMany(request.ids, call),
    }),
    listUsers: (request, call) => accounts.list(request, call),
    updateUser: (request, call) => accounts.update(request, call),
    deleteUser: async (request, call) => {
      await accounts.remove(request, call);
      return {};
    },
    suspendUser: (request, call) => accounts.suspend(request.id, call),
    reactivateUser: (request, call) => accounts.reactivate(request.id, call),
    listSessions: (request, call) => accounts.listSessions(request.id, call),
    revokeSessions: async (request, call) => {
      await accounts.revokeSessions(request, call);
      return {};
    },
  });
}

function roleService(roles: RoleMethods): HostedService {
  return hostService(RoleService, {
    createRole: (request, call) => roles.create(request, call),
    getRole: (request, call) => roles.get(request.id, call),
    listRoles: (_request, call) => roles.list(call),
    updateRole: (request, call) => roles.update(request, call),
    deleteRole: async (request, call) => {
      await roles.remove(request, call);
      return {};
    },
  });
}

function tenantService(tenants: Tenants): HostedService {
  return hostService(TenantService, {
    createTenant: (request, call) => tenants.create(request, call),
    getTenant: (request, call) => tenants.get(request.tenant, call),
    listTenants: (_request, call) => tenants.list(call),
    updateTenant: (request, call) => tenants.update(request, call),
    suspendTenant: (request, call) => tenants.suspend(request.tenant, call),
    reactivateTenant: (request, call) => tenants.reactivate(request.tenant, call),
  });
}

function authService(signIn: SignIn, tickets: Tickets): HostedService {
  return hostService(AuthService, {
    signIn: (request, call) => signIn.signIn(request, call),
    refreshToken: (request, call) => signIn.refresh(request.refreshToken, call),
    signOut: async (request, call) => {
      await signIn.signOut(request.everywhere, call);
      return {};
    },
    changePassword: async (request, call) => {
      await signIn.changePassword(request, call);
      return {};
    },
    exchangeToken: (request, call) => signIn.exchange(request, call),
    createTicket: async (request, call) => {
      const { ticket, expiresAt } = await tickets.create(request.scopes, call);
      return { ticket, expireTime: timestampFromMs(expiresAt) };
    },
    checkAccess: (request, call) => signIn.checkAccess(request, call),
  });
}

function apiKeyService(keys: ApiKeys): HostedService {
  return hostService(ApiKeyService, {
    createApiKey: (request, call) => keys.create(request, call),
    getApiKey: (request, call) => keys.get(request.id, call),
    listApiKeys: (request, call) => keys.list(request, call),
    updateApiKey: (request, call) => keys.update(request, call),
    rotateApiKey: (request, call) => keys.rotate(request, call),
    revokeApiKey: (request, call) => keys.revoke(request.id, call),
  });
}

function oauthClientService(clients: OAuthClients): HostedService {
  return hostService(OAuthClientService, {
    createOAuthClient: (request, call) => clients.create(request.oauthClient, call),
    getOAuthClient: (request, call) => clients.get(request.id, call),
    listOAuthClients: (request, call) => clients.list(request, call),
    updateOAuthClient: (request, call) => clients.update(request, call),
    deleteOAuthClient: async (request, call) => {
      await clients.remove(request, call);
      return {};
    },
  });
}

function auditService(audit: AuditLog): HostedService {
  return hostService(AuditService, {
    listAuditEntries: (request, call) => audit.list(request, call),
    verifyAuditChain: (request, call) => audit.verify(request, call),
  });
}

const developmentTenant = "default";
const developmentAdmin = "admin";
const yearMs = 365 * 24 * 3600 * 1000;

async function developmentKey(
  { storage, secrets, clock }: { storage: Storage; secrets: Secrets; clock: Clock },
  given: string | undefined,
): Promise<string> {
  const tables = storage.tables<UsersTables>();
  const now = clock.now();
  const known = given === undefined ? undefined : parseKey(given);
  const id = known?.id ?? newKeyId();
  const key = known?.text ?? newKey("test", id);
  await new UsersStore(tables.db, tables.engine, developmentTenant).insert({
    tenant: developmentTenant,
    id: developmentAdmin,
    uid: randomUUID(),
    version: 1,
    displayName: "Administrator",
    email: "",
    state: "ACTIVE",
    kind: "PERSON",
    roles: ["admin"],
    labels: {},
    certificates: [],
    password: "",
    createdAt: now,
    updatedAt: now,
    lastSignInAt: undefined,
  });
  await new KeyStore(tables.db, tables.engine, developmentTenant).put({
    id,
    tenant: developmentTenant,
    owner: developmentAdmin,
    version: 1,
    display_name: "Development",
    hint: hintOf("test", id),
    scopes: "[]",
    networks: "[]",
    hash: secrets.hashKey(key),
    previous_hash: null,
    previous_until: null,
    created_at: now,
    expires_at: now + yearMs,
    revoked_at: null,
    last_used_at: null,
    last_used_address: "",
  });
  return key;
}
