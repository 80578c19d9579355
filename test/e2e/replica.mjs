/*
 * replica.mjs
 *     What a device of mirusync.v1 keeps, as docs/protocol.md says it: values
 *     have numbers, and of two values of a field the one with the higher number
 *     stands.  For the tests that compare devices with the database.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

import { createHash } from 'node:crypto';

/* chanceOf gives a generator to each name; what one draws is nothing to the others. */
export const chanceOf = (name) => chance(createHash('sha256').update(name).digest().readUInt32LE() % 2147483648);

/* A small generator, so that a seed repeats the choices. */
export function chance(seed) {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * below);
  };
}

/* Replica: records whose fields each have the number of their value. */
export class Replica {
  constructor() { this.records = new Map(); }

  record(id) {
    if (!this.records.has(id))
      this.records.set(id, { whole: 0, deleted: true, fields: new Map() });
    return this.records.get(id);
  }

  /* whole: all fields are known as of this number; null: the record is gone. */
  whole(id, seq, fields) {
    const record = this.record(id);
    if (seq < record.whole)
      return;
    for (const [name, value] of Object.entries(fields ?? {}))
      if ((record.fields.get(name)?.seq ?? 0) <= seq)
        record.fields.set(name, { seq, value });
    record.whole = seq;
    record.deleted = fields === null;
    for (const [name, { seq: at }] of record.fields)
      if (at < seq || (at === seq && !(name in (fields ?? {}))))
        record.fields.delete(name);
  }

  some(id, seq, fields, removed = []) {
    const record = this.record(id);
    if (seq < record.whole)
      return;
    const set = (name, value) => {
      if ((record.fields.get(name)?.seq ?? 0) <= seq)
        record.fields.set(name, { seq, value });
    };
    for (const [name, value] of Object.entries(fields))
      set(name, value);
    for (const name of removed)
      set(name, undefined);
    /* Of a batch that deletes the record and brings it back both have one number. */
    if (seq >= record.whole)
      record.deleted = false;
  }

  get state() {
    const state = {};
    for (const [id, record] of this.records)
      if (!record.deleted)
        state[id] = Object.fromEntries([...record.fields].filter(([, f]) => f.value !== undefined)
          .map(([name, f]) => [name, f.value]).sort());
    return state;
  }
}
