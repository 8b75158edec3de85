/**
 * Fields that name a resource of another service (`google.api.resource_reference`) lead on to it: through the batch method of that resource
 * (AIP-231), once for all that one step of a query asks for, each resource once a request.
 */
import { type DescField, type DescMessage, getOption, hasOption } from "@bufbuild/protobuf";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { resource, resource_reference } from "#gen/google/api/resource_pb.ts";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";

/** How the resources of a type are read. */
export interface Join {
  readonly method: Method;
  readonly output: DescMessage;
  /** Of the request; `ids` takes the last part of a name. */
  readonly key: "ids" | "names";
  /** Of the answer. */
  readonly list: string;
}

/** By resource type. */
export type Joins = ReadonlyMap<string, Join>;

export function joinsOf(catalog: Catalog): Joins {
  const joins = new Map<string, Join>();
  for (const method of catalog.methods.values()) {
    if (!method.desc.name.startsWith("BatchGet")) continue;
    if (!hasUnaryReply(method.kind) || !hasUnaryRequest(method.kind)) continue;
    const key = method.input.desc.fields.find(({ name }) => name === "ids" || name === "names");
    const list = method.output.desc.fields.find(
      (field) => field.fieldKind === "list" && field.message !== undefined,
    );
    const type = list?.message && typeOf(list.message);
    if (key === undefined || list?.message === undefined || type === undefined) continue;
    joins.set(type, { method, output: list.message, key: key.name as "ids" | "names", list: list.jsonName });
  }
  return joins;
}

function typeOf(desc: DescMessage): string | undefined {
  return hasOption(desc, resource) ? getOption(desc, resource).type : undefined;
}

interface JoinField {
  readonly field: DescField;
  readonly output: DescMessage;
  readonly isList: boolean;
  resolve(source: Readonly<Record<string, unknown>>, args: unknown, operation: unknown): unknown;
}

export function* joinFields(desc: DescMessage, joins: Joins): Generator<readonly [string, JoinField]> {
  for (const field of desc.fields) {
    if (!hasOption(field, resource_reference)) continue;
    const join = joins.get(getOption(field, resource_reference).type);
    if (join === undefined) continue;
    const isList = field.fieldKind === "list";
    const resolve: JoinField["resolve"] = (source, _args, operation) => {
      const { loader } = operation as { readonly loader: Loader };
      const named = source[field.jsonName];
      if (isList) return ((named ?? []) as readonly string[]).map((name) => loader.load(join, name));
      return typeof named === "string" && named !== "" ? loader.load(join, named) : null;
    };
    yield [`${field.jsonName}Resource`, { field, output: join.output, isList, resolve }];
  }
}

type Resource = Readonly<Record<string, unknown>> | null;

interface Waiting {
  readonly name: string;
  resolve(resource: Resource): void;
  reject(error: unknown): void;
}

/** Batch methods take so many at once. */
const maxBatch = 100;

type Answer = Readonly<Record<string, unknown>>;
type CallMethod = (method: Method, request: object) => Answer | Promise<Answer>;

/** Of one request. */
export class Loader {
  readonly #call: CallMethod;
  readonly #known = new Map<string, Promise<Resource>>();
  readonly #waiting = new Map<Join, Waiting[]>();

  constructor(call: CallMethod) {
    this.#call = call;
  }

  load(join: Join, name: string): Promise<Resource> {
    const key = `${join.method.name} ${name}`;
    let found = this.#known.get(key);
    if (found === undefined) {
      found = new Promise((resolve, reject) => {
        const waiting = this.#waiting.get(join) ?? [];
        waiting.push({ name, resolve, reject });
        this.#waiting.set(join, waiting);
        // After everything that this step of the query resolves.
        if (waiting.length === 1) setImmediate(() => this.#flush(join));
      });
      this.#known.set(key, found);
    }
    return found;
  }

  #flush(join: Join): void {
    const waiting = this.#waiting.get(join) ?? [];
    this.#waiting.delete(join);
    for (let at = 0; at < waiting.length; at += maxBatch)
      void this.#read(join, waiting.slice(at, at + maxBatch));
  }

  async #read(join: Join, batch: readonly Waiting[]): Promise<void> {
    const keys = batch.map(({ name }) => (join.key === "ids" ? name.slice(name.lastIndexOf("/") + 1) : name));
    try {
      const answer = await this.#call(join.method, { [join.key]: keys });
      const byName = new Map<unknown, Resource>();
      for (const one of (answer[join.list] ?? []) as Exclude<Resource, null>[]) byName.set(one.name, one);
      for (const { name, resolve } of batch) resolve(byName.get(name) ?? null);
    } catch (error) {
      const isMissing = (error as { extensions?: { code?: string } }).extensions?.code === "NOT_FOUND";
      if (!isMissing) for (const { reject } of batch) reject(error);
      else if (batch.length === 1) batch[0]?.resolve(null);
      // All or nothing, AIP-231: those that are there are found by halves.
      else {
        const half = Math.ceil(batch.length / 2);
        void this.#read(join, batch.slice(0, half));
        void this.#read(join, batch.slice(half));
      }
    }
  }
}
