/** What calls tell of themselves where one HTTP answer stands for several of them, or is written by a library: GraphQL and MCP. */
import type { Call } from "#rpc/call.ts";
import type { ResponseHeaders } from "./exchange.ts";

/** Adds what one call says; of several, what a client has to mind most: the least that is left, the longest wait. */
export function hearCall(call: Call, told: ResponseHeaders): void {
  if (!call.hasResponseHeaders) return;
  const { responseHeaders } = call;
  const say = (name: string, wins: (text: string, before: string) => boolean): void => {
    const text = responseHeaders.get(name);
    const before = told[name];
    if (text !== undefined && (before === undefined || wins(text, String(before)))) told[name] = text;
  };
  // Of several traces the first: it is the one that began with the answer.
  say("traceparent", () => false);
  say("ratelimit-policy", () => true);
  say("ratelimit", (text, before) => remaining(text) <= remaining(before));
  say("retry-after", (text, before) => Number(text) > Number(before));
  say("deprecation", () => false);
  say("sunset", (text, before) => Date.parse(text) < Date.parse(before));
  say("link", () => false);
  say("idempotent-replayed", () => true);
}

function remaining(text: string): number {
  return Number(/;r=(\d+)/.exec(text)?.[1] ?? 0);
}
