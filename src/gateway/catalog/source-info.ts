/** Comments and positions of descriptors, from the source info that a FileDescriptorSet may carry. */
import type { AnyDesc, DescFile } from "@bufbuild/protobuf";
import type { DescriptorFile } from "./descriptor-files.ts";
import { CatalogError } from "./problems.ts";

/** Location of a descriptor in SourceCodeInfo: alternating field numbers and indices in FileDescriptorProto. */
function pathOf(desc: AnyDesc): readonly number[] | undefined {
  switch (desc.kind) {
    case "file":
      return [12]; // the `syntax` statement: the comment in front of it is the file's
    case "service":
      return [6, desc.file.services.indexOf(desc)];
    case "rpc":
      return [6, desc.parent.file.services.indexOf(desc.parent), 2, desc.parent.methods.indexOf(desc)];
    case "message": {
      const parent = desc.parent === undefined ? [] : pathOf(desc.parent);
      const siblings = desc.parent === undefined ? desc.file.messages : desc.parent.proto.nestedType;
      const index =
        desc.parent === undefined
          ? desc.file.messages.indexOf(desc)
          : desc.parent.proto.nestedType.indexOf(desc.proto);
      return siblings.length === 0 || parent === undefined
        ? undefined
        : [...parent, desc.parent === undefined ? 4 : 3, index];
    }
    case "enum": {
      if (desc.parent === undefined) return [5, desc.file.enums.indexOf(desc)];
      const parent = pathOf(desc.parent);
      return parent === undefined
        ? undefined
        : [...parent, 4, desc.parent.proto.enumType.indexOf(desc.proto)];
    }
    case "enum_value": {
      const parent = pathOf(desc.parent);
      return parent === undefined ? undefined : [...parent, 2, desc.parent.proto.value.indexOf(desc.proto)];
    }
    case "field": {
      const parent = pathOf(desc.parent);
      return parent === undefined ? undefined : [...parent, 2, desc.parent.proto.field.indexOf(desc.proto)];
    }
    case "oneof": {
      const parent = pathOf(desc.parent);
      return parent === undefined
        ? undefined
        : [...parent, 8, desc.parent.proto.oneofDecl.indexOf(desc.proto)];
    }
    case "extension":
      return undefined;
  }
}

function fileOf(desc: AnyDesc): DescFile {
  switch (desc.kind) {
    case "file":
      return desc;
    case "rpc":
    case "field":
    case "oneof":
    case "enum_value":
      return desc.parent.file;
    default:
      return desc.file;
  }
}

/** Number of `options` in MethodDescriptorProto. */
const methodOptions = 4;

interface Location {
  readonly line: number;
  readonly column: number;
  readonly comment: string;
}

/** Of a file it is read when somebody first asks: who only serves never does. */
export class SourceInfo {
  readonly #files: ReadonlyMap<string, DescriptorFile>;
  readonly #byFile = new Map<DescFile, ReadonlyMap<string, Location>>();

  constructor(files: ReadonlyMap<string, DescriptorFile>) {
    this.#files = files;
  }

  commentOf(desc: AnyDesc): string {
    return this.#find(desc)?.comment ?? "";
  }

  /** 1-based position of a descriptor, or of one of a method's options; undefined where the set has no source info. */
  positionOf(desc: AnyDesc, option?: number): { line: number; column: number } | undefined {
    const found = this.#find(desc, option === undefined ? [] : [methodOptions, option]);
    return found === undefined ? undefined : { line: found.line, column: found.column };
  }

  #find(desc: AnyDesc, below: readonly number[] = []): Location | undefined {
    const path = pathOf(desc);
    return path === undefined ? undefined : this.#locations(fileOf(desc)).get([...path, ...below].join(","));
  }

  #locations(file: DescFile): ReadonlyMap<string, Location> {
    const known = this.#byFile.get(file);
    if (known !== undefined) return known;
    const made = new Map<string, Location>();
    for (const location of readLocations(file.proto.name, this.#files)) {
      made.set(location.path.join(","), {
        line: (location.span[0] ?? 0) + 1,
        column: (location.span[1] ?? 0) + 1,
        comment: clean(location.leadingComments),
      });
    }
    this.#byFile.set(file, made);
    return made;
  }
}

/** @throws CatalogError */
function readLocations(name: string, files: ReadonlyMap<string, DescriptorFile>) {
  try {
    return files.get(name)?.readSource().location ?? [];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const message = `its source info cannot be read: ${why}; build the set again, or without source info`;
    throw new CatalogError([{ file: name, message }]);
  }
}

function clean(comment: string): string {
  return comment
    .split("\n")
    .map((line) => line.replace(/^ /, "").trimEnd())
    .join("\n")
    .trim();
}
