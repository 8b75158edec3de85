/** What the authorization server needs of the users service. */
import type { Principal } from "#rpc/principal.ts";
import type { Clock } from "#std/clock.ts";
import type { LimitStore } from "#std/shared-limiter.ts";
import type { Tables } from "#storage/storage.ts";
import type { VerifiedGrant } from "../access-tokens.ts";
import type { Secrets } from "../secrets.ts";
import type { SigningKeys } from "../signing-keys.ts";
import type { UserRow, UsersTables } from "../tables.ts";
import type { OAuthClients } from "./clients.ts";

export interface OAuthParts {
  readonly tables: Tables<UsersTables>;
  readonly secrets: Secrets;
  readonly clock: Clock;
  readonly clients: OAuthClients;
  readonly signingKeys: SigningKeys;
  /** Counts that the processes of an installation share; undefined: each counts for itself. */
  readonly limits: LimitStore | undefined;
  /** Whether applications may register themselves, with a credential that has `oauthClients:write`. */
  readonly registration: boolean;
  issuer(): string;
  /** Of the API: what clients can ask for. */
  scopes(): readonly string[];
  /** Only who may sign in. */
  findUser(uid: string): Promise<UserRow | undefined>;
  /** @throws RpcError as AuthService.SignIn does. */
  signIn(
    given: { readonly tenant: string; readonly email: string; readonly password: string },
    from: { readonly address: string; readonly client: string },
  ): Promise<UserRow>;
  /** Whether a secret is the one of a keyed hash. */
  isSecret(given: string, hash: string): boolean;
  verify(accessToken: string): Promise<VerifiedGrant | undefined>;
  /** Undefined: the credential stands for nobody, or not any more. */
  principalOf(credential: string, address: string): Promise<Principal | undefined>;
  closeSession(tenant: string, user: string, session: string): Promise<void>;
  /** The request that is being answered. */
  current(): Current | undefined;
}

export interface Current {
  readonly address: string;
  /** Of who registers a client. */
  readonly tenant?: string;
}
