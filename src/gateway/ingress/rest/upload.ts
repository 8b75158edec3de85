/**
 * Uploads: a client stream that REST feeds from a raw request body, or from the file of a form. The first message is the metadata, from the query
 * (`?metadata.displayName=…`); the following ones carry the body in pieces, pulled as fast as the handler takes them.
 */
import {
  create,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import { upload as uploadOption } from "#gen/portico/options/v1/options_pb.ts";
import { RpcError } from "#rpc/error.ts";
import { MessagePayload, type Payload } from "#rpc/payload.ts";
import type { Exchange } from "../exchange.ts";
import { openForm } from "./form.ts";

export function isUpload(route: HttpRoute): boolean {
  return (
    !route.default && hasOption(route.method.desc, uploadOption) && getOption(route.method.desc, uploadOption)
  );
}

/**
 * @param said.query without what REST takes from it itself.
 * @throws RpcError before the first message where the query or the content type is wrong.
 */
export function uploadRequests(
  exchange: Exchange,
  route: HttpRoute,
  { variables, query }: { readonly variables: readonly string[]; readonly query: string },
): AsyncIterable<Payload> {
  checkType(exchange);
  const { input } = route.method;
  const first = create(input.desc);
  route.variables.forEach((variable, index) => {
    variable.setText(first, variables[index] ?? "");
  });
  if (query !== "") route.query?.bind(first, query);
  const isSaid = query !== "" || route.variables.length > 0;
  if (isForm(exchange)) return formMessages(exchange, route, { first, isSaid });
  return messages(exchange, route, isSaid ? new MessagePayload(input, first) : undefined);
}

function isForm(exchange: Exchange): boolean {
  return /^multipart\/form-data\s*;/i.test(String(exchange.headers["content-type"] ?? ""));
}

/** The fields of the form are what the query is otherwise; they come before the file. */
async function* formMessages(
  exchange: Exchange,
  route: HttpRoute,
  { first, isSaid }: { readonly first: Message; readonly isSaid: boolean },
): AsyncGenerator<Payload> {
  const form = await openForm(exchange);
  if (form.fields !== "") route.query?.bind(first, form.fields);
  const { input } = route.method;
  if (form.fields !== "" || isSaid) yield new MessagePayload(input, first);
  for await (const chunk of form.file()) yield chunkOf(route, chunk);
}

function chunkOf(route: HttpRoute, chunk: Uint8Array): Payload {
  const { input } = route.method;
  return new MessagePayload(
    input,
    create(input.desc, { payload: { case: "chunk", value: chunk } } as MessageInitShape<DescMessage>),
  );
}

function checkType(exchange: Exchange): void {
  const contentType = String(exchange.headers["content-type"] ?? "").toLowerCase();
  const form = isForm(exchange);
  if (contentType.startsWith("application/json") || (contentType.startsWith("multipart/") && !form)) {
    throw new RpcError("invalid_argument", {
      reason: "CONTENT_TYPE_UNSUPPORTED",
      message:
        "content-type: an upload is the file itself, for example application/xml, with its metadata in the query, or multipart/form-data with one file",
      metadata: { accepts: "multipart/form-data, application/octet-stream, application/xml" },
    });
  }
  if (exchange.headers["content-encoding"] !== undefined) {
    throw new RpcError("invalid_argument", {
      reason: "ENCODING_UNSUPPORTED",
      message: "content-encoding: uploads are taken uncompressed",
      metadata: { accepts: "identity" },
    });
  }
}

async function* messages(
  exchange: Exchange,
  route: HttpRoute,
  first: Payload | undefined,
): AsyncGenerator<Payload> {
  if (first !== undefined) yield first;
  for await (const chunk of exchange.chunks()) yield chunkOf(route, chunk);
}
