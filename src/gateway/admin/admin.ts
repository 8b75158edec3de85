/**
 * The gateway's own services: gRPC health and server reflection, hosted like any other service.
 *
 * Health knows every hosted service and the server as a whole (""); reflection serves the descriptors exactly as they were
 * loaded, so custom options survive; log settings change what this process writes into its log. Only those can be changed.
 */

export { createHealth, type Health } from "./health.ts";
export { createLogService, type LogControl } from "./log-settings.ts";
export { reasons } from "./reasons.ts";
export { createReflection } from "./reflection.ts";
