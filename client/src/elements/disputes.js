/*
 * disputes.js
 *     Conflicts as people see them: by record, each side with who wrote it.
 *     Pure: the panel draws it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { millis } from './time.js';

/** @typedef {import('../types.js').Conflict} Conflict */

/**
 * @typedef {object} Side
 * @property {'stored' | 'incoming'} name  as resolve() calls it
 * @property {any} value
 * @property {'mine' | 'sql' | 'other'} who
 * @property {string | null} device
 * @property {number | undefined} at
 */

/** @typedef {{key: string, collection: string, record: string, at: number, conflicts: Conflict[]}} Dispute */

/** recordKey names a record. @param {{collection: string, record: string}} conflict */
export const recordKey = ({ collection, record }) => JSON.stringify([collection, record]);

/**
 * disputesOf puts the conflicts of a record together, the newest record first.
 * @param {Conflict[]} conflicts
 * @returns {Dispute[]}
 */
export function disputesOf(conflicts) {
  /** @type {Map<string, Dispute>} */
  const disputes = new Map();
  for (const conflict of conflicts) {
    const key = recordKey(conflict);
    const at = millis(conflict.at) ?? 0;
    const dispute = disputes.get(key);
    if (!dispute) {
      disputes.set(key, { key, collection: conflict.collection, record: conflict.record, at, conflicts: [conflict] });
    } else {
      dispute.at = Math.max(dispute.at, at);
      dispute.conflicts.push(conflict);
    }
  }
  for (const { conflicts: all } of disputes.values())
    all.sort((a, b) => (a.field ?? '').localeCompare(b.field ?? '') || a.id - b.id);
  return [...disputes.values()].sort((a, b) => b.at - a.at);
}

/**
 * sidesOf gives both sides, this device's first.
 * @param {Conflict} conflict
 * @param {string} device  this one
 * @returns {[Side, Side]}
 */
export function sidesOf(conflict, device) {
  const side = (/** @type {'stored' | 'incoming'} */ name) => {
    const writer = conflict[/** @type {'stored_device'} */ (`${name}_device`)] ?? null;
    return {
      name,
      value: conflict[name],
      who: /** @type {Side['who']} */ (writer === null ? 'sql' : writer === device ? 'mine' : 'other'),
      device: writer,
      at: millis(conflict[/** @type {'stored_clock'} */ (`${name}_clock`)]),
    };
  };
  const [stored, incoming] = [side('stored'), side('incoming')];
  return incoming.who === 'mine' && stored.who !== 'mine' ? [incoming, stored] : [stored, incoming];
}

/**
 * namesOf says who wrote each side; never the same name twice.
 * @param {[Side, Side]} sides
 * @param {{mine: string, sql: string, other: string, numbered: (name: string, short: string) => string, earlier: string, later: string}} texts
 * @param {((device: string) => string | null | undefined) | null} [deviceName]
 * @returns {[string, string]}
 */
export function namesOf(sides, texts, deviceName) {
  const names = sides.map(({ who, device }) => (
    who === 'mine' ? texts.mine : (device !== null && deviceName?.(device)) || texts[who]));
  if (names[0] !== names[1])
    return [names[0], names[1]];
  if (sides[0].device !== sides[1].device)
    return /** @type {[string, string]} */ (sides.map(({ device }, i) => texts.numbered(names[i], (device ?? '').slice(-4))));
  const first = (sides[0].at ?? 0) <= (sides[1].at ?? 0);
  return [texts.numbered(names[0], first ? texts.earlier : texts.later), texts.numbered(names[1], first ? texts.later : texts.earlier)];
}

/** fieldName makes words of a column's name. @param {string} field */
export function fieldName(field) {
  const words = field.replace(/[_-]+/g, ' ').replace(/([a-z\d])([A-Z])/g, '$1 $2').trim().toLowerCase();
  return words ? words[0].toUpperCase() + words.slice(1) : field;
}

/** What records are mostly called by. */
const NAMES = ['title', 'name', 'label', 'subject'];

/**
 * recordName is what people may call a record.
 * @param {{collection: string, record: string, fields?: Record<string, any>}} which
 */
export function recordName({ collection, record, fields }) {
  for (const name of NAMES)
    if (typeof fields?.[name] === 'string' && fields[name].trim())
      return fields[name].trim();
  return `${fieldName(collection)} ${record.length > 12 ? `${record.slice(0, 8)}…` : record}`;
}
