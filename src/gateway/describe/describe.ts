/**
 * The catalogue as documents: OpenAPI 3.1, AsyncAPI 3, JSON Schema.
 *
 * Comments of the contract become descriptions, bindings become paths, messages become schemas in ProtoJSON's shapes. The same
 * catalogue always gives the same document. Describes what is served and nothing else; serves nothing itself.
 */

export { describeAsyncApi } from "./asyncapi.ts";
export { behaviours as behavioursOf } from "./behaviours.ts";
export type { Answer, Content } from "./error-answers.ts";
export { describeMessage, messagesOf } from "./json-schema.ts";
export {
  describeOpenApi,
  type OpenApiDocument,
  type OpenApiOptions,
  type Operation,
} from "./openapi.ts";
export type { Parameter } from "./parameters.ts";
export { describePrompt, type Prompt } from "./prompts.ts";
export type { Schema } from "./schemas.ts";
export { describeTool, type Tool } from "./tools.ts";
