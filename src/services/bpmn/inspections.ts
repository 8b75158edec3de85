/** What is said about models without changing any: findings, and differences. */
import type { DiffBPMNRequest, ValidateBPMNRequest } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { demand } from "#rpc/resource.ts";
import type { Tables } from "#storage/storage.ts";
import type { Analyzer } from "./analyzer.ts";
import { inlineBytes } from "./content.ts";
import type { Examined } from "./explain.ts";
import { known, knownRevision } from "./lookup.ts";
import { toDiagnostic, toDiff } from "./model.ts";
import { checkProfiles, modelInvalid } from "./rules.ts";
import { BpmnStore } from "./store.ts";
import type { BpmnTables } from "./tables.ts";

export class Inspections {
  readonly #tables: Tables<BpmnTables>;
  readonly #analyzer: Analyzer;

  constructor(tables: Tables<BpmnTables>, analyzer: Analyzer) {
    this.#tables = tables;
    this.#analyzer = analyzer;
  }

  async validate(request: ValidateBPMNRequest, call: CallHead) {
    const asked = checkProfiles(request.profiles);
    const xml = await this.#validated(request.input, call);
    const { findings, truncated } = await this.#analyzer.validate(xml, asked, call);
    return {
      valid: findings.every(({ severity }) => severity !== "error"),
      diagnostics: findings.map(toDiagnostic),
      truncated,
    };
  }

  /** A stored document with what all checks of a model say. */
  async examine(id: string, call: CallHead): Promise<Examined> {
    const store = this.#store(call);
    const row = await known(store, id);
    const xml = await store.readContent(row.digest, row.size);
    // The analyzer is lent the bytes.
    const lent = new Uint8Array(xml);
    const { findings, truncated } = await this.#analyzer.validate(
      lent,
      checkProfiles(["bpmn2", "lint"]),
      call,
    );
    return { row, xml, findings, truncated };
  }

  /** Two revisions, two pieces of XML, or one of each. */
  async diff(request: DiffBPMNRequest, call: CallHead) {
    const { base, target } = await this.#sides(request, call);
    const answer = await this.#analyzer.diff(base, target, call);
    if (answer.kind === "invalid")
      throw modelInvalid(answer.findings, answer.side === "base" ? "baseXml" : "targetXml");
    return toDiff(answer.diff);
  }

  async #validated(input: ValidateBPMNRequest["input"], call: CallHead): Promise<Uint8Array> {
    if (input.case === "document") {
      const store = this.#store(call);
      const row = await known(store, input.value);
      return await store.readContent(row.digest, row.size);
    }
    if (input.value === undefined || input.value === "")
      demand([{ field: "xml", description: "give XML here, or the id of a stored document in document" }]);
    return inlineBytes(input.value ?? "", "xml");
  }

  async #sides(
    { id, base, target, baseXml, targetXml }: DiffBPMNRequest,
    call: CallHead,
  ): Promise<{ base: Uint8Array; target: Uint8Array }> {
    if (id === "") {
      demand(
        [
          { field: "baseXml", description: "give XML here, or an id and revisions", missing: baseXml === "" },
          {
            field: "targetXml",
            description: "give XML here, or an id and revisions",
            missing: targetXml === "",
          },
        ].filter(({ missing: isMissing }) => isMissing),
      );
      return { base: inlineBytes(baseXml, "baseXml"), target: inlineBytes(targetXml, "targetXml") };
    }
    const store = this.#store(call);
    const row = await known(store, id);
    const content = async (revision: number, xml: string, field: string): Promise<Uint8Array> => {
      if (xml !== "") return inlineBytes(xml, field);
      const { snapshot } = await knownRevision(store, row, String(revision));
      return await store.readContent(snapshot.digest, snapshot.size);
    };
    const to = target === "" ? row.revision : (await knownRevision(store, row, target)).revision;
    const from = base === "" ? Math.max(1, to - 1) : (await knownRevision(store, row, base)).revision;
    return {
      base: await content(from, baseXml, "baseXml"),
      target: await content(to, targetXml, "targetXml"),
    };
  }

  #store(call: CallHead): BpmnStore {
    const { tenant } = call.principal;
    return new BpmnStore(this.#tables.of(tenant).db, this.#tables.engine, tenant);
  }
}
