/*
 * timeline.js
 *     The history of a record, newest first: who changed it, when, from what to
 *     what.  On top stands what this device has not sent yet.
 *
 * The server has the history, so without a connection what was last seen stays.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { h, icon, keyed, say } from './dom.js';
import { ago, fieldName, fieldNames, fieldValue, full } from './format.js';

/* What is said of rules that do more than replace a value. */
const RULES = { counter: 'adds up', set: 'merges' };

/* Who changes a record but devices that push. */
const ORIGINS = {
  sql: { who: 'SQL', icon: 'database' },
  trigger: { who: 'A trigger', icon: 'database' },
  resolve: { who: 'You', icon: 'check', verb: 'decided a conflict' },
};

/* Changes come in bunches. */
const SETTLE_MS = 150;
const LIMIT = 30;

const ofValue = (from, to) => [
  from !== null && h('del', {}, from),
  from !== null && h('span', { class: 'arrow', 'aria-hidden': 'true' }, '→'),
  h('ins', {}, to ?? 'nothing'),
];

/* ofSet tells what was added and what was removed. */
const ofSet = (from, to) => [
  ...to.filter((one) => !from.includes(one)).map((one) => h('ins', { class: 'one' }, `+ ${one}`)),
  ...from.filter((one) => !to.includes(one)).map((one) => h('del', { class: 'one' }, one)),
];

export class Timeline {
  constructor(store, collection, id) {
    Object.assign(this, { store, collection, id });
    this.changes = [];
    this.limit = LIMIT;
    this.more = h('button', { type: 'button', class: 'plain', hidden: true, click: () => {
      this.limit += LIMIT;
      this.refresh(0);
    } }, 'Show older changes');
    this.state = h('p', { class: 'faint' }, 'Loading …');
    this.list = h('ol', { class: 'timeline' });
    this.root = h('section', { class: 'history', 'aria-labelledby': 'history-title' },
      h('h2', { id: 'history-title' }, 'History'), this.state, this.list, this.more);
    const { client } = store;
    this.unlisten = [
      client.on('*', (event) => event.collection === collection && event.id === id && this.refresh()),
      client.on('verdict', ({ change }) => change.collection === collection && change.id === id && this.refresh()),
      client.on('status', () => client.status.caughtUp !== this.wasThere && this.refresh()),
    ];
    this.ticking = setInterval(() => this.show(), 20000);
    this.refresh(0);
  }

  close() {
    this.closed = true;
    clearInterval(this.ticking);
    clearTimeout(this.timer);
    for (const end of this.unlisten)
      end();
  }

  refresh(after = SETTLE_MS) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), after);
  }

  async load() {
    const { client } = this.store;
    this.wasThere = client.status.caughtUp;
    const [changes, { changes: outbox }] = await Promise.all([
      this.wasThere ? client.history(this.collection, this.id, { limit: this.limit }).catch(() => null) : null,
      client.exportOutbox(),
    ]);
    if (this.closed)
      return;
    if (changes)
      this.changes = changes;
    this.missing = !changes;
    this.waiting = outbox.filter(({ collection, id }) => collection === this.collection && id === this.id);
    this.show();
  }

  show() {
    const items = [...this.changes].reverse().map((change) => ({ key: change.seq, change }));
    for (const { number, at, kind, fields = {} } of this.waiting ?? [])
      items.unshift({ key: `waiting ${number}`, waiting: true, change: {
        at, kind, origin: 'push', device: this.store.client.status.device,
        changes: Object.fromEntries(Object.entries(fields).map(([name, to]) => [name, { to }])),
      } });
    this.more.hidden = this.changes.length < this.limit;
    this.state.hidden = !this.missing && items.length > 0;
    say(this.state, this.missing
      ? this.changes.length ? 'As it was when this device was last online.' : 'The history is shown when this device is online.'
      : 'No history yet.');
    keyed(this.list, items, {
      key: ({ key }) => key,
      make: ({ change, waiting }) => this.make(change, waiting),
      fill: (item, { change, waiting }) => {
        say(item.querySelector('time'), waiting ? 'not sent yet' : ago(change.at));
        say(item.querySelector('.who'), this.who(change));
      },
    });
  }

  who({ origin, device }) {
    return ORIGINS[origin]?.who ?? this.store.deviceName(device);
  }

  make(change, waiting) {
    const { kind, origin, at } = change;
    const { icon: sign, verb = { put: 'added it', patch: 'changed', delete: 'deleted it' }[kind] } = ORIGINS[origin] ?? {};
    const { device } = this.store.client.status;
    return h('li', { class: `${origin} ${waiting ? 'waiting' : ''}` },
      h('span', { class: 'dot' }, icon(sign ?? (/laptop|desk/i.test(this.who(change)) ? 'laptop' : 'phone'))),
      h('p', {}, h('b', { class: 'who' }), ' ', verb,
        change.device === device && origin === 'push' ? h('span', { class: 'faint' }, ' · this device') : null,
        h('time', { datetime: new Date(at).toISOString(), title: full(at) })),
      this.fields(change));
  }

  fields({ kind, changes = {}, rule, field_rules: rules = {} }) {
    const title = (id) => this.store.titleOf(id);
    const lines = [];
    for (const field of fieldNames.filter((name) => name in changes)) {
      const { from, to } = changes[field];
      const [former, now] = [fieldValue(field, from, title), fieldValue(field, to, title)];
      if (former === now || kind === 'delete')
        continue;
      const how = kind === 'patch' && RULES[rules?.[field] ?? rule];
      lines.push(h('li', {}, h('span', { class: 'field' }, fieldName(field)),
        h('span', { class: 'change' }, kind === 'patch' && Array.isArray(to) ? ofSet(from ?? [], to) : ofValue(former, now),
          how && h('span', { class: 'rule' }, how))));
    }
    if (!lines.length)
      return kind === 'patch' ? h('p', { class: 'faint' }, 'Wrote what stood there already.') : null;
    const list = h('ul', { class: 'changes' }, lines);
    return kind === 'put' && lines.length > 2 ? h('details', {}, h('summary', {}, `${lines.length} fields`), list) : list;
  }
}
