/** Hands documents to the worker thread: started on first use, ended when idle, replaced when a document takes too long. */
import { Worker } from "node:worker_threads";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Answers, Job } from "./analysis.ts";
import type { Outcome } from "./analyze.ts";
import type { Profile } from "./profiles.ts";

/**
 * Each job may be given up: one whose call is cancelled before the thread came to it never begins, and one that has begun is
 * ended soon after.
 *
 * @throws RpcError ANALYSIS_OVERLOADED when the queue is full, ANALYSIS_TOO_COSTLY for a document over the limits,
 * ANALYSIS_STOPPED when the process ends.
 */
export interface Analyzer {
  /**
   * @param xml given away: its memory moves to the thread and back, so that there is one copy of a document. Use the bytes
   * of the answer from then on.
   */
  analyze(
    xml: Uint8Array,
    call?: Cancelable,
  ): Promise<{ readonly outcome: Outcome; readonly xml: Uint8Array }>;
  /** @param xml given away. Findings of all profiles that were asked for. */
  validate(xml: Uint8Array, profiles: readonly Profile[], call?: Cancelable): Promise<Answers["validate"]>;
  /** @param base given away, like `target`. */
  diff(base: Uint8Array, target: Uint8Array, call?: Cancelable): Promise<Answers["diff"]>;
  close(): Promise<void>;
}

/** What of a call the analyzer looks at. */
export type Cancelable = Pick<CallHead, "canceledBy" | "onCancel">;

export interface AnalyzerOptions {
  /** Longest time for one document, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** Memory of the thread for one document, in MiB. Default 512. */
  readonly memoryMb?: number;
  /** Idle time after which the thread and its memory are given back, in milliseconds. Default 60 000. */
  readonly idleMs?: number;
}

/** How long the thread may go on with a document that nobody waits for any more, in milliseconds. */
const abandonedMs = 250;

/** Documents waiting; more are refused. */
const maxPending = 64;

interface Waiting {
  readonly job: Job;
  resolve(answer: Reply): void;
  reject(error: RpcError): void;
}

/** What the thread sends. */
interface Reply {
  readonly answer?: Answers[Job["kind"]];
  readonly xml?: Uint8Array;
  readonly failure?: string;
}

export function createAnalyzer(options: AnalyzerOptions = {}): Analyzer {
  return new WorkerAnalyzer({
    timeoutMs: options.timeoutMs ?? 10_000,
    memoryMb: options.memoryMb ?? 512,
    idleMs: options.idleMs ?? 60_000,
  });
}

/**
 * One document at a time: the limit counts from the moment a document is begun, and one that is too slow costs nobody else
 * more than the wait.
 */
class WorkerAnalyzer implements Analyzer {
  readonly #options: Required<AnalyzerOptions>;
  readonly #waiting: Waiting[] = [];
  #current: Waiting | undefined;
  #worker: Worker | undefined;
  /** Runs out while a document is read, and, when none is, after the idle time. */
  #timer: NodeJS.Timeout | undefined;

  constructor(options: Required<AnalyzerOptions>) {
    this.#options = options;
  }

  async analyze(xml: Uint8Array, call?: Cancelable) {
    const { answer, xml: back } = await this.#run({ kind: "analyze", xml: owned(xml) }, call);
    return { outcome: answer as Outcome, xml: back ?? new Uint8Array(0) };
  }

  async validate(xml: Uint8Array, profiles: readonly Profile[], call?: Cancelable) {
    const { answer } = await this.#run({ kind: "validate", xml: owned(xml), profiles }, call);
    return answer as Answers["validate"];
  }

  async diff(base: Uint8Array, target: Uint8Array, call?: Cancelable) {
    const { answer } = await this.#run({ kind: "diff", xml: owned(base), target: owned(target) }, call);
    return answer as Answers["diff"];
  }

  #run(job: Job, call: Cancelable | undefined): Promise<Reply> {
    if (this.#waiting.length >= maxPending) {
      return Promise.reject(
        new RpcError("resource_exhausted", {
          reason: "ANALYSIS_OVERLOADED",
          message: "too many documents are being analysed at once; try again shortly",
          details: [create(RetryInfoSchema, { retryDelay: durationFromMs(1000) })],
        }),
      );
    }
    return new Promise((resolve, reject) => {
      const waiting = { job, resolve, reject };
      this.#waiting.push(waiting);
      if (this.#current === undefined) this.#next();
      call?.onCancel((error) => this.#giveUp(waiting, error));
    });
  }

  /** One that the thread has begun may end by itself for a moment: a new thread costs more than most documents. */
  #giveUp(waiting: Waiting, error: RpcError): void {
    const at = this.#waiting.indexOf(waiting);
    if (at !== -1) this.#waiting.splice(at, 1);
    waiting.reject(error);
    if (waiting !== this.#current) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#expire(), Math.min(this.#options.timeoutMs, abandonedMs));
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
      this.#timer = setTimeout(() => void this.#stop(), this.#options.idleMs).unref();
      return;
    }
    this.#timer = setTimeout(() => this.#expire(), this.#options.timeoutMs);
    const { job } = this.#current;
    const moved = job.kind === "diff" ? [job.xml, job.target] : [job.xml];
    this.#running().postMessage(
      job,
      moved.map(({ buffer }) => buffer as ArrayBuffer),
    );
  }

  #running(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // The worker's file has the ending that this file has: .ts in a checkout, .js in the package.
    const worker = new Worker(new URL(`./analysis-worker${import.meta.url.slice(-3)}`, import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: this.#options.memoryMb },
    });
    worker.unref();
    worker.on("message", (reply: Reply) => {
      if (worker === this.#worker) this.#settle(reply);
    });
    worker.on("error", (cause: NodeJS.ErrnoException) => {
      if (worker === this.#worker)
        this.#fail(cause.code === "ERR_WORKER_OUT_OF_MEMORY" ? tooCostly("memory") : broken(cause));
    });
    this.#worker = worker;
    return worker;
  }

  #settle(reply: Reply): void {
    const job = this.#current;
    if (reply.answer !== undefined) job?.resolve(reply);
    else job?.reject(broken(reply.failure));
    this.#next();
  }

  #expire(): void {
    this.#fail(tooCostly(`time than ${this.#options.timeoutMs} ms`));
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

/** Bytes in memory of their own: only such memory can be given to another thread. Small buffers of Node share theirs. */
function owned(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
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
