/*
 * choice.js
 *     One conflict in the panel: both values, an editor, and what the person
 *     has chosen.  A conflict never changes, so it is drawn once; what is in
 *     use, and how far it is, come later.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { cut, diff, isWorthwhile } from './diff.js';
import { namesOf, sidesOf } from './disputes.js';
import { fill, h, icon, say } from './element.js';
import { equal } from '../replica.js';
import { timeOf } from './time.js';
import { draftOf, editKindOf, isPlain, kindOf, parse, textOf } from './values.js';

/** @typedef {import('./disputes.js').Conflict} Conflict */
/** @typedef {import('./disputes.js').Side} Side */
/** @typedef {import('./conflicts.js').ConflictsTexts} Texts */

/** @typedef {'choosing' | 'sending' | 'failed' | 'done' | 'elsewhere'} Stage */

/* A text that is longer is compared word by word; of a longer one only the start is shown at first. */
const COMPARED_MIN = 24;
const SHOWN_MAX = 700;

/* Texts beyond are not compared: the page has to stay quick. */
const COMPARED_MAX = 20000;

const ALERT = 'M10 3.2l7.4 13.3H2.6zM10 8.2v3.6M10 14.1v.1';

let made = 0;

export class Choice {
  /**
   * @param {Conflict} conflict
   * @param {object} world
   * @param {Texts} world.texts
   * @param {string} world.device  this one
   * @param {string} world.name  of the field, for people
   * @param {((device: string) => string | null | undefined) | null} world.deviceName
   * @param {((value: any, which: {collection: string, field: string | null}) => string | null | undefined) | null} world.format
   * @param {() => void} world.changed  something was chosen
   */
  constructor(conflict, { texts, device, name, deviceName, format, changed }) {
    this.conflict = conflict;
    this.texts = texts;
    this.format = format;
    this.changed = changed;
    this.field = conflict.field ?? null;
    this.sides = sidesOf(conflict, device);
    this.names = namesOf(this.sides, texts, deviceName);
    /** @type {Stage} */
    this.stage = 'choosing';
    /** @type {'stored' | 'incoming' | 'value' | null} */
    this.chosen = null;
    this.kind = this.field === null ? 'json' : editKindOf(conflict.stored, conflict.incoming);
    this.id = `choice-${++made}`;
    this.options = this.sides.map((side, i) => this.option(side, i));
    this.editor = this.makeEditor();
    this.problem = h('p', { class: 'problem bad', part: 'error', id: `${this.id}-problem`, hidden: true });
    this.now = h('p', { class: 'now small muted', part: 'now' });
    this.status = h('span', { class: 'tag', part: 'decision' });
    this.element = h('fieldset', { class: 'choice', part: 'field' },
      h('legend', { class: 'name' }, h('span', { part: 'field-name' }, name), this.status),
      h('div', { class: 'options' }, this.options.map(({ element }) => element)),
      this.editor.element, this.now, this.problem);
    this.show(undefined);
  }

  /** @param {Side} side @param {number} i */
  option(side, i) {
    const { texts } = this;
    const used = h('span', { class: 'tag good', part: 'in-use' }, texts.inUse);
    const time = side.at === undefined ? null : timeOf(side.at, Date.now(), texts.locale);
    const radio = h('input', { type: 'radio', name: this.id, value: side.name, change: () => this.choose(side.name) });
    const element = h('label', { class: 'option', part: `option ${side.who === 'mine' ? 'mine' : 'theirs'}` },
      h('span', { class: 'who' }, radio, h('span', { class: 'writer' }, this.names[i]), used),
      h('span', { class: 'small muted when' }, time ?? ''), this.value(side, this.sides[1 - i]));
    return { side, radio, used, element };
  }

  /**
   * value shows what a side has; what differs in texts is marked.
   * @param {Side} side
   * @param {Side} other
   */
  value({ value }, { value: against }) {
    const { texts, conflict, field } = this;
    const which = { collection: conflict.collection, field };
    const box = h('span', { class: 'value', part: 'value' });
    const formatted = value === undefined ? undefined : this.format?.(value, which);
    if (typeof formatted === 'string') {
      fill(box, formatted);
      return box;
    }
    if (field === null) {
      fill(box, this.record(value, against));
      return box;
    }
    const text = textOf(value, texts);
    if (isPlain(value))
      box.classList.add('muted', 'wordless');
    if (kindOf(value) === 'json' && text.includes('\n'))
      box.classList.add('code');
    const compare = !isPlain(value) && !isPlain(against) && Math.max(text.length, textOf(against, texts).length) >= COMPARED_MIN
      && text.length < COMPARED_MAX && textOf(against, texts).length < COMPARED_MAX;
    const pieces = compare ? diff(text, textOf(against, texts))[0] : [{ text, same: true }];
    const marked = compare && isWorthwhile(pieces);
    const all = () => fill(box, ...pieces.map((piece) => (marked && !piece.same ? h('mark', { part: 'different' }, piece.text) : piece.text)));
    if (text.length <= SHOWN_MAX) {
      all();
      return box;
    }
    const short = marked ? cut(pieces) : [{ text: `${text.slice(0, SHOWN_MAX)}…`, same: true }];
    fill(box, ...short.map((piece) => (piece.same || !marked ? piece.text : h('mark', { part: 'different' }, piece.text))));
    const more = h('button', {
      type: 'button', class: 'button plain small', click: (/** @type {Event} */ event) => { event.preventDefault(); all(); more.remove(); },
    }, texts.showAll);
    return h('span', { class: 'long' }, box, more);
  }

  /** record shows a side of a whole record: its fields, or that it is deleted. @param {any} value @param {any} other */
  record(value, other) {
    const { texts } = this;
    if (typeof value !== 'object' || value === null)
      return h('span', { class: 'muted wordless' }, texts.deleted);
    return h('span', { class: 'record' }, Object.entries(value).map(([name, each]) => h('span', { class: 'pair' },
      h('span', { class: 'muted' }, `${texts.field(name)}: `),
      h('span', { class: other && !equal(other[name], each) ? 'differs' : '' },
        this.format?.(each, { collection: this.conflict.collection, field: name }) ?? textOf(each, texts)))));
  }

  makeEditor() {
    const { texts, kind } = this;
    const label = h('span', {}, texts.edit);
    const radio = h('input', { type: 'radio', name: this.id, value: 'value', change: () => this.choose('value') });
    const shared = { class: 'field', part: 'input', 'aria-label': texts.editLabel, 'aria-describedby': `${this.id}-problem`, input: () => this.edited() };
    const start = this.sides.find((side) => !isPlain(side.value))?.value;
    const long = kind === 'json' || String(start ?? '').length > 60;
    const input = kind === 'boolean'
      ? h('select', shared, h('option', { value: 'true' }, texts.yes), h('option', { value: 'false' }, texts.no))
      : long || kind === 'text'
        ? h('textarea', { ...shared, rows: kind === 'json' ? 6 : long ? 5 : 2, spellcheck: kind === 'json' ? 'false' : null })
        : h('input', { ...shared, type: 'text', inputmode: 'decimal' });
    if (kind === 'json')
      input.classList.add('code');
    input.value = draftOf(start, kind);
    input.hidden = true;
    return { radio, input, element: h('div', { class: 'edit', part: 'editor' }, h('label', { class: 'who' }, radio, label), input) };
  }

  /** choose takes a side, or the editor's value. @param {'stored' | 'incoming' | 'value'} what */
  choose(what) {
    this.chosen = what;
    if (this.stage === 'failed')
      this.stage = 'choosing';
    for (const { radio, side, element } of this.options) {
      radio.checked = side.name === what;
      element.classList.toggle('chosen', radio.checked);
    }
    this.editor.radio.checked = what === 'value';
    this.editor.element.classList.toggle('chosen', what === 'value');
    this.editor.input.hidden = what !== 'value';
    this.complain('');
    this.changed();
  }

  edited() {
    this.complain('');
    this.changed();
  }

  /** @param {string} text */
  complain(text) {
    say(this.problem, '');
    if (text)
      fill(this.problem, icon(ALERT), h('span', {}, text));
    this.problem.hidden = !text;
    if (text && this.chosen === 'value' && this.stage === 'choosing')
      this.editor.input.setAttribute('aria-invalid', 'true');
    else
      this.editor.input.removeAttribute('aria-invalid');
  }

  /** answer is what resolve() is called with; undefined if there is none, or a wrong one. */
  answer() {
    if (!this.chosen)
      return undefined;
    if (this.chosen !== 'value')
      return { choose: this.chosen };
    const { value, error } = parse(this.editor.input.value, this.kind, this.texts);
    if (error === undefined)
      return { value };
    this.complain(error);
    this.editor.input.focus();
    return undefined;
  }

  /** @param {Stage} stage @param {string} [problem] */
  enter(stage, problem = '') {
    this.stage = stage;
    this.complain(problem);
    const locked = stage === 'sending' || stage === 'done' || stage === 'elsewhere';
    for (const input of [...this.options.map(({ radio }) => radio), this.editor.radio, this.editor.input])
      input.disabled = locked;
    this.element.classList.toggle('settled', stage === 'done' || stage === 'elsewhere');
  }

  /**
   * show says which value is in use.
   * @param {{deleted?: boolean, value?: any} | undefined} current  of this field, if the record is here
   */
  show(current) {
    const { texts, conflict, stage } = this;
    const standing = conflict.outcome === 'incoming' ? 'incoming' : 'stored';
    let found = false;
    for (const { side, used } of this.options) {
      const is = current && this.field !== null ? equal(current.value, side.value)
        : current ? (current.deleted ?? false) === (typeof side.value !== 'object' || side.value === null) && side.name === standing
          : side.name === standing;
      used.hidden = !is || found;
      found ||= is;
    }
    const other = !found && current !== undefined && this.field !== null;
    this.now.hidden = !other;
    say(this.now, other ? texts.inUseNow(textOf(current?.value, texts).slice(0, 200)) : '');
    const [text, tone] = stage === 'done' ? [texts.resolved, 'good'] : stage === 'elsewhere' ? [texts.elsewhere, 'muted']
      : stage === 'sending' ? [texts.sending, 'muted'] : conflict.outcome === 'open' ? [texts.open, 'wait']
        : [texts.rules[conflict.rule] ?? texts.byRule(conflict.rule), 'muted'];
    say(this.status, text);
    this.status.className = `tag ${tone}`;
  }
}
