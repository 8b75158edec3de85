/** Tables of the events service. A row belongs to one tenant. */
import { type Migration, rowSecurity } from "#storage/storage.ts";

export const migrations: readonly Migration[] = [
  {
    name: "events_0001_log",
    statements: (types) => {
      const { text, integer, options } = types;
      return [
        `CREATE TABLE events_log (
          tenant ${text} NOT NULL, number ${integer} NOT NULL, id ${text} NOT NULL,
          type ${text} NOT NULL, subject ${text} NOT NULL, time ${integer} NOT NULL,
          principal ${text} NOT NULL, etag ${text} NOT NULL, data ${text} NOT NULL, request_id ${text} NOT NULL,
          PRIMARY KEY (tenant, number))${options}`,
        "CREATE INDEX events_log_time ON events_log (time)",
        `CREATE TABLE events_heads (
          tenant ${text} NOT NULL, number ${integer} NOT NULL, PRIMARY KEY (tenant))${options}`,
        ...rowSecurity(types, ["events_log", "events_heads"]),
      ];
    },
  },
];
