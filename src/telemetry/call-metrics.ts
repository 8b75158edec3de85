/**
 * Rate, errors and duration of calls by method and protocol, and what the gateway itself takes of them. Series are made with the first call
 * of a method over a protocol, so the contract bounds their number; what asked for no method of the contract is counted as `unknown`. What alerts
 * are made of is there as 0 from the start: a counter that is born with its first failures has no rate.
 */
import { type Code, codeFromNumber, codes } from "#rpc/code.ts";
import type { Protocol } from "#rpc/peer.ts";
import { Counters, type Family, Histogram, type Labels, labels, type Series } from "./instruments.ts";

/** Upper bounds in seconds: from a call in process to one at its deadline. */
const durationBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
/** Of streams: from a short answer in parts to one that is followed for a day. */
const streamBounds = [0.1, 1, 5, 30, 60, 300, 900, 3600, 14_400, 86_400];
/** Finer at the lower end: the gateway is to take microseconds. */
const overheadBounds = [
  ...[0.000_025, 0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.1, 1],
];

/** What the server failed at: what the objective counts. What else a call ends with is its caller's mistake, or an answer. */
const serverFaults: ReadonlySet<Code> = new Set<Code>([
  ...(["unknown", "deadline_exceeded", "internal", "unavailable", "data_loss"] as const),
]);

/** One call, or what did not become one. */
export interface Observed {
  readonly code: Code;
  /** From the head of the request to the end of the answer, in milliseconds. */
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly messagesIn: number;
  readonly messagesOut: number;
  /** It was ended for a reason that was planned, and its client told to go elsewhere: no failure, and no success. */
  readonly planned?: boolean;
}

/** Of one method over one protocol. */
class MethodSeries {
  readonly labels: Labels;
  readonly duration: Histogram;
  /** By the code's number. */
  readonly ended = new Array<number>(Object.keys(codes).length).fill(0);
  bytesIn = 0;
  bytesOut = 0;
  messagesIn = 0;
  messagesOut = 0;

  constructor(method: string, protocol: Protocol, isStream: boolean) {
    this.labels = labels({ method, protocol });
    this.duration = new Histogram(isStream ? streamBounds : durationBounds);
  }

  /** By code; those that never came have no series. */
  ends(): Series<number>[] {
    return this.ended.flatMap((value, number) =>
      value === 0 ? [] : [{ labels: labels({ ...this.labels.pairs, code: codeFromNumber(number) }), value }],
    );
  }
}

/** Of one protocol, all its methods together. */
interface ProtocolSeries {
  readonly labels: Labels;
  readonly overhead: Histogram;
  callsOpen: number;
  streamsOpen: number;
}

const unknown = "unknown";

export class CallMetrics {
  readonly #methods = new Map<string, MethodMetrics>();
  readonly #protocols = new Map<Protocol, ProtocolSeries>();
  readonly #reasons = new Counters(256);

  /** @param name undefined: none of the contract's. */
  method(name: string | undefined, isStream = false): MethodMetrics {
    const key = name ?? unknown;
    let found = this.#methods.get(key);
    if (found === undefined) {
      found = new MethodMetrics(key, isStream);
      this.#methods.set(key, found);
    }
    return found;
  }

  opened(protocol: Protocol, isStream: boolean): void {
    const of = this.#protocol(protocol);
    if (isStream) of.streamsOpen += 1;
    else of.callsOpen += 1;
  }

  closed(protocol: Protocol, isStream: boolean, overheadMs: number): void {
    const of = this.#protocol(protocol);
    if (isStream) of.streamsOpen -= 1;
    else {
      of.callsOpen -= 1;
      of.overhead.observe(Math.max(0, overheadMs / 1000));
    }
  }

  failed(reason: string): void {
    this.#reasons.add(reason === "" ? "none" : reason);
  }

  families(): Family[] {
    const methods = [...this.#methods.values()];
    const all = methods.flatMap((method) => method.all());
    const durations = (name: string, help: string, isStream: boolean): Family => ({
      ...{ kind: "histogram", name, help },
      series: methods
        .filter((method) => method.isStream === isStream)
        .flatMap((method) => method.all().map((one) => one.duration.series(one.labels))),
    });
    const objective = methods.filter(({ name }) => name !== unknown);
    const protocols = [...this.#protocols.values()];
    const counter = (name: string, help: string, series: readonly Series<number>[]): Family => ({
      ...{ kind: "counter", name, help, series },
    });
    const sum = (
      name: string,
      help: string,
      field: "bytesIn" | "bytesOut" | "messagesIn" | "messagesOut",
    ): Family =>
      counter(
        name,
        help,
        all.map((one) => ({ labels: one.labels, value: one[field] })),
      );
    const open = (name: string, help: string, field: "callsOpen" | "streamsOpen"): Family => ({
      ...{ kind: "gauge", name, help },
      series: protocols.map((one) => ({ labels: one.labels, value: one[field] })),
    });
    return [
      counter(
        "portico_calls_total",
        "Calls finished, by method, protocol and code.",
        all.flatMap((one) => one.ends()),
      ),
      counter(
        "portico_objective_calls_total",
        "Calls that count for the objective, by method: of methods that there are, apart from streams that a drain ended.",
        objective.map(({ counted, labels: of }) => ({ labels: of, value: counted })),
      ),
      counter(
        "portico_objective_failures_total",
        "Of these, those that the server failed at.",
        objective.map(({ failed, labels: of }) => ({ labels: of, value: failed })),
      ),
      durations(
        "portico_call_duration_seconds",
        "Time of unary calls from the head of the request to the end of the answer.",
        false,
      ),
      durations("portico_stream_duration_seconds", "The same of streams.", true),
      {
        kind: "histogram",
        name: "portico_gateway_overhead_seconds",
        help: "Time of a unary call that is not its service's: policies, reading and writing messages.",
        series: protocols.map((one) => one.overhead.series(one.labels)),
      },
      counter("portico_errors_total", "Calls that failed, by reason.", this.#reasons.series("reason")),
      open("portico_calls_open", "Unary calls that are being worked on.", "callsOpen"),
      open("portico_streams_open", "Streams that are not over.", "streamsOpen"),
      sum("portico_received_messages_total", "Messages of clients.", "messagesIn"),
      sum("portico_sent_messages_total", "Messages to clients.", "messagesOut"),
      sum("portico_received_bytes_total", "Bytes of messages of clients.", "bytesIn"),
      sum("portico_sent_bytes_total", "Bytes of messages to clients.", "bytesOut"),
    ];
  }

  #protocol(protocol: Protocol): ProtocolSeries {
    let found = this.#protocols.get(protocol);
    if (found === undefined) {
      found = {
        labels: labels({ protocol }),
        overhead: new Histogram(overheadBounds),
        callsOpen: 0,
        streamsOpen: 0,
      };
      this.#protocols.set(protocol, found);
    }
    return found;
  }
}

/** Of one method; found once, when the chains are folded, so that its part of the objective is there as 0 before it can fail. */
export class MethodMetrics {
  readonly name: string;
  readonly isStream: boolean;
  readonly labels: Labels;
  /** Calls that count for the objective, and those of them that the server failed at. */
  counted = 0;
  failed = 0;
  readonly #byProtocol = new Map<Protocol, MethodSeries>();

  constructor(name: string, isStream: boolean) {
    this.name = name;
    this.isStream = isStream;
    this.labels = labels({ method: name });
  }

  observe(
    protocol: Protocol,
    { code, durationMs, bytesIn, bytesOut, messagesIn, messagesOut, planned = false }: Observed,
  ): void {
    let series = this.#byProtocol.get(protocol);
    if (series === undefined) {
      series = new MethodSeries(this.name, protocol, this.isStream);
      this.#byProtocol.set(protocol, series);
    }
    if (!planned) {
      this.counted += 1;
      if (serverFaults.has(code)) this.failed += 1;
    }
    const { number } = codes[code];
    series.ended[number] = (series.ended[number] ?? 0) + 1;
    series.duration.observe(durationMs / 1000);
    series.bytesIn += bytesIn;
    series.bytesOut += bytesOut;
    series.messagesIn += messagesIn;
    series.messagesOut += messagesOut;
  }

  /** By protocol. */
  all(): MethodSeries[] {
    return [...this.#byProtocol.values()];
  }
}
