/*
 * tabs.test.mjs
 *     Several clients on one database, as tabs of one browser: who leads, who
 *     follows, and what becomes of writes when the lead passes on.
 *
 * Web Locks are imitated, BroadcastChannel is Node's own, IndexedDB is
 * fake-indexeddb's; the relay is one that never answers.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test as run } from 'node:test';
import { createClient } from '../src/index.js';
import { IDBFactory } from 'fake-indexeddb';
import './world.mjs';

/* A queue for each name, with what of Web Locks is used here. */
class FakeLocks {
  constructor() {
    this.held = null;
    this.queue = [];
  }

  request(name, options, run) {
    if (options.ifAvailable && this.held)
      return Promise.resolve(run(null));
    return new Promise((resolve, reject) => {
      const entry = { run, resolve, reject };
      options.signal?.addEventListener('abort', () => {
        if (this.queue.includes(entry)) {
          this.queue.splice(this.queue.indexOf(entry), 1);
          reject(new DOMException('', 'AbortError'));
        }
      });
      if (options.steal) {
        this.held?.reject(new DOMException('', 'AbortError'));
        this.held = null;
        this.queue.unshift(entry);
      } else {
        this.queue.push(entry);
      }
      this.next();
    });
  }

  async next() {
    if (this.held || !this.queue.length)
      return;
    const entry = this.queue.shift();
    this.held = entry;
    entry.resolve(await entry.run({}));
    if (this.held === entry) {
      this.held = null;
      this.next();
    }
  }

  /* die: whoever holds the lock is gone, without a word. */
  die() {
    this.held = null;
    this.next();
  }
}

/* What is not answered must fail, not hang. */
const test = (name, body) => run(name, { timeout: 20000 }, body);

let locks;
let open;
let runs = 0;

beforeEach(() => {
  globalThis.indexedDB = new IDBFactory();
  locks = new FakeLocks();
  open = [];
  runs++;
});

afterEach(async () => {
  await Promise.all(open.map((client) => client.close()));
});

function tab(more = {}) {
  const client = createClient({
    url: 'http://relay', token: 'token', name: `tabs-${runs}`, storage: 'indexeddb', locks, WebSocket: class { send() {} close() {} }, ...more,
  });
  client.note = client.collection('note');
  open.push(client);
  return client;
}

async function until(check, what = 'condition') {
  for (const end = Date.now() + 5000; !check();) {
    assert.ok(Date.now() < end, `timed out waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/* crash ends a tab without a chance to do anything. */
function crash(client) {
  open.splice(open.indexOf(client), 1);
  client.tabs.channel.close();
  client.tabs.post = () => {};
  client.leader?.device.saver.end();
  if (client.leader)
    locks.die();
}

test('one leads, the other sees and writes through it', async () => {
  const a = tab();
  await a.ready;
  a.note.put('n1', { title: 'one' });
  const b = tab();
  await b.ready;
  assert.deepEqual([a.status.leading, b.status.leading], [true, false]);
  assert.deepEqual(b.note.getSnapshot(), [{ id: 'n1', title: 'one' }]);
  const heard = [];
  a.on('*', ({ type }) => heard.push(type));
  const { saved } = b.note.patch('n1', { done: true });
  assert.equal(b.note.get('n1').done, true, 'shows at once where it was written');
  await saved;
  assert.deepEqual(a.note.get('n1'), { id: 'n1', title: 'one', done: true });
  assert.deepEqual(heard, ['NOTE_UPDATED']);
  await until(() => b.status.unsent === 1, 'the status');
  a.note.delete('n1');
  await until(() => !b.note.get('n1'), 'the end of it');
  assert.equal((await b.exportOutbox()).changes.length, 2);
});

test('when the leading tab closes the next one leads, with everything', async () => {
  const a = tab();
  const b = tab();
  const c = tab();
  await Promise.all([a.ready, b.ready, c.ready]);
  await b.note.put('n1', { title: 'one' }).saved;
  await a.close();
  await until(() => b.status.leading, 'the lead');
  assert.deepEqual(b.note.getSnapshot(), [{ id: 'n1', title: 'one' }]);
  assert.equal(b.status.unsent, 1);
  await c.note.put('n2', { title: 'two' }).saved;
  await until(() => b.note.get('n2'));
  assert.equal(c.status.leading, false);
});

test('a write that a dying leader did not answer is made once by the next', async () => {
  const a = tab();
  await a.ready;
  const b = tab();
  await b.ready;
  /* The leader gets it, but dies before it says so. */
  const { post } = a.leader;
  a.leader.post = (message) => message.type === 'answer' || post(message);
  const first = b.note.put('n1', { title: 'one' });
  await until(() => a.leader.device.outbox.written.size === 1, 'the leader to save it');
  a.leader.serve = () => {};
  const second = b.note.put('n2', { title: 'two' });
  crash(a);
  await Promise.all([first.saved, second.saved]);
  assert.equal(b.status.leading, true);
  assert.deepEqual([...b.leader.device.outbox.changes.values()].map((c) => [c.number, c.id]), [[1, 'n1'], [2, 'n2']]);
  assert.deepEqual(b.note.getSnapshot().map((n) => n.id), ['n1', 'n2']);
});

test('what a third tab asked the dying leader it asks the next', async () => {
  const a = tab();
  await a.ready;
  const [b, other] = [tab(), tab()];
  await Promise.all([b.ready, other.ready]);
  a.leader.serve = () => {};
  const { saved } = other.note.put('n1', { title: 'one' });
  const before = Date.now();
  crash(a);
  await saved;
  assert.ok(Date.now() - before < 4000, 'without waiting until it steals the lead');
  await until(() => b.status.leading || other.status.leading);
  assert.equal((b.leader ?? other.leader).device.outbox.size, 1);
});

test('from a leader that hangs the lead is stolen, and its writes are not taken', async () => {
  const timers = [];
  const time = {
    now: () => Date.now(),
    setTimeout: (run, ms) => { timers.push(run); return timers.length; },
    clearTimeout: (timer) => { timers[timer - 1] = null; },
  };
  const a = tab();
  await a.ready;
  const b = tab({ time });
  await b.ready;
  const { hear } = a;
  a.hear = () => {};
  const { saved } = b.note.put('n1', { title: 'one' });
  await until(() => timers.some(Boolean));
  const { leader } = a;
  a.tabs.stage.follow = () => {};
  timers.splice(0).forEach((run) => run?.());
  await saved;
  assert.equal(b.status.leading, true);
  /* It wakes up and does not know yet. */
  const late = leader.device.write('put', 'note', 'n2', { title: 'late' });
  await assert.rejects(late.saved, { code: 'lost_lead' });
  a.hear = hear;
  a.stepDown();
  await until(() => a.note.get('n1') && !a.note.get('n2'), 'what the new leader shows');
  assert.equal(b.note.get('n2'), undefined);
});

test('written before the storage is open, it is kept', async () => {
  const a = tab();
  const { saved } = a.note.put('n1', { title: 'early' });
  assert.ok(a.note.get('n1'));
  await saved;
  assert.deepEqual(a.note.getSnapshot(), [{ id: 'n1', title: 'early' }]);
  assert.equal(a.status.unsent, 1);
});

test('frozen, a tab gives the lead away, and takes part again', async () => {
  const a = tab();
  const b = tab();
  await Promise.all([a.ready, b.ready]);
  await a.note.put('n1', { title: 'one' }).saved;
  await a.tabs.resign();
  await until(() => b.status.leading, 'the lead');
  await b.note.put('n2', { title: 'two' }).saved;
  await a.tabs.stand();
  await until(() => a.note.get('n2'), 'what happened meanwhile');
  assert.equal(a.status.leading, false);
  const { saved } = a.note.put('n3', { title: 'three' });
  await saved;
  await until(() => b.note.get('n3'));
});
