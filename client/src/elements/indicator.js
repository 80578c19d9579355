/*
 * indicator.js
 *     <mirusync-indicator>: whether all is synced, and if not, why.
 *
 * What is drawn follows every status, and ages go on by themselves.  What is
 * read aloud is another matter: a live region says only what has come to mean
 * something else, and has meant it for a moment.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { define, draw, fill, h, icon, say, setAttribute, SyncElement } from './element.js';
import { retry } from './inside.js';
import { INDICATOR_TEXTS, isInSync, meaningOf } from './meaning.js';
import { tick } from './time.js';

/** @typedef {import('../client.js').Client} Client */
/** @typedef {import('./meaning.js').IndicatorTexts} IndicatorTexts */
/** @typedef {import('./meaning.js').Meaning} Meaning */

/* How long something has to be so to be read aloud. */
const STEADY_MS = 600;

/* How long "Trying…" is shown if nothing else comes of it. */
const TRYING_MS = 3000;

const RING = 'M10 2.6a7.4 7.4 0 1 0 0 14.8a7.4 7.4 0 0 0 0-14.8z';

/** @type {Record<Meaning['kind'], string>} */
const ICONS = {
  synced: `${RING}M6.7 10.2l2.3 2.3 4.3-4.7`,
  sending: `${RING}M10 13.4V6.9M7.2 9.5L10 6.7l2.8 2.8`,
  slow: `${RING}M10 6.2V10l2.6 1.6`,
  receiving: `${RING}M10 6.6v6.5M7.2 10.5l2.8 2.8 2.8-2.8`,
  connecting: 'M10 2.6a7.4 7.4 0 1 1-7.4 7.4',
  offline: 'M3 3l14 14M7.6 5.2a5 5 0 0 1 7 3.4a3.6 3.6 0 0 1 2 5.9M13.6 15.6H6.2a3.7 3.7 0 0 1-.8-7.3',
  paused: 'M3 3l14 14M7.6 5.2a5 5 0 0 1 7 3.4a3.6 3.6 0 0 1 2 5.9M13.6 15.6H6.2a3.7 3.7 0 0 1-.8-7.3',
  off: `${RING}M8.1 7.3v5.4M11.9 7.3v5.4`,
  none: `${RING}M8.1 7.3v5.4M11.9 7.3v5.4`,
  stopped: 'M10 3.2l7.4 13.3H2.6zM10 8.2v3.6M10 14.1v.1',
  'signed-out': 'M5 9.4h10v7.2H5zM7.1 9.4V6.8a2.9 2.9 0 0 1 5.8 0v2.6',
};

const CSS = `
:host { display: inline-block; position: relative; vertical-align: middle; max-width: 100%; }
:host([form="detailed"]) { display: block; max-width: 24rem; }
.pill {
  display: inline-flex; align-items: center; gap: .5em; max-width: 100%; min-height: 2.15em; padding: .2em .8em .2em .55em;
  border: 1px solid var(--line); border-radius: 99px; background: var(--ground); font-weight: 550; cursor: pointer;
  transition: background-color .12s, border-color .12s;
}
.pill:hover { background: var(--raised); border-color: var(--edge); }
.pill .title { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
[data-tone="good"] { --tone: var(--good); }
[data-tone="wait"] { --tone: var(--wait); }
[data-tone="bad"] { --tone: var(--bad); }
[data-tone="off"] { --tone: var(--muted); }
.tone { color: var(--tone); }
.count { flex: none; color: var(--tone); }
.card { padding: 1.05em 1.15em 1.1em; border: 1px solid var(--line); border-radius: var(--radius); background: var(--ground); text-wrap: pretty; }
:host(:not([form="detailed"])) .card {
  position: absolute; z-index: 10; top: calc(100% + 8px); inset-inline-start: 0; width: min(20.5rem, calc(100vw - 24px)); box-shadow: var(--shadow);
}
:host(:not([form="detailed"])) .card.end { inset-inline: auto 0; }
:host(:not([form="detailed"])) .card.above { top: auto; bottom: calc(100% + 8px); }
.head { display: flex; gap: .7em; }
.head .icon { width: 1.55em; height: 1.55em; margin-block-start: -.1em; }
.head h2 { font-size: 1.07em; }
.head p { color: var(--muted); margin-block-start: .15em; }
.facts { display: grid; grid-template-columns: auto 1fr; gap: .4em 1.2em; margin-block-start: .95em; padding-block-start: .9em; border-block-start: 1px solid var(--line); }
dt { color: var(--muted); }
dd { overflow-wrap: anywhere; }
.actions { margin-block-start: 1em; display: flex; gap: .5em; flex-wrap: wrap; }
.spin { animation: spin 1.1s linear infinite; }
@keyframes spin { to { transform: rotate(1turn); } }
@media (prefers-reduced-motion: reduce) { .spin { animation: none; } }
`;

/** When each client was last in sync, as far as its indicators saw. @type {WeakMap<Client, number>} */
const seen = new WeakMap();

/**
 * Remembers it beyond the page: {device, at}; a device that was wiped has another id.
 * @param {Client} client
 */
const keyOf = (client) => `mirusync.synced:${client.options?.name ?? 'default'}`;

/** @param {Client} client @returns {number | null} */
function recall(client) {
  const at = seen.get(client);
  if (at !== undefined)
    return at;
  try {
    const kept = JSON.parse(localStorage.getItem(keyOf(client)) ?? 'null');
    return kept?.device === client.status.device && Number.isFinite(kept.at) ? kept.at : null;
  } catch {
    return null;
  }
}

/** @param {Client} client @param {number} at */
function remember(client, at) {
  seen.set(client, at);
  try {
    localStorage.setItem(keyOf(client), JSON.stringify({ device: client.status.device, at }));
  } catch {
    /* Then this page only. */
  }
}

/**
 * @fires retry  before it connects again; detail: {action}. Prevented, nothing happens:
 *   for an application that has the user sign in first
 * @extends {SyncElement<IndicatorTexts>}
 */
export class MirusyncIndicator extends SyncElement {
  /** @override */
  static css = CSS;
  static observedAttributes = ['form'];

  constructor() {
    super(INDICATOR_TEXTS);
    this.open = false;
    this.wasInSync = false;
    this.trying = false;
    /** What was read last, and what is about to be: keys of meanings. */
    this.announced = '';
    this.pending = '';
    this.latest = '';
    /** @type {any} */
    this.announcing = undefined;
    /** @type {any} */
    this.tryingTimer = undefined;
    /** @type {any} */
    this.ticking = undefined;
    /* Kept for good: a live region that comes anew is not read. */
    this.region = h('div', { class: 'aside', role: 'status', part: 'status' });
    this.parts = this.make();
  }

  get detailed() {
    return this.getAttribute('form') === 'detailed';
  }

  /** @override */
  build() {
    this.parts = this.make();
  }

  make() {
    const { words: texts } = this;
    const pill = { icon: icon(''), title: h('span', { class: 'title', part: 'title' }), count: h('span', { class: 'tag count', part: 'count' }) };
    const head = { icon: icon(''), title: h('h2', { part: 'title', tabindex: -1 }), detail: h('p', { part: 'detail' }) };
    const fact = (/** @type {string} */ name, /** @type {string} */ label) => ({ term: h('dt', {}, label), fact: h('dd', { part: name }) });
    const rows = { unsent: fact('unsent', texts.unsentLabel), synced: fact('synced', texts.syncedLabel), reason: fact('reason', texts.reasonLabel) };
    const facts = h('dl', { class: 'facts', part: 'facts' }, Object.values(rows).flatMap((row) => [row.term, row.fact]));
    const retry = h('button', { type: 'button', class: 'button primary', part: 'button', click: () => this.retry() });
    const actions = h('div', { class: 'actions' }, retry);
    const toggle = h('button', {
      type: 'button', class: 'pill', part: 'pill', 'aria-expanded': String(this.open), 'aria-controls': 'card', click: () => this.toggle(!this.open),
    }, h('span', { class: 'aside' }, `${texts.label}: `), pill.icon, pill.title, pill.count);
    const card = h('div', { id: 'card', class: 'card', part: 'card', role: 'group', 'aria-label': texts.label },
      h('div', { class: 'head' }, head.icon, h('div', {}, head.title, head.detail)), facts, actions);
    fill(this.root, toggle, card, this.region);
    return { pill, head, rows, facts, retry, actions, toggle, card };
  }

  /** @override */
  attributesChanged() {
    this.form();
    this.update();
  }

  form() {
    this.parts.toggle.hidden = this.detailed;
    this.parts.card.hidden = !this.detailed && !this.open;
  }

  /** @override @param {Client} client */
  listen(client) {
    this.wasInSync = isInSync(client.status);
    this.ends.push(client.on('status', () => this.changed()), client.on('user_changed', () => {
      seen.delete(client);
      this.update();
    }));
    this.on(window, 'online', () => this.update());
    this.on(window, 'offline', () => this.update());
    this.on(document, 'visibilitychange', () => this.update());
    this.on(document, 'pointerdown', (event) => this.open && !event.composedPath().includes(this) && this.toggle(false));
    this.on(this, 'keydown', (event) => {
      if (event.key !== 'Escape' || !this.open)
        return;
      event.stopPropagation();
      this.toggle(false);
      this.parts.toggle.focus();
    });
    this.on(this.root, 'focusout', (event) => {
      if (this.open && event.relatedTarget && !this.root.contains(event.relatedTarget))
        this.toggle(false);
    });
    this.ends.push(() => {
      clearTimeout(this.ticking);
      clearTimeout(this.announcing);
      clearTimeout(this.tryingTimer);
      this.trying = false;
    });
  }

  /** changed: the client's status. */
  changed() {
    const { client } = this;
    if (!client)
      return;
    if (this.wasInSync)
      remember(client, Date.now());
    this.wasInSync = isInSync(client.status);
    this.trying = false;
    this.update();
  }

  /** @override */
  update() {
    const { client } = this;
    this.form();
    const now = Date.now();
    if (client && isInSync(client.status))
      remember(client, now);
    const synced = client && recall(client);
    const meaning = meaningOf(client?.status ?? null, { now, synced, online: globalThis.navigator?.onLine !== false, texts: this.words });
    this.show(meaning);
    this.announce(meaning);
    clearTimeout(this.ticking);
    const ages = [client?.status.unsentSince, synced].filter((at) => typeof at === 'number');
    if (client && ages.length && document.visibilityState !== 'hidden')
      this.ticking = setTimeout(() => this.update(), Math.min(...ages.map((at) => tick(at, now))));
  }

  /** @param {Meaning} meaning */
  show(meaning) {
    const { words: texts } = this;
    const { pill, head, rows, facts, retry: button, actions, toggle, card } = this.parts;
    const { action } = meaning;
    setAttribute(this, 'data-state', meaning.kind);
    for (const element of [toggle, card])
      setAttribute(element, 'data-tone', meaning.tone);
    for (const { icon: svg, title } of [pill, head]) {
      draw(svg, ICONS[meaning.kind]);
      setAttribute(svg, 'class', `icon tone${meaning.kind === 'connecting' ? ' spin' : ''}`);
      say(title, meaning.title);
    }
    pill.count.hidden = meaning.tone === 'good' || !meaning.count;
    say(pill.count, pill.count.hidden ? '' : texts.unsentShort(meaning.count));
    say(head.detail, meaning.detail);
    head.detail.hidden = !meaning.detail;
    for (const name of /** @type {(keyof typeof rows)[]} */ (Object.keys(rows))) {
      const { term, fact } = rows[name];
      say(fact, meaning[name]);
      term.hidden = fact.hidden = !meaning[name];
    }
    facts.hidden = meaning.kind === 'none';
    /* Who pressed it must not lose his place when it goes. */
    if (!action && this.root.activeElement === button)
      (this.detailed ? head.title : toggle).focus();
    actions.hidden = !action;
    say(button, this.trying ? texts.trying : action === 'sign-in' ? texts.signIn : action === 'connect' ? texts.connect : texts.retry);
    setAttribute(button, 'aria-disabled', this.trying ? 'true' : null);
  }

  /** announce has it read aloud if it means something else than before. @param {Meaning} meaning */
  announce({ key, announcement }) {
    this.latest = announcement;
    if (key === this.announced) {
      clearTimeout(this.announcing);
      this.announcing = undefined;
      this.pending = '';
      return;
    }
    if (this.pending === key)
      return;
    this.pending = key;
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => {
      this.announced = key;
      this.pending = '';
      say(this.region, this.latest);
    }, STEADY_MS);
  }

  /** toggle opens or closes the card of the compact form. @param {boolean} open */
  toggle(open) {
    const { card, toggle } = this.parts;
    this.open = open;
    toggle.setAttribute('aria-expanded', String(open));
    this.form();
    card.classList.remove('end', 'above');
    if (!open || this.detailed)
      return;
    const [box, at] = [card.getBoundingClientRect(), this.getBoundingClientRect()];
    card.classList.toggle('end', box.right > innerWidth - 4 && at.right - box.width >= 0 || box.left < 4 && at.left + box.width <= innerWidth);
    card.classList.toggle('above', box.bottom > innerHeight - 4 && at.top - box.height - 8 >= 0);
  }

  /** retry connects now. */
  retry() {
    const { client } = this;
    if (!client || this.trying)
      return;
    const { action } = meaningOf(client.status, { now: Date.now(), synced: null, online: true, texts: this.words });
    if (!this.emit('retry', { action }))
      return;
    this.trying = true;
    retry(client);
    this.update();
    clearTimeout(this.tryingTimer);
    this.tryingTimer = setTimeout(() => {
      this.trying = false;
      this.update();
    }, TRYING_MS);
  }
}

define('mirusync-indicator', MirusyncIndicator);
