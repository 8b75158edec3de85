/** What an installation is: where it listens, where its data and its secret lie. */
import * as z from "zod";
import type { Option } from "./option.ts";
import { port, text, trueFalse } from "./values.ts";

export const installationOptions = {
  mode: {
    key: "mode",
    env: "PORTICO_MODE",
    flag: "--mode",
    value: "MODE",
    schema: z.enum(["development", "production"], "must be development or production"),
    default: "production for `portico serve`, development for `npm start`",
    range: "development, production",
    doc: "Development makes what production demands to be given: the secret in the data folder, for example.",
  },
  host: {
    key: "host",
    env: "PORTICO_HOST",
    flag: "--host",
    value: "ADDRESS",
    schema: text,
    default: "127.0.0.1",
    range: "an IP address, localhost",
    doc: "Address to listen on. Loopback only in development mode and without authentication.",
  },
  httpPort: {
    key: "http.port",
    env: "PORTICO_HTTP_PORT",
    flag: "--http-port",
    value: "PORT",
    schema: port,
    default: "8000",
    range: "0 to 65535; 0 takes any free port",
    doc: "REST, documentation, health and gRPC over HTTP/1 and clear-text HTTP/2.",
  },
  grpcPort: {
    key: "grpc.port",
    env: "PORTICO_GRPC_PORT",
    flag: "--grpc-port",
    value: "PORT",
    schema: port,
    default: "50051",
    range: "0 to 65535; 0 takes any free port",
    doc: "gRPC over clear-text HTTP/2.",
  },
  publicUrl: {
    key: "publicUrl",
    env: "PORTICO_PUBLIC_URL",
    flag: "--public-url",
    value: "URL",
    schema: z
      .url({ protocol: /^https?$/, error: "must be an http or https URL" })
      .transform((url) => url.replace(/\/+$/, "")),
    default: "http://localhost:<http.port>",
    range: "an http or https URL",
    doc: "Where clients reach this installation; named in the OpenAPI document and in `Location` headers.",
  },
  dataDir: {
    key: "dataDir",
    env: "PORTICO_DATA_DIR",
    flag: "--data-dir",
    value: "FOLDER",
    schema: text,
    default: ".portico",
    range: "a folder; made if missing",
    doc: "Where the embedded database and the generated secret live, relative to the working directory.",
  },
  databaseUrl: {
    key: "database.url",
    env: "PORTICO_DATABASE_URL",
    flag: "--database-url",
    value: "URL",
    schema: z
      .string()
      .regex(
        /^(sqlite:.+|memory:|postgres(ql)?:\/\/[^\s]+)$/s,
        "must be sqlite:PATH, memory: or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
      )
      .refine(
        (url) => !url.startsWith("postgres") || isUrl(url),
        "is no URL: it must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, with @ : / # ? and % of user and password written as %40 %3A %2F %23 %3F and %25",
      ),
    default: "sqlite:<dataDir>/portico.db",
    range: "sqlite:PATH, memory:, postgres://…",
    doc: "The database. `memory:` forgets everything when the process ends. PostgreSQL where more than one process writes.",
  },
  autoMigrate: {
    key: "database.autoMigrate",
    env: "PORTICO_AUTO_MIGRATE",
    flag: "--auto-migrate",
    value: "BOOLEAN",
    schema: trueFalse,
    default: "true",
    range: "true, false",
    doc: "PostgreSQL only: bring the schema up to date at the start, under a lock. With false, a schema that is not current is refused. SQLite always migrates itself.",
  },
  secretFile: {
    key: "secretFile",
    env: "PORTICO_SECRET_FILE",
    flag: "--secret-file",
    value: "FILE",
    schema: text,
    default: "<dataDir>/secret in development; none in production",
    range: "a file of exactly 32 bytes, or 64 hexadecimal digits",
    doc: "The installation's secret: page tokens, key hashes, passwords, encryption of signing keys. Shared by all its processes. Required in production.",
  },
  breachedPasswords: {
    key: "breachedPasswords",
    env: "PORTICO_BREACHED_PASSWORDS",
    flag: "--breached-passwords",
    value: "FILE",
    schema: text,
    default: "none",
    range: "a file of SHA-1 hashes in order, one a line, as Have I Been Pwned gives it out",
    doc: "Passwords that nobody may choose. Looked into where it lies; nothing is sent anywhere.",
  },
} as const satisfies Record<string, Option>;

/** As the driver reads it: its parts are decoded one by one. */
function isUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { username, password, hostname, pathname } = new URL(text);
  try {
    for (const part of [username, password, hostname, pathname]) decodeURIComponent(part);
    return true;
  } catch {
    // The driver takes a sign that is no percent-encoding as itself; one that is a wrong one it does not.
    return /%(?![0-9a-f]{2})/i.test(text);
  }
}
