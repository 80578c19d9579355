/*
 * events.test.mjs
 *     Listeners come and go, and one that throws harms no other.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Events } from '../src/events.js';

test('on, emit, off, also meanwhile', () => {
  const events = new Events();
  const heard = [];
  const off = events.on('a', (event) => { heard.push(event); off(); });
  events.on('a', (event) => heard.push(-event));
  events.emit('a', 1);
  events.emit('a', 2);
  events.emit('b', 3);
  assert.deepEqual(heard, [1, -1, -2]);
});

test('an error goes to whoever watches for errors, and the others hear on', (t) => {
  const events = new Events();
  const later = [];
  t.mock.method(globalThis, 'queueMicrotask', (run) => later.push(run));
  let heard = false;
  events.on('a', () => { throw new Error('mine'); });
  events.on('a', () => { heard = true; });
  events.emit('a');
  assert.ok(heard);
  assert.equal(later.length, 1);
  assert.throws(later[0], /mine/);
});
