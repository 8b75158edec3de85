/** The constraints that the contract has (`buf.validate`), compiled: what is checked, and how a violation is told. */
import { create, type DescMessage, type Message, type Registry } from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import { createValidator, type Violation as Found } from "@bufbuild/protovalidate";
import type { Violation } from "#rpc/resource.ts";
import { compileCounts } from "./counts.ts";

/** How names are spelled: as in JSON, or as in the contract. */
export type Spelling = "json" | "proto";
export type Check = (message: Message, spelling: Spelling) => readonly Violation[];

/** More are not told: a list of thousands of bad items says no more than its first ones. */
const maxViolations = 100;

/**
 * Compiles the constraints of messages, each when it is first needed; what they have in common is compiled once.
 *
 * @throws Error naming the message, for a constraint that makes no sense.
 */
export function createConstraints(registry: Registry): (desc: DescMessage) => Check {
  const validator = createValidator({ registry });
  return (desc) => {
    // Compiled by the first message that is checked: an empty one says whether that is possible.
    const empty = validator.validate(desc, create(desc));
    if (empty.kind === "error") throw new Error(`${desc.typeName}: ${empty.error.message}`);
    const tooMany = compileCounts(desc);
    return (message, spelling) => {
      // Where there is too much by the count alone, nobody looks at each of it: a list of 100,000 empty items took 0.2 s.
      const counted = tooMany?.(message) ?? [];
      if (counted.length > 0) return counted.map((found) => told(found, spelling));
      const result = validator.validate(desc, message);
      if (result.kind === "valid") return [];
      if (result.kind === "error") throw result.error;
      return result.violations.slice(0, maxViolations).map((found) => told(found, spelling));
    };
  };
}

function told(found: Pick<Found, "field" | "message">, spelling: Spelling): Violation {
  return { field: pathOf(found.field, spelling), description: found.message };
}

/** `user.displayName`, `requests[3].userId`, `labels["a"]`. */
function pathOf(path: Path, spelling: Spelling): string {
  let text = "";
  for (const part of path) {
    switch (part.kind) {
      case "field":
        text += `${text === "" ? "" : "."}${spelling === "json" ? part.jsonName : part.name}`;
        break;
      case "oneof":
        text += `${text === "" ? "" : "."}${part.name}`;
        break;
      case "list_sub":
        text += `[${part.index}]`;
        break;
      case "map_sub":
        text += `[${JSON.stringify(part.key)}]`;
        break;
      case "extension":
        text += `[${part.typeName}]`;
        break;
    }
  }
  return text;
}
