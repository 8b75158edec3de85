/** What of bpmn-moddle is used here; the package has no types at its main entry. */
declare module "bpmn-moddle" {
  export interface Warning {
    readonly message: string;
    readonly element?: unknown;
    readonly property?: string;
    readonly value?: unknown;
  }
  export class BpmnModdle {
    fromXML(xml: string): Promise<{
      readonly rootElement: unknown;
      readonly warnings: readonly Warning[];
      readonly elementsById: Readonly<Record<string, unknown>>;
    }>;
  }
}
