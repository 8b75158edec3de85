/** Bad input in JSON: each row over REST and over gRPC with JSON as its codec, with the same words. */
import { frame, grpc, type Row, rest } from "./bad-input.ts";
import { both, connect, grpcWeb, json, webSocket } from "./bad-input-everywhere.ts";

const invalid = (field: string): { reason: string; message: RegExp } => ({
  reason: "FIELD_INVALID",
  message: new RegExp(`^${field.replace(/[[\].]/g, "\\$&")}: `),
});
const malformed = { reason: "MESSAGE_MALFORMED" };
const repeated = { reason: "FIELD_REPEATED" };
const good = (what: string, text: string, body: RegExp) => ({
  rest: rest(what, { at: "echo", target: "/v1/echo", body: text }, [200, { body }]),
  grpc: grpc(what, { json: true, body: frame(text) }, [0, { body }]),
  connect: connect(what, { body: text }, [200, undefined, { body }]),
  grpcWeb: grpcWeb(what, { json: true, body: frame(text) }, [0, { body: inside(body) }]),
  webSocket: webSocket(what, text, [0, { body: inside(body) }]),
});
/** Without its ends: frames and trailers are around it. */
const inside = (body: RegExp): RegExp =>
  new RegExp(body.source.replace(/^\^\[\\s\\S\]\*/, "").replace(/\$$/, ""));

export const jsonRows: readonly Row[] = [
  {
    row: 35,
    says: "an unknown field",
    ...both([
      json("with its path and the nearest name", '{"child":{"lists":{"messages":[{},{"txt":1}]}}}', {
        reason: "FIELD_UNKNOWN",
        message: /^child\.lists\.messages\[1\]\.txt: there is no such field; did you mean text\?$/,
      }),
    ]),
  },
  {
    row: 36,
    says: "JSON that says two things, or none",
    ...both([
      json("a key twice", '{"i32":1,"i32":1}', repeated),
      json("a key by both its names", '{"twoWords":"a","two_words":"a"}', repeated),
      json("a oneof twice", '{"left":"a","right":1}', invalid("right")),
      json("text behind it", '{"i32":1} x', { ...malformed, message: /at line 1, column 11$/ }),
      json("a byte order mark", Buffer.from('\ufeff{"i32":1}'), malformed),
      json("bytes that are not UTF-8", Buffer.from('{"text":"\xff"}', "latin1"), malformed),
    ]),
  },
  {
    row: 37,
    says: "an int64 that no double holds, as a number",
    ...both([good("keeps every digit", '{"i64":9007199254740993}', /^[\s\S]*\{"i64":"9007199254740993"\}$/)]),
  },
  {
    row: 38,
    says: "values outside of their type",
    ...both([
      json("int32 1.5", '{"i32":1.5}', invalid("i32")),
      json("int32 2147483648", '{"i32":2147483648}', invalid("i32")),
      json("uint32 -1", '{"u32":-1}', invalid("u32")),
      json("float 1e40", '{"single":1e40}', invalid("single")),
      json("an enum's name", '{"lists":{"colors":["RED","PURPLE"]}}', invalid("lists.colors[1]")),
      json("base64", '{"data":"a*b"}', invalid("data")),
      json("the year 10000", '{"time":"10000-01-01T00:00:00Z"}', invalid("time")),
      json("half a surrogate pair", '{"text":"\\ud800"}', invalid("text")),
    ]),
  },
  {
    row: 39,
    says: "keys of JavaScript's prototypes",
    ...both([
      good(
        "in a Struct and in a map are data",
        '{"struct":{"__proto__":{"x":1},"constructor":{"prototype":{"x":1}}}}',
        /\{"struct":\{"__proto__":\{"x":1\},"constructor":\{"prototype":\{"x":1\}\}\}\}$/,
      ),
      good(
        "in a map",
        '{"maps":{"texts":{"__proto__":"a","constructor":"b"}}}',
        /"texts":\{"__proto__":"a","constructor":"b"\}/,
      ),
    ]),
  },
  {
    row: 40,
    says: "a million brackets",
    ...both([json("", "[".repeat(1_000_000), { ...malformed, withinMs: 50 })]),
  },
  {
    row: 41,
    says: "names that lead nowhere",
    connect: [
      connect("the type of an Any", { body: '{"any":{"@type":"x/no.Such"}}' }, [
        400,
        "invalid_argument",
        invalid("any.@type"),
      ]),
    ],
    grpcWeb: [
      grpcWeb("the type of an Any", { json: true, body: frame('{"any":{"@type":"x/no.Such"}}') }, [
        3,
        invalid("any.@type"),
      ]),
    ],
    webSocket: [webSocket("the type of an Any", '{"any":{"@type":"x/no.Such"}}', [3, invalid("any.@type")])],
    rest: [
      rest("the type of an Any", { at: "echo", target: "/v1/echo", body: '{"any":{"@type":"x/no.Such"}}' }, [
        400,
        invalid("any.@type"),
      ]),
      rest(
        "a path of a field mask",
        { method: "PATCH", target: "/api/v1/bpmn/order?updateMask=nothing", body: '{"displayName":"a"}' },
        [400, { reason: "FIELD_INVALID", message: /nothing/ }],
      ),
    ],
    grpc: [
      grpc("the type of an Any", { json: true, body: frame('{"any":{"@type":"x/no.Such"}}') }, [
        3,
        invalid("any.@type"),
      ]),
      grpc(
        "a path of a field mask",
        {
          at: "portico",
          path: "/portico.bpmn.v1.BPMNService/UpdateBPMN",
          json: true,
          body: frame('{"document":{"id":"order","displayName":"a"},"updateMask":"nothing"}'),
        },
        [3, { reason: "FIELD_INVALID", message: /nothing/ }],
      ),
    ],
  },
];
