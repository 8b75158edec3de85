/** What can be done with API keys: the methods of ApiKeyService, over the store. */
import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ApiKey, CreateApiKeyRequest, UpdateApiKeyRequest } from "#gen/portico/users/v1/auth_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { allows } from "#rpc/principal.ts";
import {
  checkEtag,
  demand,
  maskedFields,
  notFound,
  type PageSizes,
  pageSize,
  required,
  type Violation,
  wrongState,
} from "#rpc/resource.ts";
import type { Clock } from "#std/clock.ts";
import { parseBlock } from "#std/networks.ts";
import { createPageTokens, type PageTokens } from "#storage/page-token.ts";
import type { Tables } from "#storage/storage.ts";
import type { Directory } from "./directory.ts";
import { hintOf, type KeyMode, newKey, newKeyId } from "./key-format.ts";
import { KeyStore } from "./key-store.ts";
import { keyEtag, toApiKey } from "./model.ts";
import { demandScopes, idOrMe, ownId } from "./rights.ts";
import type { Secrets } from "./secrets.ts";
import type { KeyColumns, UsersTables } from "./tables.ts";

export interface ApiKeysOptions {
  readonly tables: Tables<UsersTables>;
  readonly directory: Directory;
  readonly secrets: Secrets;
  readonly secret: Uint8Array;
  readonly clock: Clock;
  readonly pages?: PageSizes | undefined;
  readonly mode: KeyMode;
}

const dayMs = 24 * 3600 * 1000;
const defaultLifeMs = 90 * dayMs;
const maxLifeMs = 366 * dayMs;
const defaultOverlapMs = dayMs;
const mutable = ["display_name", "scopes", "allowed_networks", "expire_time"] as const;
type MutableField = (typeof mutable)[number];

export class ApiKeys {
  readonly #options: ApiKeysOptions;
  readonly #tokens: PageTokens;

  constructor(options: ApiKeysOptions) {
    this.#options = options;
    this.#tokens = createPageTokens(options.secret, options.clock);
  }

  async create(request: CreateApiKeyRequest, call: CallHead) {
    const key = required(request.apiKey, "apiKey");
    const { clock, secrets, mode } = this.#options;
    const now = clock.now();
    demand([...checkFields(key, now), ...checkOwner(key.owner)]);
    const owner = idOrMe(key.owner.slice("users/".length), call);
    await this.#demandOwner(owner, call, true);
    demandScopes(call.principal, key.scopes, "such a key");
    const id = newKeyId();
    const secret = newKey(mode, id);
    const row: KeyColumns = {
      id,
      tenant: call.principal.tenant,
      owner,
      version: 1,
      display_name: key.displayName,
      hint: hintOf(mode, id),
      scopes: JSON.stringify(narrowedScopes(key.scopes, call)),
      networks: JSON.stringify(key.allowedNetworks),
      hash: secrets.hashKey(secret),
      previous_hash: null,
      previous_until: null,
      created_at: now,
      expires_at: key.expireTime === undefined ? now + defaultLifeMs : timestampMs(key.expireTime),
      revoked_at: null,
      last_used_at: null,
      last_used_address: "",
    };
    const { tables } = this.#options;
    await tables
      .of(row.tenant)
      .transaction((db) => new KeyStore(db, tables.engine, row.tenant).put(row), call);
    return { apiKey: toApiKey(row, now), secret };
  }

  async get(id: string, call: CallHead): Promise<ApiKey> {
    return toApiKey(visible(await this.#store(call).find(id), id, call), this.#options.clock.now());
  }

  async list(request: { readonly pageSize: number; readonly pageToken: string }, call: CallHead) {
    const size = pageSize(request.pageSize, this.#options.pages);
    const owner = isKeyAdmin(call) ? undefined : ownId(call.principal);
    const bound = JSON.stringify(["apiKeys", call.principal.tenant, owner]);
    const after = request.pageToken === "" ? "" : String(this.#tokens.open(request.pageToken, bound)[0]);
    const rows = await this.#store(call).list(owner, after, size + 1);
    const page = rows.slice(0, size);
    const last = page.at(-1);
    const now = this.#options.clock.now();
    return {
      apiKeys: page.map((row) => toApiKey(row, now)),
      nextPageToken: rows.length > size && last !== undefined ? this.#tokens.seal([last.id], bound) : "",
    };
  }

  async update(request: UpdateApiKeyRequest, call: CallHead): Promise<ApiKey> {
    const key = required(request.apiKey, "apiKey");
    const now = this.#options.clock.now();
    const fields = maskedFields(request.updateMask?.paths, mutable, (name) => isPresent(name, key));
    demand(checkFields(key, now));
    demandScopes(call.principal, key.scopes, "such a key");
    return await this.#change(key.id, call, (before) => {
      checkEtag(`apiKeys/${before.id}`, keyEtag(before), key.etag);
      const expires = key.expireTime === undefined ? now + defaultLifeMs : timestampMs(key.expireTime);
      return {
        ...(fields.includes("display_name") ? { display_name: key.displayName } : {}),
        ...(fields.includes("scopes") ? { scopes: JSON.stringify(narrowedScopes(key.scopes, call)) } : {}),
        ...(fields.includes("allowed_networks") ? { networks: JSON.stringify(key.allowedNetworks) } : {}),
        ...(fields.includes("expire_time") ? { expires_at: expires } : {}),
      };
    });
  }

  async rotate(
    request: { readonly id: string; readonly overlap?: Parameters<typeof durationMs>[0] | undefined },
    call: CallHead,
  ) {
    const overlap = request.overlap === undefined ? defaultOverlapMs : durationMs(request.overlap);
    const { clock, secrets, mode } = this.#options;
    const secret = newKey(mode, request.id);
    const apiKey = await this.#change(request.id, call, (before) => ({
      hash: secrets.hashKey(secret),
      hint: hintOf(mode, before.id),
      previous_hash: before.hash,
      previous_until: clock.now() + overlap,
    }));
    return { apiKey, secret };
  }

  async revoke(id: string, call: CallHead): Promise<ApiKey> {
    return await this.#change(id, call, () => ({ revoked_at: this.#options.clock.now() }));
  }

  async #change(
    id: string,
    call: CallHead,
    change: (before: KeyColumns) => Partial<KeyColumns>,
  ): Promise<ApiKey> {
    const { tables, clock } = this.#options;
    // Owners do not change, and the directory cannot be asked inside: its reads wait for the transaction to end.
    await this.#demandOwner(visible(await this.#store(call).find(id), id, call).owner, call);
    return await tables.of(call.principal.tenant).transaction(async (db) => {
      const store = new KeyStore(db, tables.engine, call.principal.tenant);
      const before = visible(await store.lock(id), id, call);
      if (before.revoked_at !== null) throw wrongState(`apiKeys/${id} is revoked; create another one`);
      const after = { ...before, ...change(before), version: before.version + 1 };
      await store.save(after);
      return toApiKey(after, clock.now());
    }, call);
  }

  /** Others' keys are for those who may do all that the other may. */
  async #demandOwner(owner: string, call: CallHead, creating = false): Promise<void> {
    if (owner === ownId(call.principal)) return await this.#demandUser(call, creating);
    if (!isKeyAdmin(call)) demandScopes(call.principal, ["apiKeys:admin"], "a key of somebody else");
    const scopes = await this.#options.directory.scopesOf(call.principal.tenant, owner);
    if (scopes === undefined && creating)
      demand([
        { field: "apiKey.owner", description: `there is no users/${owner.slice(0, 80)} who may do anything` },
      ]);
    demandScopes(call.principal, scopes ?? [], `a key of users/${owner}`);
  }

  /** A key stands for a user of ours: who is here by another issuer's word alone has none that could last longer. */
  async #demandUser({ principal }: CallHead, creating: boolean): Promise<void> {
    if (!creating || principal.roles === undefined) return;
    const { tenant, name } = principal;
    if ((await this.#options.directory.scopesOf(tenant, ownId(principal))) !== undefined) return;
    demand([
      {
        field: "apiKey.owner",
        description: `there is no ${name} here, whom a key could stand for; have an administrator create that user, or exchange the token (AuthService.ExchangeToken)`,
      },
    ]);
  }

  #store(call: CallHead): KeyStore {
    const { tables } = this.#options;
    const { tenant } = call.principal;
    return new KeyStore(tables.of(tenant).db, tables.engine, tenant);
  }
}

function isKeyAdmin(call: CallHead): boolean {
  return allows(call.principal.scopes, "apiKeys:admin");
}

/** A narrowed credential cannot make a wider one by leaving the scopes out. */
function narrowedScopes(asked: readonly string[], call: CallHead): readonly string[] {
  return asked.length > 0 ? [...new Set(asked)].sort() : [...call.principal.scopes].sort();
}

function visible(row: KeyColumns | undefined, id: string, call: CallHead): KeyColumns {
  if (row === undefined || (row.owner !== ownId(call.principal) && !isKeyAdmin(call)))
    throw notFound(`apiKeys/${id.slice(0, 100)}`);
  return row;
}

function checkOwner(owner: string): Violation[] {
  return owner === "" || owner.startsWith("users/")
    ? []
    : [{ field: "apiKey.owner", description: 'must be a resource name such as "users/ana"' }];
}

function checkFields(key: ApiKey, now: number): Violation[] {
  const violations: Violation[] = [];
  if (key.allowedNetworks.length > 50)
    violations.push({ field: "apiKey.allowedNetworks", description: "has more than 50 networks" });
  for (const [index, block] of key.allowedNetworks.slice(0, 50).entries())
    if (parseBlock(block) === undefined)
      violations.push({
        field: `apiKey.allowedNetworks[${index}]`,
        description: `"${block.slice(0, 60)}" is not a network; write 10.0.0.0/8 or 2001:db8::/32`,
      });
  const expires = key.expireTime === undefined ? undefined : timestampMs(key.expireTime);
  if (expires !== undefined && (expires <= now || expires > now + maxLifeMs))
    violations.push({ field: "apiKey.expireTime", description: "must be in the next 366 days" });
  return violations;
}

function isPresent(name: MutableField, key: ApiKey): boolean {
  switch (name) {
    case "display_name":
      return key.displayName !== "";
    case "scopes":
      return key.scopes.length > 0;
    case "allowed_networks":
      return key.allowedNetworks.length > 0;
    case "expire_time":
      return key.expireTime !== undefined;
  }
}
