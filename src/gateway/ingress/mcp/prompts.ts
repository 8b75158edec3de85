/**
 * What agents offer people to ask a model: methods whose contract makes them prompts.
 *
 * @see https://modelcontextprotocol.io/specification/2026-07-28/server/prompts
 */
import type { PromptResult } from "#gen/portico/mcp/v1/mcp_pb.ts";
import { RpcError } from "#rpc/error.ts";
import { type Content, sizeOf, toContent } from "./content.ts";
import { roleName } from "./input.ts";
import { mayUse, offersOf } from "./offers.ts";
import { toBytes, type Use, use } from "./use.ts";

export function listPrompts({ runtime, caller }: Use): object {
  const prompts = [...offersOf(runtime).prompts.values()]
    .filter(({ method }) => mayUse(runtime, method, caller.principal))
    .map(({ prompt }) => prompt);
  return { prompts };
}

/** @throws RpcError the method's own; `not_found` where there is no such prompt. */
export async function getPrompt(options: Use, name: string, given: unknown): Promise<object> {
  const offer = offersOf(options.runtime).prompts.get(name);
  if (offer === undefined)
    throw new RpcError("not_found", {
      reason: "ROUTE_NOT_FOUND",
      message: `there is no prompt ${name.slice(0, 100)}; prompts/list has those that there are`,
    });
  const asked = { method: offer.method, request: toBytes(given) };
  return await use(options, asked, (reply, call) => {
    if (reply.kind !== "unary") throw new TypeError("a prompt is unary");
    const { description, messages } = reply.response.message() as PromptResult;
    return {
      ...(description === "" ? {} : { description }),
      messages: messages.map(({ role, content }) => {
        const made: Content = content === undefined ? { type: "text", text: "" } : toContent(content);
        call.bytesOut += sizeOf(made);
        return { role: roleName(role), content: made };
      }),
    };
  });
}
