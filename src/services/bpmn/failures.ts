/** The errors of this service about what is there and what is not. */
import type { RpcError } from "#rpc/error.ts";
import { alreadyExists, notFound } from "#rpc/resource.ts";

export function missing(id: string): RpcError {
  return notFound(`bpmn/${id.slice(0, 100)}`);
}

export function missingRevision(id: string, revision: string): RpcError {
  return notFound(`bpmn/${id}/revisions/${revision.slice(0, 100)}`, "revision");
}

export function taken(id: string): RpcError {
  return alreadyExists(`bpmn/${id}`, "choose another id, update it, or undelete it");
}
