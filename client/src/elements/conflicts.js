/*
 * conflicts.js
 *     <mirusync-conflicts>: the conflicts of a record, or of the user, field by
 *     field, for a person to decide.
 *
 * What was chosen is kept while the page lives, offline too, whatever arrives
 * meanwhile.  A conflict that somebody else resolved goes away by itself if
 * nothing was chosen; else it stays, and says so.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { Choice } from './choice.js';
import { disputesOf, fieldName, recordKey, recordName } from './disputes.js';
import { define, fill, h, icon, say, setAttribute, SyncElement } from './element.js';
import { CONFLICTS_CSS } from './conflicts_css.js';
import { ago } from './time.js';

/** @typedef {import('../client.js').Client} Client */
/** @typedef {import('./disputes.js').Conflict} Conflict */
/** @typedef {import('./disputes.js').Dispute} Dispute */

/* Changes come in bursts: look again so long after the first of them. */
const SOON_MS = 120;

/* How many conflicts are asked for; of more, the newest. */
const FETCHED = 200;

/* How many records are shown at first, and with each "more". */
const LIMIT = 10;

const CHECK = 'M10 2.6a7.4 7.4 0 1 0 0 14.8a7.4 7.4 0 0 0 0-14.8zM6.7 10.2l2.3 2.3 4.3-4.7';
const CLOUD_OFF = 'M3 3l14 14M7.6 5.2a5 5 0 0 1 7 3.4a3.6 3.6 0 0 1 2 5.9M13.6 15.6H6.2a3.7 3.7 0 0 1-.8-7.3';
const ALERT = 'M10 3.2l7.4 13.3H2.6zM10 8.2v3.6M10 14.1v.1';

/** What the panel says. Replace any of it by its property texts. */
export const CONFLICTS_TEXTS = {
  locale: 'en',
  now: 'just now',
  title: 'Conflicts',
  intro: 'Two devices changed the same thing without knowing of each other. Choose what to keep.',
  noConflicts: 'No conflicts',
  noConflictsDetail: 'Nothing needs your decision.',
  loading: 'Looking for conflicts…',
  offline: 'You are offline. You can choose now; your choices are kept here, and you save them when you are connected.',
  offlineHint: 'Saved when you are connected, by pressing this.',
  offlineEmpty: 'You are offline. Conflicts are shown when you are connected.',
  notSaved: (/** @type {string} */ reason) => `Not saved: ${reason}`,
  failed: (/** @type {string} */ reason) => `Conflicts could not be fetched: ${reason}`,
  retry: 'Try again',
  /** Read aloud when there are more than before. */
  arrived: (/** @type {number} */ count) => (count === 1 ? '1 conflict' : `${count} conflicts`),
  mine: 'This device',
  other: 'Another device',
  sql: 'The server',
  numbered: (/** @type {string} */ name, /** @type {string} */ which) => `${name} (${which})`,
  earlier: 'earlier',
  later: 'later',
  inUse: 'In use',
  inUseNow: (/** @type {string} */ value) => `In use now: ${value}`,
  wholeRecord: 'The record as a whole',
  field: fieldName,
  edit: 'Something else',
  editLabel: 'The value to keep',
  showAll: 'Show all',
  allMine: 'All from this device',
  allOther: 'All from the others',
  /** On the button: of how many conflicts of a record a value was chosen. */
  resolve: (/** @type {number} */ chosen, /** @type {number} */ count) => (count === 1 ? 'Keep the chosen value'
    : !chosen || chosen === count ? 'Keep the chosen values' : `Keep ${chosen === 1 ? 'the chosen value' : 'the chosen values'} (${chosen} of ${count})`),
  choose: 'Choose a value to keep',
  sending: 'Saving…',
  resolved: 'Resolved',
  elsewhere: 'Resolved elsewhere',
  elsewhereDetail: 'Somebody decided this meanwhile, so your choice was not needed.',
  dismiss: 'Dismiss',
  limited: (/** @type {number} */ count) => `These are the ${count} newest. Others come when some of these are resolved.`,
  more: (/** @type {number} */ count) => `Show ${count} more`,
  open: 'Waits for you',
  byRule: (/** @type {string} */ rule) => `Decided by the rule ${rule}`,
  /** How a conflict was decided for the time being. @type {Record<string, string>} */
  rules: {
    lww: 'The newer one won', lww_field: 'The newer one won', first_wins: 'The first one won', server_wins: 'The server won',
    max: 'The greater one won', min: 'The smaller one won',
  },
  done: (/** @type {string} */ record) => `Resolved: ${record}`,
  doneSome: (/** @type {string} */ record, /** @type {number} */ done, /** @type {number} */ failed) => `${record}: ${done} resolved, ${failed} could not be saved`,
  deleted: 'Deleted',
  none: 'No value',
  empty: 'Empty',
  emptyText: 'Empty text',
  yes: 'Yes',
  no: 'No',
  notNumber: 'This is no number.',
  notJson: 'This is no valid JSON',
};

/** @typedef {typeof CONFLICTS_TEXTS} ConflictsTexts */

let cards = 0;

/** @typedef {{collection: string, record: string, field?: string, fields?: Record<string, any>}} Labelled */

/**
 * A record's card.
 * @typedef {object} Card
 * @property {HTMLElement} element
 * @property {HTMLElement} heading
 * @property {HTMLElement} age
 * @property {HTMLElement} quick
 * @property {HTMLElement} fields
 * @property {HTMLButtonElement} button
 * @property {HTMLElement} hint
 * @property {HTMLElement} dismiss
 */

/**
 * @fires conflicts  when their number changes; detail: {count}
 * @fires resolved  detail: {conflict, answer}
 * @extends {SyncElement<ConflictsTexts>}
 */
export class MirusyncConflicts extends SyncElement {
  /** @override */
  static css = CONFLICTS_CSS;
  /** @override */
  static properties = ['client', 'texts', 'label', 'format', 'deviceName'];
  static observedAttributes = ['collection', 'record', 'open-only', 'heading'];

  constructor() {
    super(CONFLICTS_TEXTS);
    /** @type {((which: Labelled) => string | null | undefined) | null} */
    this.labels = null;
    /** @type {((value: any, which: {collection: string, field: string | null}) => string | null | undefined) | null} */
    this.formats = null;
    /** @type {((device: string) => string | null | undefined) | null} */
    this.deviceNames = null;
    /** Whose conflicts these are, and of what. */
    this.of = '';
    /** @type {Client | null} */
    this.from = null;
    /** @type {Conflict[] | null} */
    this.rows = null;
    /** Ids of conflicts that were resolved here: an answer under way may still have them. @type {Set<number>} */
    this.settled = new Set();
    /** @type {Map<number, Choice>} */
    this.choices = new Map();
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    this.limit = LIMIT;
    this.count = -1;
    /** There are more than were fetched. */
    this.limited = false;
    this.loading = false;
    this.again = false;
    this.error = '';
    /** @type {any} */
    this.soon = undefined;
    /* Kept for good: live regions that come anew are not read. */
    this.region = h('p', { class: 'notice', role: 'status', part: 'status' });
    this.aloud = h('p', { class: 'aside', role: 'status' });
    this.parts = this.make();
  }

  /** Names records and fields; what it gives no name has a default one. */
  get label() {
    return this.labels;
  }

  set label(label) {
    this.labels = label;
    this.build();
    this.update();
  }

  /** Makes a text of a value; what it makes none of is shown as it is. */
  get format() {
    return this.formats;
  }

  set format(format) {
    this.formats = format;
    this.build();
    this.update();
  }

  /** Names devices. */
  get deviceName() {
    return this.deviceNames;
  }

  set deviceName(deviceName) {
    this.deviceNames = deviceName;
    this.build();
    this.update();
  }

  /** What is asked for: one record's, a collection's, or all. @returns {{collection?: string, id?: string}} */
  get filter() {
    const [collection, id] = [this.getAttribute('collection'), this.getAttribute('record')];
    return { ...(collection ? { collection } : {}), ...(collection && id ? { id } : {}) };
  }

  get offline() {
    return this.client?.status.state !== 'connected';
  }

  /** @override */
  build() {
    const former = this.choices;
    this.cards.clear();
    this.choices = new Map();
    this.parts = this.make();
    for (const [id, { conflict, stage, chosen, editor }] of former) {
      const choice = this.choiceOf(conflict);
      choice.editor.input.value = editor.input.value;
      if (chosen)
        choice.choose(chosen);
      choice.enter(stage);
      this.choices.set(id, choice);
    }
  }

  make() {
    const { words: texts } = this;
    const title = h('h2', { part: 'title', tabindex: -1 }, texts.title);
    const count = h('span', { class: 'tag wait', part: 'count' });
    const intro = h('p', { class: 'muted', part: 'intro' }, texts.intro);
    const banner = h('div', { class: 'banner', part: 'banner' });
    const list = h('div', { class: 'list', part: 'list' });
    const more = h('button', { type: 'button', class: 'button more', part: 'button', click: () => this.showMore() });
    const limited = h('p', { class: 'muted small', part: 'limited' });
    const empty = h('div', { class: 'empty', part: 'empty' }, icon(CHECK), h('div', {}, h('p', { class: 'strong' }, texts.noConflicts),
      h('p', { class: 'muted' }, texts.noConflictsDetail)));
    fill(this.root, h('div', { class: 'panel', part: 'panel', role: 'group', 'aria-label': texts.title },
      h('header', {}, h('div', { class: 'title' }, title, count), intro), this.region, this.aloud, banner, list, more, limited, empty));
    return { title, count, intro, banner, list, more, limited, empty };
  }

  /** @override @param {Client} client */
  listen(client) {
    this.startOver();
    let state = client.status.state;
    this.ends.push(
      client.on('status', (status) => {
        if (status.state !== state && status.state === 'connected')
          this.loadSoon();
        state = status.state;
        this.update();
      }),
      client.on('user_changed', () => {
        this.of = '';
        this.startOver();
        this.load();
        this.update();
      }),
      client.on('*', (event) => this.concerns(event) && this.loadSoon()),
      client.on('verdict', ({ change, verdict }) => verdict.conflicts && this.concerns(change) && this.loadSoon()),
      () => {
        clearTimeout(this.soon);
        this.soon = undefined;
      },
    );
    /* A conflict that was settled without a change of its record tells nobody. */
    this.on(document, 'visibilitychange', () => document.visibilityState === 'visible' && this.load());
    this.every(30000, () => this.update());
    this.load();
  }

  /** concerns: an event of a record that may be shown here. @param {{collection: string, id: string}} event */
  concerns({ collection, id }) {
    const { filter } = this;
    return (filter.collection ?? collection) === collection && (filter.id ?? id) === id;
  }

  /** @override */
  attributesChanged() {
    this.startOver();
    this.load();
    this.update();
  }

  /** startOver forgets what is shown if something else is asked for. */
  startOver() {
    const of = JSON.stringify(this.filter);
    if (of === this.of && this.from === this.client)
      return;
    this.of = of;
    this.from = this.client;
    this.rows = null;
    this.error = '';
    this.limit = LIMIT;
    this.count = -1;
    this.settled.clear();
    this.choices.clear();
    for (const { element } of this.cards.values())
      element.remove();
    this.cards.clear();
    say(this.region, '');
  }

  loadSoon() {
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      this.load();
    }, SOON_MS);
  }

  /** load asks the server what there is, one question at a time. */
  async load() {
    const { client, of } = this;
    if (!client || this.offline)
      return;
    if (this.loading) {
      this.again = true;
      return;
    }
    this.loading = true;
    this.update();
    try {
      const rows = await client.conflicts({ ...this.filter, limit: FETCHED });
      if (client === this.client && of === this.of) {
        this.error = '';
        this.take(rows);
      }
    } catch (error) {
      if (client === this.client && of === this.of && !this.offline)
        this.error = this.words.failed(/** @type {Error} */ (error).message);
    }
    this.loading = false;
    if (this.again || client !== this.client || of !== this.of) {
      this.again = false;
      this.loadSoon();
    }
    this.update();
  }

  /** take shows these conflicts, and keeps what was chosen. @param {Conflict[]} rows */
  take(rows) {
    this.limited = rows.length >= FETCHED;
    this.rows = rows.filter(({ id }) => !this.settled.has(id));
    const there = new Set(this.rows.map(({ id }) => id));
    for (const [id, choice] of this.choices) {
      if (there.has(id) || choice.stage === 'sending')
        continue;
      if (choice.chosen && choice.stage !== 'done')
        choice.enter('elsewhere');
      else if (choice.stage !== 'elsewhere')
        this.choices.delete(id);
    }
    for (const conflict of this.rows)
      if (!this.choices.has(conflict.id))
        this.choices.set(conflict.id, this.choiceOf(conflict));
  }

  /** @param {Conflict} conflict */
  choiceOf(conflict) {
    const { words: texts } = this;
    const { collection, record, field } = conflict;
    return new Choice(conflict, {
      texts,
      device: this.client?.status.device ?? '',
      name: field === null || field === undefined ? texts.wholeRecord : this.name({ collection, record, field }) ?? texts.field(field),
      deviceName: this.deviceNames,
      format: this.formats,
      changed: () => this.update(),
    });
  }

  /** @param {Labelled} which */
  name(which) {
    const fields = this.client?.views.get(which.collection)?.get(which.record);
    return this.labels?.({ ...which, fields });
  }

  /*
   * What is seen
   */

  /** @override */
  update() {
    const { words: texts, parts, client } = this;
    const openOnly = this.hasAttribute('open-only');
    const shown = [...this.choices.values()].filter(({ conflict, stage }) => !openOnly || conflict.outcome === 'open' || stage === 'elsewhere');
    const disputes = disputesOf(shown.map(({ conflict }) => conflict));
    const count = shown.filter(({ stage }) => stage !== 'done' && stage !== 'elsewhere').length;
    this.tell(this.rows ? count : -1);
    say(parts.count, count ? String(count) : '');
    parts.count.hidden = !count;
    parts.title.hidden = this.getAttribute('heading') === 'none';
    parts.intro.hidden = !disputes.length;
    parts.empty.hidden = !this.rows || disputes.length > 0 || this.error !== '';
    this.banner(disputes.length > 0);
    this.order(disputes.slice(0, this.limit));
    const rest = disputes.length - this.limit;
    parts.more.hidden = rest <= 0;
    say(parts.more, rest > 0 ? texts.more(Math.min(rest, LIMIT)) : '');
    parts.limited.hidden = !this.limited || rest > 0;
    say(parts.limited, this.limited ? texts.limited(FETCHED) : '');
    setAttribute(this, 'data-state', !client || this.offline ? 'offline' : this.rows ? count ? 'some' : 'none' : 'loading');
  }

  /** tell the page how many there are. @param {number} count */
  tell(count) {
    if (count === this.count || count < 0)
      return;
    if (this.count >= 0 && count > this.count)
      say(this.aloud, this.words.arrived(count));
    this.count = count;
    setAttribute(this, 'data-count', count);
    this.emit('conflicts', { count });
  }

  /** banner says what is not as it should be. @param {boolean} some */
  banner(some) {
    const { words: texts, parts: { banner } } = this;
    const [text, path, again] = this.offline ? [some ? texts.offline : texts.offlineEmpty, CLOUD_OFF, false]
      : this.error ? [this.error, ALERT, true] : !this.rows && this.loading ? [texts.loading, '', false] : ['', '', false];
    banner.hidden = !text;
    if (banner.dataset.text === text)
      return;
    banner.dataset.text = text;
    banner.classList.toggle('trouble', again);
    fill(banner, path && icon(path), h('p', {}, text),
      again && h('button', { type: 'button', class: 'button', part: 'button', click: () => this.load() }, texts.retry));
  }

  /** order puts the cards in order, and moves none that is in its place: focus would be lost. @param {Dispute[]} disputes */
  order(disputes) {
    const { list } = this.parts;
    const keys = new Set(disputes.map(({ key }) => key));
    for (const [key, { element }] of this.cards) {
      if (keys.has(key))
        continue;
      element.remove();
      this.cards.delete(key);
    }
    disputes.forEach((dispute, i) => {
      let card = this.cards.get(dispute.key);
      if (!card)
        this.cards.set(dispute.key, card = this.card(dispute));
      if (list.children[i] !== card.element)
        list.insertBefore(card.element, list.children[i] ?? null);
      this.showCard(card, dispute);
    });
  }

  /** @param {Dispute} dispute @returns {Card} */
  card(dispute) {
    const { words: texts } = this;
    const id = `card-${++cards}`;
    const heading = h('h3', { id, part: 'record', tabindex: -1 });
    const age = h('span', { class: 'muted small' });
    const all = (/** @type {boolean} */ mine) => () => {
      for (const choice of this.choicesOf(dispute.key)) {
        const side = choice.sides.find(({ who }) => (who === 'mine') === mine);
        if (side && choice.stage !== 'sending')
          choice.choose(side.name);
      }
    };
    const quick = h('div', { class: 'quick' }, h('button', { type: 'button', class: 'button plain small', part: 'button', click: all(true) }, texts.allMine),
      h('button', { type: 'button', class: 'button plain small', part: 'button', click: all(false) }, texts.allOther));
    const fields = h('div', { class: 'fields' });
    const hint = h('p', { class: 'small muted', id: `${id}-hint` });
    const button = h('button', {
      type: 'button', class: 'button primary', part: 'button resolve', 'aria-describedby': `${id}-hint`, click: () => this.resolve(dispute.key),
    });
    const dismiss = h('button', { type: 'button', class: 'button', part: 'button', click: () => this.dismiss(dispute.key) }, texts.dismiss);
    const element = h('article', { class: 'card', part: 'card', 'aria-labelledby': id },
      h('div', { class: 'about' }, h('div', { class: 'names' }, heading, age), quick), fields, h('footer', {}, button, dismiss, hint));
    return { element, heading, age, quick, fields, button, hint, dismiss };
  }

  /** choicesOf gives the choices of a record. @param {string} key */
  choicesOf(key) {
    return [...this.choices.values()].filter(({ conflict }) => recordKey(conflict) === key);
  }

  /** @param {Card} card @param {Dispute} dispute */
  showCard(card, { collection, record, at, conflicts }) {
    const { words: texts } = this;
    const view = this.client?.views.get(collection);
    const fields = view?.get(record);
    say(card.heading, this.name({ collection, record }) ?? recordName({ collection, record, fields }));
    say(card.age, [texts.field(collection), at ? ago(at, Date.now(), texts) : ''].filter(Boolean).join(' · '));
    const choices = conflicts.map(({ id }) => /** @type {Choice} */ (this.choices.get(id)));
    choices.forEach((choice, i) => {
      const { field } = choice;
      if (card.fields.children[i] !== choice.element)
        card.fields.insertBefore(choice.element, card.fields.children[i] ?? null);
      choice.show(!view ? undefined : { deleted: !fields, value: field === null ? undefined : fields?.[field] });
    });
    while (card.fields.children.length > choices.length)
      card.fields.lastElementChild?.remove();
    const live = choices.filter(({ stage }) => stage === 'choosing' || stage === 'failed');
    const chosen = live.filter(({ chosen: what }) => what);
    const sending = choices.some(({ stage }) => stage === 'sending');
    card.quick.hidden = live.length < 2 || !live.some(({ sides }) => sides.some(({ who }) => who === 'mine'));
    card.button.hidden = !live.length && !sending;
    card.dismiss.hidden = live.length > 0 || sending;
    const off = sending || !chosen.length || this.offline;
    setAttribute(card.button, 'aria-disabled', off ? 'true' : null);
    say(card.button, sending ? texts.sending : texts.resolve(chosen.length, live.length));
    const hint = sending ? '' : !live.length ? texts.elsewhereDetail : !chosen.length ? texts.choose : this.offline ? texts.offlineHint : '';
    say(card.hint, hint);
    card.hint.hidden = !hint;
  }

  /*
   * What the person does
   */

  /** resolve sends what was chosen for a record. @param {string} key */
  async resolve(key) {
    const { client } = this;
    const chosen = this.choicesOf(key).filter((choice) => choice.chosen && (choice.stage === 'choosing' || choice.stage === 'failed'));
    if (!client || this.offline || !chosen.length || this.choicesOf(key).some(({ stage }) => stage === 'sending'))
      return;
    const answers = [];
    for (const choice of chosen) {
      const answer = choice.answer();
      if (!answer)
        return;
      answers.push({ choice, answer });
    }
    for (const { choice } of answers)
      choice.enter('sending');
    this.update();
    for (const { choice, answer } of answers) {
      try {
        await client.resolve(choice.conflict.id, answer);
        choice.enter('done');
        this.settled.add(choice.conflict.id);
        this.emit('resolved', { conflict: choice.conflict, answer });
      } catch (error) {
        choice.enter('failed', this.words.notSaved(/** @type {Error} */ (error).message));
      }
    }
    if (client === this.client)
      this.finish(key);
    this.load();
  }

  /** finish takes away what is resolved, and puts the focus where to go on. @param {string} key */
  finish(key) {
    const card = this.cards.get(key);
    const done = this.choicesOf(key).filter(({ stage }) => stage === 'done');
    const inside = card?.element.contains(this.root.activeElement) ?? false;
    for (const { conflict: { id } } of done)
      this.choices.delete(id);
    this.rows = this.rows?.filter(({ id }) => !this.settled.has(id)) ?? null;
    const left = this.choicesOf(key).length > 0;
    const next = /** @type {HTMLElement | null} */ (card?.element.nextElementSibling ?? card?.element.previousElementSibling ?? null);
    const record = card?.heading.textContent ?? '';
    const failed = this.choicesOf(key).filter(({ stage }) => stage === 'failed').length;
    say(this.region, failed ? this.words.doneSome(record, done.length, failed) : done.length ? this.words.done(record) : '');
    this.region.classList.toggle('trouble', failed > 0);
    this.update();
    if (!inside)
      return;
    if (left)
      card?.heading.focus();
    else
      (next?.querySelector('h3') ?? this.parts.title).focus();
  }

  /** dismiss takes away what was resolved elsewhere. @param {string} key */
  dismiss(key) {
    for (const { conflict: { id }, stage } of this.choicesOf(key))
      if (stage === 'elsewhere')
        this.choices.delete(id);
    this.update();
    this.parts.title.focus();
  }

  showMore() {
    const before = this.parts.list.children.length;
    this.limit += LIMIT;
    this.update();
    this.parts.list.children[before]?.querySelector('h3')?.focus();
  }
}

define('mirusync-conflicts', MirusyncConflicts);
