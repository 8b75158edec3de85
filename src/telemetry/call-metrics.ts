/**
 * Rate, errors and duration of calls by method and protocol, and what the gateway itself takes of them. Series are made with the first call
 * of a method over a protocol, so the contract bounds their number; what asked for no method of the contract is counted as `unknown`.
 */
import { type Code, codeFromNumber, codes } from "#rpc/code.ts";
import type { Protocol } from "#rpc/peer.ts";
import { Counters, family, Histogram, type Labels, labels, line } from "./instruments.ts";

/** Upper bounds in seconds: from a call in process to one at its deadline. */
const durationBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
/** Finer at the lower end: the gateway is to take microseconds. */
const overheadBounds = [
  ...[0.000_025, 0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.1, 1],
];

/** One call, or what did not become one. */
export interface Observed {
  readonly code: Code;
  /** From the head of the request to the end of the answer, in milliseconds. */
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly messagesIn: number;
  readonly messagesOut: number;
}

class Series {
  readonly labels: Labels;
  readonly duration = new Histogram(durationBounds);
  /** By the code's number. */
  readonly ended = new Array<number>(Object.keys(codes).length).fill(0);
  bytesIn = 0;
  bytesOut = 0;
  messagesIn = 0;
  messagesOut = 0;

  constructor(method: string, protocol: Protocol) {
    this.labels = labels({ method, protocol });
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
  method(name: string | undefined): MethodMetrics {
    const key = name ?? unknown;
    let found = this.#methods.get(key);
    if (found === undefined) {
      found = new MethodMetrics(key);
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
    else of.callsOpen -= 1;
    of.overhead.observe(Math.max(0, overheadMs / 1000));
  }

  failed(reason: string): void {
    this.#reasons.add(reason === "" ? "none" : reason);
  }

  lines(): string[] {
    const all = [...this.#methods.values()].flatMap((method) => method.series());
    const protocols = [...this.#protocols.values()];
    const sums = (name: string, field: "bytesIn" | "bytesOut" | "messagesIn" | "messagesOut") =>
      all.map((series) => line(name, series.labels, series[field]));
    const counter = (name: string, help: string, lines: readonly string[]) =>
      family(name, { type: "counter", help }, lines);
    return [
      ...counter(
        "portico_calls_total",
        "Calls finished, by method, protocol and code.",
        all.flatMap(endedLines),
      ),
      ...family(
        "portico_call_duration_seconds",
        { type: "histogram", help: "Time from the head of the request to the end of the answer." },
        all.flatMap((series) => series.duration.lines("portico_call_duration_seconds", series.labels)),
      ),
      ...family(
        "portico_gateway_overhead_seconds",
        {
          type: "histogram",
          help: "Time of a call that is not its service's: policies, reading and writing messages.",
        },
        protocols.flatMap((one) => one.overhead.lines("portico_gateway_overhead_seconds", one.labels)),
      ),
      ...counter(
        "portico_errors_total",
        "Calls that failed, by reason.",
        this.#reasons.lines("portico_errors_total", "reason"),
      ),
      ...family(
        "portico_calls_open",
        { type: "gauge", help: "Unary calls that are being worked on." },
        protocols.map((one) => line("portico_calls_open", one.labels, one.callsOpen)),
      ),
      ...family(
        "portico_streams_open",
        { type: "gauge", help: "Streams that are not over." },
        protocols.map((one) => line("portico_streams_open", one.labels, one.streamsOpen)),
      ),
      ...counter(
        "portico_received_messages_total",
        "Messages of clients.",
        sums("portico_received_messages_total", "messagesIn"),
      ),
      ...counter(
        "portico_sent_messages_total",
        "Messages to clients.",
        sums("portico_sent_messages_total", "messagesOut"),
      ),
      ...counter(
        "portico_received_bytes_total",
        "Bytes of messages of clients.",
        sums("portico_received_bytes_total", "bytesIn"),
      ),
      ...counter(
        "portico_sent_bytes_total",
        "Bytes of messages to clients.",
        sums("portico_sent_bytes_total", "bytesOut"),
      ),
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

/** Of one method; found once, when the chains are folded. */
export class MethodMetrics {
  readonly #name: string;
  readonly #byProtocol = new Map<Protocol, Series>();

  constructor(name: string) {
    this.#name = name;
  }

  observe(
    protocol: Protocol,
    { code, durationMs, bytesIn, bytesOut, messagesIn, messagesOut }: Observed,
  ): void {
    let series = this.#byProtocol.get(protocol);
    if (series === undefined) {
      series = new Series(this.#name, protocol);
      this.#byProtocol.set(protocol, series);
    }
    const { number } = codes[code];
    series.ended[number] = (series.ended[number] ?? 0) + 1;
    series.duration.observe(durationMs / 1000);
    series.bytesIn += bytesIn;
    series.bytesOut += bytesOut;
    series.messagesIn += messagesIn;
    series.messagesOut += messagesOut;
  }

  series(): Series[] {
    return [...this.#byProtocol.values()];
  }
}

function endedLines({ labels: of, ended }: Series): string[] {
  return ended.flatMap((count, number) =>
    count === 0 ? [] : [line("portico_calls_total", `${of},code="${codeFromNumber(number)}"`, count)],
  );
}
