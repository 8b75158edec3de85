/** Hands documents to the worker thread: started on first use, ended when idle, replaced when a document takes too long. */
import { Worker } from "node:worker_threads";
import { RpcError } from "#rpc/error.ts";
import type { Outcome } from "./analyze.ts";

export interface Analyzer {
  /** @throws RpcError ANALYSIS_OVERLOADED when the queue is full, ANALYSIS_TOO_COSTLY for a document over the limits. */
  analyze(xml: Uint8Array): Promise<Outcome>;
  close(): Promise<void>;
}

export interface AnalyzerOptions {
  /** Longest time for one document, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** Idle time after which the thread and its memory are given back, in milliseconds. Default 60 000. */
  readonly idleMs?: number;
}

/** Documents waiting; more are refused. */
const maxPending = 64;

interface Job {
  readonly xml: Uint8Array;
  resolve(outcome: Outcome): void;
  reject(error: RpcError): void;
}

export function createAnalyzer(options: AnalyzerOptions = {}): Analyzer {
  return new WorkerAnalyzer(options.timeoutMs ?? 10_000, options.idleMs ?? 60_000);
}

/**
 * One document at a time: the limit counts from the moment a document is begun, and one that is too slow costs nobody else
 * more than the wait.
 */
class WorkerAnalyzer implements Analyzer {
  readonly #timeoutMs: number;
  readonly #idleMs: number;
  readonly #waiting: Job[] = [];
  #current: Job | undefined;
  #worker: Worker | undefined;
  /** Runs out while a document is read, and, when none is, after the idle time. */
  #timer: NodeJS.Timeout | undefined;

  constructor(timeoutMs: number, idleMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#idleMs = idleMs;
  }

  analyze(xml: Uint8Array): Promise<Outcome> {
    if (this.#waiting.length >= maxPending) {
      return Promise.reject(
        new RpcError("resource_exhausted", {
          reason: "ANALYSIS_OVERLOADED",
          message: "too many documents are being analysed at once; try again shortly",
        }),
      );
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ xml, resolve, reject });
      if (this.#current === undefined) this.#next();
    });
  }

  async close(): Promise<void> {
    const jobs = this.#waiting.splice(0);
    if (this.#current !== undefined) jobs.unshift(this.#current);
    this.#current = undefined;
    for (const job of jobs)
      job.reject(
        new RpcError("unavailable", {
          reason: "ANALYSIS_STOPPED",
          message: "this process is shutting down; try again",
        }),
      );
    await this.#stop();
  }

  #next(): void {
    clearTimeout(this.#timer);
    this.#current = this.#waiting.shift();
    if (this.#current === undefined) {
      this.#timer = setTimeout(() => void this.#stop(), this.#idleMs).unref();
      return;
    }
    this.#timer = setTimeout(() => this.#expire(), this.#timeoutMs);
    this.#running().postMessage(this.#current.xml);
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // The worker's file has the ending that this file has: .ts in a checkout, .js in the package.
    const worker = new Worker(new URL(`./analysis-worker${import.meta.url.slice(-3)}`, import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    });
    worker.unref();
    worker.on("message", (answer: { outcome?: Outcome; failure?: string }) => {
      if (worker === this.#worker) this.#settle(answer);
    });
    worker.on("error", (cause: NodeJS.ErrnoException) => {
      if (worker === this.#worker)
        this.#fail(cause.code === "ERR_WORKER_OUT_OF_MEMORY" ? tooCostly("memory") : broken(cause));
    });
    this.#worker = worker;
    return worker;
  }

  #settle(answer: { readonly outcome?: Outcome; readonly failure?: string }): void {
    const job = this.#current;
    if (answer.outcome !== undefined) job?.resolve(answer.outcome);
    else job?.reject(broken(answer.failure));
    this.#next();
  }

  #expire(): void {
    this.#fail(tooCostly(`time than ${this.#timeoutMs} ms`));
  }

  /** A thread that hangs or died is replaced; the documents behind it have their turn. */
  #fail(error: RpcError): void {
    void this.#stop();
    this.#current?.reject(error);
    this.#next();
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

function tooCostly(what: string): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "ANALYSIS_TOO_COSTLY",
    message: `reading the document takes more ${what} than is allowed; split the model`,
  });
}

function broken(cause: unknown): RpcError {
  return new RpcError("internal", { reason: "INTERNAL", message: "internal error", cause });
}
