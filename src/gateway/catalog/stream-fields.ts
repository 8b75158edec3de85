/** The fields of a message that protocols with a framing of their own take out of it: cursor and kind. */
import { type DescField, type DescMessage, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { Stream, stream } from "#gen/portico/options/v1/options_pb.ts";
import type { Method } from "#rpc/method.ts";

export interface StreamFields {
  readonly cursor: DescField | undefined;
  readonly event: DescField | undefined;
}

const known = new WeakMap<DescMessage, StreamFields>();

export function streamFields(desc: DescMessage): StreamFields {
  let fields = known.get(desc);
  if (fields === undefined) {
    fields = { cursor: withRole(desc, Stream.CURSOR), event: withRole(desc, Stream.EVENT) };
    known.set(desc, fields);
  }
  return fields;
}

/** Whether a stream goes on until somebody leaves. */
export function isWatch(method: Method): boolean {
  return method.kind === "server_stream" && streamFields(method.input.desc).cursor !== undefined;
}

/** Only singular text can be an `id` or an `event`. */
function withRole(desc: DescMessage, role: Stream): DescField | undefined {
  return desc.fields.find(
    (field) =>
      hasOption(field, stream) &&
      getOption(field, stream) === role &&
      field.fieldKind === "scalar" &&
      field.scalar === ScalarType.STRING,
  );
}
