/**
 * TLS for both ports: certificates from files, read again when they change, and what a client's certificate says.
 *
 * TLS 1.2 with forward secrecy or 1.3. A new certificate serves new connections; those that are open keep theirs.
 */
import { readFileSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { createSecureContext, type SecureContextOptions, type TLSSocket } from "node:tls";

export interface TlsFiles {
  /** Certificate chain and private key, PEM. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities of client certificates, PEM; needed unless they are off. */
  readonly clientCaFile: string | undefined;
  /** request: one that is shown has to be good; require: one has to be shown. */
  readonly clientCertificate: "off" | "request" | "require";
  /** How long browsers are to speak nothing but TLS with this host, in seconds. Default 63 072 000. */
  readonly hstsMaxAgeSeconds?: number;
}

/** A server whose certificate can be replaced. */
interface Replaceable {
  setSecureContext(options: SecureContextOptions): void;
}

/** TLS 1.2: ECDHE with authenticated encryption alone (RFC 9325). TLS 1.3 has its own. */
const ciphers = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
].join(":");

const lookEveryMs = 2000;

export class Tls {
  readonly #files: TlsFiles;
  readonly #servers: Replaceable[] = [];
  #stamp: string;
  #context: SecureContextOptions;
  readonly #timer: NodeJS.Timeout;

  /** @throws Error naming the file that cannot be read or used. */
  constructor(files: TlsFiles) {
    this.#files = files;
    this.#stamp = stampOf(files);
    this.#context = readContext(files);
    this.#timer = setInterval(() => this.#look(), lookEveryMs).unref();
  }

  /** For servers that listen. */
  serverOptions(): SecureContextOptions & {
    readonly requestCert: boolean;
    readonly rejectUnauthorized: boolean;
    readonly handshakeTimeout: number;
  } {
    const { clientCertificate } = this.#files;
    return {
      ...this.#context,
      requestCert: clientCertificate !== "off",
      // Without "require" a client may show none; one that is not good is refused by `accepts`.
      rejectUnauthorized: clientCertificate === "require",
      handshakeTimeout: 10_000,
    };
  }

  keepCurrent(server: Replaceable): void {
    this.#servers.push(server);
  }

  /** False: the client showed a certificate of nobody that is trusted here. */
  accepts(socket: TLSSocket): boolean {
    if (this.#files.clientCertificate !== "request" || socket.authorized) return true;
    return Object.keys(socket.getPeerCertificate()).length === 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    try {
      const stamp = stampOf(this.#files);
      if (stamp === this.#stamp) return;
      this.#stamp = stamp;
      this.#context = readContext(this.#files);
      for (const server of this.#servers) server.setSecureContext(this.#context);
    } catch (error) {
      // Half written, or wrong: the one in use goes on, and the files are looked at again when they change.
      process.emitWarning(`the TLS files were changed and cannot be used: ${String(error)}`);
    }
  }
}

function stampOf({ certFile, keyFile, clientCaFile }: TlsFiles): string {
  return [certFile, keyFile, clientCaFile]
    .map((file) => {
      if (file === undefined) return "";
      try {
        const { mtimeMs, size, ino } = statSync(file);
        return `${mtimeMs} ${size} ${ino}`;
      } catch (error) {
        throw new Error(
          `TLS: ${file} cannot be read (${(error as NodeJS.ErrnoException).code}); give another file`,
        );
      }
    })
    .join("\n");
}

function readContext({ certFile, keyFile, clientCaFile }: TlsFiles): SecureContextOptions {
  const options: SecureContextOptions = {
    cert: readFileSync(certFile),
    key: readFileSync(keyFile),
    ...(clientCaFile === undefined ? {} : { ca: readFileSync(clientCaFile) }),
    minVersion: "TLSv1.2",
    ciphers,
    honorCipherOrder: true,
  };
  try {
    createSecureContext(options);
  } catch (error) {
    throw new Error(
      `TLS: ${certFile} and ${keyFile} do not make a certificate with its key: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return options;
}

const certificates = new WeakMap<Socket, readonly string[]>();

/**
 * The URIs in the subject alternative names of the client's certificate, which the handshake has proved; undefined: it showed none.
 * The common name counts for nothing (RFC 9525).
 */
export function certificatesOf(socket: Socket): readonly string[] | undefined {
  if (!(socket as TLSSocket).authorized) return undefined;
  let names = certificates.get(socket);
  if (names === undefined) {
    const { subjectaltname = "" } = (socket as TLSSocket).getPeerCertificate();
    names = subjectaltname
      .split(", ")
      .filter((name) => name.startsWith("URI:"))
      .map((name) => name.slice(4));
    certificates.set(socket, names);
  }
  return names;
}

/** What answers say of it. @see https://www.rfc-editor.org/rfc/rfc6797 */
export function transportSecurityFor({ hstsMaxAgeSeconds = 63_072_000 }: TlsFiles): string {
  return `max-age=${hstsMaxAgeSeconds}; includeSubDomains`;
}
