/**
 * The ids of a session's requests that have no answer yet. The library finds the connection that an answer belongs to by the request's id: a second
 * request with the same one would be given the first one's answer, and the first would wait for ever.
 *
 * @see https://modelcontextprotocol.io/specification/2025-11-25/basic#requests ("MUST NOT have been previously used")
 */
import type { AuthInfo, WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/server";

type Id = string | number;

export interface Asked {
  readonly authInfo: AuthInfo;
  readonly parsedBody?: unknown;
}

interface Message {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: { readonly requestId?: unknown };
}

const invalidRequest = -32_600;

export class Unanswered {
  readonly #ids = new Set<Id>();

  /** Once, when it is connected: what it sends are the answers. */
  watch(transport: WebStandardStreamableHTTPServerTransport): void {
    const send = transport.send.bind(transport);
    transport.send = async (message, options) => {
      try {
        await send(message, options);
      } finally {
        if (!("method" in message) && message.id !== undefined) this.#ids.delete(message.id);
      }
    };
  }

  async handle(
    transport: WebStandardStreamableHTTPServerTransport,
    request: Request,
    asked: Asked,
  ): Promise<Response> {
    const messages = messagesOf(asked.parsedBody);
    // Nothing answers what was taken back.
    for (const id of messages.flatMap(canceledId)) this.#ids.delete(id);
    const ids = messages.flatMap(requestId);
    const twice = ids.find((id, index) => this.#ids.has(id) || ids.indexOf(id) !== index);
    if (twice !== undefined) return inUse(twice);
    for (const id of ids) this.#ids.add(id);
    const response = await transport.handleRequest(request, asked);
    // Refused as a whole: there will be no answers.
    if (!response.ok) for (const id of ids) this.#ids.delete(id);
    return response;
  }
}

function messagesOf(body: unknown): readonly Message[] {
  const all: readonly unknown[] = Array.isArray(body) ? body : [body];
  return all.filter((one): one is Message => typeof one === "object" && one !== null);
}

function requestId({ id, method }: Message): readonly Id[] {
  return typeof method === "string" && isId(id) ? [id] : [];
}

function canceledId({ method, params }: Message): readonly Id[] {
  const id = params?.requestId;
  return method === "notifications/cancelled" && isId(id) ? [id] : [];
}

function isId(id: unknown): id is Id {
  return typeof id === "string" || typeof id === "number";
}

/** JSON-RPC section 5.1: without the id, which is the other request's. */
function inUse(id: Id): Response {
  const message = `the request with the id ${JSON.stringify(id).slice(0, 100)} is not answered yet: each has an id of its own`;
  return Response.json(
    { jsonrpc: "2.0", id: null, error: { code: invalidRequest, message } },
    { status: 400 },
  );
}
