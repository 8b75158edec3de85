/**
 * The installation's secret: 32 random bytes from a file. In development the file is made on first use, readable by its
 * owner alone; in production it must exist.
 */
import { randomBytes } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import path from "node:path";

/** @throws Error naming the file and the remedy; never the content. */
export function readSecret(config: {
  readonly secretFile: string | undefined;
  readonly dataDir: string;
}): Uint8Array {
  if (config.secretFile !== undefined) return parseSecret(readFileSync(config.secretFile), config.secretFile);
  const file = path.join(config.dataDir, "secret");
  mkdirSync(config.dataDir, { recursive: true });
  if (!existsSync(file)) makeSecret(file);
  return parseSecret(readFileSync(file), file);
}

/** Written aside and then linked into place: two processes that start together agree, and nobody reads half a secret. */
function makeSecret(file: string): void {
  const aside = `${file}.${process.pid}`;
  writeFileSync(aside, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  try {
    linkSync(aside, file);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    unlinkSync(aside);
  }
}

function parseSecret(bytes: Buffer, file: string): Uint8Array {
  const text = bytes.toString("latin1").trim();
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, "hex");
  if (bytes.length === 32) return bytes;
  throw new Error(
    `${file}: must hold exactly 32 bytes, or 64 hexadecimal digits; it has ${bytes.length} bytes. Make a new one with: head -c 32 /dev/urandom > ${file}`,
  );
}
