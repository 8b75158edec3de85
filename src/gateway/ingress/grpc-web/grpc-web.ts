/**
 * gRPC-Web: gRPC for browsers, over any HTTP version. The same messages and metadata; the trailers come as a last frame of the body,
 * and in the `-text` flavour all of the body is base64.
 *
 * What it says is gRPC's, so gRPC's adapter says it: here its exchange is put into other clothes.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
 */
import type { Adapter, Exchange } from "../exchange.ts";
import { type Flavour, WebExchange } from "./web-exchange.ts";

/** @param grpc the adapter that answers. */
export function createGrpcWeb(grpc: Adapter): Adapter {
  return {
    handle: (exchange) => {
      const flavour = flavourOf(exchange);
      // What has no flavour is refused there, for its type.
      grpc.handle(flavour === undefined ? exchange : new WebExchange(exchange, flavour));
    },
  };
}

/** Whether a request is meant to be gRPC-Web. */
export function isGrpcWeb(contentType: string | string[] | undefined): boolean {
  return typeof contentType === "string" && contentType.startsWith("application/grpc-web");
}

function flavourOf(exchange: Exchange): Flavour | undefined {
  const type = String(exchange.headers["content-type"]).split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const match = /^application\/grpc-web(-text)?(\+proto|\+json)?$/.exec(type);
  if (match === null) return undefined;
  const encoding = match[2] ?? "+proto";
  return { contentType: type, grpcType: `application/grpc${encoding}`, text: match[1] !== undefined };
}
