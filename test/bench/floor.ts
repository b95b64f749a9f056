import process from "node:process";
import { type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";

/**
 * The floor of start and memory: the least program of the same runtime that answers an RPC. Compiled as the driver is; its argument is
 * the socket.
 */
const probe: handleUnaryCall<Buffer, Buffer> = (_, done) => done(null, Buffer.alloc(0));
const bytes = (value: Buffer): Buffer => value;
const server = new Server();
server.addService(
  {
    probe: {
      path: "/csi.v1.Identity/Probe",
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
  },
  { probe },
);
server.bindAsync(`unix:${process.argv[2]}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
process.on("SIGTERM", () => process.exit(0));
