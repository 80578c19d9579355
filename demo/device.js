/*
 * device.js
 *     One device: the practice log as an application, in a window or in a frame.
 *
 * ?device= names it, and so says which replica is its own; two windows with one
 * name are two tabs of a device.  What is open stands behind #, such as
 * #repertoire/waltz.  window.device is for the page that frames us.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import 'mirusync/indicator';
import 'mirusync/conflicts';
import 'mirusync/debug';
import { Detail } from './detail.js';
import { h, icon, say, toast } from './dom.js';
import { LogView } from './log.js';
import { PlansView } from './plans.js';
import { RepertoireView } from './repertoire.js';
import { keyOf, Store } from './store.js';

const NAME = (new URLSearchParams(location.search).get('device') || 'Phone').slice(0, 30);
const FLASH_MS = 2400;
const SECTIONS = { log: LogView, repertoire: RepertoireView, plans: PlansView };

const $ = (selector) => document.querySelector(selector);
const wide = matchMedia('(min-width: 700px)');
const framed = window.parent !== window;

class App {
  constructor(store) {
    this.store = store;
    this.views = Object.fromEntries(Object.entries(SECTIONS).map(([name, View]) => [name, new View(this)]));
    this.detail = null;
    this.flashing = new Map();
    store.subscribe(() => this.update());
    wide.addEventListener('change', () => this.update());
    window.addEventListener('popstate', () => this.read());
    this.nav();
    this.bar();
    this.listen();
    this.read();
  }

  /*
   * What is open
   */

  read() {
    const [section, id] = location.hash.slice(1).split('/');
    this.section = section in SECTIONS ? section : 'log';
    this.selected = id ? decodeURIComponent(id) : null;
    this.update();
  }

  go(section, id) {
    const hash = `#${section}${id ? `/${encodeURIComponent(id)}` : ''}`;
    if (hash !== location.hash)
      history[framed ? 'replaceState' : 'pushState'](null, '', hash);
    this.read();
  }

  /* select opens a record, or closes it, in the section of its collection. */
  select(collection, id) {
    const [section] = Object.entries(this.views).find(([, view]) => view.collection === collection);
    const left = this.selected;
    const had = document.activeElement !== document.body;
    this.go(section, id);
    /* The focus goes along, if it was here. */
    if (wide.matches || !had)
      return;
    if (id)
      $('.detail button')?.focus();
    else if (left)
      $(`.row[data-key="${CSS.escape(keyOf(collection, left))}"] button`)?.focus();
  }

  nav() {
    const counts = this.counts = {};
    $('nav').append(...Object.entries(this.views).map(([name, view]) => h('a', {
      href: `#${name}`,
      'data-section': name,
      click: (event) => {
        event.preventDefault();
        this.go(name, null);
      },
    }, icon(name), h('span', {}, name === 'log' ? 'Log' : view.title), counts[name] = h('span', { class: 'count', hidden: true }))));
  }

  update() {
    const view = this.views[this.section];
    if ($('#list').firstElementChild !== view.root)
      $('#list').replaceChildren(view.root);
    for (const link of $('nav').children)
      link.setAttribute('aria-current', link.dataset.section === this.section ? 'page' : 'false');
    for (const [name, { collection }] of Object.entries(this.views)) {
      const open = this.store.conflicts.filter((conflict) => conflict.collection === collection).length;
      this.counts[name].hidden = !open;
      this.counts[name].replaceChildren(String(open), h('span', { class: 'aside' }, open === 1 ? ' conflict' : ' conflicts'));
    }
    const { id } = this.store.collection(view.collection).get(this.selected) ?? {};
    this.shown = id !== undefined || this.selected === null ? this.selected : null;
    if (wide.matches)
      this.shown ??= view.list()[0]?.id ?? null;
    view.update();
    this.showDetail(view);
  }

  showDetail({ collection }) {
    const key = this.shown && keyOf(collection, this.shown);
    document.body.classList.toggle('open', Boolean(this.shown));
    if (this.detail && keyOf(this.detail.collection, this.detail.id) !== key) {
      this.detail.close();
      this.detail = null;
    }
    if (key && !this.detail) {
      this.detail = new Detail(this, collection, this.shown);
      $('#detail').replaceChildren(this.detail.root);
      $('#detail').scrollTop = 0;
    }
    this.detail?.update();
  }

  /*
   * Rows of lists
   */

  /* row is a list item that opens a record. */
  row(key, ...content) {
    const [collection, id] = [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)];
    return h('li', { class: 'row', 'data-key': key }, h('button', { type: 'button', class: 'open', click: () => this.select(collection, id) }, content,
      h('span', { class: 'marks' })));
  }

  fillRow(row, collection, id) {
    row.firstElementChild.setAttribute('aria-current', this.shown === id);
    const marks = [
      this.store.conflictsOf(collection, id).length > 0 && ['conflict', 'conflict to decide'],
      this.store.unsent.has(keyOf(collection, id)) && ['unsent', 'not sent yet'],
    ].filter(Boolean);
    const place = row.querySelector('.marks');
    if (place.dataset.marks !== String(marks)) {
      place.dataset.marks = marks;
      place.replaceChildren(...marks.map(([name, text]) => h('span', { class: name, title: text }, h('span', { class: 'aside' }, text))));
    }
  }

  /*
   * What comes in
   */

  listen() {
    const { client } = this.store;
    let caughtUp = client.status.caughtUp;
    client.on('status', (status) => {
      /* What the first catch-up brings is no news. */
      setTimeout(() => { caughtUp ||= status.caughtUp; });
    });
    client.on('*', ({ collection, id, record, before, source }) => {
      /* What the server made of an own change is no news either. */
      if (source === 'remote' && caughtUp && record && !this.store.unsent.has(keyOf(collection, id)))
        setTimeout(() => this.flash(collection, id, record, before));
    });
    client.on('rejected', ({ change, reason }) => toast(`The server refused a change: ${reason}`, 'Show', () => {
      if (Object.values(this.views).some((view) => view.collection === change.collection))
        this.select(change.collection, change.id);
    }));
    client.on('error', ({ message }) => toast(message));
  }

  /* flash shows for a moment what somebody else changed: the row, and the fields where it is open. */
  flash(collection, id, record, before) {
    const fields = Object.keys(record).filter((name) => JSON.stringify(record[name]) !== JSON.stringify(before?.[name]));
    const key = CSS.escape(keyOf(collection, id));
    const places = [...document.querySelectorAll(`li[data-key="${key}"]`),
      ...fields.flatMap((field) => [...document.querySelectorAll(`.fields[data-key="${key}"] [data-field="${CSS.escape(field)}"]`)])];
    for (const place of places) {
      clearTimeout(this.flashing.get(place));
      place.classList.remove('changed');
      void place.offsetWidth;
      place.classList.add('changed');
      this.flashing.set(place, setTimeout(() => {
        place.classList.remove('changed');
        this.flashing.delete(place);
      }, FLASH_MS));
    }
  }

  /*
   * The bar
   */

  bar() {
    const { client } = this.store;
    document.title = `${NAME} · Practice log`;
    $('#name').prepend(icon(/laptop|desk/i.test(NAME) ? 'laptop' : 'phone'));
    say($('#name span'), NAME);
    $('#indicator').append(h('mirusync-indicator', { '.client': client }));
    const online = $('#online');
    online.addEventListener('change', () => this.setOnline(online.checked));
    const show = () => { online.checked = client.status.state !== 'disconnected' || client.status.reason === 'not_connected'; };
    client.on('status', show);
    const open = $('#window');
    open.hidden = !framed;
    open.href = location.href;
    open.append(icon('window'));
    const debug = $('#debug');
    $('#debug-toggle').append(icon('debug'));
    $('#debug-toggle').addEventListener('click', () => {
      if (!debug.children.length)
        debug.append(h('mirusync-debug', { '.client': client, collection: 'entry' }));
      debug.hidden = !debug.hidden;
      $('#debug-toggle').setAttribute('aria-expanded', !debug.hidden);
    });
  }

  setOnline(online) {
    if (online)
      this.store.client.connect();
    else
      this.store.client.disconnect();
  }
}

try {
  const store = await Store.open(NAME);
  const app = new App(store);
  window.device = { client: store.client, store, app };
  store.client.connect();
  document.body.classList.add('ready');
} catch (error) {
  $('#list').replaceChildren(h('p', { class: 'empty' }, `The practice log could not be opened: ${error.message}`));
}
