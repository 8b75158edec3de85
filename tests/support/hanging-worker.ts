/** Workers that serve nothing: one that is sent SIGUSR2 blocks its event loop for good. Started by workers-hang.test.ts. */
import { readFileSync } from "node:fs";
import { runWorkers, siblingsOf, tellParent } from "#cli/workers.ts";

if (siblingsOf() === undefined) {
  const { pulse, drainWithinMs } = JSON.parse(readFileSync(0, "utf8")) as {
    readonly pulse: { readonly everyMs: number; readonly unanswered: number };
    readonly drainWithinMs: number;
  };
  const terminal = { argv: [], out: process.stdout, err: process.stderr, env: {}, cwd: process.cwd() };
  await runWorkers({ count: 2, terminal, pulse, drainWithinMs });
  process.exit(0);
}
process.on("SIGUSR2", () => {
  for (;;);
});
process.once("SIGTERM", () => process.exit(0));
setInterval(() => undefined, 1000);
tellParent({ kind: "ready", httpPort: 1, grpcPort: 2, greeting: "" });
