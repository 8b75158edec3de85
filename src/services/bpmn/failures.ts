/** The errors of this service that are not about a field. */
import { RpcError } from "#rpc/error.ts";

export function missing(id: string): RpcError {
  return notFound(`bpmn/${id.slice(0, 100)}`);
}

export function missingRevision(id: string, revision: string): RpcError {
  return notFound(`bpmn/${id}/revisions/${revision.slice(0, 100)}`);
}

function notFound(name: string): RpcError {
  return new RpcError("not_found", {
    reason: "RESOURCE_NOT_FOUND",
    message: `there is no ${name}`,
    metadata: { resource: name },
  });
}

export function taken(id: string): RpcError {
  return new RpcError("already_exists", {
    reason: "RESOURCE_EXISTS",
    message: `bpmn/${id} exists already; choose another id, update it, or undelete it`,
    metadata: { resource: `bpmn/${id}` },
  });
}

export function wrongState(message: string): RpcError {
  return new RpcError("failed_precondition", { reason: "STATE_TRANSITION_INVALID", message });
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
