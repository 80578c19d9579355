/*
 * outbox.test.mjs
 *     What folds, what waits, what leaves.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Outbox } from '../src/outbox.js';

const ROOM = { bytes: 100000, changes: 1000 };
let outbox;
let number;

beforeEach(() => {
  outbox = new Outbox({ changes: 100, bytes: 100000 });
  number = 0;
});

const make = (kind, id, fields, more = {}) => ({
  number: ++number, kind, collection: 'note', id, ...(fields ? { fields } : {}), clock: `c${number}`, base: 0, epoch: 0, at: number, ...more,
});
const add = (...all) => {
  const change = outbox.add(make(...all));
  outbox.wrote(change);
  return change;
};
const numbers = (taken) => taken.changes.map((change) => change.number);

test('queued patches of one record are one', () => {
  add('put', 'a', { x: 1 });
  add('patch', 'a', { y: 2 });
  const last = add('patch', 'a', { x: 3 });
  assert.equal(outbox.size, 1);
  assert.deepEqual([last.number, last.kind, last.fields, last.clock], [1, 'put', { x: 3, y: 2 }, 'c3']);
  add('patch', 'b', { x: 1 });
  assert.equal(outbox.size, 2);
});

test('what may have left is not touched', () => {
  add('put', 'a', { x: 1 });
  assert.deepEqual(numbers(outbox.take(ROOM)), [1]);
  add('patch', 'a', { x: 2 });
  assert.equal(outbox.size, 2);
  add('patch', 'a', { x: 3 });
  assert.equal(outbox.size, 2, 'but what waits behind it is');
  /* Nor what was loaded: the last life may have sent it. */
  const next = new Outbox({ changes: 100, bytes: 100000 });
  next.load([make('put', 'a', { x: 1 })]);
  next.add(make('patch', 'a', { x: 2 }));
  assert.equal(next.size, 2);
});

test('a delete, and a put, are changes of their own', () => {
  add('put', 'a', { x: 1 });
  add('put', 'a', { y: 1 });
  add('delete', 'a');
  add('patch', 'a', { z: 1 });
  assert.equal(outbox.size, 4);
});

test('a fold gives no old field a much younger clock', () => {
  add('patch', 'a', { x: 1 }, { at: 0 });
  add('patch', 'a', { y: 1 }, { at: 120000 });
  assert.equal(outbox.size, 2);
  add('patch', 'b', { x: 1 }, { at: 0 });
  add('patch', 'b', { x: 2, y: 1 }, { at: 120000 });
  assert.equal(outbox.size, 3, 'unless it is written again');
});

test('of one record one change is under way, others wait for nothing', () => {
  add('put', 'a', { x: 1 });
  add('delete', 'a');
  add('put', 'b', { x: 1 });
  assert.deepEqual(numbers(outbox.take(ROOM)), [1, 3]);
  assert.deepEqual(numbers(outbox.take(ROOM)), []);
  outbox.drop(1);
  assert.deepEqual(numbers(outbox.take(ROOM)), [2]);
});

test('what is not saved does not leave', () => {
  const change = outbox.add(make('put', 'a', { x: 1 }));
  assert.deepEqual(numbers(outbox.take(ROOM)), []);
  const folded = outbox.add(make('patch', 'a', { x: 2 }));
  outbox.wrote(change);
  assert.deepEqual(numbers(outbox.take(ROOM)), [], 'nor an older form of it');
  outbox.wrote(folded);
  assert.deepEqual(numbers(outbox.take(ROOM)), [1]);
});

test('what could not be saved goes back to what was', () => {
  add('put', 'a', { x: 1 });
  outbox.add(make('patch', 'a', { x: 2 }));
  outbox.revert(1);
  assert.deepEqual(outbox.of('["note","a"]')[0].fields, { x: 1 });
  const fresh = outbox.add(make('put', 'b', { x: 1 }));
  outbox.revert(fresh.number);
  assert.equal(outbox.size, 1);
});

test('a batch has one epoch and fits into a message', () => {
  add('put', 'a', { x: 1 });
  add('put', 'b', { x: 1 }, { epoch: 1 });
  add('put', 'c', { x: 1 });
  assert.deepEqual(numbers(outbox.take(ROOM)), [1, 3]);
  assert.deepEqual(numbers(outbox.take(ROOM)), [2]);
  for (let i = 0; i < 10; i++)
    add('put', `d${i}`, { text: 'x'.repeat(1000) });
  const { changes } = outbox.take({ bytes: 4000, changes: 1000 });
  assert.ok(changes.length >= 2 && JSON.stringify({ type: 'push', changes }).length <= 4000);
  assert.equal(outbox.take({ bytes: 100000, changes: 3 }).changes.length, 3);
  const huge = add('put', 'e', { text: 'x'.repeat(5000) });
  assert.equal(outbox.take({ bytes: 4000, changes: 1 }).changes.length, 1);
  for (const change of [...outbox.changes.values()].filter((c) => c !== huge))
    outbox.drop(change.number);
  assert.equal(outbox.take({ bytes: 4000, changes: 1000 }).tooLarge, huge);
});

test('what is to be discarded goes with the change of its record, and has its size', () => {
  for (const id of ['a', 'b', 'c'])
    add('put', id, { x: 1 });
  const { changes, discard } = outbox.take({ bytes: 100000, changes: 2 }, { '["note","b"]': [7, 8], '["note","c"]': [9] });
  assert.deepEqual([changes.map((change) => change.id), discard], [['a', 'b'], [7, 8]]);
  outbox.again(changes);
  const refused = { '["note","b"]': Array.from({ length: 1000 }, (_, i) => 1e7 + i) };
  const all = outbox.take({ bytes: 20000, changes: 1000 }, refused);
  assert.deepEqual([all.changes.length, all.discard.length], [3, 1000]);
  outbox.again(all.changes);
  assert.equal(outbox.take({ bytes: 10000, changes: 1000 }, refused).tooLarge?.id, 'b');
});

test('what the relay refused together goes alone', () => {
  for (const id of ['a', 'b', 'c'])
    add('put', id, { x: 1 });
  const { changes } = outbox.take(ROOM);
  outbox.again(changes);
  for (const change of changes)
    outbox.alone.add(change.number);
  assert.deepEqual([1, 2, 3].map(() => numbers(outbox.take(ROOM))), [[1], [2], [3]]);
});

test('it is bounded, in changes and in bytes', () => {
  outbox = new Outbox({ changes: 2, bytes: 100000 });
  add('put', 'a', { x: 1 });
  add('put', 'b', { x: 1 });
  assert.throws(() => add('put', 'c', { x: 1 }), { name: 'SyncError', code: 'outbox_full' });
  add('patch', 'b', { y: 1 });
  assert.equal(outbox.size, 2);
  outbox = new Outbox({ changes: 100, bytes: 1000 });
  assert.throws(() => add('put', 'a', { text: 'x'.repeat(1000) }), { code: 'outbox_full' });
  assert.equal(outbox.bytes, 0);
  add('put', 'a', { text: 'x'.repeat(100) });
  outbox.drop(outbox.changes.keys().next().value);
  assert.equal(outbox.bytes, 0);
});
