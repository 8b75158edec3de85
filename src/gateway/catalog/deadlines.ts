/** How long a method's calls may take, as its contract says. */
import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { deadline as deadlineOption } from "#gen/portico/options/v1/options_pb.ts";
import type { Method } from "#rpc/method.ts";
import type { MethodOptions } from "./shape.ts";

/** Node's timers hold no longer time, in milliseconds: about 24 days. */
const longestMs = 2 ** 31 - 1;

export function readDeadline(desc: DescMethod): MethodOptions["deadline"] {
  if (!hasOption(desc, deadlineOption)) return { defaultMs: undefined, maximumMs: undefined };
  const { default: usual, maximum } = getOption(desc, deadlineOption);
  return { defaultMs: usual && durationMs(usual), maximumMs: maximum && durationMs(maximum) };
}

export function reportDeadlines(
  methods: readonly Method[],
  report: (method: Method, message: string) => void,
): void {
  for (const method of methods) {
    if (!hasOption(method.desc, deadlineOption)) continue;
    const { default: usual, maximum } = getOption(method.desc, deadlineOption);
    for (const [name, duration] of [
      ["default", usual],
      ["maximum", maximum],
    ] as const)
      if (duration !== undefined && !isPossible(duration))
        report(method, `the deadline's ${name} is not a time from 1 ms to 24 days`);
    if (usual !== undefined && maximum !== undefined && durationMs(usual) > durationMs(maximum))
      report(method, "the deadline's default is longer than its maximum");
  }
}

function isPossible(duration: Duration): boolean {
  const ms = durationMs(duration);
  return ms >= 1 && ms <= longestMs;
}
