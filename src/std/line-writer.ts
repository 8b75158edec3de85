/**
 * Lines to a file, a pipe, a socket or a terminal, without ever waiting for whoever takes them: what cannot be written now is kept, up to a
 * bound, and what is beyond it is dropped and counted. Files are written behind the event loop's back, for a disk has no "not now"; all
 * others say that themselves. No fsync, and no timer while nothing waits.
 */
import { closeSync, constants, fstatSync, openSync, write, writeSync } from "node:fs";

export interface LineWriterOptions {
  /** A file's path, which is appended to, or an open descriptor. */
  readonly to: string | number;
  /** Characters that may wait. Default 4 Mi: ten thousand lines. */
  readonly mostWaiting?: number;
  /** Lines had to be dropped, and now there is room again: called before the next one. */
  readonly onResumed?: (dropped: number) => void;
}

/** How long a line may wait for others to be written with, in milliseconds. */
const gatherMs = 200;
/** What a pipe takes whole or not at all, in bytes: lines of several processes on one pipe stay lines. PIPE_BUF of Linux. */
const pipeChunk = 4096;
const fileChunk = 64 * 1024;
/** Chunks in one turn of the event loop: after a pause of the reader there are many. */
const chunksPerTurn = 64;
/** After a "not now", in milliseconds; twice as long each time, up to the second. */
const firstPauseMs = 2;
const longestPauseMs = 200;
/** How long the exit of the process may be held up for a reader, and for a write on its way, in milliseconds. */
const exitMs = 500;
const exitInFlightMs = 50;

/** Those that may have something left when the process exits without ending them. */
const open = new Set<LineWriter>();
const writeAll = (): void => {
  for (const writer of open) writer.writeNow(exitMs);
};

export class LineWriter {
  readonly #target: Target;
  readonly #most: number;
  readonly #onResumed: (dropped: number) => void;
  readonly #chunkLength: number;
  /** The chunk that is being filled, and those that are full. */
  #filling = "";
  #full: string[] = [];
  /** The chunk that is being written: a buffer where a part of it was. */
  #current: string | Buffer | undefined;
  #currentLength = 0;
  /** Characters of all of these. */
  #waiting = 0;
  /** A write is on its way, or is to be tried again. */
  #busy = false;
  #inFlight = false;
  #pauseMs = firstPauseMs;
  #gathering: NodeJS.Timeout | undefined;
  #dropping = false;
  #droppedNow = 0;
  #dropped = 0;
  #ended = false;
  #onEmpty: (() => void) | undefined;

  /** @throws Error of the system where the file cannot be opened. */
  constructor({ to, mostWaiting = 4 * 1024 * 1024, onResumed = () => undefined }: LineWriterOptions) {
    this.#target = targetOf(to);
    this.#most = mostWaiting;
    this.#onResumed = onResumed;
    this.#chunkLength = this.#target.isFile ? fileChunk : pipeChunk;
    if (open.size === 0) process.on("exit", writeAll);
    open.add(this);
  }

  /** Lines that were never written, for want of room. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @param line with its end. */
  write(line: string): void {
    if (this.#dropping || this.#ended || this.#waiting + line.length > this.#most) {
      this.#dropping = true;
      this.#droppedNow += 1;
      this.#dropped += 1;
      return;
    }
    this.#waiting += line.length;
    if (this.#filling.length + line.length > this.#chunkLength && this.#filling !== "") {
      this.#full.push(this.#filling);
      this.#filling = line;
      if (!this.#busy) this.#pump();
    } else this.#filling += line;
    this.#gathering ??= setTimeout(this.#gathered, gatherMs).unref();
  }

  /** Waits until everything is written, so long at most; what is left then is lost, and so is what comes later. */
  async end(withinMs: number): Promise<void> {
    if (this.#ended) return;
    clearTimeout(this.#gathering);
    this.#gathered();
    if (this.#waiting > 0) {
      let late: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
        late = setTimeout(resolve, withinMs);
      });
      clearTimeout(late);
    }
    this.#ended = true;
    open.delete(this);
    if (open.size === 0) process.removeListener("exit", writeAll);
    // A write on its way would go to whatever has this number next.
    if (!this.#inFlight) this.#target.close();
  }

  /** As much as is taken within this time, in milliseconds, while everything else waits: for a process that exits. */
  writeNow(withinMs: number): void {
    // Whether it arrives cannot be asked any more, but it needs no event loop to.
    if (this.#inFlight) {
      pause(exitInFlightMs);
      this.#current = undefined;
    }
    if (this.#filling !== "") this.#full.push(this.#filling);
    this.#filling = "";
    const until = performance.now() + withinMs;
    while (this.#next() !== undefined)
      if (!this.#writeCurrent()) {
        if (performance.now() > until) return;
        pause(firstPauseMs);
      }
  }

  readonly #gathered = (): void => {
    this.#gathering = undefined;
    if (this.#filling === "") return;
    this.#full.push(this.#filling);
    this.#filling = "";
    if (!this.#busy) this.#pump();
  };

  /** Writes until nothing is left, or nothing more is taken. */
  readonly #pump = (): void => {
    // A pause can outlast the end, and the descriptor is closed then.
    if (this.#ended) return;
    this.#busy = true;
    if (this.#target.isFile) {
      this.#writeBehind();
      return;
    }
    for (let chunks = 0; this.#next() !== undefined; chunks += 1) {
      const turnIsOver = chunks === chunksPerTurn;
      if (turnIsOver || !this.#writeCurrent()) {
        this.#again(turnIsOver);
        return;
      }
    }
    this.#emptied();
  };

  #next(): string | Buffer | undefined {
    if (this.#current !== undefined) return this.#current;
    this.#current = this.#full.shift();
    this.#currentLength = this.#current?.length ?? 0;
    return this.#current;
  }

  /** @returns false: not now. */
  #writeCurrent(): boolean {
    const chunk = this.#current ?? "";
    try {
      const bytes =
        typeof chunk === "string" ? writeSync(this.#target.fd, chunk) : writeSync(this.#target.fd, chunk);
      this.#written(chunk, bytes);
      return true;
    } catch {
      // EAGAIN: nobody reads. And whatever else it is may pass: a full disk, a reader that starts again.
      return false;
    }
  }

  #writeBehind(): void {
    const chunk = this.#next();
    if (chunk === undefined) {
      this.#emptied();
      return;
    }
    this.#inFlight = true;
    const done = (error: Error | null, bytes: number): void => {
      this.#inFlight = false;
      if (this.#ended) this.#target.close();
      else if (error !== null) this.#again(false);
      else {
        this.#written(chunk, bytes);
        this.#writeBehind();
      }
    };
    if (typeof chunk === "string") write(this.#target.fd, chunk, null, "utf8", done);
    else write(this.#target.fd, chunk, done);
  }

  #written(chunk: string | Buffer, bytes: number): void {
    this.#pauseMs = firstPauseMs;
    if (bytes < Buffer.byteLength(chunk)) {
      this.#current = (typeof chunk === "string" ? Buffer.from(chunk) : chunk).subarray(bytes);
      return;
    }
    this.#current = undefined;
    this.#waiting -= this.#currentLength;
    if (this.#dropping && this.#waiting < this.#most / 2) this.#resume();
  }

  #resume(): void {
    const dropped = this.#droppedNow;
    this.#dropping = false;
    this.#droppedNow = 0;
    this.#onResumed(dropped);
  }

  #emptied(): void {
    this.#busy = false;
    if (this.#waiting === 0) this.#onEmpty?.();
  }

  /** @param soon whatever was written was taken. */
  #again(soon: boolean): void {
    setTimeout(this.#pump, soon ? 0 : this.#pauseMs).unref();
    if (!soon) this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
  }
}

interface Target {
  readonly fd: number;
  /** Written behind the event loop's back. */
  readonly isFile: boolean;
  close(): void;
}

/** A descriptor that never waits, apart from files. */
function targetOf(to: string | number): Target {
  const owned = typeof to === "string";
  const fd = owned ? openSync(to, "a") : to;
  const kind = fstatSync(fd);
  if (kind.isFile()) return { fd, isFile: true, close: () => owned && closeSync(fd) };
  const own = kind.isSocket() ? undefined : reopened(fd);
  if (own !== undefined) {
    if (owned) closeSync(fd);
    return { fd: own, isFile: false, close: () => closeSync(own) };
  }
  // Node makes it one that never waits, when it is first asked for it.
  if (fd === 1) void process.stdout;
  return { fd, isFile: false, close: () => owned && closeSync(fd) };
}

/**
 * The same pipe or terminal with flags of its own: those of a descriptor belong to everybody who inherited it, and a sibling that exits puts
 * them back. Undefined: the system has no such thing, or does not allow it.
 */
function reopened(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
