/** Who sends: what traces and pushed metrics say of this process. Loaded only where somebody receives them. */
import { hostname } from "node:os";
import {
  defaultResource,
  detectResources,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
} from "@opentelemetry/resources";

const instanceId = "service.instance.id";

export interface Sender {
  readonly serviceName: string;
  readonly version: string;
  /** One of several processes that are told the same. */
  readonly isWorker: boolean;
}

/** What `OTEL_RESOURCE_ATTRIBUTES` says wins; but no two processes may be one instance, or their counters were one mixed up. */
export function resourceOf({ serviceName, version, isWorker }: Sender): Resource {
  const said = detectResources({ detectors: [resourceAttributesEnvDetector] });
  const resource = defaultResource()
    .merge(
      resourceFromAttributes({
        ...{ "service.name": serviceName, "service.version": version },
        ...{ "host.name": hostname(), "process.pid": process.pid },
      }),
    )
    .merge(detectResources({ detectors: [serviceInstanceIdDetector] }))
    .merge(said);
  const given = said.attributes[instanceId];
  return isWorker && given !== undefined
    ? resource.merge(resourceFromAttributes({ [instanceId]: `${String(given)}-${process.pid}` }))
    : resource;
}
