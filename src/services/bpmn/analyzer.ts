/** Hands documents to the worker thread: started on first use, ended when idle, replaced when a document takes too long. */
import { Worker } from "node:worker_threads";
import { RpcError } from "#rpc/error.ts";
import type { Outcome } from "./analyze.ts";

export interface Analyzer {
  /** @throws RpcError ANALYSIS_OVERLOADED, or DEADLINE_EXCEEDED for a document that takes longer than the limit. */
  analyze(xml: Uint8Array): Promise<Outcome>;
  close(): Promise<void>;
}

export interface AnalyzerOptions {
  /** Longest time for one document, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** Idle time after which the thread and its memory are given back, in milliseconds. Default 60 000. */
  readonly idleMs?: number;
}

/** Documents waiting or being read; more are refused. */
const maxPending = 64;

interface Job {
  resolve(outcome: Outcome): void;
  reject(error: RpcError): void;
  readonly timer: NodeJS.Timeout;
}

export function createAnalyzer(options: AnalyzerOptions = {}): Analyzer {
  return new WorkerAnalyzer(options.timeoutMs ?? 10_000, options.idleMs ?? 60_000);
}

class WorkerAnalyzer implements Analyzer {
  readonly #timeoutMs: number;
  readonly #idleMs: number;
  readonly #jobs = new Map<number, Job>();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #lastId = 0;

  constructor(timeoutMs: number, idleMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#idleMs = idleMs;
  }

  analyze(xml: Uint8Array): Promise<Outcome> {
    if (this.#jobs.size >= maxPending) {
      return Promise.reject(
        new RpcError("resource_exhausted", {
          reason: "ANALYSIS_OVERLOADED",
          message: "too many documents are being analysed at once; try again shortly",
        }),
      );
    }
    clearTimeout(this.#idle);
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#jobs.set(id, { resolve, reject, timer: setTimeout(() => this.#expire(), this.#timeoutMs) });
      this.#running().postMessage({ id, xml });
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // The worker's file has the ending that this file has: .ts in a checkout, .js in the package.
    const worker = new Worker(new URL(`./analysis-worker${import.meta.url.slice(-3)}`, import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    });
    worker.unref();
    worker.on("message", (answer: { id: number; outcome?: Outcome; failure?: string }) =>
      this.#settle(answer),
    );
    worker.on("error", (cause) =>
      this.#failAll(new RpcError("internal", { reason: "INTERNAL", message: "internal error", cause })),
    );
    this.#worker = worker;
    return worker;
  }

  #settle(answer: { readonly id: number; readonly outcome?: Outcome; readonly failure?: string }): void {
    const job = this.#jobs.get(answer.id);
    if (job === undefined) return;
    this.#jobs.delete(answer.id);
    clearTimeout(job.timer);
    if (answer.outcome !== undefined) job.resolve(answer.outcome);
    else
      job.reject(
        new RpcError("internal", { reason: "INTERNAL", message: "internal error", cause: answer.failure }),
      );
    if (this.#jobs.size === 0) this.#idle = setTimeout(() => this.#stop(), this.#idleMs).unref();
  }

  #expire(): void {
    this.#failAll(
      new RpcError("deadline_exceeded", {
        reason: "DEADLINE_EXCEEDED",
        message: `reading the document took longer than ${this.#timeoutMs} ms`,
      }),
    );
  }

  /** A thread that hangs or died takes its queue with it; the next document gets a new one. */
  #failAll(error: RpcError): void {
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    this.#stop();
    for (const job of jobs) {
      clearTimeout(job.timer);
      job.reject(error);
    }
  }

  #stop(): void {
    const worker = this.#worker;
    this.#worker = undefined;
    void worker?.terminate();
  }
}
