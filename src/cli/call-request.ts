/** What the command line asked for. */
export interface CallRequest {
  /** JSON messages to send; one unless the method streams requests. */
  readonly messages: readonly string[];
  readonly headers: readonly (readonly [string, string])[];
  readonly timeoutSeconds: number;
}
