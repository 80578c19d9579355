/*
 * debug.js
 *     <mirusync-debug>: messages, statistics, status, and what one wants to do
 *     to a client while developing.
 *
 * It has no message that it does not show without tokens: they are taken out
 * before anything is kept.  Only the tab that leads has messages.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { DEBUG_CSS } from './debug_css.js';
import { define, fill, h, icon, say, setAttribute, SyncElement } from './element.js';
import { newId } from '../id.js';
import { cut, takeLead, tap, wipe } from './inside.js';
import { bytesOf, clockOf, lineOf, Log, matches } from './log.js';

/** @typedef {import('../client.js').Client} Client */
/** @typedef {import('./log.js').Entry} Entry */

/* Rows in the page; the log itself keeps more. */
const ROWS = 200;

/* How many records may be made at once. */
const RECORDS_MAX = 1000;

const STATISTICS_MS = 1000;

const ALERT = 'M10 3.2l7.4 13.3H2.6zM10 8.2v3.6M10 14.1v.1';

/** What the panel says. Replace any of it by its property texts. */
export const DEBUG_TEXTS = {
  locale: 'en',
  title: 'Sync debug',
  offline: 'Go offline',
  online: 'Go online',
  cut: 'Cut connection',
  sync: 'Sync now',
  lead: 'Take the lead',
  following: 'Another tab has the connection, and its messages. Take the lead to see them here.',
  records: 'Test records',
  collection: 'Collection',
  number: 'Number',
  create: 'Create',
  created: (/** @type {number} */ count, /** @type {string} */ collection) => `${count} records written to ${collection}`,
  data: 'Local data',
  export: 'Export outbox',
  exported: (/** @type {number} */ count) => `${count} unsent changes exported`,
  wipe: 'Wipe…',
  wipeSure: (/** @type {number} */ unsent) => `Forget everything that is stored in this browser?${unsent ? ` ${unsent} unsent ${unsent === 1 ? 'change is' : 'changes are'} lost.` : ' The server keeps what it has.'}`,
  wipeYes: 'Wipe local data',
  cancel: 'Cancel',
  wiped: 'Local data wiped',
  failed: (/** @type {string} */ reason) => `That failed: ${reason}`,
  connection: 'Connection',
  status: 'Status',
  statistics: 'Since the page was opened',
  log: 'Log',
  filter: 'Filter',
  kind: 'Show',
  kinds: { '': 'Everything', messages: 'Messages', sent: 'Sent', received: 'Received', http: 'HTTP', connection: 'Connection', event: 'Events' },
  pause: 'Pause',
  resume: (/** @type {number} */ waiting) => (waiting ? `Resume (${waiting} new)` : 'Resume'),
  copy: 'Copy',
  copied: (/** @type {number} */ count) => `${count} lines copied`,
  notCopied: 'The browser does not let us copy.',
  clear: 'Clear',
  nothing: 'Nothing yet.',
  noMatch: 'Nothing matches the filter.',
  directions: { sent: 'Sent', received: 'Received', http: 'HTTP', connection: 'Step', event: 'Event' },
  amount: (/** @type {number} */ messages, /** @type {string} */ bytes) => `${messages}, ${bytes}`,
  bothWays: (/** @type {number} */ out, /** @type {number} */ in_) => `${out} out, ${in_} in`,
  connects: (/** @type {number} */ all, /** @type {number} */ again) => `${all}, of these ${again} again`,
  took: (/** @type {number} */ median, /** @type {number} */ most) => `${median} ms, at most ${most} ms`,
  counts: { sent: 'Sent', received: 'Received', changes: 'Changes', rejected: 'Rejected', connects: 'Connects', ping: 'Ping', push: 'Verdict' },
};

/** @typedef {typeof DEBUG_TEXTS} DebugTexts */

/** @type {Record<Entry['kind'], string>} */
const ARROWS = {
  sent: 'M10 16V4M5.5 8.5L10 4l4.5 4.5', received: 'M10 4v12M5.5 11.5L10 16l4.5-4.5', http: 'M3.5 7h12M12 3.5L15.5 7M16.5 13h-12M8 9.5L4.5 13 8 16.5',
  connection: 'M10 8.2a1.8 1.8 0 1 0 0 3.6a1.8 1.8 0 0 0 0-3.6z', event: 'M11 3L5 11.5h4.5L9 17l6-8.5h-4.5z',
};

/**
 * @fires export  detail: the outbox. Prevented, no file is made
 * @extends {SyncElement<DebugTexts>}
 */
export class MirusyncDebug extends SyncElement {
  /** @override */
  static css = DEBUG_CSS;
  /** @override */
  static properties = ['client', 'texts', 'sample'];
  static observedAttributes = ['collection'];

  constructor() {
    super(DEBUG_TEXTS);
    /**
     * Makes the fields of a test record; by default like a record that is there.
     * @type {((number: number, collection: string) => Record<string, any>) | null}
     */
    this.sample = null;
    this.log = new Log();
    /** @type {Client | null} */
    this.from = null;
    /** Tokens that were in use while we looked. @type {Set<string>} */
    this.secrets = new Set();
    this.paused = false;
    this.waiting = 0;
    /** @type {Entry[]} */
    this.fresh = [];
    this.drawing = false;
    this.asking = false;
    this.region = h('p', { class: 'said small', role: 'status', part: 'status' });
    this.parts = this.make();
  }

  /** @override */
  build() {
    this.parts = this.make();
    this.redraw();
  }

  make() {
    const { words: texts } = this;
    const button = (/** @type {string} */ text, /** @type {() => any} */ run, more = '') => (
      h('button', { type: 'button', class: `button ${more}`, part: 'button', click: () => this.run(run) }, text));
    const toggle = button(texts.offline, () => this.toggle());
    const cutter = button(texts.cut, () => this.client && cut(this.client));
    const sync = button(texts.sync, () => this.client?.syncNow());
    const lead = button(texts.lead, () => this.client && takeLead(this.client));
    const collections = h('datalist', { id: 'collections' });
    const collection = h('input', { class: 'field', part: 'input', type: 'text', list: 'collections', value: this.getAttribute('collection') ?? '', autocomplete: 'off' });
    const number = h('input', { class: 'field number', part: 'input', type: 'number', min: 1, max: RECORDS_MAX, value: 5 });
    const create = h('form', { class: 'group', submit: (/** @type {Event} */ event) => { event.preventDefault(); this.run(() => this.create()); } },
      h('label', {}, h('span', {}, texts.collection), collection), collections, h('label', {}, h('span', {}, texts.number), number),
      h('button', { class: 'button', part: 'button' }, texts.create));
    const yes = button(texts.wipeYes, () => this.wipe(), 'danger');
    const wipeButton = h('button', { type: 'button', class: 'button danger', part: 'button', click: () => this.confirm(true) }, texts.wipe);
    const question = h('p', {});
    const sure = h('div', {
      class: 'sure', role: 'alertdialog', 'aria-label': texts.wipeYes, hidden: true,
      keydown: (/** @type {any} */ event) => { if (event.key === 'Escape') { event.stopPropagation(); this.confirm(false); } },
    }, icon(ALERT), question, yes, h('button', { type: 'button', class: 'button', part: 'button', click: () => this.confirm(false) }, texts.cancel));
    const state = h('span', { class: 'tag', part: 'state' });
    const following = h('p', { class: 'following small muted' }, texts.following);
    const status = h('dl', { class: 'facts', part: 'facts' });
    const statistics = h('dl', { class: 'facts', part: 'facts' });
    const kind = h('select', { class: 'field', part: 'input', 'aria-label': texts.kind, change: () => this.redraw() },
      Object.entries(texts.kinds).map(([value, text]) => h('option', { value }, text)));
    const text = h('input', { class: 'field', part: 'input', type: 'search', placeholder: texts.filter, 'aria-label': texts.filter, input: () => this.redraw() });
    const pause = h('button', { type: 'button', class: 'button', part: 'button', 'aria-pressed': 'false', click: () => this.pause() }, texts.pause);
    const rows = h('ol', { class: 'rows', part: 'log', 'aria-label': texts.log, tabindex: 0 });
    const none = h('p', { class: 'none muted small' });
    fill(this.root, h('div', { class: 'panel', part: 'panel', role: 'group', 'aria-label': texts.title },
      h('header', {}, h('h2', { part: 'title' }, texts.title), state, this.region),
      h('div', { class: 'tools', part: 'tools' },
        h('fieldset', {}, h('legend', {}, texts.connection), h('div', { class: 'group' }, toggle, cutter, sync, lead)),
        h('fieldset', {}, h('legend', {}, texts.records), create),
        h('fieldset', {}, h('legend', {}, texts.data), h('div', { class: 'group' }, button(texts.export, () => this.export()), wipeButton))),
      sure, following,
      h('div', { class: 'columns' }, h('section', {}, h('h3', {}, texts.status), status), h('section', {}, h('h3', {}, texts.statistics), statistics)),
      h('div', { class: 'bar' }, h('h3', {}, texts.log), kind, text, pause,
        button(texts.copy, () => this.copy()), button(texts.clear, () => this.clear())),
      h('div', { class: 'frame' }, rows, none)));
    return { state, toggle, cut: cutter, sync, lead, collections, collection, number, wipe: wipeButton, sure, question, following, status, statistics, kind, text, pause, rows, none };
  }

  /** @override @param {Client} client */
  listen(client) {
    if (this.from !== client) {
      this.from = client;
      this.log.clear();
      this.redraw();
    }
    this.parts.collection.value ||= this.getAttribute('collection') ?? '';
    const event = (/** @type {string} */ name) => client.on(name, (what) => this.take('event', name, what));
    this.ends.push(
      tap(client, (...what) => this.take(...what)),
      client.on('status', () => this.update()),
      ...['rejected', 'error', 'user_changed'].map(event),
    );
    this.every(STATISTICS_MS, () => document.visibilityState !== 'hidden' && this.count());
    this.count();
  }

  /** @override */
  attributesChanged() {
    this.parts.collection.value = this.getAttribute('collection') ?? '';
  }

  /** @override */
  update() {
    const { client, words: texts, parts } = this;
    const { toggle, cut: cutter, lead, following, status, sync } = parts;
    const now = client?.status;
    say(parts.state, now?.state ?? '');
    parts.state.hidden = !now;
    parts.state.className = `tag ${now?.state === 'connected' ? 'good' : now?.state === 'needs-auth' ? 'bad' : 'wait'}`;
    say(toggle, client?.wanted ? texts.offline : texts.online);
    for (const each of [toggle, sync])
      each.disabled = !client;
    cutter.disabled = !now?.leading || now.state !== 'connected';
    lead.hidden = following.hidden = !now || now.leading || !client?.tabs;
    facts(status, now ? Object.entries(now).map(([name, value]) => [name, name === 'unsentSince' && typeof value === 'number' ? clockOf(value) : value === null || value === '' ? '–' : String(value)]) : []);
  }

  /** count shows the statistics. */
  async count() {
    const { client, words: texts } = this;
    const { counts } = texts;
    const all = await client?.statistics().catch(() => undefined);
    if (!all || client !== this.client)
      return;
    const spread = (/** @type {{last: number, median: number, most: number} | null} */ ms) => (ms ? texts.took(Math.round(ms.median), Math.round(ms.most)) : '–');
    facts(this.parts.statistics, [
      [counts.sent, texts.amount(all.messagesSent, bytesOf(all.bytesSent))],
      [counts.received, texts.amount(all.messagesReceived, bytesOf(all.bytesReceived))],
      [counts.changes, texts.bothWays(all.changesSent, all.changesReceived)],
      [counts.rejected, String(all.rejected)],
      [counts.connects, texts.connects(all.connects, all.reconnects)],
      [counts.ping, spread(all.ping)],
      [counts.push, spread(all.push)],
    ]);
    const { collections } = this.parts;
    const names = [...client?.views.keys() ?? []];
    if (names.join() !== [...collections.children].map((each) => /** @type {HTMLOptionElement} */ (each).value).join())
      fill(collections, names.map((value) => h('option', { value })));
  }

  /*
   * The log
   */

  /** take keeps what was logged. @param {any[]} what */
  take(...what) {
    const token = this.client?.world.credentials.token;
    if (token)
      this.secrets.add(token);
    const entry = this.log.add(Date.now(), what, [...this.secrets]);
    if (this.paused) {
      this.waiting++;
      say(this.parts.pause, this.words.resume(this.waiting));
      return;
    }
    this.fresh.push(entry);
    if (!this.drawing)
      requestAnimationFrame(() => this.draw());
    this.drawing = true;
  }

  /** draw adds the rows that came since. */
  draw() {
    this.drawing = false;
    const { rows, kind, text } = this.parts;
    const wanted = text.value.trim().toLowerCase();
    for (const entry of this.fresh.splice(0).slice(-ROWS))
      if (matches(entry, kind.value, wanted))
        rows.prepend(this.row(entry));
    while (rows.children.length > ROWS)
      rows.lastElementChild?.remove();
    this.none();
  }

  redraw() {
    const { rows, kind, text } = this.parts;
    this.fresh = [];
    fill(rows, this.log.select({ kind: kind.value, text: text.value }).slice(0, ROWS).map((entry) => this.row(entry)));
    this.none();
  }

  none() {
    const { rows, none } = this.parts;
    none.hidden = rows.children.length > 0;
    say(none, this.log.entries.length ? this.words.noMatch : this.words.nothing);
  }

  /** @param {Entry} entry */
  row({ at, kind, type, summary, detail }) {
    const line = [h('time', {}, clockOf(at)), h('span', { class: `direction ${kind}` }, icon(ARROWS[kind]), h('span', { class: 'aside' }, this.words.directions[kind])),
      h('span', { class: 'type' }, type), h('span', { class: 'summary' }, summary)];
    if (!detail)
      return h('li', { class: 'line', part: 'entry' }, line);
    /* The full text is made when it is looked at. */
    const full = h('pre', {});
    return h('li', { part: 'entry' }, h('details', { toggle: () => say(full, detail) }, h('summary', { class: 'line' }, line), full));
  }

  pause() {
    this.paused = !this.paused;
    this.waiting = 0;
    const { pause } = this.parts;
    pause.setAttribute('aria-pressed', String(this.paused));
    say(pause, this.paused ? this.words.resume(0) : this.words.pause);
    if (!this.paused)
      this.redraw();
  }

  async copy() {
    const { kind, text } = this.parts;
    const lines = this.log.select({ kind: kind.value, text: text.value }).reverse().map(lineOf);
    try {
      await navigator.clipboard.writeText(lines.join('\n'));
      return this.words.copied(lines.length);
    } catch {
      return this.words.notCopied;
    }
  }

  clear() {
    this.log.clear();
    this.redraw();
  }

  /*
   * What can be done
   */

  /** run does something, and says what came of it. @param {() => any} what */
  async run(what) {
    try {
      const said = await what();
      say(this.region, typeof said === 'string' ? said : '');
    } catch (error) {
      say(this.region, this.words.failed(/** @type {Error} */ (error).message));
    }
    this.update();
    this.count();
  }

  toggle() {
    if (this.client?.wanted)
      this.client.disconnect();
    else
      this.client?.connect();
  }

  create() {
    const { client, parts } = this;
    const name = parts.collection.value.trim();
    if (!client || !name) {
      parts.collection.focus();
      return undefined;
    }
    const count = Math.min(RECORDS_MAX, Math.max(1, Math.floor(Number(parts.number.value)) || 1));
    const collection = client.collection(name);
    const [like] = collection.getSnapshot();
    for (let i = 1; i <= count; i++)
      collection.put(newId(), this.sample ? this.sample(i, name) : sampleOf(i, like));
    return this.words.created(count, name);
  }

  async export() {
    const { client } = this;
    if (!client)
      return undefined;
    const outbox = await client.exportOutbox();
    if (this.emit('export', outbox)) {
      const url = URL.createObjectURL(new Blob([JSON.stringify(outbox, null, 2)], { type: 'application/json' }));
      const link = h('a', { href: url, download: `mirusync-outbox-${String(outbox.device).slice(0, 8)}.json` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    }
    return this.words.exported(outbox.changes.length);
  }

  /** confirm asks whether to wipe, or does so no more. @param {boolean} asking */
  confirm(asking) {
    const { sure, question, wipe: button } = this.parts;
    say(question, this.words.wipeSure(this.client?.status.unsent ?? 0));
    sure.hidden = !asking;
    setAttribute(button, 'aria-expanded', String(asking));
    if (asking)
      /** @type {HTMLElement} */ (sure.lastElementChild).focus();
    else
      button.focus();
  }

  async wipe() {
    this.confirm(false);
    const done = this.client && await wipe(this.client);
    return done ? this.words.wiped : this.words.following;
  }
}

/**
 * sampleOf makes the fields of a test record, like one that is there.
 * @param {number} number
 * @param {Record<string, any>} [like]
 */
export function sampleOf(number, like) {
  if (!like)
    return { title: `Test ${number}` };
  const { id, ...fields } = like;
  const text = Object.keys(fields).find((name) => typeof fields[name] === 'string');
  return text ? { ...fields, [text]: `Test ${number}` } : fields;
}

/** facts shows names and values, and touches only what changed. @param {HTMLElement} list @param {string[][]} pairs */
function facts(list, pairs) {
  while (list.children.length > pairs.length)
    list.lastElementChild?.remove();
  pairs.forEach(([name, value], i) => {
    const pair = list.children[i] ?? list.appendChild(h('div', {}, h('dt', {}), h('dd', {})));
    say(pair.children[0], name);
    say(pair.children[1], value);
  });
}

define('mirusync-debug', MirusyncDebug);
