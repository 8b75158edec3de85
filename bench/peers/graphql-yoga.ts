/** GraphQL on graphql-yoga, its schema and resolvers written by hand for this one query. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { documentFromEnvironment } from "../message.ts";

/** Its own types bring the browser's along, and with them another `CryptoKey` for every file here. */
const name: string = "graphql-yoga";
const { createSchema, createYoga } = (await import(name)) as {
  createSchema(options: object): object;
  createYoga(options: object): RequestListener;
};

const document = documentFromEnvironment();
type Document = typeof document;

const yoga = createYoga({
  logging: false,
  graphiql: false,
  schema: createSchema({
    typeDefs: `
      scalar Timestamp
      type Label { key: String!, value: String! }
      type BPMNDocument {
        id: String!, name: String!, displayName: String!, sizeBytes: String!, etag: String!
        labels: [Label!]!, createTime: Timestamp, updateTime: Timestamp
      }
      type Query { getBPMN(id: String!): BPMNDocument }`,
    resolvers: {
      Query: { getBPMN: () => document },
      BPMNDocument: {
        sizeBytes: (source: Document) => String(source.sizeBytes),
        labels: (source: Document) => Object.entries(source.labels).map(([key, value]) => ({ key, value })),
        createTime: ({ createTime }: Document) => createTime && timestampDate(createTime).toISOString(),
        updateTime: ({ updateTime }: Document) => updateTime && timestampDate(updateTime).toISOString(),
      },
    },
  }),
});
const server = createServer((request, response) => void yoga(request, response));
server.listen(0, "127.0.0.1", () => console.log(`ready ${(server.address() as AddressInfo).port}`));
