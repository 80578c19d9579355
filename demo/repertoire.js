/*
 * repertoire.js
 *     The repertoire: pieces with their state, tempo and how often they were played.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { h, icon, keyed, say } from './dom.js';
import { STATUS } from './format.js';
import { keyOf } from './store.js';

/* In the order in which they matter. */
const GROUPS = ['learning', 'polishing', 'ready', 'planned'];

export class RepertoireView {
  constructor(app) {
    this.app = app;
    this.store = app.store;
    this.title = 'Repertoire';
    this.collection = 'piece';
    this.groups = h('div', { class: 'days' });
    this.empty = h('div', { class: 'empty' }, icon('repertoire'), h('p', {}, h('b', {}, 'No pieces yet')),
      h('p', {}, 'Add the first piece that you want to learn.'));
    this.root = h('section', { class: 'view', 'aria-label': this.title }, this.form(), this.groups, this.empty);
  }

  form() {
    return h('form', { class: 'compose card', autocomplete: 'off', submit: (event) => this.add(event) },
      h('input', { name: 'title', class: 'grow', maxlength: 200, required: true, pattern: '.*\\S.*', placeholder: 'New piece', 'aria-label': 'Title of the new piece' }),
      h('input', { name: 'composer', class: 'grow', maxlength: 200, placeholder: 'Composer', 'aria-label': 'Composer' }),
      h('button', { class: 'primary' }, 'Add'));
  }

  add(event) {
    event.preventDefault();
    const { title, composer } = event.target;
    const { id } = this.store.pieces.add({
      title: title.value.trim(), composer: composer.value.trim(), status: 'learning', tempo: null, goal: null, plays: 0, tags: [], notes: '',
    });
    event.target.reset();
    this.app.select('piece', id);
  }

  list() {
    const rank = ({ status }) => GROUPS.indexOf(status);
    return this.store.pieces.list({ order: (a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title) });
  }

  update() {
    const pieces = this.list();
    this.empty.hidden = pieces.length > 0;
    keyed(this.groups, GROUPS.filter((status) => pieces.some((piece) => piece.status === status)), {
      key: (status) => status,
      make: (status) => h('section', {}, h('h2', { class: 'day', id: `status-${status}` }, h('span', {}, STATUS[status]), h('span', { class: 'sum' })),
        h('ul', { class: 'rows card', 'aria-labelledby': `status-${status}` })),
      fill: (section, status) => {
        const some = pieces.filter((piece) => piece.status === status);
        say(section.querySelector('.sum'), some.length === 1 ? '1 piece' : `${some.length} pieces`);
        keyed(section.querySelector('ul'), some, {
          key: ({ id }) => id,
          make: ({ id }) => this.app.row(keyOf('piece', id), h('span', { class: 'text' }, h('b', {}), h('small', {})),
            h('span', { class: 'tempo' }, h('span', {}), h('i', {}))),
          fill: (row, piece) => this.fill(row, piece),
        });
      },
    });
  }

  fill(row, piece) {
    this.app.fillRow(row, 'piece', piece.id);
    say(row.querySelector('b'), piece.title);
    say(row.querySelector('small'), [piece.composer, piece.plays ? `played ${piece.plays}×` : '', (piece.tags ?? []).map((tag) => `#${tag}`).join(' ')]
      .filter(Boolean).join(' · '));
    const tempo = row.querySelector('.tempo');
    tempo.hidden = !piece.tempo;
    say(tempo.firstElementChild, piece.goal ? `${piece.tempo} / ${piece.goal}` : String(piece.tempo));
    tempo.lastElementChild.style.setProperty('--part', piece.goal ? Math.min(1, piece.tempo / piece.goal) : 1);
    tempo.classList.toggle('full', piece.tempo >= piece.goal);
  }
}
