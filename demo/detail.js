/*
 * detail.js
 *     One record: its fields, its conflicts, its history.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { h, icon, keyed, toast } from './dom.js';
import { choice, counter, number, select, tags, text } from './fields.js';
import { local, MOOD, STATUS } from './format.js';
import { pieceOptions } from './log.js';
import { dayButton, fillDay } from './plans.js';
import { keyOf } from './store.js';
import { Timeline } from './timeline.js';

const NOTES = { rule: 'manual', rows: 2, maxlength: 2000, placeholder: 'Nothing noted' };

const piece = (form) => select(form, 'piece_id', 'Piece', (control, value) => pieceOptions(control, form.store, value));
const minutes = (form) => number(form, 'minutes', 'Minutes', { min: 1, max: 600, required: true });
const title = (form, name) => text(form, 'title', name, {
  class: 'heading', maxlength: 200, required: true, 'aria-label': name, parse: (value) => value.trim() || undefined,
});

/* What is shown of each kind of record. */
const FORMS = {
  entry: {
    name: 'Entry',
    fields: (form) => [
      h('h2', { class: 'heading', 'data-field': 'title' }, 'Practice'),
      h('div', { class: 'columns uneven' },
        text(form, 'at', 'When', { type: 'datetime-local', required: true, read: (value) => (value ? local(value) : ''),
          parse: (value) => (value === local(form.record().at) ? undefined : new Date(value).toISOString()) }),
        minutes(form)),
      h('div', { class: 'columns loose' }, piece(form), choice(form, 'mood', 'It felt', MOOD, { none: true, icons: true })),
      text(form, 'notes', 'Notes', NOTES),
    ],
    deleted: () => 'The entry is deleted.',
  },
  piece: {
    name: 'Piece',
    fields: (form) => [
      title(form, 'Title'),
      text(form, 'composer', 'Composer', { class: 'subheading', maxlength: 200, placeholder: 'Composer', 'aria-label': 'Composer' }),
      choice(form, 'status', 'Status', STATUS),
      h('div', { class: 'columns three' },
        number(form, 'tempo', 'Tempo', { min: 20, max: 300, placeholder: '–' }),
        number(form, 'goal', 'Goal', { min: 20, max: 300, placeholder: '–' }),
        counter(form, 'plays', 'Played', '×')),
      tags(form, 'tags', 'Tags'),
      text(form, 'notes', 'Notes', NOTES),
    ],
    deleted: (record) => `“${record.title}” is deleted.`,
  },
  plan: {
    name: 'Plan',
    fields: (form) => [
      title(form, 'What'),
      h('div', { class: 'columns uneven' }, piece(form), minutes(form)),
      days(form),
      text(form, 'notes', 'Notes', NOTES),
    ],
    deleted: (record) => `“${record.title}” is deleted.`,
  },
};

/* days of a plan, all of them. */
function days(form) {
  const { store } = form;
  const list = h('ul', { class: 'ticks all' });
  form.add((plan) => keyed(list, store.occurrences.list({ where: { plan_id: plan.id }, order: 'due' }), {
    key: ({ id }) => id,
    make: ({ id }) => dayButton(store, id),
    fill: (item, occurrence) => fillDay(item, occurrence, plan),
  }));
  return h('div', { class: 'field-of', role: 'group', 'aria-label': 'Days' }, h('span', { class: 'label' }, 'Days'), list);
}

const withoutId = (record) => Object.fromEntries(Object.entries(record).filter(([name]) => name !== 'id'));

export class Detail {
  constructor(app, collection, id) {
    Object.assign(this, { app, store: app.store, collection, id });
    this.updates = [];
    this.writes = [];
    this.open = '';
    const { client } = this.store;
    const form = FORMS[collection];
    this.timeline = new Timeline(this.store, collection, id);
    this.conflicts = h('mirusync-conflicts', {
      '.client': client, collection, record: id, 'open-only': true, '.texts': { locale: navigator.language }, '.deviceName': (device) => this.store.deviceName(device),
    });
    this.root = h('article', { class: 'detail', 'aria-label': form.name },
      h('header', {},
        h('button', { type: 'button', class: 'plain back', click: () => app.select(collection, null) }, icon('back'), 'Back'),
        h('span', { class: 'grow' }),
        h('button', { type: 'button', class: 'plain danger', click: () => this.remove() }, icon('trash'), 'Delete')),
      this.conflicts,
      h('form', { class: 'fields', autocomplete: 'off', 'data-key': keyOf(collection, id), submit: (event) => event.preventDefault() }, form.fields(this)),
      this.timeline.root);
  }

  /* For the controls: what stands, how to write, and what to call when it changes. */
  record() {
    const record = this.store.collection(this.collection).get(this.id);
    return record && { ...record, id: this.id };
  }

  write(fields) {
    this.store.collection(this.collection).patch(this.id, fields);
  }

  add(update, write) {
    this.updates.push(update);
    if (write)
      this.writes.push(write);
  }

  update() {
    const record = this.record();
    for (const update of record ? this.updates : [])
      update(record);
    /* Conflicts that others make or decide are found by asking (store.js). */
    const open = String(this.store.conflictsOf(this.collection, this.id).map(({ id }) => id));
    if (open !== this.open)
      this.conflicts.load();
    this.open = open;
  }

  /* remove deletes the record; what goes with it comes back with it, too. */
  remove() {
    const { store, collection, id } = this;
    const records = store.collection(collection);
    const fields = withoutId(this.record());
    const days = collection === 'plan' ? store.occurrences.list({ where: { plan_id: id } }) : [];
    records.delete(id);
    this.app.select(collection, null);
    toast(FORMS[collection].deleted(fields), 'Undo', () => {
      records.put(id, fields);
      for (const day of days)
        store.occurrences.put(day.id, withoutId(day));
      this.app.select(collection, id);
    });
  }

  close() {
    for (const write of this.writes)
      write();
    this.timeline.close();
    this.root.remove();
  }
}
