/** One line of the bench's result: a ratio against a peer, or a figure of its own. */
export type Row = RatioRow | ValueRow;
export interface RatioRow {
  readonly what: string;
  readonly target: string;
  readonly ratios: readonly number[];
  /** Median answers per second. */
  readonly ours: number;
  readonly theirs: number;
  /** Median of what each process took of a core for an answer, in microseconds; absent: it was not read. */
  readonly ourMicros?: number;
  readonly theirMicros?: number;
}
export interface ValueRow {
  readonly what: string;
  readonly target: string;
  readonly value: number;
  /** After the point. Default 0. */
  readonly digits?: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function toMarkdown(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    if ("value" in row)
      return `| ${row.what} | ${row.target} | ${row.value.toFixed(row.digits ?? 0)} | | | | |`;
    const figures = [Math.min(...row.ratios), median(row.ratios), Math.max(...row.ratios)]
      .map((ratio) => ratio.toFixed(2))
      .join(" / ");
    const rates = `${Math.round(row.ours)} | ${Math.round(row.theirs)}`;
    const micros = `${row.ourMicros?.toFixed(1) ?? ""} | ${row.theirMicros?.toFixed(1) ?? ""}`;
    return `| ${row.what} | ${row.target} | ${figures} | ${rates} | ${micros} |`;
  });
  const head = "| what | target | min / median / max | Portico /s | peer /s | Portico µs | peer µs |";
  return `${head}\n|---|---|---|---|---|---|---|\n${lines.join("\n")}\n`;
}
