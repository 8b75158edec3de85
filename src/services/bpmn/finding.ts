/** One thing wrong with a document. */
export interface Finding {
  readonly message: string;
  /** 1-based; 0 where it is not known. */
  readonly line: number;
  readonly column: number;
  readonly elementId: string;
}
