/** Runs a target over inputs that nobody has written. */
import fc from "fast-check";
import { undisturbedMs } from "../support/thread-time.ts";
import { corpusOf, lineOf } from "./corpus.ts";
import type { Target } from "./targets.ts";

/** No input may hold the event loop longer. */
export const maxInputMs = 250;

export interface Effort {
  readonly inputs: number;
  /** Ends sooner, however many inputs are left. */
  readonly withinMs: number;
  readonly seed: number;
}

export interface Result {
  readonly inputs: number;
  readonly ms: number;
  readonly slowestMs: number;
  /** What was found: the input as the corpus has it, made as small as it gets, and what happened. */
  readonly finding: { readonly line: string; readonly error: string } | undefined;
}

export async function fuzz(target: Target, { inputs, withinMs, seed }: Effort): Promise<Result> {
  const started = performance.now();
  let count = 0;
  let slowestMs = 0;
  const property = fc.asyncProperty(target.inputs(corpusOf(target)), async (input) => {
    const ms = await timed(target, input);
    count += 1;
    slowestMs = Math.max(slowestMs, ms);
    if (ms <= maxInputMs) return;
    // A pause for garbage does not come back with the same input, and one of the machine does not count.
    const again = await timed(target, input, undisturbedMs);
    if (again > maxInputMs) throw new Error(`took ${Math.round(again)} ms`);
  });
  const options = { numRuns: inputs, seed, interruptAfterTimeLimit: withinMs, markInterruptAsFailure: false };
  const details = await fc.check(property, options);
  const [example] = details.counterexample ?? [];
  return {
    inputs: count,
    ms: performance.now() - started,
    slowestMs,
    finding:
      details.failed && example !== undefined
        ? { line: lineOf(example), error: String(details.errorInstance) }
        : undefined,
  };
}

async function timed(
  target: Target,
  input: string | Buffer,
  clock = () => performance.now(),
): Promise<number> {
  const from = clock();
  // Most are done at once: a promise for each of a million would be most of the work.
  const running = target.check(input);
  if (running !== undefined) await running;
  return clock() - from;
}
