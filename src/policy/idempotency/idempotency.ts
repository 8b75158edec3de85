/**
 * Calls that may be sent again: with the same key a method runs once, and everybody who asks again gets the first answer.
 *
 * The key is the `Idempotency-Key` header, gRPC metadata of that name, or the request's `request_id`; it belongs to the caller and
 * the method, for a day. Kept are answers that will not change: what was done, and errors that say that it cannot be done so. An answer with
 * secrets in it is not kept; who asks for it again learns that it was given. Of an error, details with secrets in them are left out.
 *
 * @see https://google.aip.dev/155
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type DescField, fromBinary, type Message, type Registry, toBinary } from "@bufbuild/protobuf";
import type { Call, UnaryCall } from "#rpc/call.ts";
import type { ErrorCode } from "#rpc/code.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import { BytesPayload } from "#rpc/payload.ts";
import { mayHoldSensitive } from "#rpc/redact.ts";
import type { Reply } from "#rpc/reply.ts";
import { demand } from "#rpc/resource.ts";

/** Of one key of one caller for one method. */
export interface Claim {
  readonly id: string;
  /** Of the request: the same key with another one is a mistake. */
  readonly digest: string;
}

/** What is known of a claim by others. */
export type Standing =
  /** Nobody had it: it is ours now. */
  | { readonly kind: "claimed" }
  /** Somebody is at it. */
  | { readonly kind: "running" }
  /** Its change is committed, and its answer not kept so far. */
  | { readonly kind: "settled" }
  /** It was done, and the answer is not there to be given again. */
  | { readonly kind: "unanswered" }
  | { readonly kind: "answered"; readonly answer: Uint8Array; readonly failed: boolean }
  /** The key was used for another request. */
  | { readonly kind: "different" };

export interface IdempotencyStore {
  claim(claim: Claim): Promise<Standing>;
  /** In the transaction of the change: from here on the call has happened. */
  settle(id: string, transaction: unknown): Promise<void>;
  answer(
    id: string,
    answer: { readonly bytes: Uint8Array | undefined; readonly failed: boolean },
  ): Promise<void>;
  /** Gives back a claim that nothing came of; one that is settled stays. */
  release(id: string): Promise<void>;
}

export interface IdempotencyOptions {
  readonly idempotency: IdempotencyStore;
  /** Of the details that errors may carry. */
  readonly registry: Registry;
}

const keyForm = /^[\x21-\x7e]{1,128}$/;
const waitMs = 50;
const maxWaitMs = 10_000;
/** How long the answer to a change that is committed may take to be kept, in milliseconds. */
const maxSettledMs = 2000;
/** What will be the same however often it is asked for. */
const finalCodes: ReadonlySet<ErrorCode> = new Set([
  "invalid_argument",
  "not_found",
  "already_exists",
  "permission_denied",
  "failed_precondition",
  "out_of_range",
  "unimplemented",
]);

export function createIdempotency(options: IdempotencyOptions): Interceptor {
  return (next, method) => {
    if (method.sideEffectFree || method.kind !== "unary") return next;
    const tools: Tools = {
      ...options,
      next,
      field: method.input.desc.fields.find(({ name }) => name === "request_id"),
    };
    return (call) => {
      const key = keyOf(call, tools.field);
      return key === undefined || call.principal.name === "" ? next(call) : once(tools, call, key);
    };
  };
}

interface Tools extends IdempotencyOptions {
  readonly next: Handler;
  readonly field: DescField | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws RpcError FIELD_INVALID for a key that is none, or two that differ. */
function keyOf(call: Call, field: DescField | undefined): string | undefined {
  const header = call.metadata.get("idempotency-key");
  const inside =
    field === undefined
      ? ""
      : String(((call as UnaryCall).request.message() as unknown as Fields)[field.localName] ?? "");
  const key = header ?? (inside === "" ? undefined : inside);
  if (key === undefined) return undefined;
  if (header !== undefined && inside !== "" && header !== inside)
    demand([
      { field: "requestId", description: "differs from the Idempotency-Key header; send one of them" },
    ]);
  if (!keyForm.test(key))
    demand([
      {
        field: header === undefined ? "requestId" : "idempotency-key",
        description: "must be 1 to 128 printable characters without spaces",
      },
    ]);
  return key;
}

async function once(tools: Tools, call: Call, key: string): Promise<Reply> {
  const { tenant, name } = call.principal;
  const id = hashOf(JSON.stringify([tenant, name, call.method.name, key]));
  const digest = hashOf((call as UnaryCall).request.bytesIn("proto"));
  for (let waited = 0; ; waited += waitMs) {
    const standing = await tools.idempotency.claim({ id, digest });
    switch (standing.kind) {
      case "claimed":
        return await run(tools, call, id);
      case "answered":
        return replay(tools, call, standing);
      case "different":
        throw new RpcError("failed_precondition", {
          reason: "IDEMPOTENCY_KEY_REUSED",
          message: "the idempotency key was used for another request; make a new one for each request",
        });
      case "unanswered":
        throw answerLost();
      case "settled":
        // Its change is committed, its answer about to be kept - unless the process died between the two.
        if (waited >= maxSettledMs) throw answerLost();
        await sleep(waitMs);
        break;
      case "running":
        if (waited >= maxWaitMs || call.canceledBy !== undefined)
          throw new RpcError("aborted", {
            reason: "IDEMPOTENCY_IN_PROGRESS",
            message: "the same request is still being worked on; try again later with the same key",
          });
        await sleep(waitMs);
    }
  }
}

function answerLost(): RpcError {
  return new RpcError("aborted", {
    reason: "IDEMPOTENCY_ANSWER_LOST",
    message: "this was done before, and its answer is not kept; read what it changed",
  });
}

async function run(tools: Tools, call: Call, id: string): Promise<Reply> {
  const { idempotency } = tools;
  call.beforeCommit((transaction) => idempotency.settle(id, transaction));
  let reply: Reply;
  try {
    reply = await tools.next(call);
  } catch (thrown) {
    const error = toRpcError(thrown);
    // A question is no answer: the same request comes again with what was asked for.
    if (finalCodes.has(error.code) && error.reason !== "INPUT_REQUIRED")
      await idempotency.answer(id, { failed: true, bytes: encodeError(error, tools.registry) });
    else await idempotency.release(id);
    throw error;
  }
  if (reply.kind === "unary") {
    const { response } = reply;
    const isSecret = mayHoldSensitive(call.method.output.desc, () => response.message(), tools.registry);
    await idempotency.answer(id, { failed: false, bytes: isSecret ? undefined : response.bytesIn("proto") });
  }
  return reply;
}

function replay(
  tools: Tools,
  call: Call,
  { answer, failed }: { readonly answer: Uint8Array; readonly failed: boolean },
): Reply {
  call.responseHeaders.set("idempotent-replayed", "true");
  if (failed) throw decodeError(answer, tools.registry);
  return { kind: "unary", response: new BytesPayload(call.method.output, answer, "proto") };
}

interface StoredError {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Type name and binary in base64. */
  readonly details: readonly (readonly [string, string])[];
}

function encodeError(error: RpcError, registry: Registry): Uint8Array {
  const details = error.details.flatMap((detail) => {
    const desc = registry.getMessage(detail.$typeName);
    return desc === undefined || mayHoldSensitive(desc, () => detail, registry)
      ? []
      : [[detail.$typeName, Buffer.from(toBinary(desc, detail)).toString("base64")] as const];
  });
  const { code, reason, message, metadata } = error;
  return Buffer.from(JSON.stringify({ code, reason, message, metadata, details } satisfies StoredError));
}

function decodeError(bytes: Uint8Array, registry: Registry): RpcError {
  const { code, details, ...about } = JSON.parse(Buffer.from(bytes).toString("utf8")) as StoredError;
  const messages = details.map(([name, text]): Message => {
    const desc = registry.getMessage(name);
    if (desc === undefined) throw new Error(`the registry has lost ${name}`);
    return fromBinary(desc, Buffer.from(text, "base64"));
  });
  return new RpcError(code, { ...about, details: messages });
}

function hashOf(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("base64url");
}
