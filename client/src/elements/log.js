/*
 * log.js
 *     What the debug panel keeps of messages and steps: the latest, in short
 *     and in full, without tokens.  Pure: the panel draws it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** @typedef {'sent' | 'received' | 'http' | 'connection' | 'event'} EntryKind */

/**
 * @typedef {object} Entry
 * @property {number} number
 * @property {number} at
 * @property {EntryKind} kind
 * @property {string} type  of the message, or what happened
 * @property {string} summary
 * @property {string} detail  in full, as JSON; nothing if the summary says it all
 */

export const HIDDEN = '•••';

const SECRET_KEYS = /^(access_?|id_?|refresh_?)?token$|^(ticket|authorization|password|passwd|secret|client_?secret|api_?key)$/i;

/* Three parts of base64url, of which the first is that of an object. */
const JWT = /\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g;

const DEPTH_MAX = 12;
const DETAIL_MAX = 8000;
const SUMMARY_MAX = 160;

/**
 * redact copies a value without what must not be shown.
 * @param {any} value
 * @param {(string | null | undefined)[]} [secrets]  hidden wherever they stand
 * @param {number} [depth]
 * @returns {any}
 */
export function redact(value, secrets = [], depth = 0) {
  if (typeof value === 'string') {
    let text = value.replace(JWT, HIDDEN);
    for (const secret of secrets)
      if (secret && secret.length >= 4)
        text = text.split(secret).join(HIDDEN);
    return text;
  }
  if (typeof value !== 'object' || value === null)
    return typeof value === 'bigint' || typeof value === 'function' || typeof value === 'symbol' ? String(value) : value;
  if (value instanceof Error)
    return redact(`${value.name}: ${value.message}`, secrets);
  if (depth >= DEPTH_MAX)
    return '…';
  if (Array.isArray(value))
    return value.map((item) => redact(item, secrets, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [redact(name, secrets),
    SECRET_KEYS.test(name) && item !== null && typeof item !== 'number' && typeof item !== 'boolean' ? HIDDEN : redact(item, secrets, depth + 1)]));
}

/** @param {string} text @param {number} most */
const shorten = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** @param {any} message  that was redacted */
function summaryOf({ type, ...rest }) {
  const { changes, verdicts, records } = rest;
  const records_ = (/** @type {any[]} */ all) => all.slice(0, 3).map((each) => [each.kind, each.collection && `${each.collection}/${each.id ?? each.record}`, each.verdict].filter(Boolean).join(' '))
    .join(', ') + (all.length > 3 ? `, and ${all.length - 3} more` : '');
  for (const list of [changes, verdicts, records])
    if (Array.isArray(list))
      return shorten(records_(list), SUMMARY_MAX);
  return shorten(Object.entries(rest).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(', '), SUMMARY_MAX);
}

export class Log {
  /** @param {number} [most]  entries that are kept */
  constructor(most = 500) {
    this.most = most;
    /** The oldest first. @type {Entry[]} */
    this.entries = [];
    this.number = 0;
  }

  /**
   * add keeps what the client logged.
   * @param {number} at
   * @param {any[]} what  as it calls its log
   * @param {(string | null | undefined)[]} [secrets]
   * @returns {Entry}
   */
  add(at, what, secrets = []) {
    const [kind, ...rest] = redact(what, secrets);
    const entry = { number: ++this.number, at, ...entryOf(kind, rest) };
    entry.detail = shorten(entry.detail, DETAIL_MAX);
    this.entries.push(entry);
    if (this.entries.length > this.most)
      this.entries.shift();
    return entry;
  }

  clear() {
    this.entries = [];
  }

  /**
   * select gives the entries of a kind that have a text, the newest first.
   * @param {{kind?: string, text?: string}} filter
   */
  select({ kind = '', text = '' }) {
    const wanted = text.trim().toLowerCase();
    return this.entries.filter((entry) => matches(entry, kind, wanted)).reverse();
  }
}

/** matches: the entry is one of these. @param {Entry} entry @param {string} kind @param {string} wanted  in small letters */
export function matches(entry, kind, wanted) {
  if (kind === 'messages' ? entry.kind === 'connection' || entry.kind === 'event' : kind && entry.kind !== kind)
    return false;
  return !wanted || `${entry.type} ${entry.summary} ${entry.detail}`.toLowerCase().includes(wanted);
}

/** @param {string} kind @param {any[]} rest @returns {{kind: EntryKind, type: string, summary: string, detail: string}} */
function entryOf(kind, rest) {
  const [first] = rest;
  if ((kind === 'sent' || kind === 'received') && typeof first === 'object' && first)
    return { kind, type: String(first.type ?? '?'), summary: summaryOf(first), detail: JSON.stringify(first, null, 2) };
  if (kind === 'http' || kind === 'event') {
    const [type, ...more] = rest;
    const body = more.find((each) => typeof each === 'object' && each);
    return {
      kind, type: String(type), summary: shorten(more.map((each) => (typeof each === 'object' && each ? summaryOf(each) : String(each))).filter(Boolean).join(' '), SUMMARY_MAX),
      detail: body ? JSON.stringify(body, null, 2) : '',
    };
  }
  /* A step: from, event, to, reason. */
  const step = rest.length === 4 && rest.every((each) => typeof each === 'string');
  return {
    kind: 'connection',
    type: step ? String(rest[1]) : String(first ?? kind),
    summary: step ? `${rest[0]} → ${rest[2]}${rest[3] ? ` (${rest[3]})` : ''}` : shorten(rest.slice(1).map((each) => (typeof each === 'object' ? JSON.stringify(each) : String(each))).join(' '), SUMMARY_MAX),
    detail: '',
  };
}

/** clockOf is a time of day, to the millisecond. @param {number} at */
export function clockOf(at) {
  const date = new Date(at);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => String(n).padStart(2, '0')).join(':') + `.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** lineOf is an entry as text, to be copied. @param {Entry} entry */
export const lineOf = ({ at, kind, type, summary, detail }) => [new Date(at).toISOString(), kind, type, detail ? JSON.stringify(JSON.parse(safe(detail, summary))) : summary].filter(Boolean).join(' ');

/** @param {string} detail @param {string} summary */
function safe(detail, summary) {
  try {
    JSON.parse(detail);
    return detail;
  } catch {
    return JSON.stringify(summary);
  }
}

/** bytesOf says an amount. @param {number} bytes */
export function bytesOf(bytes) {
  return bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
