/**
 * An RpcError as `google.rpc.Status`, the one shape of errors in every protocol that has room for details.
 *
 * @see https://google.aip.dev/193
 */
import { create, type DescMessage, isMessage, type Message } from "@bufbuild/protobuf";
import { type Any, AnySchema, anyPack } from "@bufbuild/protobuf/wkt";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  LocalizedMessageSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "#gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { InputRequiredSchema } from "#gen/portico/mcp/v1/mcp_pb.ts";
import type { RpcError } from "#rpc/error.ts";

const detailSchemas: ReadonlyMap<string, DescMessage> = new Map(
  [
    BadRequestSchema,
    HelpSchema,
    InputRequiredSchema,
    LocalizedMessageSchema,
    PreconditionFailureSchema,
    QuotaFailureSchema,
    ResourceInfoSchema,
    RetryInfoSchema,
  ].map((schema) => [schema.typeName, schema]),
);

/**
 * With `ErrorInfo` (domain `portico`) first, `RequestInfo` second, then the error's own details. An error without a reason is not ours: its
 * details are told as they came.
 *
 * @param requestId undefined: the error's own details alone.
 */
export function toStatus(error: RpcError, requestId: string | undefined): Status {
  if (error.reason === "" || requestId === undefined)
    return create(StatusSchema, {
      code: error.number,
      message: error.message,
      details: error.details.flatMap((detail) => packed(detail)),
    });
  return create(StatusSchema, {
    code: error.number,
    message: error.message,
    details: [
      anyPack(
        ErrorInfoSchema,
        create(ErrorInfoSchema, { reason: error.reason, domain: "portico", metadata: { ...error.metadata } }),
      ),
      anyPack(RequestInfoSchema, create(RequestInfoSchema, { requestId })),
      ...error.details.flatMap((detail) => packed(detail)),
    ],
  });
}

/** A detail of a type that is not one of these cannot be packed without its schema and is left out. */
function packed(detail: Message): Any[] {
  if (isMessage(detail, AnySchema)) return [detail];
  const schema = detailSchemas.get(detail.$typeName);
  return schema === undefined ? [] : [anyPack(schema, detail)];
}
