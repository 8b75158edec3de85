/** What MCP's conformance suite expects of a server's methods: an ordinary service, that knows no MCP. */
import { setTimeout as sleep } from "node:timers/promises";
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { type HttpBody, HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import {
  type ContentSchema,
  type InputRequestSchema,
  type PromptResultSchema,
  Role,
  type ToolResultSchema,
} from "#gen/portico/mcp/v1/mcp_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { givenIn, inputRequired } from "#rpc/input.ts";

type Content = MessageInitShape<typeof ContentSchema>;
type Question = MessageInitShape<typeof InputRequestSchema>;

const pixel = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==",
  "base64",
);
/** A WAVE file without a sample. */
const silence = Buffer.from("UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=", "base64");

const body = (contentType: string, data: Buffer | string): HttpBody =>
  create(HttpBodySchema, { contentType, data: Buffer.from(data as string) });
const text = (value: string): Content => ({ kind: { case: "text", value } });
const image: Content = { kind: { case: "image", value: { data: pixel, mimeType: "image/png" } } };
const document = (uri: string, mimeType: string, value: string): Content => ({
  kind: { case: "resource", value: { uri, mimeType, body: { case: "text", value } } },
});
const result = (...contents: Content[]): MessageInitShape<typeof ToolResultSchema> => ({ contents });
const said = (...contents: Content[]): MessageInitShape<typeof PromptResultSchema> => ({
  messages: contents.map((content) => ({ role: Role.USER, content })),
});

const form = (message: string, properties: JsonObject): Question => {
  const schema = { type: "object", properties, required: Object.keys(properties) };
  return { kind: { case: "elicitation", value: { message, schema } } };
};
const askModel = (prompt: string, maxTokens = 100): Question => ({
  kind: {
    case: "sampling",
    value: { messages: [{ role: Role.USER, content: text(prompt) }], maxTokens },
  },
});
const roots: Question = { kind: { case: "roots", value: {} } };
const answerOf = (call: CallHead, name: string): JsonObject | undefined => call.input?.answers.get(name);
const name = { name: { type: "string" } };

/** Asks what was not answered yet. */
const need = (call: CallHead, questions: Record<string, Question>, state = ""): void => {
  if (Object.keys(questions).some((one) => answerOf(call, one) === undefined))
    throw inputRequired(questions, state);
};

/** Asks with a form, and says what was answered. */
const elicit = (message: string, properties: JsonObject, call: CallHead) => {
  need(call, { answer: form(message, properties) });
  return result(text(`Elicitation completed: ${JSON.stringify(answerOf(call, "answer"))}`));
};

const strings = (...values: string[]) => ({ type: "string", enum: values });
const titled = (...values: string[]) => values.map((value) => ({ const: value, title: `The ${value}` }));

const data = Array.from({ length: 7 }, (_, index) => ({
  id: `item-${index + 1}`,
  text: `Item ${index + 1}`,
}));

const asking = {
  testSampling: async (request: { prompt: string }, call: CallHead) => {
    need(call, { reply: askModel(request.prompt) });
    return result(text(`LLM response: ${JSON.stringify(answerOf(call, "reply")?.content)}`));
  },
  testElicitation: async (request: { message: string }, call: CallHead) =>
    elicit(request.message, { username: { type: "string" }, email: { type: "string" } }, call),
  testElicitationSep1034Defaults: async (_: object, call: CallHead) =>
    elicit(
      "Please check this",
      {
        name: { type: "string", default: "John Doe" },
        age: { type: "integer", default: 30 },
        score: { type: "number", default: 95.5 },
        status: { ...strings("active", "inactive", "pending"), default: "active" },
        verified: { type: "boolean", default: true },
      },
      call,
    ),
  testElicitationSep1330Enums: async (_: object, call: CallHead) =>
    elicit(
      "Please choose",
      {
        untitledSingle: strings("option1", "option2", "option3"),
        titledSingle: { type: "string", oneOf: titled("value1", "value2", "value3") },
        legacyEnum: { ...strings("opt1", "opt2", "opt3"), enumNames: ["One", "Two", "Three"] },
        untitledMulti: { type: "array", items: strings("option1", "option2", "option3") },
        titledMulti: { type: "array", items: { anyOf: titled("value1", "value2", "value3") } },
      },
      call,
    ),
  testInputRequiredResultElicitation: async (_: object, call: CallHead) => {
    need(call, { user_name: form("What is your name?", name) });
    return result(text(`Hello, ${String(givenIn(call, "user_name")?.name)}!`));
  },
  testInputRequiredResultSampling: async (_: object, call: CallHead) => {
    need(call, { capital_question: askModel("What is the capital of France?") });
    return result(text(JSON.stringify(answerOf(call, "capital_question")?.content)));
  },
  testInputRequiredResultListRoots: async (_: object, call: CallHead) => {
    need(call, { client_roots: roots });
    return result(text(JSON.stringify(answerOf(call, "client_roots"))));
  },
  testInputRequiredResultRequestState: async (_: object, call: CallHead) => {
    need(call, { confirm: form("Please confirm", { ok: { type: "boolean" } }) }, "asked once");
    return result(text(call.input?.state === "asked once" ? "state-ok" : "state-lost"));
  },
  testInputRequiredResultMultipleInputs: async (_: object, call: CallHead) => {
    need(
      call,
      {
        user_name: form("What is your name?", name),
        greeting: askModel("Generate a greeting", 50),
        client_roots: roots,
      },
      "three",
    );
    return result(text("all three"));
  },
  testInputRequiredResultMultiRound: async (_: object, call: CallHead) => {
    const [, given = ""] = /^named (.*)$/.exec(call.input?.state ?? "") ?? [];
    if (given === "") {
      need(call, { step1: form("Step 1: What is your name?", name) }, "first");
      const step2 = form("Step 2: What is your favorite color?", { color: { type: "string" } });
      throw inputRequired({ step2 }, `named ${String(givenIn(call, "step1")?.name)}`);
    }
    return result(text(`${given} likes ${String(givenIn(call, "step2")?.color)}`));
  },
  testInputRequiredResultTamperedState: async (_: object, call: CallHead) => {
    need(call, { confirm: form("Please confirm", { ok: { type: "boolean" } }) }, "untouched");
    return result(text("done"));
  },
  testInputRequiredResultCapabilities: async (_: object, call: CallHead) => {
    const questions: Record<string, Question> = {};
    if (call.input?.can("elicitation") === true) questions.user_name = form("What is your name?", name);
    if (call.input?.can("sampling") === true) questions.greeting = askModel("Generate a greeting");
    need(call, questions);
    return result(text("done"));
  },
  testMissingCapability: async (_: object, call: CallHead) => {
    need(call, { greeting: askModel("Generate a greeting") });
    return result(text("done"));
  },
  testStreamingElicitation: async (_: object, call: CallHead) => {
    need(call, { user_name: form("What is your name?", name) });
    return result(text("done"));
  },
  testInputRequiredResultPrompt: async (_: object, call: CallHead) => {
    const context = { context: { type: "string" } };
    need(call, { user_context: form("What context should the prompt use?", context) });
    return said(text(`Use this: ${String(givenIn(call, "user_context")?.context)}`));
  },
};

/** @param changes tells of each number from here on. */
export function createTools(changes: () => AsyncGenerator<{ readonly number: number }>) {
  return {
    ...asking,
    testSimpleText: async () => body("text/plain", "This is a simple text response for testing."),
    testImageContent: async () => body("image/png", pixel),
    testAudioContent: async () => body("audio/wav", silence),
    testEmbeddedResource: async () => body("text/markdown", "This is an embedded resource content."),
    testMultipleContentTypes: async () =>
      result(
        text("Multiple content types test:"),
        image,
        document("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
      ),
    testLoggingTool: async () => ({}),
    testErrorHandling: async () => {
      throw new RpcError("failed_precondition", {
        reason: "PLANNED",
        message: "This tool intentionally returns an error for testing",
      });
    },
    manyMessages: async function* () {
      for (let number = 1; number <= 1000; number += 1) yield { number };
    },
    testToolWithProgress: threeSteps,
    testToolWithLogging: threeSteps,
    jsonSchema202012Tool: async () => ({}),
    staticText: async () => body("text/plain", "This is the content of the static text resource."),
    staticBinary: async function* () {
      yield body("image/png", pixel.subarray(0, 20));
      yield body("image/png", pixel.subarray(20));
    },
    getData: async ({ id }: { id: string }) => ({ id, text: `Data for ID: ${id}` }),
    listData: async ({ pageSize, pageToken }: { pageSize: number; pageToken: string }) => {
      const from = Number(pageToken);
      const to = from + Math.min(3, pageSize || 3);
      return { data: data.slice(from, to), nextPageToken: to < data.length ? String(to) : "" };
    },
    watched: async () => ({ number: 1 }),
    watchWatched: changes,
    testSimplePrompt: async () => said(text("This is a simple prompt for testing.")),
    testPromptWithArguments: async ({ arg1, arg2 }: { arg1: string; arg2: string }) =>
      said(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
    testPromptWithEmbeddedResource: async ({ resourceUri }: { resourceUri: string }) =>
      said(
        document(resourceUri, "text/plain", "Embedded resource content for testing."),
        text("Please process the embedded resource above."),
      ),
    testPromptWithImage: async () => said(image, text("Please analyze the image above.")),
  };
}

async function* threeSteps() {
  for (const number of [1, 2, 3]) {
    yield { number };
    await sleep(20);
  }
}
