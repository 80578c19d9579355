/*
 * fields.js
 *     Controls for the fields of one record.  Each shows the field's value, and
 *     writes what the person made of it.
 *
 * What somebody is typing is not taken away: a control with the focus and
 * unwritten text shows what comes from elsewhere when it is left.  Text is
 * written when the field is left, or after a pause.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { h, icon, keyed, say } from './dom.js';

const PAUSE_MS = 1200;
let numbers = 0;

/* What the merge rule of a field does, in two words; the whole story is the title. */
const RULES = {
  counter: ['adds up', 'Counts of several devices are added'],
  set: ['merges', 'Tags that several devices add or remove are all added or removed'],
  manual: ['asks you', 'If two devices write this at the same time, you decide'],
};

const label = (text, rule, id) => h('span', { class: 'label' }, h('label', id ? { for: id } : {}, text),
  rule && h('span', { class: 'rule', title: RULES[rule][1] }, RULES[rule][0]));

/* labelled puts a control below its name, as one field. */
function labelled(form, field, text, rule, ...controls) {
  const id = `field-${field}-${++numbers}`;
  const [control] = controls;
  const grouped = !control.matches('input, select, textarea');
  const name = label(text, rule, grouped ? null : id);
  if (grouped) {
    name.firstElementChild.replaceWith(h('span', { id }, text));
    control.setAttribute('role', control.getAttribute('role') ?? 'group');
    control.setAttribute('aria-labelledby', id);
  } else {
    control.id = id;
  }
  return h('div', { class: 'field-of', 'data-field': field }, name, ...controls);
}

/*
 * text is a line or an area.  read and parse lead from the record to the text
 * and back; what parse gives as undefined is not written.
 */
export function text(form, field, name, { rule, rows, read = (value) => value ?? '', parse = (value) => value.trim(), ...attributes } = {}) {
  const input = h(rows ? 'textarea' : 'input', { rows, ...attributes });
  let timer;
  let dirty = false;
  const write = () => {
    clearTimeout(timer);
    if (!dirty)
      return;
    dirty = false;
    const value = input.checkValidity() ? parse(input.value) : undefined;
    if (value !== undefined && value !== form.record()?.[field])
      form.write({ [field]: value });
  };
  input.addEventListener('input', () => {
    dirty = true;
    clearTimeout(timer);
    timer = setTimeout(write, PAUSE_MS);
  });
  input.addEventListener('change', write);
  input.addEventListener('blur', () => {
    write();
    update(form.record() ?? {});
  });
  if (!rows)
    input.addEventListener('keydown', (event) => event.key === 'Enter' && input.blur());
  const update = (record) => {
    const value = read(record[field]);
    if (!dirty && input.value !== value)
      input.value = value;
  };
  form.add(update, write);
  return attributes['aria-label'] ? h('div', { 'data-field': field, class: 'field-of' }, input) : labelled(form, field, name, rule, input);
}

/* number may be empty: null. */
export function number(form, field, name, attributes) {
  return text(form, field, name, {
    type: 'number',
    inputmode: 'numeric',
    read: (value) => String(value ?? ''),
    parse: (value) => (value === '' ? (attributes.required ? undefined : null) : Number(value)),
    ...attributes,
  });
}

/* choice is a row of buttons, one of which is on; with none it may be turned off again. */
export function choice(form, field, name, options, { none = false, icons = false } = {}) {
  const buttons = Object.entries(options).map(([value, title]) => h('button', {
    type: 'button',
    'data-value': value,
    click: () => {
      const now = form.record()[field];
      if (now !== value || none)
        form.write({ [field]: now === value ? null : value });
    },
  }, icons && icon(value), h('span', {}, title)));
  form.add((record) => {
    for (const button of buttons)
      button.setAttribute('aria-pressed', record[field] === button.dataset.value);
  });
  return labelled(form, field, name, null, h('div', { class: 'choice' }, buttons));
}

/* counter counts up; the patch is told the new value, the server adds the difference. */
export function counter(form, field, name, unit) {
  const shown = h('output', {});
  form.add((record) => say(shown, `${record[field] ?? 0} ${unit}`));
  return labelled(form, field, name, 'counter', h('div', { class: 'counter' }, shown,
    h('button', { type: 'button', class: 'round', 'aria-label': `${name}: one more`, click: () => form.write({ [field]: (form.record()[field] ?? 0) + 1 }) },
      icon('more'))));
}

/* tags are added with Enter or a comma. */
export function tags(form, field, name) {
  const list = h('ul', { class: 'chips' });
  const input = h('input', { maxlength: 40, placeholder: 'Add', 'aria-label': 'Add a tag' });
  const now = () => form.record()[field] ?? [];
  const add = () => {
    const tag = input.value.trim().replace(/^#|,$/g, '').trim();
    input.value = '';
    if (tag && !now().includes(tag))
      form.write({ [field]: [...now(), tag] });
  };
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' && event.key !== ',')
      return;
    event.preventDefault();
    add();
  });
  input.addEventListener('blur', add);
  form.add((record) => keyed(list, [...record[field] ?? []].sort(), {
    key: (tag) => tag,
    make: (tag) => h('li', {}, h('span', {}, tag), h('button', {
      type: 'button',
      'aria-label': `Remove the tag ${tag}`,
      click: () => form.write({ [field]: now().filter((other) => other !== tag) }),
    }, icon('close'))),
    fill: () => {},
  }));
  return labelled(form, field, name, 'set', h('div', { class: 'tags' }, list, input));
}

/* select is one of the options that fill() puts in. */
export function select(form, field, name, fill) {
  const control = h('select', { change: () => form.write({ [field]: control.value || null }) });
  form.add((record) => fill(control, record[field] ?? null));
  return labelled(form, field, name, null, control);
}
