/** The metrics of several processes as those of one: every series says whose it is, every family is described once. */
import { family, labels, line } from "./instruments.ts";

export interface WorkerText {
  /** Its number, which is the same for whoever follows it. */
  readonly worker: number;
  /** As `Telemetry.renderMetrics` gives it. */
  readonly text: string;
}

interface Family {
  /** HELP and TYPE. */
  readonly head: string[];
  readonly lines: string[];
}

/** @param missing processes whose numbers are not here. */
export function mergeMetrics(texts: readonly WorkerText[], missing: number): string {
  const families = new Map<string, Family>();
  for (const { worker, text } of texts) {
    const whose = labels({ worker: String(worker) });
    let current: Family | undefined;
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
  const gauge = (name: string, help: string, value: number) =>
    family(name, { type: "gauge", help }, [line(name, "", value)]);
  const all = [
    ...[...families.values()].flatMap(({ head, lines }) => [...head, ...lines]),
    ...gauge("portico_workers", "Workers whose numbers these are.", texts.length),
    ...gauge("portico_workers_missing", "Workers that did not answer in time.", missing),
  ];
  return `${all.join("\n")}\n`;
}

/** A name has no brace and no space; a label's value may have both. */
function labelled(sample: string, whose: string): string {
  const [name = ""] = /^[^{\s]+/.exec(sample) ?? [];
  const rest = sample.slice(name.length);
  return rest.startsWith("{") ? `${name}{${whose},${rest.slice(1)}` : `${name}{${whose}}${rest}`;
}
