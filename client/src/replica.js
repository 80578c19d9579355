/*
 * replica.js
 *     What the application sees: what the server said, with own changes that
 *     have no verdict yet on top.
 *
 * Views are computed when something of their record changes, so a record never
 * shows what it was before a change that is still under way.  Whoever is told
 * of changes gets the record before and after.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { keyOf } from './outbox.js';
import { shown } from './record.js';

/** @typedef {import('./types.js').Base} Base */
/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Fields} Fields */
/** @typedef {{collection: string, id: string, before: Fields | null, after: Fields | null}} Difference */

export class Replica {
  /** @param {(key: string) => Iterable<Change>} pending  the changes of a record that wait */
  constructor(pending) {
    this.pending = pending;
    /** @type {Map<string, {collection: string, id: string, base: Base}>} */
    this.bases = new Map();
    /** Collection to id to record. @type {Map<string, Map<string, Fields>>} */
    this.views = new Map();
    /** Records with marks, or that are gone but not forgotten. @type {Set<string>} */
    this.unsettled = new Set();
  }

  /** @param {string} key */
  base(key) {
    return this.bases.get(key)?.base;
  }

  /**
   * setBase takes what the server says of a record; undefined forgets it.
   * @param {string} collection @param {string} id @param {Base | undefined} base
   */
  setBase(collection, id, base) {
    const key = keyOf({ collection, id });
    if (base)
      this.bases.set(key, { collection, id, base });
    else
      this.bases.delete(key);
    if (base && (base.marks || !base.fields))
      this.unsettled.add(key);
    else
      this.unsettled.delete(key);
  }

  /**
   * refresh computes what is shown of a record: the difference, if there is one.
   * @param {string} collection @param {string} id
   * @returns {Difference | undefined}
   */
  refresh(collection, id) {
    const key = keyOf({ collection, id });
    const before = this.views.get(collection)?.get(id) ?? null;
    const fields = shown(this.base(key), this.pending(key));
    if (same(before, fields))
      return undefined;
    return this.show(collection, id, fields);
  }

  /**
   * show sets what is shown of a record.
   * @param {string} collection @param {string} id @param {Fields | null} fields
   * @returns {Difference}
   */
  show(collection, id, fields) {
    let view = this.views.get(collection);
    if (!view)
      this.views.set(collection, view = new Map());
    const before = view.get(id) ?? null;
    const after = fields && Object.freeze('id' in fields ? { ...fields } : { id, ...fields });
    if (after)
      view.set(id, after);
    else
      view.delete(id);
    return { collection, id, before, after };
  }
}

/**
 * same: the same JSON, whatever the order of keys.  before may have an id of
 * its own that fields do not name.
 * @param {any} before @param {any} fields
 * @returns {boolean}
 */
export function same(before, fields) {
  if (!before || !fields)
    return before === fields;
  return equal(before, 'id' in fields ? fields : { id: before.id, ...fields });
}

/** @param {any} a @param {any} b @returns {boolean} */
export function equal(a, b) {
  if (a === b)
    return true;
  if (typeof a !== 'object' || typeof b !== 'object' || !a || !b || Array.isArray(a) !== Array.isArray(b))
    return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => name in b && equal(a[name], b[name]));
}
