/**
 * The one error of a call, in every protocol.
 *
 * The *code* chooses the status, the *reason* is the public contract, the *message* is for people, the *cause* is for
 * us: it is logged with the call id and never sent.
 */
import type { Message } from "@bufbuild/protobuf";
import { codes, type ErrorCode } from "./code.ts";
import { withoutCredentials } from "./credentials-in-text.ts";

export interface RpcErrorOptions {
  /** Stable name, declared in the owner's `reasons.ts`; empty: somebody else's error, passed on as it is. */
  readonly reason: string;
  /** Safe to show; lower case, no final period, no secrets (what has the form of one is taken out); says what, why and what to do next. */
  readonly message: string;
  /** Facts for programs: `google.rpc.ErrorInfo.metadata`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * Typed details in addition to `ErrorInfo` and `RequestInfo`, such as `google.rpc.BadRequest`; or whole ones in `google.protobuf.Any`.
   */
  readonly details?: readonly Message[];
  /** What really happened; logged, never sent. */
  readonly cause?: unknown;
}

export class RpcError extends Error {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly details: readonly Message[];

  constructor(code: ErrorCode, options: RpcErrorOptions) {
    // What is not found is named in it: somebody may have asked for a key. Another's error is passed on as it is.
    const message = options.reason === "" ? options.message : withoutCredentials(options.message);
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RpcError";
    this.code = code;
    this.reason = options.reason;
    this.metadata = options.metadata === undefined ? {} : cleaned(options);
    this.details = options.details ?? [];
  }

  /** The number in `grpc-status`. */
  get number(): number {
    return codes[this.code].number;
  }
}

/** Anything thrown, as an RpcError: what is not one already becomes `internal` and hides its text behind `cause`. */
export function toRpcError(thrown: unknown): RpcError {
  if (thrown instanceof RpcError) return thrown;
  return new RpcError("internal", { reason: "INTERNAL", message: "internal error", cause: thrown });
}

function cleaned({ metadata = {}, reason }: RpcErrorOptions): Readonly<Record<string, string>> {
  if (reason === "") return metadata;
  return Object.fromEntries(Object.entries(metadata).map(([name, text]) => [name, withoutCredentials(text)]));
}
