/** Errors as JSON: a bare `google.rpc.Status`, or RFC 9457 where the client asks for problems. */
import { createRegistry, type JsonValue, toJson } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { toStatus } from "#gateway/wire/error-status.ts";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  LocalizedMessageSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  type RetryInfo,
  RetryInfoSchema,
} from "#gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { InputRequiredSchema } from "#gen/portico/mcp/v1/mcp_pb.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { wantsProblem } from "./accept.ts";
import { secure } from "./security-headers.ts";

const registry = createRegistry(
  ...[BadRequestSchema, ErrorInfoSchema, HelpSchema, LocalizedMessageSchema, PreconditionFailureSchema],
  ...[QuotaFailureSchema, RequestInfoSchema, ResourceInfoSchema, RetryInfoSchema, DurationSchema],
  InputRequiredSchema,
);

export function statusJson(error: RpcError, id: string): string {
  return JSON.stringify(statusToJson(toStatus(error, id)));
}

export function statusToJson(status: Status): JsonValue {
  return toJson(StatusSchema, status, { registry });
}

export function errorBody(
  exchange: Exchange,
  error: RpcError,
  about: { readonly status: number; readonly id: string },
): string {
  if (!wantsProblem(exchange)) return statusJson(error, about.id);
  const status = toJson(StatusSchema, toStatus(error, about.id), { registry }) as { details?: unknown };
  return JSON.stringify({
    type: `/docs/errors#${error.reason}`,
    title: error.reason,
    status: about.status,
    detail: error.message,
    code: error.number,
    requestId: about.id,
    details: status.details ?? [],
  });
}

export function errorHeaders(exchange: Exchange, error: RpcError, id: string): ResponseHeaders {
  const headers = secure(
    wantsProblem(exchange) ? "application/problem+json; charset=utf-8" : "application/json; charset=utf-8",
    id,
  );
  headers.vary = "accept";
  if (error.reason === "METHOD_NOT_BOUND") headers.allow = error.metadata.allow ?? "";
  const { accepts } = error.metadata;
  if (error.reason === "CONTENT_TYPE_UNSUPPORTED") headers["accept-post"] = accepts ?? "application/json";
  if (error.reason === "ENCODING_UNSUPPORTED") headers["accept-encoding"] = accepts ?? "gzip, br, identity";
  // RFC 6750 section 3.1: the error code only where a credential came that is not good.
  if (error.code === "unauthenticated")
    headers["www-authenticate"] =
      error.reason === "CREDENTIAL_INVALID" ? 'Bearer error="invalid_token"' : "Bearer";
  const retry = retryAfter(error);
  if (retry !== undefined) headers["retry-after"] = retry;
  return headers;
}

/** Seconds after which it is worth to ask again, where an error that passes does not say. */
export const retryAfterSeconds = "1";

/** What `Retry-After` says: whole seconds of the error's RetryInfo; undefined: asking again does not help. */
export function retryAfter(error: RpcError): string | undefined {
  const retry = error.details.find(
    (detail): detail is RetryInfo => detail.$typeName === RetryInfoSchema.typeName,
  );
  if (retry?.retryDelay === undefined) return error.code === "unavailable" ? retryAfterSeconds : undefined;
  return String(Math.max(1, Number(retry.retryDelay.seconds) + (retry.retryDelay.nanos > 0 ? 1 : 0)));
}
