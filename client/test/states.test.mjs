/*
 * states.test.mjs
 *     Walks the table of the connection: what must hold in whatever order
 *     things happen.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameOf, TABLE } from '../src/states.js';
import { seeded } from './world.mjs';

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
const EVENTS = ['connect', 'disconnect', 'token', 'no_token', 'opened', 'welcome', 'lost', 'denied', 'refused', 'blocked', 'retry', 'wake'];

/* What each action does to the world, in a few flags. */
const EFFECTS = {
  authorize: (w) => { w.asking = true; },
  open: (w) => { assert.ok(!w.socket, 'one socket at a time'); w.asking = false; w.socket = true; },
  hello: (w) => assert.ok(w.socket),
  begin: (w) => { assert.ok(w.socket); w.data = true; },
  drop: (w) => { w.socket = w.asking = w.data = w.probing = false; },
  probe: (w) => { w.probing = true; },
  wait: (w) => { assert.ok(!w.timer, 'one wait at a time'); w.timer = true; },
  cancel: (w) => { w.timer = false; },
  poll: (w) => { w.polling = true; },
  rest: (w) => { w.polling = false; },
  check: (w) => assert.ok(w.data),
};

/* What may come of itself, given the world. */
const possible = (w) => ['connect', 'disconnect', 'wake',
  ...(w.asking ? ['token', 'no_token', 'lost'] : []),
  ...(w.socket ? ['opened', 'welcome', 'lost', 'denied', 'refused', 'blocked'] : []),
  ...(w.probing ? ['lost', 'denied', 'blocked'] : []),
  ...(w.polling ? ['lost', 'denied', 'refused'] : []),
  ...(w.timer ? ['retry'] : [])];

const SOCKETS = new Set(['opening', 'greeting', 'live']);
const TIMERS = new Set(['waiting', 'polling']);

test('every target and every event of the table is known', () => {
  for (const [state, steps] of Object.entries(TABLE))
    for (const [event, [target, ...actions]] of Object.entries(steps)) {
      assert.ok(TABLE[target], `${state} ${event}`);
      assert.ok(EVENTS.includes(event), event);
      for (const action of actions)
        assert.ok(EFFECTS[action], action);
    }
});

test('somebody can always disconnect, and connect again', () => {
  for (const [state, steps] of Object.entries(TABLE)) {
    if (state !== 'idle')
      assert.equal(steps.disconnect[0], 'idle', state);
  }
  for (const state of ['idle', 'unauthorized'])
    assert.equal(TABLE[state].connect[0], 'authorizing');
});

test(`a long random walk keeps what must hold (SEED=${SEED})`, () => {
  const random = seeded(SEED);
  let state = 'idle';
  let tries = 0;
  let leaves = 0;
  const visited = new Set();
  const w = { asking: false, socket: false, data: false, probing: false, timer: false, polling: false };
  for (let step = 0; step < 50000; step++) {
    const events = possible(w);
    const event = events[Math.floor(random() * events.length)];
    if (event === 'retry')
      w.timer = false;
    const next = TABLE[state][event];
    if (!next) {
      assert.notEqual(event, 'retry', 'a wait that is over leads on');
      continue;
    }
    if (['token', 'no_token'].includes(event))
      w.asking = false;
    if (state === 'probing')
      w.probing = false;
    if (state === 'authorizing' && event === 'lost')
      w.asking = false;
    visited.add(`${state} ${event}`);
    const [target, ...actions] = next;
    /* To a new socket leads only a wait, a wake or a person. */
    if (target === 'authorizing') {
      assert.ok(['retry', 'wake', 'connect'].includes(event));
      tries++;
    }
    if (event === 'lost')
      leaves++;
    state = target;
    for (const action of actions)
      EFFECTS[action](w);
    assert.equal(w.socket, SOCKETS.has(state), `${state}: socket`);
    assert.equal(w.timer, TIMERS.has(state), `${state}: timer`);
    assert.equal(w.data, state === 'live', `${state}: data`);
    assert.equal(w.asking, state === 'authorizing', `${state}: token`);
    if (state === 'idle' || state === 'unauthorized' || state === 'waiting' || state === 'live')
      assert.ok(!w.polling, `${state}: no polling`);
    if (state === 'polling')
      assert.ok(w.polling);
  }
  const all = Object.entries(TABLE).flatMap(([from, steps]) => Object.keys(steps).map((event) => `${from} ${event}`));
  assert.deepEqual([...visited].sort(), all.sort(), 'the walk took every step');
  assert.ok(tries > 100 && leaves > 100);
});

test('what the application is told', () => {
  const fresh = { again: false, polling: false };
  assert.equal(nameOf('idle', fresh), 'disconnected');
  assert.equal(nameOf('opening', fresh), 'connecting');
  assert.equal(nameOf('opening', { again: true, polling: false }), 'reconnecting');
  assert.equal(nameOf('waiting', { again: true, polling: false }), 'reconnecting');
  assert.equal(nameOf('greeting', { again: true, polling: true }), 'connected');
  assert.equal(nameOf('live', fresh), 'connected');
  assert.equal(nameOf('unauthorized', fresh), 'needs-auth');
});
