/** Bad input for the hosted service: ids, paging, etags and models. */
import { bpmnXml } from "../support/portico.ts";
import { type Case, type Expected, frame, grpc, type Row, rest } from "./bad-input.ts";

const service = "/portico.bpmn.v1.BPMNService";

/** One method, by its path over REST and by its name over gRPC. */
function list(
  what: string,
  query: Readonly<Record<string, string>>,
  expected: Expected,
): { rest: Case; grpc: Case } {
  const body = JSON.stringify(query);
  return {
    rest: rest(what, { target: `/api/v1/bpmn?${new URLSearchParams(query)}` }, [400, expected]),
    grpc: grpc(what, { at: "portico", path: `${service}/ListBPMN`, json: true, body: frame(body) }, [
      3,
      expected,
    ]),
  };
}

/** A model that is refused wherever it comes from; `model` names the finding. */
function model(
  what: string,
  xml: string,
  expected: Expected & { readonly restOnly?: boolean },
): { rest: Case; grpc: Case } {
  const body = JSON.stringify({ document: { xml } });
  return {
    rest: rest(
      what,
      { target: "/api/v1/bpmn:upload", body: xml, headers: { "content-type": "application/xml" } },
      [400, { reason: "MODEL_INVALID", ...expected }],
    ),
    grpc: grpc(what, { at: "portico", path: `${service}/CreateBPMN`, json: true, body: frame(body) }, [
      3,
      { reason: "MODEL_INVALID", ...expected },
    ]),
  };
}

const cases = (all: readonly { readonly rest: Case; readonly grpc: Case }[]) => ({
  rest: all.map((one) => one.rest),
  grpc: all.map((one) => one.grpc),
});

const definitions = (inner: string): string =>
  `<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d" targetNamespace="urn:t">${inner}</definitions>`;
const laughs = `<!DOCTYPE lolz [<!ENTITY a "lol">${Array.from({ length: 9 }, (_unused, at) => `<!ENTITY a${at} "${`&a${at === 0 ? "" : at - 1};`.repeat(10)}">`).join("")}]>`;
const long = `display_name = "${"a".repeat(100_000)}"`;

export const bpmnRows: readonly Row[] = [
  {
    row: 43,
    says: "lists",
    ...cases([
      list(
        "a page size below zero",
        { pageSize: "-1" },
        { reason: "FIELD_INVALID", message: /pageSize|page_size/ },
      ),
      list("a forged page token", { pageToken: "abc.def" }, { reason: "PAGE_TOKEN_INVALID" }),
      {
        // A URL of 8 KiB cannot carry it: over REST it comes by the method's name.
        rest: rest(
          "a filter of 100 KB",
          { target: `${service}/ListBPMN`, body: JSON.stringify({ filter: long }) },
          [400, { reason: "FILTER_INVALID", withinMs: 50 }],
        ),
        grpc: grpc(
          "a filter of 100 KB",
          {
            at: "portico",
            path: `${service}/ListBPMN`,
            json: true,
            body: frame(JSON.stringify({ filter: long })),
          },
          [3, { reason: "FILTER_INVALID", withinMs: 50 }],
        ),
      },
    ]),
  },
  {
    row: 44,
    says: "a stale etag",
    rest: [
      rest(
        "in the body",
        { method: "PATCH", target: "/api/v1/bpmn/order", body: '{"displayName":"a","etag":"stale"}' },
        [409, { reason: "ETAG_MISMATCH" }],
      ),
      rest(
        "in If-Match",
        {
          method: "PATCH",
          target: "/api/v1/bpmn/order",
          body: '{"displayName":"a"}',
          headers: { "if-match": '"stale"' },
        },
        [412, { reason: "ETAG_MISMATCH" }],
      ),
    ],
    grpc: [
      grpc(
        "",
        {
          at: "portico",
          path: `${service}/UpdateBPMN`,
          json: true,
          body: frame('{"document":{"id":"order","displayName":"a","etag":"stale"}}'),
        },
        [10, { reason: "ETAG_MISMATCH" }],
      ),
    ],
  },
  {
    row: 74,
    says: "a DOCTYPE",
    ...cases([
      model("of a billion laughs", `${laughs}${definitions("&a8;")}`, { withinMs: 50 }),
      model(
        "that reads a file",
        `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>${definitions("&x;")}`,
        {
          withinMs: 50,
        },
      ),
      model("that asks the network", `<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">${definitions("")}`, {
        withinMs: 50,
      }),
      model("without anything in it", `<!DOCTYPE a>${definitions("")}`, { withinMs: 50 }),
    ]),
  },
  {
    row: 75,
    says: "models that are none",
    ...cases([
      model("101 levels", definitions(`<process id="p">${"<subProcess>".repeat(101)}`), {}),
      model("50,001 elements", definitions(`<process id="p">${"<task/>".repeat(50_001)}</process>`), {}),
      {
        rest: rest(
          "10 MiB and one byte",
          {
            target: "/api/v1/bpmn:upload",
            body: Buffer.alloc(10 * 1024 * 1024 + 1, 32),
            headers: { "content-type": "application/xml" },
          },
          [413, { reason: "PAYLOAD_TOO_LARGE" }],
        ),
        grpc: grpc(
          "10 MiB and one byte",
          {
            at: "portico",
            path: `${service}/UploadBPMN`,
            body: Buffer.concat(
              [4, 4, 2].map((mebis, at) => chunk(mebis * 1024 * 1024 - 16 + (at === 2 ? 49 : 0))),
            ),
          },
          [8, { reason: "PAYLOAD_TOO_LARGE" }],
        ),
      },
      model("an id twice", bpmnXml().replace('id="e"', 'id="s"'), {}),
      model("a flow to nowhere", bpmnXml().replace('targetRef="e"', 'targetRef="x"'), {}),
      model("what the parser only warns of", definitions('<process id="p"><nonsense/></process>'), {}),
      model("tags that do not match", "<a><b></a>", {}),
    ]),
  },
];

/** UploadBPMNRequest.chunk, framed. */
function chunk(size: number): Buffer {
  const length = [];
  let left = size;
  for (; left > 127; left = Math.floor(left / 128)) length.push((left % 128) + 128);
  length.push(left);
  return frame(Buffer.concat([Buffer.from([0x12, ...length]), Buffer.alloc(size, 32)]));
}
