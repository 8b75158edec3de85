/** Certificates for tests, made here: an authority, and what it signs. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export interface Pem {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  readonly cert: string;
  /** @param names subject alternative names. */
  sign(names: readonly { readonly type: "dns" | "ip" | "url"; readonly value: string }[]): Promise<Pem>;
}

export async function makeAuthority(name: string): Promise<Authority> {
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
  const times = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const root: X509Certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${name}`,
      keys,
      signingAlgorithm: algorithm,
      ...times,
      extensions: [new BasicConstraintsExtension(true, undefined, true)],
    },
    webcrypto as never,
  );
  let serial = 1;
  return {
    cert: root.toString("pem"),
    sign: async (names) => {
      const own = (await webcrypto.subtle.generateKey(algorithm, true, [
        "sign",
        "verify",
      ])) as webcrypto.CryptoKeyPair;
      serial += 1;
      const cert = await X509CertificateGenerator.create(
        {
          serialNumber: serial.toString(16).padStart(2, "0"),
          subject: `CN=leaf ${serial}`,
          issuer: root.subject,
          publicKey: own.publicKey,
          signingKey: keys.privateKey,
          signingAlgorithm: algorithm,
          ...times,
          extensions: [new SubjectAlternativeNameExtension([...names])],
        },
        webcrypto as never,
      );
      const der = Buffer.from(
        await webcrypto.subtle.exportKey("pkcs8", own.privateKey as webcrypto.CryptoKey),
      );
      const body = der.toString("base64").replace(/.{64}/g, "$&\n");
      return {
        cert: cert.toString("pem"),
        key: `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}
