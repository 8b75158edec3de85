/** Messages that ProtoJSON writes as one text, and what such a text looks like: in a body, a path and a query the same. */

export interface TextForm {
  isValid(text: string): boolean;
  /** To be read after the field's name. */
  readonly problem: string;
  /** Of a text that is a list: what begins a further part of it. */
  readonly separators?: RegExp;
}

const timestamp =
  /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/;

/** Date.parse takes the 30th of February for the first of March. */
function isTimestamp(text: string): boolean {
  const match = timestamp.exec(text);
  if (match === null) return false;
  const [, year, month, day] = match;
  const days = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0)).getUTCDate();
  return Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1 && Number(day) <= days;
}

function isDuration(text: string): boolean {
  return /^-?\d{1,12}(\.\d{1,9})?s$/.test(text);
}

/** Paths that come back as they were: no snake case, no empty name, no digit after an underscore. */
function isFieldMask(text: string): boolean {
  return (
    text === "" ||
    /^[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*(,[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*)*$/.test(text)
  );
}

/** By type. What has the form may still be out of range. */
export const textForms: ReadonlyMap<string, TextForm> = new Map<string, TextForm>([
  [
    "google.protobuf.Timestamp",
    { isValid: isTimestamp, problem: 'must be a time such as "2026-01-31T12:00:00Z"' },
  ],
  [
    "google.protobuf.Duration",
    {
      isValid: isDuration,
      problem: 'must be a duration such as "1.500s", of at most 315576000000 s',
    },
  ],
  [
    "google.protobuf.FieldMask",
    {
      isValid: isFieldMask,
      problem: 'must be field paths in lowerCamelCase, such as "displayName,owner.id"',
      // Each becomes a word in the form that the wire has.
      separators: /[,.A-Z]/,
    },
  ],
]);
