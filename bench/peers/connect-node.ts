/** connect-node 2: gRPC over clear-text HTTP/2, and Connect JSON over HTTP/1 with BENCH_HTTP1=1. */
import { createServer as createHttp1 } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { BPMNService, documentFromEnvironment } from "../message.ts";

const document = documentFromEnvironment();
const handler = connectNodeAdapter({
  routes: (router) => void router.service(BPMNService, { getBPMN: () => document }),
});
const server = process.env.BENCH_HTTP1 === "1" ? createHttp1(handler) : createHttp2(handler);
server.listen(0, "127.0.0.1", () => console.log(`ready ${(server.address() as AddressInfo).port}`));
