/**
 * The files of a FileDescriptorSet as they lie in its bytes, with what they say of their source kept apart. Comments and positions are three
 * quarters of a set and 8,000 messages once they are decoded (9 MB of our own contract); describing asks for them, serving does not.
 */
import { create, fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  type SourceCodeInfo,
  SourceCodeInfoSchema,
} from "@bufbuild/protobuf/wkt";

/** One file of a set; the bytes are views of the set's own. */
export interface DescriptorFile {
  /** As they were given, lossless: decoding and encoding them again would lose options that this program does not know. */
  readonly bytes: Uint8Array;
  /** Without what it says of its source. */
  readonly proto: FileDescriptorProto;
  /** @throws Error where it cannot be read. */
  readSource(): SourceCodeInfo;
}

const fileOfSet = FileDescriptorSetSchema.field.file.number;
const sourceOfFile = FileDescriptorProtoSchema.field.sourceCodeInfo.number;

/**
 * By path, in the order of the set.
 *
 * @throws Error where the bytes are no FileDescriptorSet.
 */
export function splitFiles(descriptorSet: Uint8Array): ReadonlyMap<string, DescriptorFile> {
  const files = new Map<string, DescriptorFile>();
  for (const bytes of partsOf(descriptorSet, fileOfSet).taken) {
    const { taken, others } = partsOf(bytes, sourceOfFile);
    const proto = fromBinary(FileDescriptorProtoSchema, Buffer.concat(others));
    // Pieces of one message are the message: protobuf merges what it meets twice.
    const readSource = (): SourceCodeInfo => fromBinary(SourceCodeInfoSchema, Buffer.concat(taken));
    files.set(proto.name, { bytes, proto, readSource });
  }
  return files;
}

export function setOf(files: ReadonlyMap<string, DescriptorFile>): FileDescriptorSet {
  return create(FileDescriptorSetSchema, { file: [...files.values()].map(({ proto }) => proto) });
}

/** A message's bytes: the values of one field, and everything else. */
function partsOf(
  message: Uint8Array,
  field: number,
): { readonly taken: readonly Uint8Array[]; readonly others: readonly Uint8Array[] } {
  const taken: Uint8Array[] = [];
  const others: Uint8Array[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const [number, wireType] = reader.tag();
    if (number === field && wireType === WireType.LengthDelimited) {
      taken.push(reader.bytes());
      continue;
    }
    reader.skip(wireType, number);
    others.push(message.subarray(from, reader.pos));
  }
  return { taken, others };
}
