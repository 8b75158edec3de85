/**
 * What agents read by its address: methods whose contract makes them resources.
 *
 * @see https://modelcontextprotocol.io/specification/2026-07-28/server/resources
 */
import { type HttpBody, HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import type { UnaryCall } from "#rpc/call.ts";
import { clientGone } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Reply } from "#rpc/reply.ts";
import { type Body, fileBody, joined, sizeOfBody } from "./content.ts";
import { mayUse, offersOf, type ResourceOffer } from "./offers.ts";
import { toBytes, type Use, use } from "./use.ts";
import { readValues } from "./values.ts";

export interface Listed {
  readonly uri: string;
  readonly name: string;
  readonly title: string;
  readonly description?: string;
  readonly mimeType?: string;
}

/** A resource that an address means. */
export interface Found {
  readonly offer: ResourceOffer;
  readonly variables: Readonly<Record<string, string>>;
}

const pageSize = 100;
/** Larger ones are for programs: a model would drown. */
const maxResourceBytes = 1024 * 1024;

/** Those without variables, and those that their list names, one page of it at a time. */
export async function listResources(options: Use, cursor: string | undefined): Promise<object> {
  const offers = offersOf(options.runtime).resources;
  const resources: Listed[] = [];
  let [index, token] = readCursor(cursor);
  for (; index < offers.length && resources.length < pageSize; token = "") {
    const offer = offers[index];
    const next = offer === undefined ? "" : await listOne(options, { offer, token }, resources);
    if (next !== "") return { resources, nextCursor: cursorOf(index, next) };
    index += 1;
  }
  return { resources, ...(index < offers.length ? { nextCursor: cursorOf(index, "") } : {}) };
}

/** @returns the token of the next page; empty: there is none. */
async function listOne(
  options: Use,
  { offer, token }: { readonly offer: ResourceOffer; readonly token: string },
  resources: Listed[],
): Promise<string> {
  const { template, title, list } = offer.options;
  if (!mayUse(options.runtime, offer.method, options.caller.principal)) return "";
  const [variable] = template.variables;
  if (variable === undefined) {
    resources.push({ uri: template.text, ...aboutOf(offer), title });
    return "";
  }
  if (list === undefined) return "";
  const { values, next } = await readValues(options, list, { size: pageSize, token });
  for (const one of values)
    resources.push({
      ...{ uri: template.expand({ [variable]: one.value }), ...aboutOf(offer) },
      ...{ name: one.value, title: one.title },
    });
  return next;
}

export function listTemplates({ runtime, caller }: Use): object {
  const resourceTemplates = offersOf(runtime)
    .resources.filter(({ method, options }) => {
      return options.template.variables.length > 0 && mayUse(runtime, method, caller.principal);
    })
    .map((offer) => ({
      uriTemplate: offer.options.template.text,
      ...aboutOf(offer),
      title: offer.options.title,
    }));
  return { resourceTemplates };
}

function aboutOf({ options, description }: ResourceOffer) {
  const { name, mimeType } = options;
  return {
    name,
    ...(description === "" ? {} : { description }),
    ...(mimeType === undefined ? {} : { mimeType }),
  };
}

/** @throws RpcError `not_found` where nothing has this address. */
export function findResource({ runtime }: Pick<Use, "runtime">, uri: string): Found {
  for (const offer of offersOf(runtime).resources) {
    const variables = offer.options.template.match(uri);
    if (variables !== undefined) return { offer, variables };
  }
  throw new RpcError("not_found", {
    reason: "ROUTE_NOT_FOUND",
    message: `no resource has the address ${uri.slice(0, 200)}; resources/templates/list has the forms`,
  });
}

export async function readResource(options: Use, uri: string): Promise<object> {
  const { offer, variables } = findResource(options, uri);
  const { method } = offer;
  const asked = { method, request: toBytes(variables) };
  const content = await use(options, asked, async (reply, call) => {
    const made = await contentOf(offer, reply, call);
    call.bytesOut += sizeOfBody(made);
    return made;
  });
  return { contents: [{ uri, ...content }] };
}

async function contentOf(
  { method, options }: ResourceOffer,
  reply: Reply,
  call: UnaryCall,
): Promise<{ readonly mimeType: string } & Body> {
  if (method.output.desc.typeName !== HttpBodySchema.typeName)
    return { mimeType: "application/json", text: reply.kind === "unary" ? reply.response.text() : "" };
  const parts = reply.kind === "unary" ? [reply.response.message() as HttpBody] : await pieces(reply, call);
  const file = joined(parts);
  if (file.data.length > maxResourceBytes) throw tooLarge();
  return fileBody({ contentType: file.contentType || (options.mimeType ?? ""), data: file.data });
}

async function pieces(
  reply: Extract<Reply, { readonly kind: "stream" }>,
  call: UnaryCall,
): Promise<readonly HttpBody[]> {
  const parts: HttpBody[] = [];
  let bytes = 0;
  for await (const message of reply.responses) {
    const part = message.message() as HttpBody;
    bytes += part.data.length;
    if (bytes > maxResourceBytes) {
      call.cancel(clientGone());
      throw tooLarge();
    }
    parts.push(part);
  }
  return parts;
}

function tooLarge(): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "PAYLOAD_TOO_LARGE",
    message: `the resource has more than ${maxResourceBytes} bytes; read it over REST or gRPC`,
    metadata: { limitBytes: String(maxResourceBytes) },
  });
}

function cursorOf(index: number, token: string): string {
  return Buffer.from(JSON.stringify([index, token])).toString("base64url");
}

/** @throws RpcError for a cursor that none of these answers gave. */
function readCursor(cursor: string | undefined): [number, string] {
  if (cursor === undefined) return [0, ""];
  try {
    const [index, token] = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8")) as unknown[];
    if (Number.isSafeInteger(index) && Number(index) >= 0 && typeof token === "string")
      return [Number(index), token];
  } catch {
    // No JSON: said below, like all that is none of ours.
  }
  throw new RpcError("invalid_argument", {
    reason: "PAGE_TOKEN_INVALID",
    message: "cursor: is none that this list gave; start again without it",
  });
}
