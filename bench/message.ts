/** The one message that Portico and every peer serve in a comparison, and where. */
import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import {
  type BPMNDocument,
  BPMNDocumentSchema,
  BPMNService,
  GetBPMNRequestSchema,
} from "#gen/portico/bpmn/v1/bpmn_pb.ts";

export { BPMNDocumentSchema, BPMNService, GetBPMNRequestSchema };

export const documentId = "order";
export const restPath = `/api/v1/bpmn/${documentId}`;
export const grpcPath = "/portico.bpmn.v1.BPMNService/GetBPMN";
export const request = create(GetBPMNRequestSchema, { id: documentId });

/** The document as Portico answered it before the comparison; peers get it as JSON in their environment. */
export function documentFromEnvironment(): BPMNDocument {
  return fromJson(BPMNDocumentSchema, JSON.parse(process.env.BENCH_DOCUMENT ?? "{}") as JsonValue);
}

/** What REST adds to every answer of Portico; the bare server sends the same, so that both write the same bytes. */
export function headersFromEnvironment(): Record<string, string> {
  return JSON.parse(process.env.BENCH_HEADERS ?? "{}") as Record<string, string>;
}

/** A small process: one start, one task bound to a method, one end. */
export const xml = `<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d" targetNamespace="urn:bench"><process id="p" name="Order" isExecutable="true"><startEvent id="s"><outgoing>f1</outgoing></startEvent><serviceTask id="t" name="Reserve"><incoming>f1</incoming><outgoing>f2</outgoing></serviceTask><endEvent id="e"><incoming>f2</incoming></endEvent><sequenceFlow id="f1" sourceRef="s" targetRef="t"/><sequenceFlow id="f2" sourceRef="t" targetRef="e"/></process></definitions>
`;
