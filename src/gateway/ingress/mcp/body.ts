/**
 * The body of a request: what of it is for the library, and what is not.
 *
 * A tool's arguments are its method's request, which the method's own codec reads as it was written: it refuses what it does not know at the first
 * field, counts, and keeps every digit of 64-bit integers. The library, which would parse them and look at each several times, never sees them.
 */
import { defaultMaxElements } from "#gateway/codec/codec.ts";
import { checkJson } from "#gateway/codec/json-depth.ts";
import { tooMany } from "#gateway/codec/json-text.ts";

/**
 * The option's default: what is around a tool's arguments is `_meta`, what a client can, its answers. Few have 50 elements; the library
 * looks at each of them several times, 60,000 took 0.3 s.
 */
export const defaultMaxEnvelope = 1000;

export interface BodyLimits {
  readonly maxEnvelope?: number;
  readonly maxElements?: number;
  readonly maxJsonDepth?: number;
}

export interface Body {
  /** Undefined: it is no JSON, which is the library's to refuse. */
  readonly body: unknown;
  /** Of a tool, as they were written; undefined: they are in the body, or there are none. */
  readonly arguments: string | undefined;
}

/** @throws RpcError as `checkJson`. */
export function readBody(bytes: Uint8Array, limits: BodyLimits): Body {
  const { maxEnvelope = defaultMaxEnvelope, maxElements = defaultMaxElements, maxJsonDepth } = limits;
  const free = checkJson(bytes, {
    ...{ maxElements: maxEnvelope, maxDepth: maxJsonDepth },
    ...{ free: ["params", "arguments"], maxFreeElements: maxElements },
  });
  if (free !== undefined) {
    const body = parsed(free.around);
    if (isToolCall(body)) return { body, arguments: free.written };
    // A prompt's, say, which the library reads.
    if (free.elements > maxEnvelope) throw tooMany(maxEnvelope);
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  return { body: parsed(text), arguments: undefined };
}

function isToolCall(body: unknown): boolean {
  return (body as { readonly method?: unknown } | undefined)?.method === "tools/call";
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Refused in the protocol's words by who reads it next.
    return undefined;
  }
}
