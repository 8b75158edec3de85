/** A certificate for this machine in files, for a process that is started with it, and what its clients need. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { makeAuthority } from "./certificates.ts";

export interface TlsFiles {
  /** What the process is told. */
  readonly flags: readonly string[];
  /** PEM: who signed its certificate. */
  readonly ca: string;
}

export async function writeTlsFiles(folder: string): Promise<TlsFiles> {
  const authority = await makeAuthority("authority");
  const { cert, key } = await authority.sign([
    { type: "dns", value: "localhost" },
    { type: "ip", value: "127.0.0.1" },
  ]);
  const certFile = path.join(folder, "cert.pem");
  const keyFile = path.join(folder, "key.pem");
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  return { flags: ["--tls-cert", certFile, "--tls-key", keyFile], ca: authority.cert };
}
