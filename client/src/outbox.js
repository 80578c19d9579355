/*
 * outbox.js
 *     The changes of this device that have no verdict yet, in the order of
 *     their numbers.
 *
 * Ordering: a change leaves only after it was saved (else its number could
 * be given again after a crash), and only if no earlier change of its record
 * waits: a refused change must not be followed blindly by what was built upon
 * it.  Changes of different records wait for nothing.
 *
 * A number stands for one change for ever.  So what may have left is not
 * touched any more; until then a patch folds into the change before it.  What
 * was loaded may have left before the crash.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { SyncError } from './fault.js';

/** @typedef {import('./types.js').Change} Change */

/*
 * A folded change has one clock.  Fields that another device wrote between the
 * two must not lose because of that, unless it was a matter of seconds.
 */
const FOLD_MS = 60000;

/* What a change costs besides its JSON: keys of the message around it. */
const ENVELOPE = 200;

/* A number in a list. */
const NUMBER = 10;

const encoder = new TextEncoder();

/** sizeOf is how many bytes something takes on the wire. @param {unknown} value */
export const sizeOf = (value) => encoder.encode(JSON.stringify(value)).length;

/** keyOf names a record. @param {{collection: string, id: string}} record */
export const keyOf = ({ collection, id }) => JSON.stringify([collection, id]);

export class Outbox {
  /** @param {{changes: number, bytes: number}} limits */
  constructor(limits) {
    this.limits = limits;
    this.bytes = 0;
    /** @type {Map<number, Change>} */
    this.changes = new Map();
    /** The same by record, as lists of numbers. @type {Map<string, number[]>} */
    this.records = new Map();
    /** @type {Map<number, number>} */
    this.sizes = new Map();
    /** Numbers that may have left. @type {Set<number>} */
    this.left = new Set();
    /** Changes as a storage has them. @type {Map<number, Change>} */
    this.written = new Map();
    /** Numbers that wait for an answer. @type {Set<number>} */
    this.asked = new Set();
    /** Numbers that the relay does not take together with others. @type {Set<number>} */
    this.alone = new Set();
  }

  get size() {
    return this.changes.size;
  }

  /** When the oldest was made, or undefined. */
  get since() {
    let since;
    for (const { at } of this.changes.values())
      since = since === undefined || at < since ? at : since;
    return since;
  }

  /** load takes what a storage had. @param {Change[]} changes */
  load(changes) {
    for (const change of changes) {
      this.keep(change);
      this.left.add(change.number);
      this.written.set(change.number, change);
    }
  }

  /** of lists the changes of a record. @param {string} key @returns {Change[]} */
  of(key) {
    return (this.records.get(key) ?? []).map((number) => /** @type {Change} */ (this.changes.get(number)));
  }

  /**
   * add keeps a change, and gives it as it is kept: folded into the one before
   * it, whose number it then has, or as it is.  Throws outbox_full.
   * @param {Change} change
   * @returns {Change}
   */
  add(change) {
    const last = this.of(keyOf(change)).at(-1);
    if (last && change.kind === 'patch' && last.kind !== 'delete' && !this.left.has(last.number)
      && (change.at - last.at <= FOLD_MS || Object.keys(last.fields ?? {}).every((name) => name in (change.fields ?? {}))))
      change = {
        ...last,
        fields: { ...last.fields, ...change.fields },
        clock: change.clock,
        ...(last.origins || change.origins ? { origins: [...last.origins ?? [], ...change.origins ?? []] } : {}),
      };
    const size = sizeOf(change) + ENVELOPE;
    const grown = this.bytes + size - (this.sizes.get(change.number) ?? 0);
    if (grown > this.limits.bytes || (!this.changes.has(change.number) && this.size >= this.limits.changes))
      throw new SyncError('outbox_full', `${this.size} changes of ${this.bytes} bytes are unsent`);
    this.keep(change, size);
    return change;
  }

  /** @param {Change} change @param {number} [size] */
  keep(change, size = sizeOf(change) + ENVELOPE) {
    const key = keyOf(change);
    if (!this.changes.has(change.number)) {
      const numbers = this.records.get(key);
      if (numbers)
        numbers.push(change.number);
      else
        this.records.set(key, [change.number]);
    }
    this.bytes += size - (this.sizes.get(change.number) ?? 0);
    this.sizes.set(change.number, size);
    this.changes.set(change.number, change);
  }

  /** wrote: a storage has this form of a change. @param {Change} change */
  wrote(change) {
    if (this.changes.has(change.number))
      this.written.set(change.number, change);
  }

  /** revert goes back to what a storage has of a change. @param {number} number */
  revert(number) {
    const written = this.written.get(number);
    if (written)
      this.keep(written);
    else
      this.drop(number);
  }

  /**
   * take gives changes to push, of one epoch, within the relay's limits; none
   * if there are none, with the numbers to discard before them.  One that is
   * too large for the relay comes as tooLarge.
   * @param {{bytes: number, changes: number}} limits
   * @param {Record<string, number[]>} [refused]  what to discard, by record
   * @returns {{changes: Change[], discard: number[], tooLarge?: Change}}
   */
  take(limits, refused = {}) {
    /** @type {Change[]} */
    const changes = [];
    /** @type {number[]} */
    const discard = [];
    let bytes = ENVELOPE;
    for (const change of this.changes.values()) {
      const { number } = change;
      if (this.asked.has(number) || this.written.get(number) !== change || this.records.get(keyOf(change))?.[0] !== number)
        continue;
      const before = refused[keyOf(change)] ?? [];
      const size = /** @type {number} */ (this.sizes.get(number)) + NUMBER * before.length;
      if (size + ENVELOPE > limits.bytes)
        return { changes: [], discard: [], tooLarge: change };
      if (changes.length && (this.alone.has(number) || change.epoch !== changes[0].epoch || bytes + size > limits.bytes))
        continue;
      changes.push(change);
      discard.push(...before);
      bytes += size;
      if (this.alone.has(number) || changes.length >= limits.changes)
        break;
    }
    for (const { number } of changes) {
      this.asked.add(number);
      this.left.add(number);
    }
    return { changes, discard };
  }

  /** again: these were not answered, and may be taken once more. @param {Iterable<Change>} changes */
  again(changes) {
    for (const { number } of changes)
      this.asked.delete(number);
  }

  /** drop forgets a change. @param {number} number */
  drop(number) {
    const change = this.changes.get(number);
    if (!change)
      return;
    const key = keyOf(change);
    const numbers = (this.records.get(key) ?? []).filter((n) => n !== number);
    if (numbers.length)
      this.records.set(key, numbers);
    else
      this.records.delete(key);
    this.bytes -= this.sizes.get(number) ?? 0;
    this.changes.delete(number);
    for (const set of [this.sizes, this.left, this.written, this.asked, this.alone])
      set.delete(number);
  }

  clear() {
    this.bytes = 0;
    for (const set of [this.changes, this.records, this.sizes, this.left, this.written, this.asked, this.alone])
      set.clear();
  }
}
