/** What the process writes into its log, to be looked at and changed while it runs. */
import {
  LogSettings_Level as Level,
  LogService,
  type LogSettings,
  type UpdateLogSettingsRequest,
} from "#gen/portico/admin/v1/admin_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { homeTenant } from "#rpc/principal.ts";
import { demand, maskedFields, required } from "#rpc/resource.ts";
import { type HostedService, hostService } from "#rpc/service.ts";

/** What can change a log; telemetry does. */
export interface LogControl {
  readonly logSettings: { readonly level: LevelName; readonly bodyRatio: number };
  /** A promise where other processes change theirs too. */
  changeLog(settings: { readonly level?: LevelName; readonly bodyRatio?: number }): void | Promise<void>;
}

type LevelName = "trace" | "debug" | "info" | "warn" | "error" | "silent";

const levels: ReadonlyMap<LevelName, Level> = new Map([
  ["trace", Level.TRACE],
  ["debug", Level.DEBUG],
  ["info", Level.INFO],
  ["warn", Level.WARN],
  ["error", Level.ERROR],
  ["silent", Level.SILENT],
]);

export function createLogService(log: LogControl): HostedService {
  const shown = () => ({
    level: levels.get(log.logSettings.level) ?? Level.LEVEL_UNSPECIFIED,
    bodyRatio: log.logSettings.bodyRatio,
  });
  return hostService(LogService, {
    getLogSettings: (_request, call) => {
      checkTenant(call);
      return shown();
    },
    updateLogSettings: (request, call) => {
      checkTenant(call);
      const changed = log.changeLog(changeOf(request));
      return changed instanceof Promise ? changed.then(shown) : shown();
    },
  });
}

function checkTenant({ principal }: CallHead): void {
  if (principal.tenant === homeTenant) return;
  throw new RpcError("permission_denied", {
    reason: "INSTALLATION_FORBIDDEN",
    message: `what a process writes into its log is for administrators of the installation, those of tenants/${homeTenant}`,
  });
}

/** @throws RpcError FIELD_INVALID. */
function changeOf(request: UpdateLogSettingsRequest): Parameters<LogControl["changeLog"]>[0] {
  const settings: LogSettings = required(request.logSettings, "logSettings");
  const fields = maskedFields(request.updateMask?.paths, ["level", "body_ratio"], (field) =>
    field === "level" ? settings.level !== Level.LEVEL_UNSPECIFIED : settings.bodyRatio !== undefined,
  );
  const level = [...levels].find(([, number]) => number === settings.level)?.[0];
  if (fields.includes("level") && level === undefined)
    demand([
      {
        field: "logSettings.level",
        description: `must be one of ${[...levels.keys()].join(", ").toUpperCase()}`,
      },
    ]);
  return {
    ...(fields.includes("level") && level !== undefined ? { level } : {}),
    ...(fields.includes("body_ratio") ? { bodyRatio: settings.bodyRatio ?? 0 } : {}),
  };
}
