/**
 * What all resources have in common: the form of ids, pages, batches, masks and labels, and the errors about them.
 *
 * @see https://google.aip.dev/122 (names), 132 (lists), 134 (updates), 154 (etags), 193 (errors)
 */
import { create } from "@bufbuild/protobuf";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { nearest } from "#std/nearest.ts";
import { RpcError } from "./error.ts";

export interface Violation {
  /** As the caller's JSON spells it: `user.displayName`. */
  readonly field: string;
  readonly description: string;
}

/** @throws RpcError FIELD_INVALID with every violation at once; returns when there is none. */
export function demand(violations: readonly Violation[]): void {
  const [first, ...more] = violations;
  if (first !== undefined) throw fieldInvalid([first, ...more]);
}

function fieldInvalid(violations: readonly [Violation, ...Violation[]]): RpcError {
  return new RpcError("invalid_argument", {
    reason: "FIELD_INVALID",
    message: violations.map(({ field, description }) => `${field}: ${description}`).join("; "),
    metadata: { field: violations[0].field },
    details: [
      create(BadRequestSchema, {
        fieldViolations: violations.map((violation) => ({ ...violation, reason: "FIELD_INVALID" })),
      }),
    ],
  });
}

/** AIP-122's form of ids that people choose. */
const idForm = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function isId(id: string): boolean {
  return idForm.test(id);
}

/** How many entries a page of a list has. */
export interface PageSizes {
  /** Where nobody asks for a number. Default 50. */
  readonly usual: number;
  /** More is lowered to it. Default 1000. */
  readonly most: number;
}

export const defaultPageSizes: PageSizes = { usual: 50, most: 1000 };

/** @param asked 0: nobody does. */
export function pageSize(asked: number, { usual, most }: PageSizes = defaultPageSizes): number {
  return Math.min(asked === 0 ? usual : asked, most);
}

/** @throws RpcError FIELD_INVALID for a message that is not there. @param field as the caller's JSON spells it. */
export function required<T>(message: T | undefined, field: string): T {
  if (message !== undefined) return message;
  throw fieldInvalid([{ field, description: "must be given" }]);
}

/**
 * The fields that an update changes: all for "*", those that are present where there is no mask.
 *
 * @throws RpcError FIELD_INVALID naming the good paths.
 */
export function maskedFields<F extends string>(
  paths: readonly string[] | undefined,
  mutable: readonly F[],
  isPresent: (field: F) => boolean,
): readonly F[] {
  if (paths?.includes("*") === true) return mutable;
  if (paths === undefined) return mutable.filter(isPresent);
  const unknown = paths.find((path) => !(mutable as readonly string[]).includes(path));
  if (unknown !== undefined) {
    demand([
      {
        field: "updateMask",
        description: `"${unknown.slice(0, 100)}" cannot be changed; did you mean ${nearest(unknown, mutable)}? (${mutable.join(", ")})`,
      },
    ]);
  }
  return mutable.filter((name) => paths.includes(name));
}

/**
 * An id that is no id is one that nothing has: not found as well, but whoever left it out is told so.
 *
 * @param name resource name; cut to 200 characters. @param field that held the id, as the caller's JSON spells it.
 */
export function notFound(name: string, field = "id"): RpcError {
  const resource = name.slice(0, 200);
  const isEmpty = resource.endsWith("/");
  const collection = resource.split("/").at(-2) ?? "";
  return new RpcError("not_found", {
    reason: "RESOURCE_NOT_FOUND",
    message: isEmpty
      ? `${field}: is empty, and there is no ${resource} without; give that of the one that is meant, as the list of ${collection} has it`
      : `there is no ${resource}`,
    metadata: { resource, ...(isEmpty ? { field } : {}) },
  });
}

/** @param remedy what to do instead. */
export function alreadyExists(resource: string, remedy: string): RpcError {
  return new RpcError("already_exists", {
    reason: "RESOURCE_EXISTS",
    message: `${resource} exists already; ${remedy}`,
    metadata: { resource },
  });
}

/** A change of state that the present one does not allow. */
export function wrongState(message: string): RpcError {
  return new RpcError("failed_precondition", { reason: "STATE_TRANSITION_INVALID", message });
}

/** @param sent empty: the caller does not care. @throws RpcError ETAG_MISMATCH (AIP-154) with the current one. */
export function checkEtag(resource: string, current: string, sent: string): void {
  if (sent === "" || sent === current) return;
  throw new RpcError("aborted", {
    reason: "ETAG_MISMATCH",
    message: `${resource} was changed since it was read; read it again, apply your change to that and send its etag`,
    metadata: { resource, etag: current },
  });
}

/** Runs a step for one item of a batch, so that its error names the item. */
export async function within(
  field: string | undefined,
  index: number,
  step: () => Promise<void>,
): Promise<void> {
  try {
    await step();
  } catch (error) {
    throw error instanceof RpcError ? inBatch(field, index, error) : error;
  }
}

/** @param field name of the batch; undefined: there is none and the error stays as it is. */
export function inBatch(field: string | undefined, index: number, error: RpcError): RpcError {
  if (field === undefined) return error;
  const { reason, metadata, details, cause } = error;
  return new RpcError(error.code, {
    reason,
    metadata: { ...metadata, item: `${field}[${index}]` },
    details,
    message: `${field}[${index}]: ${error.message}`,
    cause,
  });
}
