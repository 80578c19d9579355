/*
 * plans.js
 *     Plans: what to practise on which days, and whether it was done.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { h, icon, keyed, say, toast } from './dom.js';
import { dayBefore, dayName, dayNumber, dayOf, fullDay, length, weekday } from './format.js';
import { keyOf } from './store.js';

/* How far ahead a new plan goes. */
const DAYS_AHEAD = 14;

/* tick marks a day of a plan as done or not, and offers to log it. */
function tick(store, plan, occurrence) {
  const done = !occurrence.done;
  store.occurrences.patch(occurrence.id, { done });
  if (done && occurrence.due === dayOf(Date.now()))
    toast(`${plan.title}: done.`, `Log ${length(plan.minutes)}`, () => store.entries.add({
      at: new Date().toISOString(), minutes: plan.minutes, piece_id: plan.piece_id, mood: null, notes: plan.title,
    }));
}

/* dayButton is one day of a plan, that can be ticked. */
export function dayButton(store, id) {
  return h('li', { 'data-key': keyOf('occurrence', id) }, h('button', {
    type: 'button',
    class: 'tick',
    click: () => {
      const occurrence = store.occurrences.get(id);
      tick(store, store.plans.get(occurrence.plan_id), occurrence);
    },
  }, h('small', {}), h('span', {}, h('b', {}), icon('check'))));
}

export function fillDay(item, occurrence, plan) {
  const button = item.firstElementChild;
  const today = dayOf(Date.now());
  say(button.querySelector('small'), weekday(occurrence.due));
  say(button.querySelector('b'), String(dayNumber(occurrence.due)));
  button.setAttribute('aria-pressed', occurrence.done);
  button.setAttribute('aria-label', `${plan.title}, ${dayName(occurrence.due)}`);
  button.title = fullDay(occurrence.due);
  button.classList.toggle('today', occurrence.due === today);
  button.classList.toggle('missed', !occurrence.done && occurrence.due < today);
}

export class PlansView {
  constructor(app) {
    this.app = app;
    this.store = app.store;
    this.title = 'Plans';
    this.collection = 'plan';
    this.plans = h('ul', { class: 'plans' });
    this.empty = h('div', { class: 'empty' }, icon('plans'), h('p', {}, h('b', {}, 'No plans yet')),
      h('p', {}, 'A plan says what to practise in the next two weeks, and on which days.'));
    this.root = h('section', { class: 'view', 'aria-label': this.title }, this.form(), this.plans, this.empty);
  }

  form() {
    const today = dayOf(Date.now());
    /* The days of a week, beginning today. */
    const days = Array.from({ length: 7 }, (_, i) => dayBefore(today, -i));
    return h('form', { class: 'compose card', autocomplete: 'off', submit: (event) => this.add(event) },
      h('input', { name: 'title', class: 'grow', maxlength: 200, required: true, pattern: '.*\\S.*', placeholder: 'New plan', 'aria-label': 'What the new plan is about' }),
      h('label', { class: 'minutes' }, h('input', { name: 'minutes', type: 'number', min: 1, max: 600, value: 20, required: true, inputmode: 'numeric', 'aria-label': 'Minutes' }), 'min'),
      h('fieldset', { class: 'weekdays' }, h('legend', { class: 'aside' }, 'On which days'),
        days.map((day, i) => h('label', {}, h('input', { type: 'checkbox', name: 'day', value: i, checked: i % 2 === 0 }), h('span', {}, weekday(day).slice(0, 2))))),
      h('button', { class: 'primary' }, 'Plan'));
  }

  add(event) {
    event.preventDefault();
    const { title, minutes, day } = event.target;
    const chosen = [...day].filter(({ checked }) => checked).map(({ value }) => Number(value));
    const today = dayOf(Date.now());
    const { id } = this.store.plans.add({ title: title.value.trim(), minutes: minutes.valueAsNumber, piece_id: null, notes: '' });
    for (let i = 0; i < DAYS_AHEAD; i++)
      if (chosen.includes(i % 7))
        this.store.occurrences.add({ plan_id: id, due: dayBefore(today, -i), done: false });
    event.target.reset();
    this.app.select('plan', id);
  }

  list() {
    return this.store.plans.list({ order: (a, b) => a.title.localeCompare(b.title) });
  }

  update() {
    const plans = this.list();
    const from = dayBefore(dayOf(Date.now()), 3);
    this.empty.hidden = plans.length > 0;
    keyed(this.plans, plans, {
      key: ({ id }) => id,
      make: ({ id }) => {
        const row = this.app.row(keyOf('plan', id), h('span', { class: 'text' }, h('b', {}), h('small', {})));
        row.classList.add('card');
        row.append(h('ul', { class: 'ticks' }));
        return row;
      },
      fill: (row, plan) => {
        this.app.fillRow(row, 'plan', plan.id);
        const days = this.store.occurrences.list({ where: { plan_id: plan.id }, order: 'due' });
        say(row.querySelector('b'), plan.title);
        say(row.querySelector('small'), [length(plan.minutes), plan.piece_id && this.store.titleOf(plan.piece_id),
          `${days.filter(({ done }) => done).length} of ${days.length} done`].filter(Boolean).join(' · '));
        keyed(row.querySelector('.ticks'), days.filter(({ due }) => due >= from).slice(0, 7), {
          key: ({ id }) => id,
          make: ({ id }) => dayButton(this.store, id),
          fill: (item, occurrence) => fillDay(item, occurrence, plan),
        });
      },
    });
  }
}
