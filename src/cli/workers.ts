/**
 * Several processes as one: `portico serve --workers n` starts n of itself that share the ports and the database, and watches them.
 *
 * One that dies is replaced, ever later if it dies again; one that hangs is killed first. SIGTERM drains all of them. SIGHUP replaces them one
 * after the other, the new one first, so that a new version or configuration file comes in without a lost call. A worker whose parent is gone
 * drains too.
 */
import { type ChildProcess, fork } from "node:child_process";
import { heapOptions } from "./heap.ts";
import { Pulse, pulseDefaults } from "./pulse.ts";
import { type Answer, type Ask, Circle, type LogChange, type Pong, Siblings, tell } from "./siblings.ts";
import type { Terminal } from "./terminal.ts";

/** What a worker tells when it serves. */
export interface WorkerReady {
  readonly kind: "ready";
  readonly httpPort: number;
  readonly grpcPort: number;
  /** What a person is told at the start. */
  readonly greeting: string;
}

interface Worker {
  readonly child: ChildProcess;
  /** Whether it serves, and can be asked. */
  serving: boolean;
  /** Rejects when it ends before it serves. */
  readonly ready: Promise<WorkerReady>;
  readonly ended: Promise<number | null>;
}

export interface WorkersOptions {
  readonly count: number;
  readonly terminal: Terminal;
  /** When a worker counts as hanging. Default: after 30 s without an answer. */
  readonly pulse?: { readonly everyMs: number; readonly unanswered: number };
  /** How long a worker that is told to end may take, in milliseconds. Default: 40,000. */
  readonly drainWithinMs?: number;
}

type FromWorker = WorkerReady | Ask | Answer | Pong;

/** How long the place of a worker that died stays empty at first, in milliseconds; twice as long each time, up to the second. */
const firstPauseMs = 100;
const longestPauseMs = 10_000;
/** One that served this long, in milliseconds, did not die of its start. */
const healthyMs = 60_000;
/** A drain ends itself after 31 seconds (`drainNoticeMs` and `drainGraceMs` of the listener); one that takes longer than this does not go on. */
const drainWithinMs = 40_000;

/** Resolves when all have ended. @throws Error when the first cannot start. */
export async function runWorkers(options: WorkersOptions): Promise<void> {
  const workers = new Workers(options);
  await workers.start();
  await workers.ended;
}

class Workers {
  readonly #options: WorkersOptions;
  readonly #places: Worker[] = [];
  /** All that live: those of the places, and those that do not serve yet. */
  readonly #living = new Set<Worker>();
  /** The ports of the first: it may have been told to take any. */
  #ports: readonly string[] = [];
  readonly #circle = new Circle();
  readonly #pulse: Pulse;
  /** What of the log was changed since the workers began; whoever follows one of them is told. */
  #log: LogChange = {};
  #stopping = false;
  #replacing: Promise<void> = Promise.resolve();
  readonly ended: Promise<void>;
  #end: () => void = () => undefined;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#pulse = new Pulse({
      ...(options.pulse ?? pulseDefaults),
      hangs: (child) => {
        this.#say(`worker ${child.pid} hangs: it does not answer its parent any more; it is killed`);
        child.kill("SIGKILL");
      },
    });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  async start(): Promise<void> {
    const { count, terminal } = this.#options;
    process.on("SIGTERM", this.#stop).on("SIGINT", this.#stop).on("SIGHUP", this.#replaceAll);
    this.#pulse.start(() => [...this.#living].map(({ child }) => child));
    try {
      const first = this.#fork();
      // Alone first: it brings the database up to date, and takes the ports.
      const ready = await first.ready;
      if (this.#stopping) return;
      this.#ports = ["--http-port", String(ready.httpPort), "--grpc-port", String(ready.grpcPort)];
      const others = Array.from({ length: count - 1 }, () => this.#fork());
      await Promise.all(others.map((worker) => worker.ready));
      if (this.#stopping) return;
      for (const [place, worker] of [first, ...others].entries()) this.#settle(place, worker);
      terminal.err.write(`${ready.greeting}  Workers  ${count} (${this.#pids()})\n`);
    } catch (error) {
      // Who is told to end before it serves did not fail.
      if (!this.#stopping) throw error;
    }
  }

  #pids(): string {
    return this.#places.map(({ child }) => child.pid).join(", ");
  }

  #settle(place: number, worker: Worker, pauseMs = firstPauseMs): void {
    this.#places[place] = worker;
    const { count } = this.#options;
    worker.ready.then(
      () => tell(worker.child, { kind: "place", worker: place + 1, count, log: this.#log }),
      () => undefined, // it is told when it ends
    );
    const since = performance.now();
    void worker.ended.then(async (code) => {
      if (this.#places[place] !== worker) return;
      if (this.#stopping) return;
      const pause = performance.now() - since > healthyMs ? firstPauseMs : pauseMs;
      this.#say(
        `worker ${worker.child.pid} ended with ${code ?? "a signal"}; another follows in ${pause} ms`,
      );
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (!this.#stopping) this.#refill(place, Math.min(longestPauseMs, pause * 2));
    });
  }

  /** Of one of them: what it wants to know from all, or what it was asked. */
  #hear(from: ChildProcess, message: FromWorker): void {
    if (message.kind === "pong") this.#pulse.answered(from);
    if (message.kind === "answer") this.#circle.answered(message);
    if (message.kind !== "ask") return;
    const { id, question, own } = message;
    if (question.about === "log") this.#log = { ...this.#log, ...question.change };
    const all = this.#places.map(({ child, serving }) => (serving ? child : undefined));
    void this.#circle
      .ask(question, all, { of: from, text: own })
      .then((answers) => tell(from, { kind: "answers", id, ...answers }));
  }

  #refill(place: number, pauseMs: number): void {
    const worker = this.#fork();
    this.#settle(place, worker, pauseMs);
    worker.ready.then(
      () => this.#say(`worker ${worker.child.pid} serves`),
      () => undefined, // it is told when it ends
    );
  }

  readonly #replaceAll = (): void => {
    this.#replacing = this.#replacing.then(async () => {
      // What is configured counts again.
      this.#log = {};
      for (const [place, before] of [...this.#places.entries()]) {
        if (this.#stopping) return;
        const next = this.#fork();
        try {
          await next.ready;
        } catch (error) {
          if (this.#stopping) return;
          this.#say(`${error instanceof Error ? error.message : String(error)}; the others stay as they are`);
          return;
        }
        if (this.#stopping) return;
        this.#settle(place, next);
        await this.#drain(before);
      }
      this.#say(`all workers are new (${this.#pids()})`);
    });
  };

  readonly #stop = (): void => {
    // A second signal ends at once, as it does with one process.
    const again = this.#stopping;
    if (!again) this.#say("draining; a second signal ends at once");
    this.#stopping = true;
    const living = [...this.#living];
    if (again) for (const { child } of living) child.kill("SIGKILL");
    else void Promise.all(living.map((worker) => this.#drain(worker))).then(this.#end);
  };

  /** Tells it to end, and sees that it does. */
  async #drain({ child, ended }: Worker): Promise<void> {
    const within = this.#options.drainWithinMs ?? drainWithinMs;
    const late = setTimeout(() => {
      this.#say(`worker ${child.pid} did not end within ${within} ms of being told to; it is killed`);
      child.kill("SIGKILL");
    }, within);
    child.kill("SIGTERM");
    await ended;
    clearTimeout(late);
  }

  #say(text: string): void {
    this.#options.terminal.err.write(`portico: ${text}\n`);
  }

  #fork(): Worker {
    const [program = "", ...given] = process.argv.slice(1);
    // Whatever said otherwise: flags come last, and the last one counts.
    const own = ["--workers", "1", "--reuse-port", "on", ...this.#ports];
    const child = fork(program, [...given, ...own], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      execArgv: [...process.execArgv, ...heapOptions(this.#options.count)],
      // In a group of its own: a terminal's Ctrl-C goes to the parent alone, which says it on.
      detached: true,
    });
    const ended = new Promise<number | null>((resolve) => {
      child.once("exit", resolve);
      child.once("error", () => resolve(1));
    });
    const ready = new Promise<WorkerReady>((resolve, reject) => {
      child.on("message", (message: FromWorker) => {
        if (message.kind === "ready") resolve(message);
        else this.#hear(child, message);
      });
      void ended.then((code) =>
        reject(new Error(`a worker ended with ${code ?? "a signal"} before it served`)),
      );
    });
    const worker = { child, ready, ended, serving: false };
    this.#living.add(worker);
    ready.then(
      () => {
        worker.serving = true;
      },
      () => undefined,
    );
    void ended.then(() => {
      worker.serving = false;
      this.#living.delete(worker);
    });
    return worker;
  }
}

/** Undefined where this process is nobody's worker. */
export function siblingsOf(): Siblings | undefined {
  return process.send === undefined ? undefined : new Siblings();
}

/** In a worker: tells the parent, and ends when there is none any more. @returns false where this process is nobody's worker. */
export function tellParent(ready: WorkerReady): boolean {
  if (process.send === undefined) return false;
  process.send(ready);
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  return true;
}
