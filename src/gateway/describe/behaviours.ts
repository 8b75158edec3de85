/** What the contract says of a field besides its type. */
import { type DescField, getOption, hasOption } from "@bufbuild/protobuf";
import { type FieldBehavior, field_behavior } from "#gen/google/api/field_behavior_pb.ts";

/** @see https://google.aip.dev/203 */
export function behaviours(field: DescField): readonly FieldBehavior[] {
  return hasOption(field, field_behavior) ? getOption(field, field_behavior) : [];
}
