/*
 * record.js
 *     What the server said of one record, put together from messages that may
 *     come in any order: pages, live changes, and verdicts of own changes.
 *
 * A verdict may come before changes with lower numbers, or after ones with
 * higher numbers.  So each field counts as of the number under which it was
 * said: that of the record as a whole (seq), or its own mark if that is later.
 * Something said counts for a field if its number is above the field's.  The
 * result does not depend on the order in which things are said.
 *
 * Pure functions; a base is never changed, a new one is made.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** @typedef {import('./types.js').Base} Base */
/** @typedef {import('./types.js').Fields} Fields */
/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Verdict} Verdict */

/** @type {Base} */
const NOTHING = { seq: 0, fields: null };

/**
 * A field may be called like something that every object has, constructor or
 * __proto__: so nothing is looked up in an object, nor set.
 * @param {Record<string, any> | null | undefined} object
 */
const mapOf = (object) => new Map(Object.entries(object ?? {}));

/**
 * whole: as of seq the record was these fields, or was not there (null).
 * @param {Base | undefined} base
 * @param {number} seq
 * @param {Fields | null} fields
 * @returns {Base}
 */
export function whole(base = NOTHING, seq, fields) {
  if (base !== NOTHING && seq <= base.seq)
    return base;
  const marks = [...mapOf(base.marks)].filter(([, at]) => at > seq);
  if (!marks.length)
    return { seq, fields };
  const next = mapOf(fields);
  const had = mapOf(base.fields);
  for (const [name] of marks) {
    if (had.has(name))
      next.set(name, had.get(name));
    else
      next.delete(name);
  }
  return { seq, fields: Object.fromEntries(next), marks: Object.fromEntries(marks) };
}

/**
 * part: as of seq these fields had these values, and those were removed.
 * @param {Base | undefined} base
 * @param {number} seq
 * @param {Fields} fields
 * @param {string[]} [removed]
 * @returns {Base}
 */
export function part(base = NOTHING, seq, fields, removed = []) {
  if (base.fields === null && base !== NOTHING && seq <= base.seq)
    return base;
  const next = mapOf(base.fields);
  const said = mapOf(fields);
  const marks = mapOf(base.marks);
  for (const name of [...said.keys(), ...removed]) {
    if (seq > (marks.get(name) ?? base.seq)) {
      if (said.has(name))
        next.set(name, said.get(name));
      else
        next.delete(name);
      marks.set(name, seq);
    }
  }
  return { seq: base.seq, fields: Object.fromEntries(next), marks: Object.fromEntries(marks) };
}

/**
 * judged: what the verdict of an own change says of the record.
 * @param {Base | undefined} base
 * @param {Change} change
 * @param {Verdict} verdict
 * @returns {Base | undefined}
 */
export function judged(base, change, verdict) {
  const { seq = 0, fields, removed } = verdict;
  if (verdict.verdict === 'rejected')
    return base;
  if (verdict.deleted)
    return whole(base, seq, null);
  if (change.kind === 'delete')
    return whole(base, seq, verdict.verdict === 'stale' ? fields ?? {} : null);
  /*
   * Of a stale change nothing was stored.  What stands was said, or will be,
   * by whoever wrote it; fields only tell it sooner.
   */
  if (verdict.verdict === 'stale')
    return part(base, seq, fields ?? {}, removed);
  const stored = { ...change.fields, ...fields };
  for (const name of removed ?? [])
    delete stored[name];
  return change.kind === 'put' ? whole(base, seq, stored) : part(base, seq, stored, removed);
}

/**
 * settled drops what need not be known any more when everything up to the
 * cursor was said and no own change is under way: marks, and that there is no
 * such record (undefined).  The record's own number stays as it is: a message
 * that begins below the cursor may yet bring a field under a number of ours.
 * @param {Base} base
 * @param {number} cursor
 * @returns {Base | undefined}
 */
export function settled(base, cursor) {
  if (Math.max(base.seq, ...Object.values(base.marks ?? {})) > cursor)
    return base;
  return base.fields ? { seq: base.seq, fields: base.fields } : undefined;
}

/**
 * shown is the record with own changes on top: null if there is none.
 * @param {Base | undefined} base
 * @param {Iterable<Change>} changes  in the order in which they were made
 * @returns {Fields | null}
 */
export function shown(base, changes) {
  let fields = base?.fields ?? null;
  for (const change of changes) {
    if (change.kind === 'delete')
      fields = null;
    else
      fields = change.kind === 'put' ? { ...change.fields } : { ...fields, ...change.fields };
  }
  return fields;
}
