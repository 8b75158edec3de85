/** Errors that name a field, with the `google.rpc.BadRequest` detail that says so to programs. */
import { create } from "@bufbuild/protobuf";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { RpcError } from "#rpc/error.ts";

/** @param field path in the caller's spelling; @param problem what is wrong, to be read after the path. */
export function fieldInvalid(field: string, problem: string): RpcError {
  return fieldError("FIELD_INVALID", field, problem);
}

export function fieldError(
  reason: "FIELD_INVALID" | "FIELD_UNKNOWN" | "FIELD_REPEATED",
  field: string,
  problem: string,
): RpcError {
  return new RpcError("invalid_argument", {
    reason,
    message: `${field}: ${problem}`,
    metadata: { field },
    details: [create(BadRequestSchema, { fieldViolations: [{ field, description: problem, reason }] })],
  });
}
