/**
 * Uploads: a client stream that REST feeds from a raw request body. The first message is the metadata, from the query
 * (`?metadata.displayName=…`); the following ones carry the body in pieces, pulled as fast as the handler takes them.
 */
import { create, type DescMessage, getOption, hasOption, type MessageInitShape } from "@bufbuild/protobuf";
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import { upload as uploadOption } from "#gen/portico/options/v1/options_pb.ts";
import { RpcError } from "#rpc/error.ts";
import { MessagePayload, type Payload } from "#rpc/payload.ts";
import type { Exchange } from "../exchange.ts";

export function isUpload(route: HttpRoute): boolean {
  return (
    !route.default && hasOption(route.method.desc, uploadOption) && getOption(route.method.desc, uploadOption)
  );
}

/** @throws RpcError before the first message where the query or the content type is wrong. */
export function uploadRequests(
  exchange: Exchange,
  route: HttpRoute,
  variables: readonly string[],
): AsyncIterable<Payload> {
  checkType(exchange);
  const { input } = route.method;
  const first = create(input.desc);
  route.variables.forEach((variable, index) => {
    variable.setText(first, variables[index] ?? "");
  });
  if (exchange.query !== "") route.query?.bind(first, exchange.query);
  return messages(exchange, route, new MessagePayload(input, first));
}

function checkType(exchange: Exchange): void {
  const contentType = String(exchange.headers["content-type"] ?? "");
  if (contentType.startsWith("application/json") || contentType.startsWith("multipart/")) {
    throw new RpcError("invalid_argument", {
      reason: "CONTENT_TYPE_UNSUPPORTED",
      message:
        "content-type: an upload is the file itself, for example application/xml; its metadata goes into the query",
    });
  }
  if (exchange.headers["content-encoding"] !== undefined) {
    throw new RpcError("invalid_argument", {
      reason: "ENCODING_UNSUPPORTED",
      message: "content-encoding: uploads are taken uncompressed",
    });
  }
}

async function* messages(exchange: Exchange, route: HttpRoute, first: Payload): AsyncGenerator<Payload> {
  if (exchange.query !== "" || route.variables.length > 0) yield first;
  const { input } = route.method;
  for await (const chunk of exchange.chunks()) {
    yield new MessagePayload(
      input,
      create(input.desc, { payload: { case: "chunk", value: chunk } } as MessageInitShape<DescMessage>),
    );
  }
}
