/** What the library, or a tool that is no method, refused an agent for: no call tells of it, so it is read from the answer. */
import { codes, type ErrorCode } from "#rpc/code.ts";
import { RpcError } from "#rpc/error.ts";

interface Answered {
  readonly error?: {
    readonly code?: unknown;
    readonly message?: unknown;
    readonly data?: { readonly reason?: unknown; readonly code?: unknown };
  };
  readonly result?: {
    readonly isError?: unknown;
    readonly content?: readonly { readonly text?: unknown }[];
  };
}

/** A refusal is short; what is longer is a list of something. */
const maxBytes = 16 * 1024;
const reasonForm = /^[A-Z][A-Z0-9_]{2,63}(?=: |$)/;
const sessionUnknown = -32_001;

/** @param answer as it was written; of a stream its last piece. @returns undefined: it was no refusal. */
export function refusalIn(answer: Uint8Array): RpcError | undefined {
  if (answer.length === 0 || answer.length > maxBytes) return undefined;
  const { error, result } = parsed(Buffer.from(answer).toString("utf8"));
  if (error !== undefined) {
    const { data, message } = error;
    const unknown = error.code === sessionUnknown && data === undefined;
    const code = isCode(data?.code) ? data.code : unknown ? "not_found" : "invalid_argument";
    const usual = unknown ? "AGENT_SESSION_UNKNOWN" : "AGENT_REQUEST_INVALID";
    return new RpcError(code, { reason: reasonIn(data?.reason) ?? usual, message: String(message) });
  }
  if (result?.isError !== true) return undefined;
  const text = result.content?.[0]?.text;
  return new RpcError("invalid_argument", {
    reason: reasonIn(text) ?? "AGENT_REQUEST_INVALID",
    message: String(text),
  });
}

function reasonIn(text: unknown): string | undefined {
  return typeof text === "string" ? reasonForm.exec(text)?.[0] : undefined;
}

function isCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && code !== "ok" && Object.hasOwn(codes, code);
}

/** Whatever it is: the library writes JSON alone, or as the data of an event. */
function parsed(text: string): Answered {
  try {
    const value: unknown = JSON.parse(/^data: (.+)$/m.exec(text)?.[1] ?? text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    // Nothing that says why: no answer to a request.
    return {};
  }
}
