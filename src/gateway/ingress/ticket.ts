/**
 * Tickets in URLs: for streams that a browser opens by address alone (EventSource, WebSocket, a download link) and that can therefore
 * carry no header.
 */
import { hasUnaryReply, type Method } from "#rpc/method.ts";
import type { Exchange, RequestHeaders } from "./exchange.ts";

const form = /(^|&)ticket=(ptt_[A-Za-z0-9_-]+)(?=&|$)/;

export interface Ticketed {
  readonly headers: RequestHeaders;
  /** Without the ticket. */
  readonly query: string;
}

/** The ticket of a GET for a stream as a credential, where nothing else was shown; everything else as it came. */
export function withTicket(exchange: Exchange, method: Method, query: string): Ticketed {
  if (hasUnaryReply(method.kind) || exchange.method !== "GET")
    return query === exchange.query ? exchange : { headers: exchange.headers, query };
  return ticketed(exchange.headers, query);
}

export function ticketed(headers: RequestHeaders, query: string): Ticketed {
  const match = form.exec(query);
  if (match === null || headers.authorization !== undefined || headers["x-api-key"] !== undefined)
    return { headers, query };
  return {
    headers: { ...headers, authorization: `Bearer ${match[2]}` },
    query: query.replace(form, "").replace(/^&/, ""),
  };
}
