/** The metrics of several processes as those of one: every series says whose it is, every family is described once. */
import { gauge, labels } from "./instruments.ts";
import { linesOf } from "./prometheus.ts";

export interface WorkerText {
  /** Its number, which is the same for whoever follows it. */
  readonly worker: number;
  /** As `Telemetry.renderMetrics` gives it. */
  readonly text: string;
}

interface Collected {
  /** HELP and TYPE. */
  readonly head: string[];
  readonly lines: string[];
}

/** @param missing processes whose numbers are not here. */
export function mergeMetrics(texts: readonly WorkerText[], missing: number): string {
  const families = new Map<string, Collected>();
  for (const { worker, text } of texts) {
    const whose = labels({ worker: String(worker) }).text;
    let current: Collected | undefined;
    for (const one of text.split("\n")) {
      const [, word, name = ""] = /^# (HELP|TYPE) (\S+)/.exec(one) ?? [];
      if (word === undefined) {
        if (one !== "") current?.lines.push(labelled(one, whose));
        continue;
      }
      current = families.get(name) ?? { head: [], lines: [] };
      families.set(name, current);
      if (!current.head.includes(one)) current.head.push(one);
    }
  }
  const all = [
    ...[...families.values()].flatMap(({ head, lines }) => [...head, ...lines]),
    ...linesOf([
      gauge("portico_workers", "Workers whose numbers these are.", texts.length),
      gauge("portico_workers_missing", "Workers that did not answer in time.", missing),
    ]),
  ];
  return `${all.join("\n")}\n`;
}

/** A name has no brace and no space; a label's value may have both. */
function labelled(sample: string, whose: string): string {
  const [name = ""] = /^[^{\s]+/.exec(sample) ?? [];
  const rest = sample.slice(name.length);
  return rest.startsWith("{") ? `${name}{${whose},${rest.slice(1)}` : `${name}{${whose}}${rest}`;
}
