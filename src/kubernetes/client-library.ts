/**
 * The parts of the client library that the driver uses. Its whole costs 24 ms of each start and 20 MB of each process: it loads HTTP
 * clients, proxies and OpenID Connect, which the driver does without (credentials.ts loads them for a kubeconfig).
 */
export {
  CoordinationV1Api,
  CoreV1Api,
  CustomObjectsApi,
  createConfiguration,
  Observable,
  ResponseContext,
  ServerConfiguration,
  StorageV1Api,
  wrapHttpLibrary,
} from "@kubernetes/client-node/dist/gen/index.js";
export { V1MicroTime } from "@kubernetes/client-node/dist/types.js";
