/** Requests and responses of a sample of calls, for the log: what the contract marks as sensitive is masked, and what is long is cut. */
import type { Registry } from "@bufbuild/protobuf";
import type { Payload } from "#rpc/payload.ts";
import { redactedJson } from "#rpc/redact.ts";

/** Longer ones, in characters of JSON, are not written. */
const maxCharacters = 4096;

export function bodyOf(payload: Payload | undefined, registry: Registry): unknown {
  if (payload === undefined) return undefined;
  try {
    const body = redactedJson(payload.type.desc, payload.message(), { registry, mask: "***" });
    const { length } = JSON.stringify(body);
    return length > maxCharacters ? `left out: ${length} characters` : body;
  } catch {
    // No message, or one with a type that nobody knows here: what cannot be told apart is not written.
    return "left out: not readable";
  }
}
