/** What can be wrong with a contract, collected while loading and thrown together. */
export interface CatalogProblem {
  /** Path of the proto file as its descriptor names it. */
  readonly file: string;
  /** 1-based; undefined where the set carries no source info. */
  readonly line?: number;
  readonly column?: number;
  /** Full name of the method concerned. */
  readonly method?: string;
  readonly message: string;
}

export class CatalogError extends Error {
  readonly problems: readonly CatalogProblem[];

  constructor(problems: readonly CatalogProblem[]) {
    super(
      `the contract has ${problems.length} problem${problems.length === 1 ? "" : "s"}:\n${problems.map((problem) => `  ${printProblem(problem)}`).join("\n")}`,
    );
    this.name = "CatalogError";
    this.problems = problems;
  }
}

function printProblem(problem: CatalogProblem): string {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== undefined).join(":");
  return `${place}: ${problem.method === undefined ? "" : `${problem.method}: `}${problem.message}`;
}
