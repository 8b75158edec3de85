/** What a catalogue is made of: its routes, options and itself. */
import type { AnyDesc, DescField, DescService, FileRegistry, Message } from "@bufbuild/protobuf";
import type { Codec, CodecOptions } from "#gateway/codec/codec.ts";
import type { FieldPath } from "#gateway/codec/field-path.ts";
import type { QueryBinder } from "#gateway/codec/query.ts";
import type { Match } from "#gateway/router/router.ts";
import type { Method } from "#rpc/method.ts";
import type { DeprecationNotice } from "./deprecation.ts";
import type { DescriptorFile } from "./descriptor-files.ts";
import type { RestPlan } from "./rest-plan.ts";
import type { UriTemplate } from "./uri-template.ts";

/** One HTTP binding of a method: what matches it, and which part of the request becomes which field. */
export interface HttpRoute {
  readonly method: Method;
  /** `GET`, …, or `*` for any. */
  readonly httpMethod: string;
  readonly template: string;
  /** In template order, as the router gives their values. */
  readonly variables: readonly FieldPath[];
  readonly body:
    | { readonly kind: "none" }
    | { readonly kind: "whole" }
    | { readonly kind: "field"; readonly field: DescField };
  /** Undefined where the body is the whole message and nothing is left for a query. */
  readonly query: QueryBinder | undefined;
  /** The field that alone is the response; undefined: the whole message is. */
  readonly responseBody: DescField | undefined;
  /** The `POST /package.Service/Method` that every method has. */
  readonly default: boolean;
  /** What its answers have beside a body; undefined: they are 200 and nothing more. */
  readonly rest: RestPlan | undefined;
}

export type Plane = "design" | "runtime" | "identity" | "admin";

/** What a method asks of its callers. */
export interface AccessRule {
  readonly public: boolean;
  /** Any of these is enough; "self": anybody, for themselves. Empty: administrators. */
  readonly scopes: readonly string[];
  /** CEL over `principal` and `request`; empty: none. */
  readonly rule: string;
}

export interface MethodOptions {
  readonly plane: Plane | undefined;
  /** Undefined: the contract does not say. */
  readonly access: AccessRule | undefined;
  /** How much of a caller's rate one call takes; at least 1. */
  readonly rateCost: number;
  /** Every call is written into the audit log. */
  readonly audited: boolean;
  /** REST feeds this client stream from a raw request body. */
  readonly upload: boolean;
  /** How long a call may take, in milliseconds; undefined: as long as the gateway's own times say. */
  readonly deadline: { readonly defaultMs: number | undefined; readonly maximumMs: number | undefined };
  /** Undefined: not deprecated, or since no day that anybody named. */
  readonly deprecation: DeprecationNotice | undefined;
  /** Undefined: agents do not get it. */
  readonly tool: ToolOptions | undefined;
  /** Undefined: agents do not read it. */
  readonly resource: ResourceOptions | undefined;
  /** Undefined: it asks models nothing. */
  readonly prompt: PromptOptions | undefined;
}

/** A method as a tool of MCP. */
export interface ToolOptions {
  /** Unique in the catalogue. */
  readonly name: string;
  readonly title: string;
  readonly destructive: boolean;
  readonly openWorld: boolean;
}

/** A method as a resource of MCP. */
export interface ResourceOptions {
  /** Its variables are fields of the request. */
  readonly template: UriTemplate;
  readonly name: string;
  readonly title: string;
  /** Undefined: the answer says it. */
  readonly mimeType: string | undefined;
  /** The answer is a google.api.HttpBody, or a stream of its pieces. */
  readonly isFile: boolean;
  /** Values of the one variable. Undefined: those that there are cannot be listed. */
  readonly list: ValueSource | undefined;
  /** By variable: where values come from while people type. */
  readonly sources: ReadonlyMap<string, ValueSource>;
  /** Undefined: nothing tells of changes. */
  readonly watch: WatchOptions | undefined;
}

/** Another method that lists values. Names are JSON's. */
export interface ValueSource {
  readonly method: Method;
  /** The repeated field of its answer. */
  readonly rows: string;
  /** Of a row, the way to the value. */
  readonly value: readonly string[];
  /** Of a row, the way to what people are shown. */
  readonly title: readonly string[];
  /** Read page by page, with page_size and page_token. */
  readonly paged: boolean;
}

/** A stream with a message for every change. */
export interface WatchOptions {
  readonly method: Method;
  /** @returns its request as JSON, for one resource. */
  request(variables: Readonly<Record<string, string>>): Uint8Array;
  /** Whether a message of it says that something changed. */
  isChange(message: Message): boolean;
}

/** A method as a prompt of MCP. */
export interface PromptOptions {
  /** Unique in the catalogue. */
  readonly name: string;
  readonly title: string;
  /** By the name of the field: where values come from while people type. */
  readonly sources: ReadonlyMap<string, ValueSource>;
}

export interface Catalog {
  readonly registry: FileRegistry;
  readonly codec: Codec;
  /** Sorted by full name. */
  readonly services: readonly DescService[];
  /** By gRPC path, `/package.Service/Method`. */
  readonly methods: ReadonlyMap<string, Method>;
  /** Annotated bindings in order of declaration; the default ones are not listed. */
  readonly routes: readonly HttpRoute[];
  match(httpMethod: string, rawPath: string): Match<HttpRoute>;
  optionsOf(method: Method): MethodOptions;
  /** The comment in front of a descriptor, without its slashes; empty where the set has none. */
  commentOf(desc: AnyDesc): string;
  /** By path, each with its bytes as they were given: what reflection serves. */
  readonly files: ReadonlyMap<string, DescriptorFile>;
}

/** A policy that an operator writes for contracts of others. */
export interface SelectedPolicy {
  readonly selector: string;
  /** For everybody. Default false. */
  readonly public?: boolean | undefined;
  /** Any of these is enough. Default: administrators alone. */
  readonly scopes?: readonly string[] | undefined;
  /** CEL over `principal` and `request`. Default: none. */
  readonly rule?: string | undefined;
  /** Default 1. */
  readonly rateCost?: number | undefined;
  /** Default false. */
  readonly audit?: boolean | undefined;
}

export interface CatalogInput {
  /** Serialised google.protobuf.FileDescriptorSet with all imports; source info makes errors and documents better. */
  readonly descriptorSet: Uint8Array;
  readonly codec?: CodecOptions;
  readonly query?: { readonly unknown?: "reject" | "ignore"; readonly maxParameters?: number };
  /** Paths of the gateway's own: a binding to one of them could never be reached, and is a problem. */
  readonly reservedPaths?: readonly string[];
  /** Begins of service names whose methods have to say who may call them. */
  readonly policyRequired?: readonly string[];
  /** The operator's policies for all other methods. */
  readonly policies?: readonly SelectedPolicy[];
}
