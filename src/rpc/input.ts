/**
 * Asking back: what a handler needs from whoever called, before it goes on.
 *
 * A handler that lacks something throws `inputRequired`. Protocols that can ask do, and send the same call again with the answers in
 * `call.input`; over all others it is an error like any other, with the questions in its details. Answers are a client's: looked at like a
 * request. The state is what this installation said, of this call and this caller: protocols seal it.
 */
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { type InputRequestSchema, InputRequiredSchema } from "#gen/portico/mcp/v1/mcp_pb.ts";
import { RpcError } from "./error.ts";

/** Of a person, of the client's model, of the client's folders. */
export type InputKind = "elicitation" | "sampling" | "roots";

/** What the protocol of a call can do for its handler. */
export interface CallInput {
  can(kind: InputKind): boolean;
  /** By the names of the questions; an elicitation's is `{action, content}`, a model's `{role, content, model}`. */
  readonly answers: ReadonlyMap<string, JsonObject>;
  /** As it was given with the questions; empty where nothing was asked yet. */
  readonly state: string;
}

/** What of a call is looked at here. */
interface Asking {
  readonly input: CallInput | undefined;
}

type Questions = Readonly<Record<string, MessageInitShape<typeof InputRequestSchema>>>;

/** @param state comes back in `call.input.state` with the answers. */
export function inputRequired(requests: Questions, state = ""): RpcError {
  return new RpcError("failed_precondition", {
    reason: "INPUT_REQUIRED",
    message: `the call goes on with answers: ${Object.keys(requests).join(", ")}; a client that can be asked is`,
    details: [create(InputRequiredSchema, { requests: { ...requests }, state })],
  });
}

/** What a person filled in; undefined: nothing yet, or nothing that was given. */
export function givenIn({ input }: Asking, name: string): JsonObject | undefined {
  const answer = input?.answers.get(name);
  if (answer?.action !== "accept") return undefined;
  const { content } = answer;
  return typeof content === "object" && content !== null && !Array.isArray(content) ? content : {};
}

/**
 * Has the person in front of the client agree, where there is a client that can ask one; all others asked before they called.
 *
 * @param about what it is that is agreed to, for programs: an agreement to something else does not count.
 * @throws RpcError INPUT_REQUIRED the first time, CONFIRMATION_DECLINED where the person does not agree.
 */
export function confirm(call: Asking, message: string, about: string): void {
  if (call.input?.can("elicitation") !== true) return;
  if (call.input.state !== about || !call.input.answers.has("confirm"))
    throw inputRequired({ confirm: { kind: { case: "elicitation", value: { message, schema } } } }, about);
  if (givenIn(call, "confirm")?.confirm === true) return;
  throw new RpcError("aborted", {
    reason: "CONFIRMATION_DECLINED",
    message: "the person who was asked did not agree; nothing was changed",
  });
}

const schema = {
  type: "object",
  properties: { confirm: { type: "boolean", title: "Yes", default: false } },
  required: ["confirm"],
};
