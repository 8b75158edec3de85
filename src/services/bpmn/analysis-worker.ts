/** The worker thread that parses BPMN XML: whatever a document costs, the gateway's thread does not pay it. */
import { parentPort } from "node:worker_threads";
import { analyze } from "./analyze.ts";

parentPort?.on("message", (job: { readonly id: number; readonly xml: Uint8Array }) => {
  analyze(job.xml).then(
    (outcome) => parentPort?.postMessage({ id: job.id, outcome }),
    // Only a mistake of the program ends here: findings about the document are an outcome.
    (error: unknown) =>
      parentPort?.postMessage({
        id: job.id,
        failure: error instanceof Error ? error.message : String(error),
      }),
  );
});
