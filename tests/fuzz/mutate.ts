/** Inputs that are nearly good: seeds, cut and glued and sprinkled with what matters to the reader. */
import fc from "fast-check";

type Mutation =
  | { readonly kind: "cut"; readonly at: number; readonly length: number }
  | { readonly kind: "insert"; readonly at: number; readonly piece: string }
  | { readonly kind: "repeat"; readonly at: number; readonly length: number; readonly times: number }
  | { readonly kind: "glue"; readonly at: number; readonly seed: string };

/** Places are parts of a thousand of the input: they mean something whatever its length is. */
const place = fc.nat(999);

/** @param pieces what a reader of this takes for more than text. */
export function textsLike(seeds: readonly string[], pieces: readonly string[]): fc.Arbitrary<string> {
  const piece = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...pieces) },
    { weight: 1, arbitrary: fc.string({ maxLength: 8, unit: "binary" }) },
  );
  const mutation: fc.Arbitrary<Mutation> = fc.oneof(
    fc.record({ kind: fc.constant("cut" as const), at: place, length: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ kind: fc.constant("insert" as const), at: place, piece }),
    fc.record({
      kind: fc.constant("repeat" as const),
      at: place,
      length: fc.integer({ min: 1, max: 20 }),
      times: fc.integer({ min: 2, max: 60 }),
    }),
    fc.record({ kind: fc.constant("glue" as const), at: place, seed: fc.constantFrom(...seeds) }),
  );
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(fc.constantFrom(...seeds), fc.array(mutation, { minLength: 0, maxLength: 6 }))
        .map(([seed, mutations]) => mutations.reduce(apply, seed)),
    },
    { weight: 2, arbitrary: fc.array(piece, { maxLength: 30 }).map((all) => all.join("")) },
    { weight: 1, arbitrary: fc.string({ maxLength: 60, unit: "binary" }) },
  );
}

function apply(text: string, mutation: Mutation): string {
  const at = Math.floor((mutation.at / 1000) * (text.length + 1));
  switch (mutation.kind) {
    case "cut":
      return text.slice(0, at) + text.slice(at + mutation.length);
    case "insert":
      return text.slice(0, at) + mutation.piece + text.slice(at);
    case "repeat":
      return text.slice(0, at) + text.slice(at, at + mutation.length).repeat(mutation.times) + text.slice(at);
    case "glue":
      return text.slice(0, at) + mutation.seed.slice(Math.floor((mutation.at / 1000) * mutation.seed.length));
  }
}

/** The same for bytes: seeds and pieces in hexadecimal. */
export function bytesLike(seeds: readonly string[], pieces: readonly string[]): fc.Arbitrary<Buffer> {
  const latin1 = (hex: string): string => Buffer.from(hex, "hex").toString("latin1");
  return textsLike(seeds.map(latin1), pieces.map(latin1)).map((text) => Buffer.from(text, "latin1"));
}
