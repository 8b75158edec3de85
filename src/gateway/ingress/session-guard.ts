/**
 * Watches HTTP/2 connections for what node:http2 and nghttp2 let pass: clients that connect and say nothing, stop in the middle of a header
 * block, send frames that nobody asked for, or read nothing of what they are sent. Those that are old are told to come again elsewhere.
 *
 * nghttp2 takes the bytes off the socket where JavaScript does not see them. What it sees is enough: how many bytes came and went, the
 * requests, their bodies, and PING and SETTINGS. One timer looks at all connections; a call costs two operations on a set.
 */
import type { Http2Session, ServerHttp2Session } from "node:http2";
import type { Clock } from "#std/clock.ts";
import type { ListenerLimits } from "./limits.ts";
import { Waiting } from "./stalled.ts";

/** RFC 9113 section 7. */
const noError = 0;
const enhanceYourCalm = 11;
/** A DATA frame's header, and what small frames cost besides. */
const perChunkBytes = 32;

/** What the guard wants to know of a stream's exchange. */
export interface Guarded {
  /** Whether its request is read as a whole and has not come yet. */
  readonly collecting: boolean;
  /** Clock reading when its head had come. */
  readonly startedAtMs: number;
  /** Bytes of its answer that the client has not taken, and of all that there were so far. */
  readonly waitingBytes: number;
  readonly bytesOut: number;
  /** Answers that the request came too slowly. */
  giveUp(): void;
  /** Tells its client, behind what waits, that it reads nothing. False: nothing can be said, or it was said before. */
  tellStalled(): boolean;
  reset(code: number): void;
}

export class SessionGuard {
  readonly #limits: ListenerLimits;
  readonly #clock: Clock;
  readonly #limited: () => void;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  /** @param limited a connection was ended for what its client sent. */
  constructor(limits: ListenerLimits, clock: Clock, limited: () => void = () => undefined) {
    this.#limited = limited;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** @param how.idleMs how long it may be without streams. @param how.notice tells the client to go when there is time. */
  watch(session: ServerHttp2Session, { idleMs, notice }: { readonly idleMs: number; notice(): void }): void {
    const watched = new Watched(session, {
      ...{ limits: this.#limits, idleMs, notice, now: this.#clock.monotonic() },
      limited: this.#limited,
    });
    this.#watched.add(watched);
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs(this.#limits)).unref();
    session.on("close", () => {
      this.#watched.delete(watched);
      if (this.#watched.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    });
  }

  #look(): void {
    const now = this.#clock.monotonic();
    for (const watched of this.#watched) watched.look(now);
  }
}

/** Often enough for the shortest time that is set. */
function lookEveryMs(limits: ListenerLimits): number {
  const { http2FirstRequestTimeoutMs, http2HeaderBlockTimeoutMs, requestTimeoutMs, stalledTimeoutMs } =
    limits;
  const { http2MaxAgeMs, http2AgeGraceMs, http2ControlWindowMs, http2PingTimeoutMs } = limits;
  const shortest = Math.min(
    http2FirstRequestTimeoutMs,
    http2HeaderBlockTimeoutMs,
    requestTimeoutMs,
    stalledTimeoutMs,
    http2ControlWindowMs,
    http2PingTimeoutMs,
    http2MaxAgeMs === 0 ? Number.POSITIVE_INFINITY : Math.min(http2MaxAgeMs, http2AgeGraceMs),
  );
  return Math.max(20, Math.min(1000, shortest / 5));
}

const mark = Symbol("watched");
type Marked = Http2Session & { [mark]?: Watched };

/** The watch over a stream's session; undefined: it is over already. */
export function watchedOf(session: Http2Session | undefined): Watched | undefined {
  return session === undefined ? undefined : (session as Marked)[mark];
}

/** When a connection goes, counted from its beginning: those of one moment are not to come again in one moment. */
function ageOf({ http2MaxAgeMs: ageMs, http2AgeJitterPercent }: ListenerLimits): number {
  if (ageMs === 0) return Number.POSITIVE_INFINITY;
  return ageMs * (1 + (http2AgeJitterPercent / 100) * (2 * Math.random() - 1));
}

interface WatchOptions {
  readonly limits: ListenerLimits;
  readonly idleMs: number;
  readonly now: number;
  limited(): void;
  notice(): void;
}

export class Watched {
  readonly #session: ServerHttp2Session;
  readonly #limits: ListenerLimits;
  readonly #idleMs: number;
  readonly #open = new Set<Guarded>();
  readonly #createdAt: number;
  /** Since the last look: requests, and bytes of their bodies with what frames add. */
  #requests = 0;
  #bodyBytes = 0;
  #everRequested = false;
  #lookedAt: number;
  #bytesRead = 0;
  #bytesWritten = 0;
  /** Bytes that nothing explains, as a bucket that leaks. */
  #unexplained = 0;
  #controlFrames = 0;
  #controlSince: number;
  /** Last look that found streams, or none yet. */
  #busyAt: number;
  #heardAt: number;
  /** Since when bytes have come that may be an unfinished header block. */
  #suspectSince: number | undefined;
  #pingedAt: number | undefined;
  #leavingSince: number | undefined;
  readonly #oldAt: number;
  /** When it was told to go because of its age. */
  #toldAt: number | undefined;
  readonly #waiting: Waiting<Guarded>;
  readonly #limited: () => void;
  readonly #notice: () => void;

  constructor(session: ServerHttp2Session, { limits, idleMs, now, limited, notice }: WatchOptions) {
    this.#limited = limited;
    this.#notice = notice;
    this.#session = session;
    this.#limits = limits;
    this.#idleMs = idleMs;
    this.#waiting = new Waiting(limits.stalledTimeoutMs);
    this.#createdAt = now;
    this.#oldAt = now + ageOf(limits);
    this.#lookedAt = now;
    this.#controlSince = now;
    this.#busyAt = now;
    this.#heardAt = now;
    (session as Marked)[mark] = this;
    session.on("ping", () => this.#control());
    session.on("remoteSettings", () => this.#control());
  }

  /** A request came. */
  opened(exchange: Guarded): void {
    this.#requests += 1;
    this.#open.add(exchange);
  }

  closed(exchange: Guarded): void {
    this.#open.delete(exchange);
    this.#waiting.forget(exchange);
  }

  /** A piece of a body was read, or thrown away. */
  body(bytes: number): void {
    this.#bodyBytes += bytes + perChunkBytes;
  }

  #control(): void {
    this.#controlFrames += 1;
    if (this.#controlFrames > this.#limits.http2MaxControlFrames) this.#end(enhanceYourCalm);
  }

  look(now: number): void {
    const session = this.#session;
    if (session.destroyed) return;
    const { bytesRead = 0, bytesWritten = 0 } = session.socket;
    const elapsedMs = now - this.#lookedAt;
    const explained = this.#bodyBytes + this.#requests * this.#limits.maxHeaderBytes;
    const read = bytesRead - this.#bytesRead;
    const written = bytesWritten - this.#bytesWritten;
    const active = this.#requests > 0 || this.#bodyBytes > 0;
    this.#everRequested ||= this.#requests > 0;
    this.#lookedAt = now;
    this.#bytesRead = bytesRead;
    this.#bytesWritten = bytesWritten;
    this.#requests = 0;
    this.#bodyBytes = 0;
    if (read > 0) this.#heardAt = now;
    if (this.#open.size > 0 || active) this.#busyAt = now;
    if (now - this.#controlSince >= this.#limits.http2ControlWindowMs) {
      this.#controlSince = now;
      this.#controlFrames = 0;
    }
    // A client answers what it is sent with WINDOW_UPDATEs, which are shorter.
    const allowed = explained + written + (this.#limits.http2MaxIdleBytes * elapsedMs) / 1000;
    this.#unexplained = Math.max(0, this.#unexplained + read - allowed);
    this.#judge(now, { grew: read > 0, active });
  }

  #judge(now: number, seen: { readonly grew: boolean; readonly active: boolean }): void {
    const { http2FirstRequestTimeoutMs, http2MaxIdleBytes, http2ConnectionWindowBytes } = this.#limits;
    // Bodies that nobody has read yet.
    const unread = this.#open.size > 0 ? http2ConnectionWindowBytes : 0;
    if (this.#unexplained > http2MaxIdleBytes + unread) {
      this.#end(enhanceYourCalm);
      return;
    }
    if (!this.#everRequested && now - this.#createdAt >= http2FirstRequestTimeoutMs) {
      this.#end(noError);
      return;
    }
    if (this.#leavingSince !== undefined) {
      if (now - this.#leavingSince >= 1000 && this.#open.size === 0) this.#end(noError);
      return;
    }
    if (this.#open.size === 0 && now - this.#busyAt >= this.#idleMs) {
      this.#leavingSince = now;
      this.#session.close();
      return;
    }
    if (now >= this.#oldAt && this.#retire(now)) return;
    this.#ask(now, seen);
    for (const exchange of this.#open) this.#judgeStream(exchange, now);
  }

  /**
   * "Please go" first and "no more" when that has arrived: a request on its way meanwhile is served. Then its calls have their time.
   *
   * @returns whether it is over.
   */
  #retire(now: number): boolean {
    const { drainNoticeMs, http2AgeGraceMs } = this.#limits;
    if (this.#toldAt === undefined) {
      this.#toldAt = now;
      this.#notice();
    } else if (now - this.#toldAt >= http2AgeGraceMs) {
      this.#end(noError);
      return true;
    } else if (!this.#session.closed && now - this.#toldAt >= Math.min(drainNoticeMs, http2AgeGraceMs / 2))
      this.#session.close();
    return false;
  }

  /**
   * In the middle of a header block no other frame may come (RFC 9113 section 6.10), so who answers a PING is not in one. Asked are
   * those that sent something and then no request, and those that are silent while calls run.
   */
  #ask(now: number, { grew, active }: { readonly grew: boolean; readonly active: boolean }): void {
    const { http2HeaderBlockTimeoutMs: blockMs, http2PingAfterMs: silenceMs } = this.#limits;
    const { http2PingTimeoutMs } = this.#limits;
    // Behind what was sent to a slow client a PING takes its time.
    const patienceMs = this.#open.size > 0 ? Math.max(blockMs / 2, http2PingTimeoutMs) : blockMs / 2;
    if (this.#pingedAt !== undefined) {
      if (now - this.#pingedAt >= patienceMs) this.#end(enhanceYourCalm);
      return;
    }
    // Behind a request half of the next may have come.
    if (active) this.#suspectSince = now;
    else if (grew) this.#suspectSince ??= now;
    const suspicious = this.#suspectSince !== undefined && now - this.#suspectSince >= blockMs / 2;
    const silent = this.#open.size > 0 && now - this.#heardAt >= silenceMs;
    // Who never made a request is on the clock anyhow.
    if ((suspicious || silent) && this.#everRequested) this.#ping(now);
  }

  #ping(now: number): void {
    this.#pingedAt = now;
    this.#session.ping((error) => {
      if (error !== null) return;
      this.#pingedAt = undefined;
      this.#suspectSince = undefined;
      this.#heardAt = this.#lookedAt;
      // The answer itself is no reason to ask again.
      this.#bytesRead = this.#session.socket?.bytesRead ?? this.#bytesRead;
    });
  }

  #judgeStream(exchange: Guarded, now: number): void {
    const { requestTimeoutMs } = this.#limits;
    const { waitingBytes: waiting, bytesOut } = exchange;
    if (exchange.collecting) {
      if (now - exchange.startedAtMs >= requestTimeoutMs) exchange.giveUp();
    } else if (this.#waiting.isStalled(exchange, { waiting, taken: bytesOut - waiting }, now)) {
      if (exchange.tellStalled()) this.#waiting.forget(exchange);
      // gRPC's clients take this one for RESOURCE_EXHAUSTED.
      else exchange.reset(enhanceYourCalm);
    }
  }

  /** GOAWAY, and the connection is over: who does not keep the rules is not waited for. */
  #end(code: number): void {
    const why = code === noError ? undefined : new Error("the client does not keep to what it may do");
    if (code === enhanceYourCalm && !this.#session.destroyed) this.#limited();
    this.#session.destroy(why, code);
  }
}
