/** Starts GraphiQL on this page: queries by POST, subscriptions as server-sent events. */

{
  // React's dialogs make style elements: they may, with the page's own nonce.
  const nonce = document.currentScript?.nonce ?? "";
  const page = /** @type {any} */ (globalThis);
  page.__webpack_nonce__ = nonce;

  /**
   * One answer, or one after the other: the server knows which.
   * @param {object} asked @param {{ headers?: Record<string, string> }} [options]
   */
  const fetcher = async (asked, { headers = {} } = {}) => {
    const leave = new AbortController();
    const answer = await fetch("/graphql", {
      method: "POST",
      headers: {
        ...filled(headers),
        "content-type": "application/json",
        accept: "application/graphql-response+json, text/event-stream;q=0.5",
      },
      body: JSON.stringify(asked),
      signal: leave.signal,
    });
    const isStream = answer.headers.get("content-type")?.startsWith("text/event-stream");
    return isStream ? leavable(results(answer), leave) : answer.json();
  };

  /** Whoever stops need not wait for one more event. @param {AsyncGenerator<any>} all @param {AbortController} leave */
  const leavable = (all, leave) => ({
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => all.next().catch((error) => (leave.signal.aborted ? { done: true } : Promise.reject(error))),
    return: async () => {
      leave.abort();
      return { done: true, value: undefined };
    },
  });

  /** @param {Response} answer */
  async function* results(answer) {
    let text = "";
    const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body)
      .pipeThrough(/** @type {any} */ (new TextDecoderStream()))
      .getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n\n"); end !== -1; end = text.indexOf("\n\n")) {
        const event = text.slice(0, end);
        text = text.slice(end + 2);
        if (event.startsWith("event: next\n")) yield JSON.parse(event.slice("event: next\ndata: ".length));
      }
    }
  }

  /** Those that were typed: an empty credential is none. @param {Record<string, string>} headers */
  const filled = (headers) => Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== ""));

  const { React, ReactDOM, GraphiQL } = page;
  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher,
      defaultEditorToolsVisibility: "headers",
      defaultHeaders: '{ "x-api-key": "" }',
      defaultQuery: "{\n  listBPMN(pageSize: 5) {\n    documents { id displayName }\n  }\n}\n",
      // A credential is not for the browser's storage.
      shouldPersistHeaders: false,
    }),
  );
}
