/** The worker thread that parses BPMN XML: whatever a document costs, the gateway's thread does not pay it. */
import { parentPort } from "node:worker_threads";
import { type Job, runJob } from "./analysis.ts";

parentPort?.on("message", (job: Job) => {
  runJob(job).then(
    // The bytes go back to the thread they came from: between the two there is one copy.
    (answer) => parentPort?.postMessage({ answer, xml: job.xml }, [job.xml.buffer as ArrayBuffer]),
    // Only a mistake of the program ends here: findings about the document are an answer.
    (error: unknown) =>
      parentPort?.postMessage({ failure: error instanceof Error ? error.message : String(error) }),
  );
});
