import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { CatalogError, loadCatalog } from "./catalog.ts";

const head = `syntax = "proto3";
package t.v1;
import "google/api/annotations.proto";
import "portico/options/v1/options.proto";
message Item { string name = 1; string id = 2; Item parent = 3; repeated string tags = 4; map<string, string> labels = 5; }
`;

function rpc(name: string, rule: string): string {
  return `  rpc ${name}(Item) returns (Item) { option (google.api.http) = {${rule}}; }`;
}

function problemsOf(lines: readonly string[], reservedPaths: readonly string[] = []): readonly string[] {
  const text = `${head}service S {\n${lines.join("\n")}\n}\n`;
  try {
    loadCatalog({ descriptorSet: compileProto("t/v1/items.proto", text), reservedPaths });
  } catch (error) {
    assert.ok(error instanceof CatalogError);
    return error.message.split("\n").map((line) => line.trim());
  }
  return [];
}

/** Name of the method, its annotation, and what is said of it. */
const wrong: readonly (readonly [string, string, string])[] = [
  ["NoPath", "", "the annotation names no path: set one of get, put, post, delete, patch or custom"],
  ["NoSlash", 'get: "a"', 'path "a": column 1: a template begins with "/"'],
  ["Empty", 'get: "/a//b"', 'path "/a//b": column 4: an empty segment'],
  ["RestFirst", 'get: "/a/**/b"', 'path "/a/**/b": column 4: "**" must be the last segment'],
  ["Open", 'get: "/a/{id"', 'path "/a/{id": column 7: a variable ends with "}"'],
  ["Unknown", 'get: "/u/{nam}"', 'path "/u/{nam}": t.v1.Item has no field "nam"; did you mean "name"?'],
  [
    "Deep",
    'get: "/d/{parent.nam}"',
    'path "/d/{parent.nam}": t.v1.Item has no field "nam"; did you mean "name"?',
  ],
  [
    "Message",
    'get: "/m/{parent}"',
    'path "/m/{parent}": "parent" is a message; a path can carry only one scalar',
  ],
  ["Repeated", 'get: "/r/{tags}"', 'path "/r/{tags}": "tags" is repeated; a path can carry only one scalar'],
  ["Twice", 'get: "/t/{id}/{id}"', 'path "/t/{id}/{id}": "id" is bound twice'],
  ["BodyOnGet", 'get: "/g" body: "*"', 'body "*" on GET: such requests have no body'],
  ["NoBody", 'post: "/b" body: "nam"', 'body "nam": t.v1.Item has no top-level field of that name'],
  ["BodyBound", 'post: "/bb/{name}" body: "name"', 'body "name" is bound by the path too'],
  [
    "NoAnswer",
    'get: "/n" response_body: "x"',
    'response_body "x": t.v1.Item has no top-level field of that name',
  ],
  [
    "Nested",
    'get: "/x1" additional_bindings: {get: "/x2" additional_bindings: {get: "/x3"}}',
    "additional_bindings inside additional_bindings: only one level is allowed",
  ],
];

describe("a contract that cannot be served", () => {
  test("is refused with every problem at once: file, line and column of the annotation, method, what is wrong", () => {
    const lines = problemsOf(wrong.map(([name, rule]) => rpc(name, rule)));
    assert.equal(lines[0], `the contract has ${wrong.length} problems:`);
    assert.deepEqual(
      lines.slice(1),
      wrong.map(([name, , message], index) => {
        const column = `  rpc ${name}(Item) returns (Item) { option `.length + 1;
        return `t/v1/items.proto:${index + 7}:${column}: t.v1.S/${name}: ${message}`;
      }),
    );
  });

  test("collisions name both bindings, those of one method and of the default path included", () => {
    const lines = problemsOf([
      rpc("A", 'get: "/v1/{name=items/*}"'),
      rpc("B", 'get: "/v1/items/{id}"'),
      rpc("C", 'get: "/c/{id}:go" additional_bindings: {get: "/c/{name}:go"}'),
      rpc("D", 'post: "/t.v1.S/A"'),
      rpc("E", 'custom: {kind: "*" path: "/e"} additional_bindings: {get: "/e"}'),
    ]);
    assert.deepEqual(
      lines.slice(1).map((line) => line.replace(/^[^ ]+ /, "")),
      [
        "t.v1.S/B: GET /v1/items/{id} matches the same requests as GET /v1/{name=items/*}",
        "t.v1.S/C: GET /c/{name}:go matches the same requests as GET /c/{id}:go",
        "t.v1.S/D: POST /t.v1.S/A matches the same requests as POST /t.v1.S/A",
      ],
    );
  });

  test("bindings that no request can reach are named, with the reason", () => {
    const lines = problemsOf(
      [
        rpc("Dots", 'get: "/a/../b"'),
        rpc("Nul", 'get: "/a/%00"'),
        rpc("Latin", 'get: "/a/%FF"'),
        rpc("Lower", 'custom: {kind: "get" path: "/a"}'),
        rpc("NoKind", 'custom: {kind: "" path: "/a"}'),
        rpc("Connect", 'custom: {kind: "CONNECT" path: "/a"}'),
        rpc("Docs", 'get: "/%64ocs"'),
        rpc("DocsAll", 'get: "/{name=**}"'),
        rpc("DocsVerb", 'get: "/docs:print"'),
      ],
      ["/docs"],
    );
    assert.deepEqual(
      lines.slice(1).map((line) => line.replace(/^[^ ]+ /, "")),
      [
        't.v1.S/Dots: GET /a/../b can never be reached: requests with the segment ".." are refused',
        't.v1.S/Nul: GET /a/%00 can never be reached: requests with the segment "%00" are refused',
        't.v1.S/Latin: GET /a/%FF can never be reached: "%FF" does not decode to UTF-8 text',
        't.v1.S/Lower: get /a can never be reached: "get" is no HTTP method; methods are upper-case words, and "*" is any',
        't.v1.S/NoKind:  /a can never be reached: "" is no HTTP method; methods are upper-case words, and "*" is any',
        "t.v1.S/Connect: CONNECT /a can never be reached: CONNECT names a server, not a path",
        "t.v1.S/Docs: GET /%64ocs can never be reached: the gateway itself answers this path",
      ],
    );
  });

  test("methods that have to say who may call them, and do not, are named", () => {
    const policy = "option (portico.options.v1.policy)";
    const text = `${head}service S {
  rpc Silent(Item) returns (Item);
  rpc Empty(Item) returns (Item) { ${policy} = {}; }
  rpc Scoped(Item) returns (Item) { ${policy} = {scopes: "a:b"}; }
  rpc Public(Item) returns (Item) { ${policy} = {public: true}; }
}\n`;
    const descriptorSet = compileProto("t/v1/items.proto", text);
    assert.throws(
      () => loadCatalog({ descriptorSet, policyRequired: ["t."] }),
      (error: Error) =>
        /2 problems/.test(error.message) &&
        /S\/Silent: has no policy.*\n.*S\/Empty: has no policy/.test(error.message),
    );
    loadCatalog({ descriptorSet, policyRequired: ["other."] });
  });

  test("without source info the file and the method are still named", () => {
    const set = compileProto("t/v1/items.proto", `${head}service S {\n${rpc("A", 'get: "x"')}\n}\n`);
    const stripped = withoutSourceInfo(set);
    assert.throws(
      () => loadCatalog({ descriptorSet: stripped }),
      /^CatalogError: the contract has 1 problem:\n {2}t\/v1\/items\.proto: t\.v1\.S\/A: path "x"/,
    );
  });

  for (const [name, bytes] of [
    ["bytes that are no descriptor set", new Uint8Array([1, 2, 3])],
    ["a set that lacks its imports", withoutImports()],
  ] as const)
    test(`${name} are refused with the remedy`, () => {
      assert.throws(
        () => loadCatalog({ descriptorSet: bytes }),
        /cannot be read: .*; build it with all imports/,
      );
    });

  test("tools without a good name, with one name, or for streams of requests", () => {
    const tool = (name: string, option: string, input = "Item"): string =>
      `  rpc ${name}(${input}) returns (Item) { option (portico.options.v1.mcp) = {${option}}; }`;
    const problems = problemsOf([
      tool("ReadIt", ""),
      tool("Other", 'name: "read_it"'),
      tool("Bad", 'name: "Bad-Name"'),
      tool("GetEverythingThatThereIsOfAllTheItemsHere", ""),
      tool("Many", "", "stream Item"),
    ]).join("\n");
    assert.match(problems, /Other.*"read_it" is that of t\.v1\.S\/ReadIt already/);
    assert.match(problems, /Bad.*"Bad-Name" is not 1 to 48 of/);
    assert.match(problems, /GetEverything.*"get_everything_that.*" is not 1 to 48/);
    assert.match(problems, /Many.*a tool takes one message/);
  });

  test("resources without an address, a list or a watch that can be", () => {
    const resource = (name: string, option: string, more = "") =>
      `  rpc ${name}(Item) returns (${more}Item) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (portico.options.v1.mcp_resource) = {${option}}; }`;
    const problems = problemsOf([
      resource("NoUri", ""),
      resource("Good", 'uri: "x://good/{id}"'),
      resource("Same", 'uri: "x://good/{name}"'),
      resource("Unknown", 'uri: "x://u/{nam}"'),
      resource("NoText", 'uri: "x://n/{labels}"'),
      resource("Streams", 'uri: "x://s/{id}"', "stream "),
      '  rpc Writes(Item) returns (Item) { option (portico.options.v1.mcp_resource) = {uri: "x://w"}; }',
      resource("ListUnknown", 'uri: "x://l1/{id}" list: {method: "Nothing" field: "a.b"}'),
      resource("ListWrites", 'uri: "x://l2/{id}" list: {method: "Writes" field: "a.b"}'),
      resource("ListField", 'uri: "x://l3/{id}" list: {method: "Good" field: "tags"}'),
      resource("ListTwo", 'uri: "x://l4/{id}/{name}" list: {method: "Good" field: "parent.id"}'),
      resource("WatchUnary", 'uri: "x://w1/{id}" watch: {method: "Good"}'),
      resource("WatchBroken", 'uri: "x://w2/{id}" watch: {method: "Streams" request: "{"}'),
      resource("WatchField", `uri: "x://w3/{id}" watch: {method: "Streams" request: '{"nam": "{id}"}'}`),
      resource("WatchVariable", `uri: "x://w4/{id}" watch: {method: "Streams" request: '{"name": "{nam}"}'}`),
      resource("WatchChanged", 'uri: "x://w5/{id}" watch: {method: "Streams" changed: "nam"}'),
      resource("Argument", 'uri: "x://a/{id}" arguments: {field: "nam"}'),
    ]).join("\n");
    for (const expected of [
      /S\/NoUri: "" is not scheme:\/\/path.*set \(portico\.options\.v1\.mcp_resource\)\.uri/,
      /S\/Same: the address "x:\/\/good\/\{name\}" is that of t\.v1\.S\/Good already/,
      /S\/Unknown: \{nam\} in .* is no text or integer of t\.v1\.Item/,
      /S\/NoText: \{labels\} in .* is no text or integer/,
      /S\/Streams: is no resource: one takes one message/,
      /S\/Writes: is no resource: reading has no side effects/,
      /S\/ListUnknown: there is no method "Nothing"/,
      /S\/ListWrites: values come from a unary method/,
      /S\/ListField: "tags": of t\.v1\.S\/Good's answer this is a repeated field/,
      /S\/ListTwo: .* has not one variable alone/,
      /S\/WatchUnary: "Good" is no method that streams/,
      /S\/WatchBroken: the watch's request is no t\.v1\.Item in JSON/,
      /S\/WatchField: the watch's request is no t\.v1\.Item in JSON: .*nam/,
      /S\/WatchVariable: \{nam\} in the watch's request is no variable/,
      /S\/WatchChanged: "nam" is no field of t\.v1\.Item/,
      /S\/Argument: the request has no field "nam"/,
    ])
      assert.match(problems, expected);
    assert.doesNotMatch(problems, /S\/Good:/);
  });

  test("prompts that say nothing to a model, or take what is no text", () => {
    const prompt = (name: string, option: string, output = "portico.mcp.v1.PromptResult", input = "Word") =>
      `  rpc ${name}(${input}) returns (${output}) { option (portico.options.v1.mcp_prompt) = {${option}}; }`;
    const text = `${head}import "portico/mcp/v1/mcp.proto";
message Word { string word = 1; int32 count = 2; }
service S {\n${[
      prompt("Good", ""),
      prompt("Same", 'name: "good"'),
      prompt("Bad", 'name: "no name"'),
      prompt("Item", "", "t.v1.Item"),
      prompt("Streams", "", "stream portico.mcp.v1.PromptResult"),
      prompt("Takes", "", "portico.mcp.v1.PromptResult", "t.v1.Item"),
    ].join("\n")}\n}\n`;
    assert.throws(
      () => loadCatalog({ descriptorSet: compileProto("t/v1/items.proto", text) }),
      (error: Error) => {
        for (const expected of [
          /S\/Same: the prompt name "good" is that of t\.v1\.S\/Good already/,
          /S\/Bad: the prompt name "no name" is not 1 to 48/,
          /S\/Item: is no prompt: one is unary and answers with portico\.mcp\.v1\.PromptResult/,
          /S\/Streams: is no prompt: one is unary/,
          /S\/Takes: is no prompt: .*"parent" is none of these/,
        ])
          assert.match(error.message, expected);
        return !/S\/Good:/.test(error.message);
      },
    );
  });

  test("deadlines that no call could keep", () => {
    const rpcWith = (name: string, option: string): string =>
      `  rpc ${name}(Item) returns (Item) { option (portico.options.v1.deadline) = {${option}}; }`;
    assert.deepEqual(
      problemsOf([
        rpcWith("Fine", "default: {seconds: 5} maximum: {seconds: 10}"),
        rpcWith("Never", "default: {}"),
        rpcWith("Forever", "maximum: {seconds: 3000000}"),
        rpcWith("Crossed", "default: {seconds: 20} maximum: {seconds: 10}"),
      ]).map((line) => line.replace(/^.*t\.v1\.S\//, "")),
      [
        "the contract has 3 problems:",
        "Never: the deadline's default is not a time from 1 ms to 24 days",
        "Forever: the deadline's maximum is not a time from 1 ms to 24 days",
        "Crossed: the deadline's default is longer than its maximum",
      ],
    );
  });
});

describe("what a contract says of answers", () => {
  interface Said {
    readonly options: string;
    readonly http?: string;
    readonly output?: string;
  }
  /** What is said of methods with these options, without the place; one line each where nothing else is said. */
  function said(cases: readonly Said[]): readonly string[] {
    const methods = cases.map(({ options, http = "get: ", output = "Item" }, index) => {
      const annotation = http === "" ? "" : `option (google.api.http) = {${http}"/v1/a${index}"};`;
      return `  rpc A${index}(Item) returns (${output}) { ${annotation} ${options} }`;
    });
    return problemsOf([...methods, rpc("Find", 'get: "/v1/items/{id}"')])
      .slice(1)
      .map((line) => {
        assert.match(line, /^t\/v1\/items\.proto:\d+:\d+: t\.v1\.S\/A\d+: /);
        return line.replace(/^[^ ]+ [^ ]+ /, "");
      });
  }
  const rest = (text: string): string => `option (portico.options.v1.rest) = {${text}};`;
  const old = (text: string): string =>
    `option deprecated = true; option (portico.options.v1.deprecation) = {${text}};`;

  test("statuses and places that cannot be are refused", () => {
    const rows: readonly (readonly [Said, string])[] = [
      ...[100, 206, 302, 404, 500].map(
        (status) =>
          [
            { options: rest(`status: ${status}`) },
            `rest.status ${status}: an answer can be 200, 201, 202, 203, 204, 207`,
          ] as const,
      ),
      [
        { options: rest("status: 204") },
        "rest.status 204: t.v1.Item has fields, and this status has no body for them",
      ],
      [
        { options: rest("status: 201"), output: "stream Item" },
        "rest.status 201: the method answers with a stream, which is 200",
      ],
      [
        { options: rest("status: 201"), http: "" },
        "rest: the method has no path of google.api.http that it could be about",
      ],
      ...[
        ["/v1/items/{ide}", 't.v1.Item has no field "ide"; did you mean "id"?'],
        ["/v1/items/{parent}", '"parent" is not one scalar, which is all that a path can carry'],
        ["/v1/items/{tags}", '"tags" is not one scalar, which is all that a path can carry'],
        ["v1/items/{id}", 'column 1: a template begins with "/"'],
      ].map(
        ([location, problem]) =>
          [
            { options: rest(`status: 201 location: "${location}"`) },
            `rest.location "${location}": ${problem}`,
          ] as const,
      ),
      [
        { options: rest('location: "/v1/items/{id}"') },
        'rest.location "/v1/items/{id}": is for status 201 and 202',
      ],
      [
        { options: rest('wait: "id"') },
        'rest.wait "id": t.v1.Item has no field of that name and of type google.protobuf.Duration',
      ],
      // Places are looked for when everything else is known.
      [
        { options: rest('status: 201 location: "/v1/item/{id}"') },
        'rest.location "/v1/item/{id}": nothing is there for GET; name the path of the method that reads it',
      ],
    ];
    assert.deepEqual(
      said(rows.map(([one]) => one)),
      rows.map(([, problem]) => problem),
    );
    assert.deepEqual(said([{ options: rest('status: 201 location: "/v1/items/{parent.id}"') }]), []);
  });

  test("deprecations that name no day, no address or the wrong order are refused", () => {
    const rows: readonly (readonly [string, string])[] = [
      ...["", "soon", "2026-02-30", "2026-05-04T09:30", "2026-05-04 09:30:00Z"].map(
        (day) =>
          [
            old(`since: "${day}"`),
            `deprecation.since "${day}": a day or a time of RFC 3339, such as 2026-05-04`,
          ] as const,
      ),
      [
        'option (portico.options.v1.deprecation) = {since: "2026-05-04"};',
        "deprecation: says since when, and not that it is: set `option deprecated = true`",
      ],
      [
        old('since: "2026-05-04" sunset: "2026-05-03"'),
        'deprecation.sunset "2026-05-03": is before 2026-05-04, since when it is deprecated',
      ],
      ...["/relative", "ftp://a/b", "https://a/>; rel=next", "https://a/\\r\\nset-cookie: a=b"].map(
        (url) =>
          [
            old(`since: "2026-05-04" link: "${url}"`),
            `deprecation.link "${url}": an absolute http or https URL`,
          ] as const,
      ),
      [
        old('since: "2026-05-04" sunset_link: "https://a/b"'),
        "deprecation.sunset_link: is about a sunset, and none is set",
      ],
    ];
    assert.deepEqual(
      said(rows.map(([options]) => ({ options }))),
      rows.map(([, problem]) => problem),
    );
    const good = old('since: "2026-05-04" sunset: "2026-05-04" link: "https://a/b"');
    assert.deepEqual(said([{ options: good }]), []);
  });

  test("headers that are not a field's to fill or to say are refused, with the field's place", () => {
    const bound: readonly (readonly ["header" | "response_header", string])[] = [
      ...["Authorization", "cookie", "Transfer-Encoding", "X-Forwarded-For", "Idempotency-Key"].map(
        (name) => ["header", name] as const,
      ),
      ...[":path", "a b", "X-A\\r\\nX-B", "X-Api-Key"].map((name) => ["header", name] as const),
      ...["Set-Cookie", "content-length", "Connection", "Access-Control-Allow-Origin", "Location"].map(
        (name) => ["response_header", name] as const,
      ),
      ...["Content-Security-Policy", "grpc-status", ""].map((name) => ["response_header", name] as const),
    ];
    const fields = bound.map(
      ([option, name], index) =>
        `string f${index} = ${index + 1} [(portico.options.v1.${option}) = "${name}"];`,
    );
    const text = `syntax = "proto3";
package t.v1;
import "portico/options/v1/options.proto";
message M {
${fields.join("\n")}
}
service S { rpc A(M) returns (M); }
`;
    assert.throws(
      () => loadCatalog({ descriptorSet: compileProto("t/v1/m.proto", text) }),
      (error: Error) => {
        const lines = error.message.split("\n").slice(1);
        const named = lines.map((line) => {
          const match =
            /^ {2}t\/v1\/m\.proto:(\d+):1: t\.v1\.M: header of "f(\d+)": ".*" is (no name of a header|HTTP's)/.exec(
              line,
            );
          assert.ok(match !== null, line);
          assert.equal(Number(match[1]), Number(match[2]) + 5);
          return Number(match[2]);
        });
        assert.deepEqual(
          named.sort((a, b) => a - b),
          bound.map((_, index) => index),
        );
        return true;
      },
    );
  });

  test("headers for fields that cannot hold them, or bound twice, are refused", () => {
    const text = `syntax = "proto3";
package t.v1;
import "portico/options/v1/options.proto";
message M {
  int32 number = 1 [(portico.options.v1.header) = "X-A"];
  repeated string list = 2 [(portico.options.v1.header) = "X-B"];
  oneof choice { string left = 3 [(portico.options.v1.header) = "X-C"]; }
  string one = 4 [(portico.options.v1.header) = "X-D"];
  string two = 5 [(portico.options.v1.header) = "x-d"];
  bytes data = 6 [(portico.options.v1.response_header) = "X-E"];
  M inner = 7 [(portico.options.v1.response_header) = "X-F"];
  map<string, string> map = 8 [(portico.options.v1.response_header) = "X-G"];
  optional string fine = 9 [(portico.options.v1.header) = "X-H", (portico.options.v1.response_header) = "X-H"];
}
service S { rpc A(M) returns (M); }
`;
    assert.throws(
      () => loadCatalog({ descriptorSet: compileProto("t/v1/m.proto", text) }),
      (error: Error) => {
        const fields = [...error.message.matchAll(/header of "(\w+)"/g)].map(([, name]) => name);
        assert.deepEqual(fields, ["number", "list", "left", "two", "data", "inner", "map"]);
        return true;
      },
    );
  });
});

describe("a contract that can be served", () => {
  test("says what every method and every binding is", () => {
    const catalog = loadCatalog({
      descriptorSet: compileProto(
        "t/v1/items.proto",
        `${head}// Things.\nservice S {\n  // Reads it.\n${rpc("A", 'get: "/v1/{name=items/*}" additional_bindings: {post: "/v1/{id}:read" body: "parent" response_body: "labels"}')}
  rpc Watch(Item) returns (stream Item);
  rpc Send(stream Item) returns (Item);
  rpc Talk(stream Item) returns (stream Item);
}\n`,
      ),
    });
    assert.deepEqual(
      [...catalog.methods.values()].map(({ name, kind }) => [name, kind]),
      [
        ["t.v1.S/A", "unary"],
        ["t.v1.S/Watch", "server_stream"],
        ["t.v1.S/Send", "client_stream"],
        ["t.v1.S/Talk", "bidi_stream"],
      ],
    );
    assert.deepEqual(
      catalog.routes.map((route) => [
        `${route.httpMethod} ${route.template}`,
        route.variables.map(({ text }) => text),
        route.body.kind,
        route.responseBody?.name,
      ]),
      [
        ["GET /v1/{name=items/*}", ["name"], "none", undefined],
        ["POST /v1/{id}:read", ["id"], "field", "labels"],
      ],
    );
    const service = catalog.services.find(({ typeName }) => typeName === "t.v1.S");
    assert.ok(service !== undefined);
    assert.equal(catalog.commentOf(service), "Things.");
    assert.equal(catalog.commentOf(service.methods[0]!), "Reads it.");
    const found = catalog.match("POST", "/t.v1.S/Talk");
    assert.ok(found.kind === "found" && found.target.default);
  });
});

function withoutSourceInfo(set: Uint8Array): Uint8Array {
  const read = fromBinary(FileDescriptorSetSchema, set);
  for (const file of read.file) delete file.sourceCodeInfo;
  return toBinary(FileDescriptorSetSchema, read);
}

function withoutImports(): Uint8Array {
  const read = fromBinary(FileDescriptorSetSchema, compileProto("t/v1/items.proto", head));
  return toBinary(
    FileDescriptorSetSchema,
    create(FileDescriptorSetSchema, { file: read.file.filter((file) => file.name === "t/v1/items.proto") }),
  );
}
