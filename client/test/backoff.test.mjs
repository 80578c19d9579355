/*
 * backoff.test.mjs
 *     Waits grow from 1 s to 30 s, with full jitter, and are never nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../src/backoff.js';

test('the longest waits double up to 30 s', () => {
  const backoff = new Backoff(() => 0.9999999);
  const waits = Array.from({ length: 8 }, () => Math.ceil(backoff.next() / 1000));
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
  backoff.reset();
  assert.ok(backoff.next() <= 1000);
});

test('the shortest are short, but no tight loop', () => {
  const backoff = new Backoff(() => 0);
  for (let i = 0; i < 100; i++)
    assert.equal(backoff.next(), 100);
});

test('chance spreads them over the whole of it', () => {
  const values = [0, 0.25, 0.5, 0.75];
  const backoff = new Backoff(() => values.shift());
  backoff.attempt = 5;
  const waits = [0, 1, 2, 3].map(() => backoff.next());
  assert.deepEqual(waits, [100, 7575, 15050, 22525]);
});
