/**
 * The catalogue: every method of a contract, compiled once from descriptors and never changed.
 *
 * Takes any FileDescriptorSet - Portico's own contract or somebody else's - and answers: which methods are there, which
 * HTTP request means which of them, how their messages are read and written, what their options and comments say. All that
 * is wrong with a contract is reported together, with file, line and method. Serves nobody and opens nothing.
 */
import { load } from "./load.ts";
import type { Catalog, CatalogInput } from "./shape.ts";

export type { DeprecationNotice } from "./deprecation.ts";
export type { DescriptorFile } from "./descriptor-files.ts";
export { type AnswerHeader, type RequestHeader, requestHeaders } from "./header-fields.ts";
export { CatalogError, type CatalogProblem } from "./problems.ts";
export type { NextPage, RestPlan } from "./rest-plan.ts";
export type {
  AccessRule,
  Catalog,
  CatalogInput,
  HttpRoute,
  MethodOptions,
  Plane,
  PromptOptions,
  ResourceOptions,
  ValueSource,
} from "./shape.ts";
export { isWatch, type StreamFields, streamFields } from "./stream-fields.ts";

/** @throws CatalogError with every problem at once. */
export function loadCatalog(input: CatalogInput): Catalog {
  return load(input);
}
