/*
 * format.js
 *     Times, lengths and fields in words.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
const DAY = 86400000;

const format = (options) => new Intl.DateTimeFormat(undefined, options);
const TIME = format({ timeStyle: 'short' });
const WEEKDAY = format({ weekday: 'long' });
const SHORT_WEEKDAY = format({ weekday: 'short' });
const DATE = format({ weekday: 'short', day: 'numeric', month: 'short' });
const FULL = format({ dateStyle: 'full', timeStyle: 'medium' });
const AGO = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

/* dayOf names the day of a time, in this place: 2026-11-23. */
export function dayOf(at) {
  const date = new Date(at);
  const two = (number) => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/* noon of a day is a time that is on it in every time zone's reckoning. */
export const noon = (day) => new Date(`${day}T12:00:00`);

/* dayBefore, or after, with a negative count. */
export const dayBefore = (day, count) => dayOf(noon(day).getTime() - count * DAY);

/* dayName: Today, Yesterday, Monday, Tue 3 Nov. */
export function dayName(day) {
  const away = Math.round((noon(day) - noon(dayOf(Date.now()))) / DAY);
  if (Math.abs(away) <= 1) {
    const text = AGO.format(away, 'day');
    return text[0].toUpperCase() + text.slice(1);
  }
  return (Math.abs(away) < 7 ? WEEKDAY : DATE).format(noon(day));
}

export const weekday = (day) => SHORT_WEEKDAY.format(noon(day));
export const dayNumber = (day) => noon(day).getDate();
export const fullDay = (day) => DATE.format(noon(day));
export const time = (at) => TIME.format(new Date(at));
export const full = (at) => FULL.format(new Date(at));

/* ago: now, 3 minutes ago, 14:05 today, else the day too. */
export function ago(at) {
  const seconds = Math.max(0, (Date.now() - new Date(at)) / 1000);
  if (seconds < 10)
    return 'just now';
  if (seconds < 60)
    return AGO.format(-Math.floor(seconds), 'second');
  if (seconds < 3600)
    return AGO.format(-Math.floor(seconds / 60), 'minute');
  const day = dayOf(at);
  return day === dayOf(Date.now()) ? time(at) : `${dayName(day)}, ${time(at)}`;
}

/* length of practice: 35 min, 1 h 20. */
export function length(minutes) {
  if (minutes < 60)
    return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60}` : `${minutes / 60} h`;
}

/* local gives a time as an input of type datetime-local has it. */
export const local = (at) => `${dayOf(at)}T${new Date(at).toTimeString().slice(0, 5)}`;

export const STATUS = { planned: 'Planned', learning: 'Learning', polishing: 'Polishing', ready: 'Ready' };
export const MOOD = { hard: 'Hard', fine: 'Fine', great: 'Great' };

/* What fields are called, in the order in which they are told of; the others are not. */
const FIELDS = {
  title: 'Title', composer: 'Composer', status: 'Status', tempo: 'Tempo', goal: 'Goal', plays: 'Played', tags: 'Tags',
  notes: 'Notes', at: 'When', minutes: 'Minutes', piece_id: 'Piece', mood: 'Mood', due: 'Day', done: 'Done',
};

export const fieldNames = Object.keys(FIELDS);
export const fieldName = (field) => FIELDS[field];

/* fieldValue shows a value of a field; nothing is null. */
export function fieldValue(field, value, titleOf = (id) => id) {
  if (value === null || value === undefined || value === '' || (Array.isArray(value) && !value.length))
    return null;
  switch (field) {
    case 'status': return STATUS[value] ?? String(value);
    case 'mood': return MOOD[value] ?? String(value);
    case 'at': return `${dayName(dayOf(value))}, ${time(value)}`;
    case 'piece_id': return titleOf(value);
    case 'done': return value ? 'Yes' : 'No';
    default: return Array.isArray(value) ? value.join(', ') : String(value);
  }
}
