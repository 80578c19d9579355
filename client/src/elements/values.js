/*
 * values.js
 *     Values of any JSON kind, for people: to read and to edit.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** @typedef {'none' | 'null' | 'text' | 'number' | 'boolean' | 'json'} ValueKind */

/**
 * @typedef {object} ValueTexts
 * @property {string} none
 * @property {string} empty
 * @property {string} emptyText
 * @property {string} yes
 * @property {string} no
 * @property {string} notNumber
 * @property {string} notJson
 */

/** @param {any} value @returns {ValueKind} */
export function kindOf(value) {
  if (value === undefined)
    return 'none';
  if (value === null)
    return 'null';
  if (typeof value === 'string')
    return 'text';
  return typeof value === 'number' || typeof value === 'boolean' ? /** @type {ValueKind} */ (typeof value) : 'json';
}

/** editKindOf is as what a value is edited that stands between these. @param {any[]} values @returns {'text' | 'number' | 'boolean' | 'json'} */
export function editKindOf(...values) {
  const kinds = new Set(values.map(kindOf).filter((kind) => kind !== 'none' && kind !== 'null'));
  const [kind] = kinds;
  return kinds.size === 0 ? 'text' : kinds.size === 1 ? /** @type {any} */ (kind) : 'json';
}

/** isPlain: it is no text of the value itself, but words about it. @param {any} value */
export const isPlain = (value) => value === undefined || value === null || value === '';

/**
 * textOf shows a value.
 * @param {any} value
 * @param {ValueTexts} texts
 * @returns {string}
 */
export function textOf(value, texts) {
  switch (kindOf(value)) {
    case 'none':
      return texts.none;
    case 'null':
      return texts.empty;
    case 'text':
      return value === '' ? texts.emptyText : value;
    case 'number':
      return String(value);
    case 'boolean':
      return value ? texts.yes : texts.no;
    default:
      return Array.isArray(value) && value.length && value.every((item) => kindOf(item) !== 'json' && !isPlain(item))
        ? value.map((item) => textOf(item, texts)).join(', ') : JSON.stringify(value, null, 2);
  }
}

/** draftOf is the text to begin with when a value is edited. @param {any} value @param {string} kind */
export function draftOf(value, kind) {
  if (value === undefined || (value === null && kind !== 'json'))
    return '';
  return kind === 'json' ? JSON.stringify(value, null, 2) : String(value);
}

/**
 * parse makes a value of a draft, or says what is wrong with it.
 * @param {string} text
 * @param {string} kind
 * @param {ValueTexts} texts
 * @returns {{value: any, error?: undefined} | {value?: undefined, error: string}}
 */
export function parse(text, kind, texts) {
  switch (kind) {
    case 'number': {
      const value = Number(text.trim().replace(/^(-?\d+),(\d+)$/, '$1.$2'));
      return text.trim() === '' || !Number.isFinite(value) ? { error: texts.notNumber } : { value };
    }
    case 'boolean':
      return { value: text === 'true' };
    case 'json':
      try {
        return { value: JSON.parse(text) };
      } catch (error) {
        return { error: `${texts.notJson} (${/** @type {Error} */ (error).message})` };
      }
    default:
      return { value: text };
  }
}
