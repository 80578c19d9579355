/*
 * diff.js
 *     What two texts have in common, word by word.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** @typedef {{text: string, same: boolean}} Piece */

/* The table of two texts' words is at most so large; beyond, what is between the ends counts as different. */
const TABLE_MAX = 250000;

/* An unchanged stretch that is longer is cut, and so much of it is kept at its ends. */
const STRETCH_MAX = 180;
const STRETCH_END = 70;

/** @param {string} text */
const wordsOf = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];

/**
 * diff gives both texts in pieces that are in the other one too, or not.
 * @param {string} a
 * @param {string} b
 * @returns {[Piece[], Piece[]]}
 */
export function diff(a, b) {
  const [x, y] = [wordsOf(a), wordsOf(b)];
  let start = 0;
  while (start < x.length && start < y.length && x[start] === y[start])
    start++;
  let end = 0;
  while (end < x.length - start && end < y.length - start && x[x.length - 1 - end] === y[y.length - 1 - end])
    end++;
  const [u, v] = [x.slice(start, x.length - end), y.slice(start, y.length - end)];
  const [left, right] = common(u, v);
  const pieces = (/** @type {string[]} */ all, /** @type {boolean[]} */ marks) => join([
    ...all.slice(0, start).map((text) => ({ text, same: true })),
    ...marks.map((same, i) => ({ text: all[start + i], same })),
    ...all.slice(all.length - end).map((text) => ({ text, same: true })),
  ]);
  return [pieces(x, left), pieces(y, right)];
}

/**
 * common marks the words of a longest common subsequence.
 * @param {string[]} u
 * @param {string[]} v
 * @returns {[boolean[], boolean[]]}
 */
function common(u, v) {
  const left = u.map(() => false);
  const right = v.map(() => false);
  const width = v.length + 1;
  if (u.length * v.length > TABLE_MAX)
    return [left, right];
  const table = new Uint32Array((u.length + 1) * width);
  for (let i = u.length - 1; i >= 0; i--)
    for (let j = v.length - 1; j >= 0; j--)
      table[i * width + j] = u[i] === v[j] ? table[(i + 1) * width + j + 1] + 1
        : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
  for (let i = 0, j = 0; i < u.length && j < v.length;) {
    if (u[i] === v[j])
      left[i++] = right[j++] = true;
    else if (table[(i + 1) * width + j] >= table[i * width + j + 1])
      i++;
    else
      j++;
  }
  return [left, right];
}

/**
 * join makes one of neighbours of a kind.  A blank between two differences is
 * one too: it reads as one.
 * @param {Piece[]} pieces
 */
function join(pieces) {
  /** @type {Piece[]} */
  const joined = [];
  pieces.forEach(({ text, same }, i) => {
    const between = same && /^\s+$/.test(text) && i > 0 && i < pieces.length - 1 && !pieces[i - 1].same && !pieces[i + 1].same;
    const last = joined.at(-1);
    if (last && last.same === (same && !between))
      last.text += text;
    else
      joined.push({ text, same: same && !between });
  });
  return joined;
}

/** isWorthwhile: so much is the same that marks help to read it. @param {Piece[]} pieces */
export function isWorthwhile(pieces) {
  const length = pieces.reduce((sum, { text }) => sum + text.length, 0);
  const same = pieces.reduce((sum, piece) => sum + (piece.same ? piece.text.trim().length : 0), 0);
  return same >= length * 0.3 && same > 3;
}

/**
 * cut leaves the middle of long unchanged stretches out.
 * @param {Piece[]} pieces
 * @returns {(Piece & {cut?: true})[]}
 */
export function cut(pieces) {
  return pieces.flatMap((piece, i) => {
    const { text, same } = piece;
    const ends = [i > 0, i < pieces.length - 1];
    if (!same || text.length <= STRETCH_MAX)
      return [piece];
    const kept = [ends[0] || !ends[1] ? text.slice(0, STRETCH_END) : '', ends[1] ? text.slice(-STRETCH_END) : ''];
    return [{ text: kept[0], same }, { text: '…', same, cut: /** @type {const} */ (true) }, { text: kept[1], same }].filter((each) => each.text);
  });
}
