/*
 * collection.test.mjs
 *     What an application sees and does: snapshots, lists, events, status.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { createClient, SyncError } from '../src/index.js';

let client;
let notes;

beforeEach(async () => {
  client = createClient({ url: 'http://relay', token: 'token', storage: 'memory', WebSocket: class {}, events: { note: 'REMARK' }, outbox: { changes: 5 } });
  notes = client.collection('note');
  await client.ready;
});

afterEach(() => client.close());

test('a snapshot is the same until something changes, and so is each record', () => {
  assert.equal(client.collection('note'), notes);
  notes.put('a', { x: 1 });
  notes.put('b', { x: 2 });
  const before = notes.getSnapshot();
  assert.equal(notes.getSnapshot(), before);
  notes.patch('a', { x: 3 });
  const after = notes.getSnapshot();
  assert.notEqual(after, before);
  assert.deepEqual(after, [{ id: 'a', x: 3 }, { id: 'b', x: 2 }]);
  assert.equal(after[1], before[1]);
  assert.throws(() => { after[0].x = 4; }, TypeError);
  /* What says the same again changes nothing that is seen. */
  notes.patch('a', { x: 3 });
  assert.equal(notes.getSnapshot(), after);
});

test('subscribe calls after each change, until it is ended', () => {
  let calls = 0;
  const end = notes.subscribe(() => calls++);
  notes.put('a', { x: 1 });
  client.collection('other').put('a', { x: 1 });
  assert.equal(calls, 1);
  end();
  notes.delete('a');
  assert.equal(calls, 1);
});

test('list filters, orders and cuts', () => {
  notes.put('a', { rank: 2, done: true });
  notes.put('b', { rank: 1, done: false });
  notes.put('c', { done: true });
  const ids = (query) => notes.list(query).map((n) => n.id);
  assert.deepEqual(ids(), ['a', 'b', 'c']);
  assert.deepEqual(ids({ where: { done: true } }), ['a', 'c']);
  assert.deepEqual(ids({ where: (n) => n.rank > 1 }), ['a']);
  assert.deepEqual(ids({ order: 'rank' }), ['b', 'a', 'c']);
  assert.deepEqual(ids({ order: '-rank' }), ['a', 'b', 'c']);
  assert.deepEqual(ids({ order: (x, y) => y.id.localeCompare(x.id), limit: 2 }), ['c', 'b']);
});

test('ids of their own, and ids that are numbers', () => {
  const { id } = notes.add({ x: 1 });
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  assert.equal(notes.get(id).x, 1);
  notes.put(12, { id: 12, x: 1 });
  assert.deepEqual(notes.get('12'), { id: 12, x: 1 });
});

test('events tell collection and kind, and * hears all', () => {
  const heard = [];
  for (const type of ['REMARK_CREATED', 'REMARK_UPDATED', 'REMARK_DELETED', '*'])
    client.on(type, (event) => heard.push([type, event.type, event.record?.x, event.before?.x, event.source]));
  notes.put('a', { x: 1 });
  notes.patch('a', { x: 2 });
  notes.delete('a');
  client.collection('task').put('t', { x: 5 });
  assert.deepEqual(heard, [
    ['REMARK_CREATED', 'REMARK_CREATED', 1, undefined, 'local'], ['*', 'REMARK_CREATED', 1, undefined, 'local'],
    ['REMARK_UPDATED', 'REMARK_UPDATED', 2, 1, 'local'], ['*', 'REMARK_UPDATED', 2, 1, 'local'],
    ['REMARK_DELETED', 'REMARK_DELETED', undefined, 2, 'local'], ['*', 'REMARK_DELETED', undefined, 2, 'local'],
    ['*', 'TASK_CREATED', 5, undefined, 'local']]);
});

test('what is given later changes nothing that was written', () => {
  const fields = { list: [1] };
  notes.put('a', fields);
  fields.list.push(2);
  assert.deepEqual(notes.get('a').list, [1]);
});

test('wrong use is told at once, and so is a full outbox', async () => {
  assert.throws(() => notes.put('a'), { name: 'SyncError', code: 'wrong_use' });
  assert.throws(() => notes.put('', { x: 1 }), { code: 'wrong_use' });
  for (let i = 0; i < 5; i++)
    notes.put(`n${i}`, { i });
  assert.throws(() => notes.put('n5', { i: 5 }), (error) => error instanceof SyncError && error.code === 'outbox_full');
  assert.equal(notes.getSnapshot().length, 5);
  assert.equal(client.status.unsent, 5);
  const { changes } = await client.exportOutbox();
  assert.deepEqual(changes.map((c) => c.fields.i), [0, 1, 2, 3, 4]);
  await client.close();
  assert.throws(() => notes.put('a', { x: 1 }), { code: 'closed' });
});

test('the flag: for the user, for the device, else as the application says', async () => {
  const kept = new Map();
  globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null };
  try {
    assert.equal(client.enabled(), true);
    kept.set('mirusync', 'off');
    assert.equal(client.enabled(), false);
    client.connect();
    assert.deepEqual([client.status.state, client.status.reason], ['disconnected', 'switched_off']);
    client.options.user = 'anna';
    kept.set('mirusync.anna', 'on');
    assert.equal(client.enabled(), true);
    kept.clear();
    client.options.enabled = false;
    assert.equal(client.enabled(), false);
    globalThis.location = { hostname: 'localhost' };
    assert.equal(client.enabled(), true, 'always in development');
  } finally {
    delete globalThis.localStorage;
    delete globalThis.location;
  }
});
