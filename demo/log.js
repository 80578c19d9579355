/*
 * log.js
 *     The practice log: the week at a glance, a form to log practice with, and
 *     the entries by day.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { h, icon, keyed, say } from './dom.js';
import { dayBefore, dayName, dayOf, length, MOOD, time, weekday } from './format.js';
import { keyOf } from './store.js';

const byDay = (entries) => {
  const days = new Map();
  for (const entry of entries)
    days.set(dayOf(entry.at), [...days.get(dayOf(entry.at)) ?? [], entry]);
  return [...days].map(([day, ofDay]) => ({ day, entries: ofDay, minutes: sum(ofDay) }));
};
const sum = (entries) => entries.reduce((all, { minutes }) => all + minutes, 0);

/* pieceOptions fills a select with the repertoire. */
export function pieceOptions(select, store, value) {
  const options = [['', 'No piece'], ...store.pieces.list({ order: 'title' }).map(({ id, title }) => [id, title])];
  if (value && !options.some(([id]) => id === value))
    options.push([value, store.titleOf(value)]);
  const text = JSON.stringify(options);
  if (select.dataset.options !== text) {
    const chosen = value ?? select.value;
    select.replaceChildren(...options.map(([id, title]) => h('option', { value: id }, title)));
    select.value = options.some(([id]) => id === chosen) ? chosen : '';
    select.dataset.options = text;
  }
  if (value !== undefined && document.activeElement !== select)
    select.value = value ?? '';
}

export class LogView {
  constructor(app) {
    this.app = app;
    this.store = app.store;
    this.title = 'Practice log';
    this.collection = 'entry';
    this.bars = h('div', { class: 'bars', 'aria-hidden': 'true' });
    this.week = h('b', {});
    this.streak = h('b', {});
    this.piece = h('select', { name: 'piece', 'aria-label': 'Piece' });
    this.days = h('div', { class: 'days' });
    this.empty = h('div', { class: 'empty' }, icon('log'), h('p', {}, h('b', {}, 'Nothing logged yet')),
      h('p', {}, 'What did you practise today? Write it above, also without a connection.'));
    this.root = h('section', { class: 'view', 'aria-label': this.title }, this.summary(), this.form(), this.days, this.empty);
  }

  summary() {
    return h('div', { class: 'summary card' },
      h('p', { class: 'figure' }, this.week, h('span', {}, 'in seven days')),
      h('p', { class: 'figure' }, this.streak, h('span', {}, 'in a row')),
      this.bars);
  }

  form() {
    return h('form', { class: 'compose card', autocomplete: 'off', submit: (event) => this.add(event) },
      this.piece,
      h('label', { class: 'minutes' }, h('input', { name: 'minutes', type: 'number', min: 1, max: 600, value: 25, required: true, inputmode: 'numeric', 'aria-label': 'Minutes' }), 'min'),
      h('input', { name: 'notes', class: 'grow', maxlength: 500, placeholder: 'What did you practise?', 'aria-label': 'What did you practise?' }),
      h('button', { class: 'primary' }, 'Log'));
  }

  add(event) {
    event.preventDefault();
    const { minutes, notes, piece } = event.target;
    this.store.entries.add({
      at: new Date().toISOString(),
      minutes: minutes.valueAsNumber,
      piece_id: piece.value || null,
      mood: null,
      notes: notes.value.trim(),
    });
    notes.value = '';
    notes.focus();
  }

  /* list gives what can be selected, in the order in which it is shown. */
  list() {
    return this.store.entries.list({ order: (a, b) => new Date(b.at) - new Date(a.at) || (a.id < b.id ? -1 : 1) });
  }

  update() {
    const entries = this.list();
    pieceOptions(this.piece, this.store);
    this.showWeek(entries);
    this.empty.hidden = entries.length > 0;
    keyed(this.days, byDay(entries), {
      key: ({ day }) => day,
      make: ({ day }) => h('section', {}, h('h2', { class: 'day', id: `day-${day}` }, h('span', {}), h('span', { class: 'sum' })),
        h('ul', { class: 'rows card', 'aria-labelledby': `day-${day}` })),
      fill: (section, { day, entries: ofDay, minutes }) => {
        say(section.querySelector('h2 span'), dayName(day));
        say(section.querySelector('.sum'), length(minutes));
        keyed(section.querySelector('ul'), ofDay, {
          key: ({ id }) => id,
          make: ({ id }) => this.app.row(keyOf('entry', id), h('span', { class: 'badge' }), h('span', { class: 'text' }, h('b', {}), h('small', {})),
            h('span', { class: 'mood' })),
          fill: (row, entry) => this.fill(row, entry),
        });
      },
    });
  }

  fill(row, entry) {
    this.app.fillRow(row, 'entry', entry.id);
    say(row.querySelector('.badge'), String(entry.minutes));
    say(row.querySelector('b'), entry.piece_id ? this.store.titleOf(entry.piece_id) : entry.notes || 'Free practice');
    say(row.querySelector('small'), [time(entry.at), entry.piece_id && entry.notes].filter(Boolean).join(' · '));
    const mood = row.querySelector('.mood');
    if (mood.dataset.mood !== String(entry.mood)) {
      mood.dataset.mood = entry.mood;
      mood.replaceChildren(...(entry.mood ? [icon(entry.mood), h('span', { class: 'aside' }, `Felt: ${MOOD[entry.mood]}`)] : []));
    }
  }

  showWeek(entries) {
    const today = dayOf(Date.now());
    const minutes = new Map();
    for (const entry of entries)
      minutes.set(dayOf(entry.at), (minutes.get(dayOf(entry.at)) ?? 0) + entry.minutes);
    const days = Array.from({ length: 7 }, (_, i) => dayBefore(today, 6 - i));
    const most = Math.max(30, ...days.map((day) => minutes.get(day) ?? 0));
    say(this.week, length(days.reduce((all, day) => all + (minutes.get(day) ?? 0), 0)));
    let streak = 0;
    while (minutes.has(dayBefore(today, streak + (minutes.has(today) ? 0 : 1))))
      streak++;
    say(this.streak, streak === 1 ? '1 day' : `${streak} days`);
    keyed(this.bars, days, {
      key: (day) => day,
      make: (day) => h('span', { class: day === today ? 'today' : '' }, h('i', {}), h('small', {}, weekday(day).slice(0, 2))),
      fill: (bar, day) => bar.firstElementChild.style.setProperty('--height', (minutes.get(day) ?? 0) / most),
    });
  }
}
