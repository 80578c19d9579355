/*
 * record.test.mjs
 *     What is known of a record does not depend on the order of messages.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judged, part, settled, shown, whole } from '../src/record.js';
import { seeded } from './world.mjs';

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);

test('a verdict before changes with lower numbers', () => {
  let base = whole(undefined, 5, { title: 'old', text: 'old' });
  base = judged(base, { kind: 'patch', fields: { text: 'mine' } }, { verdict: 'applied', seq: 7 });
  base = part(base, 6, { title: 'theirs', text: 'theirs' });
  assert.deepEqual(base.fields, { title: 'theirs', text: 'mine' });
});

test('a verdict after changes with higher numbers', () => {
  let base = whole(undefined, 5, { title: 'old', text: 'old' });
  base = part(base, 8, { title: 'theirs' });
  base = judged(base, { kind: 'patch', fields: { title: 'mine', text: 'mine' } }, { verdict: 'applied', seq: 7 });
  assert.deepEqual(base.fields, { title: 'theirs', text: 'mine' });
  base = whole(base, 9, null);
  base = judged(base, { kind: 'put', fields: { title: 'late' } }, { verdict: 'applied', seq: 8 });
  assert.equal(base.fields, null);
});

test('what the server added, refused, or found deleted', () => {
  const put = { kind: 'put', fields: { title: 'x' } };
  assert.deepEqual(judged(undefined, put, { verdict: 'applied', seq: 1, fields: { done: false } }), { seq: 1, fields: { title: 'x', done: false } });
  const base = { seq: 3, fields: { a: 1 } };
  assert.equal(judged(base, put, { verdict: 'rejected' }), base);
  assert.equal(judged(base, put, { verdict: 'stale', seq: 4, deleted: true }).fields, null);
  assert.equal(judged(base, { kind: 'delete' }, { verdict: 'applied', seq: 4 }).fields, null);
  assert.deepEqual(judged(base, { kind: 'delete' }, { verdict: 'stale', seq: 4, fields: { a: 2 } }).fields, { a: 2 });
  assert.deepEqual(judged(base, put, { verdict: 'stale', seq: 4, fields: { a: 2 } }).fields, { a: 2 });
});

test('fields that lost to their removal are not there', () => {
  const fields = { y: 2, z: 9 };
  const verdict = { verdict: 'merged', seq: 4, fields: { w: 1 }, removed: ['y'] };
  assert.deepEqual(judged(undefined, { kind: 'put', fields }, verdict).fields, { z: 9, w: 1 });
  assert.deepEqual(judged({ seq: 1, fields: { y: 0 } }, { kind: 'patch', fields }, verdict).fields, { z: 9, w: 1 });
  assert.deepEqual(judged({ seq: 1, fields: { y: 0, x: 1 } }, { kind: 'patch', fields: { y: 2 } }, { ...verdict, verdict: 'stale', fields: undefined }).fields, { x: 1 });
});

test('a field may be called like something that every object has', () => {
  const parse = (text) => JSON.parse(text);
  const named = '"constructor":1,"toString":2,"__proto__":{"x":3}';
  let base = part(whole(undefined, 1, { a: 1 }), 2, parse(`{${named}}`));
  assert.equal(JSON.stringify(base.fields), `{"a":1,${named}}`);
  base = part(base, 3, parse('{"constructor":4,"__proto__":5}'), ['toString']);
  assert.equal(JSON.stringify(shown(base, [])), '{"a":1,"constructor":4,"__proto__":5}');
  /* Removed under a later number than that of the whole record. */
  base = whole(part(whole(undefined, 1, {}), 5, {}, ['constructor', '__proto__']), 3, parse(`{${named}}`));
  assert.deepEqual(Object.entries(base.fields), [['toString', 2]]);
});

test('a message that begins below the cursor brings what it has', () => {
  /* Own title as 5; then others' text, of 4, under the record's latest number. */
  let base = judged(whole(undefined, 1, { title: 'a', text: 'a' }), { kind: 'patch', fields: { title: 'mine' } }, { verdict: 'applied', seq: 5 });
  base = settled(base, 5);
  base = part(base, 5, { title: 'mine', text: 'theirs' });
  assert.deepEqual(base.fields, { title: 'mine', text: 'theirs' });
});

test('marks are forgotten when all is known, and what is gone with them', () => {
  const marked = part({ seq: 3, fields: { a: 1 } }, 5, { a: 2 });
  assert.equal(settled(marked, 4), marked);
  assert.deepEqual(settled(marked, 5), { seq: 3, fields: { a: 2 } });
  assert.equal(settled({ seq: 3, fields: null }, 3), undefined);
});

test('own changes lie on top, in their order', () => {
  const base = { seq: 1, fields: { a: 1, b: 1 } };
  assert.deepEqual(shown(base, [{ kind: 'patch', fields: { a: 2 } }]), { a: 2, b: 1 });
  assert.deepEqual(shown(base, [{ kind: 'put', fields: { c: 1 } }, { kind: 'patch', fields: { d: 1 } }]), { c: 1, d: 1 });
  assert.equal(shown(base, [{ kind: 'patch', fields: { a: 2 } }, { kind: 'delete' }]), null);
  assert.deepEqual(shown(undefined, [{ kind: 'patch', fields: { a: 2 } }]), { a: 2 });
});

/* One record's life at the server, and the same heard in some order. */
test(`any order gives what the server has (SEED=${SEED})`, () => {
  const random = seeded(SEED);
  const pick = (n) => Math.floor(random() * n);
  for (let round = 0; round < 3000; round++) {
    let truth = null;
    const messages = [];
    const own = [];
    for (let seq = 1, count = 1 + pick(8); seq <= count; seq++) {
      const mine = pick(2) === 0;
      const kind = truth === null ? 'put' : ['put', 'patch', 'patch', 'delete'][pick(4)];
      const fields = {};
      for (const name of ['a', 'b', 'c'])
        if (pick(2))
          fields[name] = seq;
      const before = truth;
      truth = kind === 'delete' ? null : kind === 'put' ? fields : { ...truth, ...fields };
      /* Somebody else's put of a document is said as what it changed. */
      if (mine)
        own.push((base) => judged(base, { kind, fields }, { verdict: 'applied', seq }));
      else if (kind === 'put' && before && pick(2))
        messages.push((base) => part(base, seq, fields, Object.keys(before).filter((name) => !(name in fields))));
      else
        messages.push((base) => kind === 'patch' ? part(base, seq, fields) : whole(base, seq, truth === null ? null : fields));
    }
    /* Verdicts come anywhere; what others did comes in order. */
    for (const verdict of own)
      messages.splice(pick(messages.length + 1), 0, verdict);
    const base = messages.reduce((known, hear) => hear(known), undefined);
    assert.deepEqual(base?.fields ?? null, truth, `round ${round}`);
  }
});
