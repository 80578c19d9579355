/*
 * clock.test.mjs
 *     The hybrid logical clock.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HybridClock } from '../src/clock.js';

const T = Date.parse('2026-01-01T00:00:00Z');

test('clocks grow, also when the wall clock stands or goes back', () => {
  let now = T;
  const clock = new HybridClock(() => now);
  assert.equal(clock.next(), '2026-01-01T00:00:00.000Z/0000');
  assert.equal(clock.next(), '2026-01-01T00:00:00.000Z/0001');
  now -= 5000;
  assert.equal(clock.next(), '2026-01-01T00:00:00.000Z/0002');
  now = T + 1;
  assert.equal(clock.next(), '2026-01-01T00:00:00.001Z/0000');
  clock.counter = 0xffff;
  assert.equal(clock.next(), '2026-01-01T00:00:00.002Z/0000');
});

test('what was seen is older than what comes next', () => {
  const clock = new HybridClock(() => T);
  clock.see('2026-01-01T00:00:10.000Z/0007');
  clock.see('2025-01-01T00:00:10.000Z/0009');
  clock.see('nonsense');
  clock.see(undefined);
  assert.equal(clock.next(), '2026-01-01T00:00:10.000Z/0008');
});

test('a device whose clock is wrong writes with the time of the server', () => {
  const clock = new HybridClock(() => T);
  clock.adjust('2026-01-02T00:00:00.000Z');
  assert.equal(clock.next(), '2026-01-02T00:00:00.000Z/0000');
  /* What it had from a clock far ahead is bounded as the server bounds it. */
  clock.see('2030-01-01T00:00:00.000Z');
  clock.adjust('2026-01-02T00:00:00.000Z');
  assert.equal(clock.next(), '2026-01-02T00:01:00.000Z/0001');
  /* The way that an answer takes is no difference of clocks. */
  clock.adjust('2026-01-01T00:00:00.500Z');
  assert.equal(clock.offset, 0);
});
