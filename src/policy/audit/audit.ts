/**
 * Who did what: one entry for every call of a method that is audited, whether it was done, refused or failed.
 *
 * The entry of a change is written in the transaction of the change: there is never one without the other. What was not done has
 * nothing to be written with and gets a transaction of its own. Sensitive fields are left out, long texts are cut.
 */
import type { Registry } from "@bufbuild/protobuf";
import type { Call, UnaryCall } from "#rpc/call.ts";
import { type Code, codes } from "#rpc/code.ts";
import { toRpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import { redactedJson } from "#rpc/redact.ts";
import type { Reply } from "#rpc/reply.ts";
import type { Clock } from "#std/clock.ts";

export interface AuditEntry {
  readonly tenant: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly principal: string;
  readonly credential: string;
  readonly method: string;
  /** Resource name of what it is about, as far as it can be told. */
  readonly resource: string;
  readonly protocol: string;
  readonly address: string;
  /** google.rpc.Code. */
  readonly code: number;
  /** Empty where it was done. */
  readonly reason: string;
  /** JSON without what is sensitive; `{}` for streams. */
  readonly request: string;
  readonly requestId: string;
}

export interface AuditSink {
  /** @param transaction the change's; absent: one of its own. */
  append(entry: AuditEntry, transaction?: unknown): Promise<void>;
}

export interface AuditOptions {
  readonly audit: AuditSink;
  readonly clock: Clock;
  /** For messages inside `google.protobuf.Any`. */
  readonly registry: Registry;
  isAudited(method: Method): boolean;
  isPublic(method: Method): boolean;
}

/** Whose entries are kept where the caller's tenant is not known. */
const unknownTenant = "default";
const maxRequest = 8192;

export function createAudit(options: AuditOptions): Interceptor {
  return (next, method) => {
    if (!options.isAudited(method) || !hasUnaryReply(method.kind)) return next;
    const tools = { ...options, describe: compileRequest(method, options.registry) };
    const open = options.isPublic(method);
    // Nobody did nothing: a stranger at a closed door leaves no row, and what it sent is not looked at.
    return (call) => (open || call.principal.name !== "" ? audited(tools, next, call) : next(call));
  };
}

type Tools = AuditOptions & { readonly describe: (call: Call) => string };

async function audited(tools: Tools, next: Handler, call: Call): Promise<Reply> {
  let written = false;
  call.beforeCommit(async (transaction) => {
    await tools.audit.append(entryOf(tools, call, { code: "ok", reason: "" }), transaction);
    written = true;
  });
  let reply: Reply;
  try {
    reply = await next(call);
  } catch (thrown) {
    const { code, reason } = toRpcError(thrown);
    // What refused the call is what its caller is to hear, also where it cannot be written down.
    await tools.audit.append(entryOf(tools, call, { code, reason })).catch(() => undefined);
    throw thrown;
  }
  if (!written) await tools.audit.append(entryOf(tools, call, { code: "ok", reason: "" }));
  return reply;
}

function entryOf(
  { clock, describe }: Tools,
  call: Call,
  end: { readonly code: Code; readonly reason: string },
): AuditEntry {
  const { principal } = call;
  const request = describe(call);
  return {
    tenant: principal.tenant === "" ? unknownTenant : principal.tenant,
    time: clock.now(),
    principal: principal.name,
    credential: principal.credential,
    method: call.method.name,
    resource: resourceOf(request),
    protocol: call.protocol,
    address: call.peer.address,
    code: codes[end.code].number,
    reason: end.reason,
    request,
    requestId: call.id,
  };
}

function compileRequest(method: Method, registry: Registry): (call: Call) => string {
  if (!hasUnaryRequest(method.kind)) return () => "{}";
  const { desc } = method.input;
  return (call) => {
    try {
      const text = JSON.stringify(redactedJson(desc, (call as UnaryCall).request.message(), { registry }));
      return text.length > maxRequest ? '{"truncated":true}' : text;
    } catch {
      // A request that is not one was refused for that: there is nothing to keep of it.
      return "{}";
    }
  };
}

/** The first name or id in the request: requests of the AIPs begin with what they are about. */
function resourceOf(request: string): string {
  const match = /"(?:name|id|[a-zA-Z]+Id|document|email|owner)":"([^"\\]{1,200})"/.exec(request);
  return match?.[1] ?? "";
}
