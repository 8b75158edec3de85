/**
 * The keys that sign access tokens: ES256, made here, encrypted in the database, shared by all processes of an installation.
 *
 * A new key is published before it signs and an old one verifies for as long as its tokens live, so a rotation fails nobody.
 */
import type { CryptoKey, JWK } from "jose";
import type { Clock } from "#std/clock.ts";
import type { Tables } from "#storage/storage.ts";
import type { Secrets } from "./secrets.ts";
import type { SigningKeyRow, UsersTables } from "./tables.ts";

export const algorithm = "ES256";

/** Loaded when the first token comes: 16 MB that a process without tokens has no use for. */
export const jose = () => import("jose");

/** How often other processes' keys are looked for. */
const reloadMs = 2000;
/** From publication to first signature: longer than anybody may keep the key set. */
const leadMs = 10 * 60 * 1000;
/** From the last signature until nothing that was signed is good any more, with room for clocks. */
const overlapMs = 15 * 60 * 1000;
const rotateAfterMs = 30 * 24 * 3600 * 1000;

interface Key {
  readonly row: SigningKeyRow;
  readonly publicJwk: JWK;
  readonly verify: CryptoKey;
}

interface Signer {
  readonly id: string;
  readonly key: CryptoKey;
  /** Private. */
  readonly jwk: JWK;
}

export interface SigningKeys {
  /** The key that signs now. */
  signer(): Promise<Signer>;
  /** Undefined: nobody here has signed with such a key lately. */
  verifier(id: string): Promise<CryptoKey | undefined>;
  /** RFC 7517. */
  published(): Promise<{ readonly keys: readonly JWK[] }>;
  /** Publishes a new key that signs after the lead. Default lead: ten minutes. */
  rotate(leadMs?: number): Promise<void>;
  /** Rotates when the newest key is thirty days old, and forgets keys that are over. */
  maintain(): Promise<void>;
}

export function createSigningKeys(options: {
  readonly tables: Tables<UsersTables>;
  readonly secrets: Secrets;
  readonly clock: Clock;
}): SigningKeys {
  return new StoredKeys(options.tables, options.secrets, options.clock);
}

class StoredKeys implements SigningKeys {
  readonly #tables: Tables<UsersTables>;
  readonly #secrets: Secrets;
  readonly #clock: Clock;
  #keys = new Map<string, Key>();
  #loadedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;
  #signer: Signer | undefined;

  constructor(tables: Tables<UsersTables>, secrets: Secrets, clock: Clock) {
    this.#tables = tables;
    this.#secrets = secrets;
    this.#clock = clock;
  }

  async signer() {
    await this.#fresh();
    const signs = (row: SigningKeyRow): boolean => row.signs_from <= this.#clock.now();
    let newest = this.#newest(signs);
    if (newest === undefined) {
      await this.#add(0);
      newest = this.#newest(signs);
    }
    if (newest === undefined) throw new Error("no signing key could be made");
    if (this.#signer?.id !== newest.row.id) {
      const jwk = JSON.parse(this.#secrets.decrypt(newest.row.private_key)) as JWK;
      const { importJWK } = await jose();
      this.#signer = { id: newest.row.id, key: (await importJWK(jwk, algorithm)) as CryptoKey, jwk };
    }
    return this.#signer;
  }

  async verifier(id: string): Promise<CryptoKey | undefined> {
    if (!this.#isUsable(this.#keys.get(id))) await this.#fresh();
    const key = this.#keys.get(id);
    return this.#isUsable(key) ? key?.verify : undefined;
  }

  async published() {
    await this.#fresh();
    return {
      keys: [...this.#keys.values()].filter((key) => this.#isUsable(key)).map((key) => key.publicJwk),
    };
  }

  async rotate(lead = leadMs): Promise<void> {
    await this.#add(lead);
  }

  async maintain(): Promise<void> {
    const now = this.#clock.now();
    await this.#tables.db.deleteFrom("users_signing_keys").where("retires_at", "<", now).execute();
    await this.#fresh();
    const newest = this.#newest(() => true);
    if (newest !== undefined && newest.row.created_at + rotateAfterMs < now) await this.#add(leadMs);
  }

  #isUsable(key: Key | undefined): boolean {
    return key !== undefined && (key.row.retires_at === null || key.row.retires_at > this.#clock.now());
  }

  #newest(fits: (row: SigningKeyRow) => boolean): Key | undefined {
    return [...this.#keys.values()]
      .filter(({ row }) => fits(row))
      .sort((a, b) => b.row.signs_from - a.row.signs_from || (a.row.id < b.row.id ? -1 : 1))[0];
  }

  async #add(lead: number): Promise<void> {
    const { calculateJwkThumbprint, exportJWK, generateKeyPair } = await jose();
    const pair = await generateKeyPair(algorithm, { extractable: true });
    const publicKey = await exportJWK(pair.publicKey);
    const id = await calculateJwkThumbprint(publicKey);
    const now = this.#clock.now();
    const row: SigningKeyRow = {
      id,
      public_key: JSON.stringify({ ...publicKey, kid: id, alg: algorithm, use: "sig" }),
      private_key: this.#secrets.encrypt(JSON.stringify(await exportJWK(pair.privateKey))),
      created_at: now,
      signs_from: now + lead,
      retires_at: null,
    };
    await this.#tables.transaction(async (db) => {
      await db
        .updateTable("users_signing_keys")
        .set({ retires_at: row.signs_from + overlapMs })
        .where("retires_at", "is", null)
        .execute();
      await db.insertInto("users_signing_keys").values(row).execute();
    });
    this.#loadedAt = Number.NEGATIVE_INFINITY;
    await this.#fresh();
  }

  /** One load at a time, and not more often than every two seconds: a made-up key id costs no query. */
  async #fresh(): Promise<void> {
    if (this.#clock.now() - this.#loadedAt < reloadMs) return;
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
  }

  async #load(): Promise<void> {
    const rows = await this.#tables.db.selectFrom("users_signing_keys").selectAll().execute();
    const keys = new Map<string, Key>();
    const { importJWK } = await jose();
    for (const row of rows) {
      const known = this.#keys.get(row.id);
      const publicJwk = known?.publicJwk ?? (JSON.parse(row.public_key) as JWK);
      const verify = known?.verify ?? ((await importJWK(publicJwk, algorithm)) as CryptoKey);
      keys.set(row.id, { row, publicJwk, verify });
    }
    this.#keys = keys;
    this.#loadedAt = this.#clock.now();
  }
}
