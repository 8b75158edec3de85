/** One secret of the installation, one key for each use of it: what is learnt of one says nothing about another. */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";

export interface Secrets {
  /** Keyed hash of an API key. */
  hashKey(key: string): Uint8Array;
  /** Link of the audit chain: nobody without the secret can make one. */
  link(before: string, entry: string): string;
  /** A password as argon2 gets it: useless without the installation's secret. */
  pepper(password: string): string;
  encrypt(text: string): Uint8Array;
  /** @throws Error when the secret is not the one that encrypted. */
  decrypt(bytes: Uint8Array): string;
  /** What the authorization server keeps: found by a keyed hash, read with the secret. */
  readonly oauth: {
    hash(text: string): string;
    encrypt(text: string): Uint8Array;
    /** @throws Error when the secret is not the one that encrypted. */
    decrypt(bytes: Uint8Array): string;
    /** Signs the cookies of its pages. */
    readonly cookieKey: string;
  };
}

export function createSecrets(secret: Uint8Array): Secrets {
  const derive = (use: string): Buffer => Buffer.from(hkdfSync("sha256", secret, "", `portico/${use}`, 32));
  const keyHash = derive("api-keys");
  const pepper = derive("passwords");
  const audit = derive("audit");
  const oauthHash = derive("oauth-hash");
  return {
    hashKey: (key) => createHmac("sha256", keyHash).update(key).digest(),
    link: (before, entry) => createHmac("sha256", audit).update(`${before}\n${entry}`).digest("base64url"),
    pepper: (password) => createHmac("sha256", pepper).update(password.normalize("NFKC")).digest("base64"),
    ...cipherOf(derive("signing-keys")),
    oauth: {
      hash: (text) => createHmac("sha256", oauthHash).update(text).digest("base64url"),
      ...cipherOf(derive("oauth")),
      cookieKey: derive("oauth-cookies").toString("base64url"),
    },
  };
}

function cipherOf(key: Buffer): { encrypt(text: string): Uint8Array; decrypt(bytes: Uint8Array): string } {
  return {
    encrypt: (text) => {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      return Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    },
    decrypt: (bytes) => {
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12));
      decipher.setAuthTag(bytes.subarray(-16));
      return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString("utf8");
    },
  };
}

export function sha256(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

/** In constant time; false where there is nothing to compare with. */
export function isEqual(a: Uint8Array, b: Uint8Array | null | undefined): boolean {
  return b !== null && b !== undefined && a.length === b.length && timingSafeEqual(a, b);
}
