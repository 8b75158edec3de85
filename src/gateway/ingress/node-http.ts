/**
 * What is taken of node:http, and not by an import: that reads every export, one of which is the WebSocket client, and with it all of undici is
 * loaded, which a server never uses (4 MB of resident memory and 30 ms of every start).
 */
export const { createServer, IncomingMessage, ServerResponse, STATUS_CODES } =
  process.getBuiltinModule("node:http");
