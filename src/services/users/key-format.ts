/**
 * The form of API keys: `ptk_<live|test>_<id, 10><secret, 43><checksum, 6>`, all of it base 62.
 *
 * The prefix is for scanners that look for leaked secrets, the id for finding the row, the checksum for refusing typing mistakes
 * without asking the database. The secret has 256 bits.
 */
import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const idLength = 10;
const secretLength = 43;
const checksumLength = 6;
const form = /^ptk_(live|test)_([0-9A-Za-z]{10})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;

export type KeyMode = "live" | "test";

export interface ParsedKey {
  readonly id: string;
  readonly mode: KeyMode;
  /** The key as a whole. */
  readonly text: string;
}

/** Whether text is meant to be an API key, right or wrong. */
export function looksLikeKey(text: string): boolean {
  return text.startsWith("ptk_");
}

/** Undefined: it has not the form, or its checksum is wrong. */
export function parseKey(text: string): ParsedKey | undefined {
  const match = form.exec(text);
  if (match === null) return undefined;
  const body = text.slice(0, -checksumLength);
  return match[4] === checksumOf(body)
    ? { id: String(match[2]), mode: match[1] as KeyMode, text }
    : undefined;
}

export function newKeyId(): string {
  return randomDigits(idLength);
}

/** A whole key with a new secret for an id. */
export function newKey(mode: KeyMode, id: string): string {
  const body = `${hintOf(mode, id)}_${randomDigits(secretLength)}`;
  return body + checksumOf(body);
}

/** What of a key may be shown. */
export function hintOf(mode: KeyMode, id: string): string {
  return `ptk_${mode}_${id}`;
}

function checksumOf(body: string): string {
  let text = "";
  for (let rest = crc32(body); text.length < checksumLength; rest = Math.floor(rest / 62))
    text = digits.charAt(rest % 62) + text;
  return text;
}

/** Bytes that would favour the first digits are drawn again. */
function randomDigits(length: number): string {
  let text = "";
  while (text.length < length)
    for (const byte of randomBytes(length * 2))
      if (byte < 248 && text.length < length) text += digits.charAt(byte % 62);
  return text;
}
