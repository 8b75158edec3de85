/** gRPC on @grpc/grpc-js with protobuf-es. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import type { BPMNDocument, GetBPMNRequest } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { BPMNDocumentSchema, documentFromEnvironment, GetBPMNRequestSchema, grpcPath } from "../message.ts";

const document = documentFromEnvironment();
const server = new Server();
server.addService(
  {
    getBPMN: {
      path: grpcPath,
      requestStream: false,
      responseStream: false,
      requestSerialize: () => Buffer.alloc(0),
      requestDeserialize: (bytes: Buffer) => fromBinary(GetBPMNRequestSchema, bytes),
      responseSerialize: (message: BPMNDocument) => Buffer.from(toBinary(BPMNDocumentSchema, message)),
      responseDeserialize: (bytes: Buffer) => fromBinary(BPMNDocumentSchema, bytes),
    },
  },
  {
    getBPMN: (_call: ServerUnaryCall<GetBPMNRequest, BPMNDocument>, done: sendUnaryData<BPMNDocument>) =>
      done(null, document),
  },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`ready ${port}`);
});
