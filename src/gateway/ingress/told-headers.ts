/** What calls tell of themselves where one HTTP answer stands for several of them, or is written by a library: GraphQL and MCP. */
import type { Call } from "#rpc/call.ts";
import type { Door, Entry } from "#rpc/door.ts";
import type { ResponseHeaders } from "./exchange.ts";

/** By name, whether what another call says counts more: of several, what a client has to mind most. */
const wins: Readonly<Record<string, (text: string, before: string) => boolean>> = {
  // Of several traces the first: it is the one that began with the answer.
  traceparent: () => false,
  ratelimit: (text, before) => remaining(text) <= remaining(before),
  "retry-after": (text, before) => Number(text) > Number(before),
  deprecation: () => false,
  sunset: (text, before) => Date.parse(text) < Date.parse(before),
  link: () => false,
  "idempotent-replayed": () => true,
};

/** Says a header of an answer: alone, or instead of what was said before if that counts less. @returns whether it is said now. */
export function say(told: ResponseHeaders, name: string, text: string): boolean {
  const before = told[name];
  if (before !== undefined && wins[name]?.(text, String(before)) !== true) return false;
  told[name] = text;
  return true;
}

/** Adds what one call says. */
export function hearCall(call: Call, told: ResponseHeaders): void {
  if (call.hasResponseHeaders) hear((name) => call.responseHeaders.get(name), told);
}

/** Passes the door, and adds what is said there: to a refusal too. @throws RpcError RATE_LIMITED. */
export async function enter(door: Door, entry: Entry, told: ResponseHeaders): Promise<void> {
  try {
    // Most know at once.
    const entering = door.enter(entry);
    if (entering !== undefined) await entering;
  } finally {
    hear((name) => entry.responseHeaders.get(name), told);
  }
}

/** Adds what was told of other calls: those of one operation of several. */
export function hearTold(more: ResponseHeaders, told: ResponseHeaders): void {
  hear((name) => more[name] as string | undefined, told);
}

function hear(get: (name: string) => string | undefined, told: ResponseHeaders): void {
  const policy = get("ratelimit-policy");
  for (const name of Object.keys(wins)) {
    const text = get(name);
    const isSaid = text !== undefined && say(told, name, text);
    // A remainder is of its own policy.
    if (name === "ratelimit" && isSaid && policy !== undefined) told["ratelimit-policy"] = policy;
  }
  if (policy !== undefined) told["ratelimit-policy"] ??= policy;
}

function remaining(text: string): number {
  return Number(/;r=(\d+)/.exec(text)?.[1] ?? 0);
}
