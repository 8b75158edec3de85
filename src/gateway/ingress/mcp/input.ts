/**
 * Asking back: what a method needs to hear first, in the protocol's words.
 *
 * The newest revision carries questions in a result and has the call sent again; for the one before, the library asks over the call's own
 * stream and calls again here. The state between the rounds is signed, and good for one caller, one method and the same arguments, for ten
 * minutes: what a client makes up is refused before the method hears of it.
 *
 * @see https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr
 */
import { createHash } from "node:crypto";
import { isMessage, type JsonObject } from "@bufbuild/protobuf";
import { AnySchema, anyUnpack } from "@bufbuild/protobuf/wkt";
import type { ServerContext } from "@modelcontextprotocol/server";
import {
  type InputRequest,
  type InputRequired,
  InputRequiredSchema,
  Role,
} from "#gen/portico/mcp/v1/mcp_pb.ts";
import type { RpcError } from "#rpc/error.ts";
import type { CallInput, InputKind } from "#rpc/input.ts";
import { toContent } from "./content.ts";

/** What of the client was declared, in either revision. */
export type Capabilities = Readonly<Partial<Record<InputKind, object>>>;

/** What comes back between two rounds. */
export interface RoundState {
  /** Digest of what the call is of. */
  readonly of: string;
  readonly state: string;
}

const defaultMaxTokens = 1000;

/** @returns undefined: the error asks nothing. */
export function questionsIn(error: RpcError): InputRequired | undefined {
  if (error.reason !== "INPUT_REQUIRED") return undefined;
  for (const detail of error.details) {
    if (isMessage(detail, InputRequiredSchema)) return detail;
    if (isMessage(detail, AnySchema)) {
      const inside = anyUnpack(detail, InputRequiredSchema);
      if (inside !== undefined) return inside;
    }
  }
  return undefined;
}

export function toInputRequests(required: InputRequired): Record<string, object> {
  return Object.fromEntries(
    Object.entries(required.requests).map(([name, request]) => [name, toRequest(request)]),
  );
}

function toRequest({ kind }: InputRequest): object {
  switch (kind.case) {
    case "elicitation": {
      const { message, schema } = kind.value;
      const requestedSchema = schema ?? { type: "object", properties: {} };
      return { method: "elicitation/create", params: { message, requestedSchema } };
    }
    case "sampling": {
      const { messages, systemPrompt, maxTokens } = kind.value;
      const params = {
        messages: messages.map(({ role, content }) => ({
          role: roleName(role),
          content: content === undefined ? { type: "text", text: "" } : toContent(content),
        })),
        maxTokens: maxTokens || defaultMaxTokens,
        ...(systemPrompt === "" ? {} : { systemPrompt }),
      };
      return { method: "sampling/createMessage", params };
    }
    case "roots":
    case undefined:
      return { method: "roots/list", params: {} };
  }
}

export function roleName(role: Role): "user" | "assistant" {
  return role === Role.ASSISTANT ? "assistant" : "user";
}

/** What a handler hears of its caller. @param state of the round before, verified; undefined: there was none. */
export function inputOf(
  capabilities: Capabilities | undefined,
  { mcpReq }: Pick<ServerContext, "mcpReq">,
  state: RoundState | undefined,
): CallInput {
  const given = Object.entries(mcpReq.inputResponses ?? {});
  const answers = new Map(given.filter((entry): entry is [string, JsonObject] => isObject(entry[1])));
  return { can: (kind) => offers(capabilities, kind), answers, state: state?.state ?? "" };
}

function offers(capabilities: Capabilities | undefined, kind: InputKind): boolean {
  const own = capabilities?.[kind];
  // One that opens web pages alone has no forms to fill in.
  return own !== undefined && (kind !== "elicitation" || "form" in own || !("url" in own));
}

/** Of what is used, with which arguments: the state of one call is no good for another. */
export function digestOf(name: string, given: unknown): string {
  return createHash("sha256")
    .update(`${name}\0${sorted(given)}`)
    .digest("base64url");
}

/** JSON that does not depend on the order in which a client writes what it repeats. */
function sorted(value: unknown): string {
  return (
    JSON.stringify(value, (_, inside: unknown) =>
      isObject(inside)
        ? Object.fromEntries(Object.entries(inside).sort(([a], [b]) => (a < b ? -1 : 1)))
        : inside,
    ) ?? ""
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
