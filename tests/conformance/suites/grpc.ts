/**
 * grpc-go's interoperability client: every case that needs no account of Google's, on both ports, in the clear and over TLS.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Listener } from "#gateway/ingress/ingress.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { startInterop } from "../grpc/server.ts";
import type { Suite } from "./suite.ts";
import { fetchTools, runProgram, toolsFolder } from "./suite.ts";

const version = "v1.85.0";
/** Left out: what needs Google's credentials (compute_engine, service_account, jwt_token, per_rpc, oauth2, google_default). */
const cases = [
  ...["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream"],
  ...["timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response"],
  ...["status_code_and_message", "special_status_message", "custom_metadata"],
  ...["unimplemented_method", "unimplemented_service", "pick_first_unary"],
  ...["rpc_soak", "channel_soak", "orca_per_rpc", "orca_oob"],
];
/** The balancer that hands the reports of the orca cases to the client. */
const balancer = JSON.stringify({ loadBalancingConfig: [{ test_backend_metrics_load_balancer: {} }] });

interface Target {
  readonly name: string;
  readonly port: number;
  readonly flags: readonly string[];
}

const portsOf = (listener: Listener, name: string, flags: readonly string[]): readonly Target[] => [
  { name: `${name} gRPC port`, port: listener.grpcPort, flags },
  { name: `${name} shared port`, port: listener.httpPort, flags },
];

/** @returns whether the case ended well. */
async function runCase(name: string, { port, flags }: Target): Promise<boolean> {
  const { code, output } = await runProgram(
    path.join(toolsFolder, "go/client"),
    [
      ...["--server_host", "127.0.0.1", "--server_port", String(port), "--test_case", name, ...flags],
      ...(name.startsWith("orca_") ? ["--service_config_json", balancer] : []),
    ],
    { timeoutMs: 60_000 },
  );
  if (code !== 0) console.error(output.trimEnd());
  return code === 0;
}

export const grpc: Suite = {
  name: "grpc",
  title: "grpc-go interop client",
  against: "gRPC, both ports, clear and TLS",
  missing: () => fetchTools("grpc"),
  run: async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "portico-interop-"));
    const put = (name: string, text: string): string => {
      writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    const authority = await makeAuthority("interop");
    const { cert, key } = await authority.sign([{ type: "ip", value: "127.0.0.1" }]);
    const clear = await startInterop();
    const secure = await startInterop({
      ...{ certFile: put("cert.pem", cert), keyFile: put("key.pem", key) },
      ...{ clientCaFile: undefined, clientCertificate: "off" },
    });
    const trust = ["--use_tls", "--use_test_ca", "--ca_file", put("ca.pem", authority.cert)];
    const failures: string[] = [];
    let passed = 0;
    try {
      for (const target of [...portsOf(clear, "clear", []), ...portsOf(secure, "TLS", trust)])
        for (const name of cases)
          if (await runCase(name, target)) passed += 1;
          else failures.push(`${target.name} ${name}`);
    } finally {
      await Promise.all([clear.close(), secure.close()]);
      rmSync(folder, { recursive: true, force: true });
    }
    return { version, passed, failures };
  },
};
