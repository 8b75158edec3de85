/** Which protocol a request speaks: one line a protocol. */
import type { Adapter, Exchange } from "./exchange.ts";

export interface Adapters {
  readonly grpc: Adapter;
  readonly rest: Adapter;
  /** Documentation, health and metrics: exact paths of its own. */
  readonly pages: Adapter & { owns(path: string): boolean };
  /** Mounted beside the API; absent: nothing is. */
  readonly mounted?: Adapter & { owns(path: string): boolean };
}

export function classify(exchange: Exchange, adapters: Adapters): Adapter {
  if (isGrpc(exchange.headers["content-type"])) return adapters.grpc;
  if (adapters.pages.owns(exchange.path)) return adapters.pages;
  if (adapters.mounted?.owns(exchange.path) === true) return adapters.mounted;
  return adapters.rest;
}

/** `application/grpc` and `application/grpc+proto`, but not `application/grpc-web`. */
function isGrpc(contentType: string | string[] | undefined): boolean {
  if (typeof contentType !== "string" || !contentType.startsWith("application/grpc")) return false;
  return contentType.length === 16 || contentType[16] === "+" || contentType[16] === ";";
}
