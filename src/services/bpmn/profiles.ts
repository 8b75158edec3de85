/** What a document can be checked against. */
export const profiles = ["bpmn2", "lint", "executable"] as const;
export type Profile = (typeof profiles)[number];
