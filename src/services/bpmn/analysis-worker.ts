/** The worker thread that parses BPMN XML: whatever a document costs, the gateway's thread does not pay it. */
import { parentPort } from "node:worker_threads";
import { analyze } from "./analyze.ts";

parentPort?.on("message", (xml: Uint8Array) => {
  analyze(xml).then(
    (outcome) => parentPort?.postMessage({ outcome }),
    // Only a mistake of the program ends here: findings about the document are an outcome.
    (error: unknown) =>
      parentPort?.postMessage({ failure: error instanceof Error ? error.message : String(error) }),
  );
});
