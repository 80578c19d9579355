/*
 * time.js
 *     Times in human words.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** What is less than this ago is now. */
const NOW_MS = 10000;

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [['year', 31536000000], ['month', 2592000000], ['week', 604800000], ['day', 86400000], ['hour', 3600000], ['minute', 60000], ['second', 1000]];

/** @type {Map<string, Intl.RelativeTimeFormat>} */
const formats = new Map();

/**
 * ago says how long ago something was: 'just now', '5 minutes ago', 'yesterday'.
 * A clock that was set back makes no future of it.
 * @param {number} at
 * @param {number} now
 * @param {{locale: string, now: string}} texts
 */
export function ago(at, now, texts) {
  const ms = Math.max(0, now - at);
  if (ms < NOW_MS)
    return texts.now;
  let format = formats.get(texts.locale);
  if (!format)
    formats.set(texts.locale, format = new Intl.RelativeTimeFormat(texts.locale, { numeric: 'auto' }));
  const [unit, size] = UNITS.find(([, least]) => ms >= least) ?? ['second', 1000];
  return format.format(-Math.floor(ms / size), unit);
}

/**
 * tick is after how long what ago() says may be another, in steps that do not
 * wake the page more than needed.
 * @param {number} at
 * @param {number} now
 */
export function tick(at, now) {
  const ms = Math.max(0, now - at);
  return ms < 60000 ? 5000 : ms < 3600000 ? 20000 : 60000;
}

/**
 * timeOf is when that was, on the clock: today the time, else the day too.
 * @param {number} at
 * @param {number} now
 * @param {string} locale
 * @param {{timeZone?: string}} [zone]
 */
export function timeOf(at, now, locale, zone = {}) {
  const day = (/** @type {number} */ ms) => new Intl.DateTimeFormat('en', { dateStyle: 'short', ...zone }).format(ms);
  return new Intl.DateTimeFormat(locale, day(at) === day(now)
    ? { timeStyle: 'short', ...zone } : { dateStyle: 'medium', timeStyle: 'short', ...zone }).format(at);
}

/** millis takes a time as the server writes it, or a clock, which begins with one. @param {unknown} at @returns {number | undefined} */
export function millis(at) {
  if (typeof at === 'number')
    return at;
  const text = String(at ?? '');
  const ms = Date.parse(text);
  if (!Number.isNaN(ms))
    return ms;
  const [time] = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/.exec(text) ?? [];
  return time ? Date.parse(time) : undefined;
}
