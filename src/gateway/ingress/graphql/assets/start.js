/** Starts GraphiQL on this page: queries by POST, subscriptions as server-sent events. */

{
  // React's dialogs make style elements: they may, with the page's own nonce.
  const nonce = document.currentScript?.nonce ?? "";
  const page = /** @type {any} */ (globalThis);
  page.__webpack_nonce__ = nonce;

  /**
   * @param {{ query: string, operationName?: string | null }} asked
   * @param {{ headers?: Record<string, string>, documentAST?: { definitions: readonly any[] } }} [options]
   */
  const fetcher = (asked, { headers = {}, documentAST } = {}) => {
    const operation = documentAST?.definitions.find(
      ({ kind, name }) =>
        kind === "OperationDefinition" &&
        (asked.operationName == null || name?.value === asked.operationName),
    );
    return operation?.operation === "subscription" ? follow(asked, headers) : ask(asked, headers);
  };

  /** @param {object} asked @param {Record<string, string>} headers */
  const ask = async (asked, headers) =>
    (await send(asked, headers, "application/graphql-response+json")).json();

  /** @param {object} asked @param {Record<string, string>} headers */
  async function* follow(asked, headers) {
    const leave = new AbortController();
    try {
      const answer = await send(asked, headers, "text/event-stream", leave.signal);
      if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) {
        yield await answer.json();
        return;
      }
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
    } finally {
      leave.abort();
    }
  }

  /** @param {object} asked @param {Record<string, string>} headers @param {string} accept @param {AbortSignal} [signal] */
  const send = (asked, headers, accept, signal) =>
    fetch("/graphql", {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", accept },
      body: JSON.stringify(asked),
      ...(signal === undefined ? {} : { signal }),
    });

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
