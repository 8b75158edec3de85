/**
 * Passwords that others have lost: a file of their SHA-1 hashes, in order, as Have I Been Pwned gives it out (`HASH:COUNT` a line). It is
 * looked into where it lies, twenty-odd reads a password; nothing leaves the machine.
 *
 * @see https://pages.nist.gov/800-63-4/sp800-63b.html (3.1.1.2: compare with a blocklist)
 */
import { hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";

export interface BreachList {
  has(password: string): Promise<boolean>;
}

const hashLength = 40;
/** Longer than any line. */
const window = 128;

export const emptyBreachList: BreachList = { has: async () => false };

/** @throws Error when the file cannot be read, or is not such a list. */
export async function openBreachList(file: string): Promise<BreachList & { close(): Promise<void> }> {
  const handle = await open(file, "r");
  const { size } = await handle.stat();
  const first = await lineAfter(handle, 0, size);
  if (first !== undefined && !/^[0-9A-F]{40}(:\d+)?$/i.test(first.text)) {
    await handle.close();
    throw new Error(
      `${file} is no list of SHA-1 hashes in order, one a line: its first line is something else`,
    );
  }
  return {
    has: async (password) => {
      const wanted = hash("sha1", password, "hex").toUpperCase();
      let low = 0;
      let high = size;
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        const line = await lineAfter(handle, middle, size);
        const found = line?.text.slice(0, hashLength).toUpperCase();
        if (found === wanted) return true;
        if (line === undefined || found === undefined || found > wanted) high = middle;
        else low = line.end;
      }
      return false;
    },
    close: () => handle.close(),
  };
}

/** The first line that begins at `from` or after; undefined: there is none. */
async function lineAfter(
  handle: FileHandle,
  from: number,
  size: number,
): Promise<{ readonly text: string; readonly end: number } | undefined> {
  // A line begins behind a line's end, so the byte before is looked at too.
  const start = Math.max(0, from - 1);
  const buffer = Buffer.alloc(Math.min(2 * window, size - start));
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
  const text = buffer.toString("latin1", 0, bytesRead);
  const begin = from === 0 ? 0 : text.indexOf("\n") + 1;
  if (from !== 0 && begin === 0) return undefined;
  const newline = text.indexOf("\n", begin);
  const end = newline === -1 ? text.length : newline;
  if (end === begin) return undefined;
  return { text: text.slice(begin, end).trimEnd(), end: start + end + 1 };
}
