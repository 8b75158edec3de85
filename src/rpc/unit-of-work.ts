/**
 * What belongs to a change and has to be kept with it or not at all: policies put it here, and the storage runs it inside the first
 * transaction of the call, just before that commits.
 */
export type CommitWriter = (transaction: unknown) => Promise<void>;

export interface UnitOfWork {
  /** The writer runs at most once; never where the call changes nothing. */
  beforeCommit(writer: CommitWriter): void;
  /** Runs when the transaction has been committed; never where it was not. */
  afterCommit(listener: () => void): void;
  /** For the storage. @param transaction the one that is about to commit. */
  runBeforeCommit(transaction: unknown): Promise<void>;
  /** For the storage, when it has committed. */
  runAfterCommit(): void;
}
