/** What of a field's constraints (`buf.validate`) JSON Schema can say too. */
import { type DescField, getOption, hasOption } from "@bufbuild/protobuf";
import { type FieldRules, field as rulesOf } from "#gen/buf/validate/validate_pb.ts";
import { keywordsOfRule } from "./cel-keywords.ts";

type Keywords = Readonly<Record<string, unknown>>;

/** Keywords for the schema of a field; for a list or a map those of its items come with them. */
export function constraintsOf(field: DescField): { readonly own: Keywords; readonly items: Keywords } {
  if (!hasOption(field, rulesOf)) return { own: {}, items: {} };
  const rules = getOption(field, rulesOf);
  const { case: kind, value } = rules.type;
  if (kind === "repeated") {
    const { minItems, maxItems, unique, items } = value;
    return {
      own: { ...counts("Items", minItems, maxItems), ...(unique ? { uniqueItems: true } : {}) },
      items: items === undefined ? {} : ofScalar(items),
    };
  }
  if (kind === "map")
    return {
      own: {
        ...counts("Properties", value.minPairs, value.maxPairs),
        ...(value.keys === undefined ? {} : { propertyNames: ofScalar(value.keys) }),
      },
      items: value.values === undefined ? {} : ofScalar(value.values),
    };
  return { own: ofScalar(rules), items: {} };
}

function ofScalar(rules: FieldRules): Keywords {
  const written: Keywords[] = rules.cel.map(({ expression }) => keywordsOfRule(expression));
  return Object.assign({}, ofStandard(rules), ...written);
}

function ofStandard({ type }: FieldRules): Keywords {
  switch (type.case) {
    case "string": {
      const { len, minLen, maxLen, pattern } = type.value;
      const lengths = len === 0n ? counts("Length", minLen, maxLen) : counts("Length", len, len);
      return { ...lengths, ...(pattern === "" ? {} : { pattern }) };
    }
    case "int32":
    case "uint32":
    case "double":
    case "float": {
      const { greaterThan, lessThan } = type.value;
      return {
        ...(greaterThan.case === "gte" ? { minimum: greaterThan.value } : {}),
        ...(greaterThan.case === "gt" ? { exclusiveMinimum: greaterThan.value } : {}),
        ...(lessThan.case === "lte" ? { maximum: lessThan.value } : {}),
        ...(lessThan.case === "lt" ? { exclusiveMaximum: lessThan.value } : {}),
      };
    }
    default:
      return {};
  }
}

function counts(what: "Length" | "Items" | "Properties", least: bigint, most: bigint): Keywords {
  return {
    ...(least === 0n ? {} : { [`min${what}`]: Number(least) }),
    ...(most === 0n ? {} : { [`max${what}`]: Number(most) }),
  };
}
