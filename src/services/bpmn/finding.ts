/** One thing wrong with a document. */
export interface Finding {
  readonly severity: "error" | "warning";
  /** Stable, "<profile>/<rule>": `bpmn/duplicate-id`, `lint/no-implicit-split`, `executable/binding-missing`. */
  readonly code: string;
  readonly message: string;
  /** What to do about it; empty where nothing general can be said. */
  readonly hint: string;
  /** 1-based; 0 where it is not known. */
  readonly line: number;
  readonly column: number;
  readonly elementId: string;
}

/** A finding about an element, whose place is still to be looked up. */
export type Unplaced = Omit<Finding, "line" | "column">;
