/** Every input of the corpus again, and a second of new ones for each reader. `npm run fuzz` goes on longer. */
import { describe, test } from "node:test";
import { corpusOf, inputOf } from "./corpus.ts";
import { fuzz } from "./fuzz.ts";
import { targets } from "./targets.ts";

for (const target of targets)
  describe(target.name, () => {
    test("what was kept still holds", async () => {
      for (const kept of corpusOf(target)) await target.check(inputOf(target, kept));
    });

    test("what nobody has written does too", async (t) => {
      const seed = Date.now() % 2 ** 31;
      const { inputs, finding } = await fuzz(target, { inputs: 1_000_000, withinMs: 1000, seed });
      t.diagnostic(`${inputs} inputs, seed ${seed}`);
      if (finding !== undefined)
        throw new Error(`${finding.error}\nadd to the corpus once it is mended: ${finding.line}`);
    });
  });
