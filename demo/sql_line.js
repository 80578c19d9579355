/*
 * sql_line.js
 *     The line of SQL: runs a statement in the database, and shows what came of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { h } from './dom.js';

const EXAMPLES = [
  ['Speed up', "UPDATE piece SET tempo = tempo + 2 WHERE composer IN ('J. S. Bach', 'Claude Debussy')"],
  ['Tag', "UPDATE piece SET tags = tags || '{concert}' WHERE status = 'ready' AND tags <> '{concert}'"],
  ['Log', "INSERT INTO entry (minutes, notes) VALUES (12, 'Logged by SQL')"],
  ['Tick all', 'UPDATE occurrence SET done = true WHERE due = current_date'],
  ['Look', 'SELECT title, status, tempo, plays, tags FROM piece ORDER BY title'],
];

const NO_KEY = 'This window has no key to the SQL line. Open the address that the terminal shows, with what stands behind the #.';

export class SqlLine {
  constructor(key) {
    this.key = key;
    this.said = document.querySelector('#said');
    this.input = document.querySelector('#statement');
    this.ran = [];
    this.at = 0;
    document.querySelector('#sql').addEventListener('submit', (event) => {
      event.preventDefault();
      this.run(this.input.value.trim());
    });
    this.input.addEventListener('keydown', (event) => this.recall(event));
    document.querySelector('#examples').append(...EXAMPLES.map(([name, statement]) => h('button', {
      type: 'button',
      class: 'chip',
      title: statement,
      click: () => {
        this.input.value = statement;
        this.input.focus();
      },
    }, name)));
    if (key)
      [[, this.input.value]] = EXAMPLES;
    else
      this.say('refused', NO_KEY);
  }

  /* recall: the arrows bring back what was run. */
  recall(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || !this.ran.length)
      return;
    event.preventDefault();
    this.at = Math.min(this.ran.length, Math.max(0, this.at + step));
    this.input.value = this.ran[this.at] ?? '';
  }

  async run(statement) {
    if (!statement)
      return;
    this.ran = [...this.ran.filter((before) => before !== statement), statement];
    this.at = this.ran.length;
    this.input.setAttribute('aria-busy', 'true');
    try {
      const answer = await fetch('/demo/sql', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${this.key}` },
        body: JSON.stringify({ statement }),
      });
      this.show(await answer.json());
    } catch {
      this.say('refused', 'The demo does not answer.');
    } finally {
      this.input.removeAttribute('aria-busy');
    }
  }

  show({ error, detail, hint, command, count, rows, ms }) {
    if (error) {
      this.say('refused', [error, detail, hint].filter(Boolean).join('. '));
      return;
    }
    const rest = count > rows.length && rows.length ? `, the first ${rows.length} are shown` : '';
    this.say('done', `${command ? `${command} ${count}` : count === 1 ? '1 row' : `${count} rows`}${rest}, ${ms.toFixed(0)} ms`);
    if (!rows.length)
      return;
    const columns = Object.keys(rows[0]);
    const cell = (value) => (value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value));
    this.said.append(h('div', { class: 'result', tabindex: 0, role: 'region', 'aria-label': 'Rows' }, h('table', {},
      h('thead', {}, h('tr', {}, columns.map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', {}, rows.map((row) => h('tr', {}, columns.map((name) => h('td', {}, cell(row[name])))))))));
  }

  say(kind, text) {
    this.said.replaceChildren(h('p', { class: kind }, text));
  }
}
