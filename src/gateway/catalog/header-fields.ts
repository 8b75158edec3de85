/** Fields that the contract binds to headers: of a request, which headers fill, and of an answer, which headers say. */
import { type DescField, type DescMessage, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { compileFieldPath } from "#gateway/codec/field-path.ts";
import {
  header as headerOption,
  response_header as responseHeaderOption,
} from "#gen/portico/options/v1/options_pb.ts";
import type { Method } from "#rpc/method.ts";
import { headerProblem } from "./header-names.ts";

export interface RequestHeader {
  /** As the contract spells it. */
  readonly spelling: string;
  /** In lower case. */
  readonly name: string;
  readonly field: DescField;
}

export interface AnswerHeader extends RequestHeader {
  /** Undefined: not set, or nothing that a header can hold. */
  textOf(message: unknown): string | undefined;
}

const knownRequest = new WeakMap<DescMessage, readonly RequestHeader[]>();

export function requestHeaders(desc: DescMessage): readonly RequestHeader[] {
  let fields = knownRequest.get(desc);
  if (fields === undefined) {
    fields = desc.fields
      .filter((field) => hasOption(field, headerOption))
      .map((field) => named(field, headerOption));
    knownRequest.set(desc, fields);
  }
  return fields;
}

export function answerHeaders(desc: DescMessage): readonly AnswerHeader[] {
  return desc.fields
    .filter((field) => hasOption(field, responseHeaderOption))
    .map((field) => {
      const path = compileFieldPath(desc, field.name);
      const write = writerOf(field);
      return {
        ...named(field, responseHeaderOption),
        textOf: (message) =>
          "problem" in path || write === undefined ? undefined : sendable(write(path.get(message as never))),
      };
    });
}

function named(field: DescField, option: typeof headerOption | typeof responseHeaderOption): RequestHeader {
  const spelling = getOption(field, option);
  return { spelling, name: spelling.toLowerCase(), field };
}

/** A line break would begin another header; what is not ASCII arrives as something else. The body has the field anyway. */
function sendable(text: string): string | undefined {
  return text === "" || !/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) ? undefined : text;
}

/** Undefined: no header can hold such a field. The zero of a field without presence is not set. */
function writerOf(field: DescField): ((value: unknown) => string) | undefined {
  const zero = field.presence === FeatureSet_FieldPresence.IMPLICIT ? isZero : isAbsent;
  if (field.fieldKind === "enum") {
    const { value: byNumber } = field.enum;
    return (value) => (zero(value) ? "" : (byNumber[Number(value)]?.name ?? String(value)));
  }
  if (field.fieldKind === "message")
    return field.message.typeName === "google.protobuf.Timestamp" ? httpDate : undefined;
  if (field.fieldKind !== "scalar" || unsaid.has(field.scalar)) return undefined;
  return (value) => (zero(value) ? "" : String(value));
}

const unsaid: ReadonlySet<ScalarType> = new Set([ScalarType.BYTES, ScalarType.DOUBLE, ScalarType.FLOAT]);

function isAbsent(value: unknown): boolean {
  return value === undefined;
}

function isZero(value: unknown): boolean {
  return value === undefined || value === 0 || value === 0n || value === false;
}

/** @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7 */
function httpDate(value: unknown): string {
  if (value === undefined) return "";
  return new Date(Number((value as { readonly seconds: bigint }).seconds) * 1000).toUTCString();
}

/** Every binding to a header that cannot be, once a message however many methods have it. */
export function reportHeaderFields(
  methods: readonly Method[],
  report: (field: DescField, message: string) => void,
): void {
  const inputs = new Set(methods.map(({ desc }) => desc.input));
  const outputs = new Set(methods.map(({ desc }) => desc.output));
  for (const desc of inputs)
    check(requestHeaders(desc), report, (field) =>
      field.fieldKind === "scalar" && field.scalar === ScalarType.STRING && !inOneof(field)
        ? undefined
        : "a header fills one string that is no member of a oneof",
    );
  for (const desc of outputs)
    check(answerHeaders(desc), report, (field) =>
      writerOf(field) === undefined
        ? "a header says a string, a bool, an integer, an enum or a google.protobuf.Timestamp"
        : undefined,
    );
}

function check(
  bound: readonly RequestHeader[],
  report: (field: DescField, message: string) => void,
  kindProblem: (field: DescField) => string | undefined,
): void {
  for (const { name, spelling, field } of bound) {
    const problem =
      headerProblem(spelling) ??
      kindProblem(field) ??
      (bound.find((other) => other.name === name)?.field === field
        ? undefined
        : `"${spelling}" is bound already`);
    if (problem !== undefined) report(field, `header of "${field.name}": ${problem}`);
  }
}

/** A proto3 `optional` is a oneof of one, which nobody sees. */
function inOneof(field: DescField): boolean {
  return field.oneof !== undefined;
}
