/*
 * device.test.mjs
 *     Outbox, replica and cursor together with a storage, message by message.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Device } from '../src/device.js';
import { fakeStorage, FakeTime, seeded, settle } from './world.mjs';

const WELCOME = {
  type: 'welcome', protocol: 1, session: '0123456789abcdef', user: 'anna', time: '2026-01-01T00:00:00.000Z', token_expires_in_ms: 1e6,
  limits: { message_max_bytes: 65536, batch_max_changes: 1000, pushes_max: 256, idle_timeout_ms: 300000 }, digested: 0, heads: {},
};
const page = (more = {}) => ({ type: 'page', feed: 'anna', epoch: 0, after: 0, upto: 0, head: 0, complete: true, changes: [], ...more });
const record = (seq, id, fields) => ({ seq, kind: fields ? 'put' : 'delete', collection: 'note', id, clock: '2026-01-01T00:00:00.000Z/0000', ...(fields ? { fields } : {}) });
const verdicts = (ref, ...all) => ({ type: 'verdicts', ref, feed: 'anna', epoch: 0, verdicts: all });

let storage;
let time;
let device;
let told;

async function start() {
  told = { differences: [], verdicts: [], failures: [] };
  device = new Device({
    storage,
    time,
    random: seeded(1),
    limits: { changes: 100, bytes: 100000 },
    listener: {
      differ: (differences, source) => told.differences.push(...differences.map((d) => ({ ...d, source }))),
      verdict: (change, verdict) => told.verdicts.push(verdict),
      failed: (error) => told.failures.push(error),
      saved: () => {},
    },
  });
  await device.open();
  return device;
}

const greet = (message = page()) => {
  assert.equal(device.welcome(WELCOME), undefined);
  device.receive(message);
};
const see = (id) => device.replica.views.get('note')?.get(id);

beforeEach(async () => {
  storage = fakeStorage();
  time = new FakeTime();
  await start();
});

test('a write shows at once, leaves when it is saved, and ends with its verdict', async () => {
  greet();
  await settle();
  const { number, verdict } = device.write('put', 'note', 'n1', { title: 'x' });
  assert.deepEqual(see('n1'), { id: 'n1', title: 'x' });
  assert.equal(device.push(), undefined, 'not saved yet');
  await settle();
  const push = device.push();
  assert.deepEqual(push.changes.map((c) => [c.number, c.kind, c.fields, c.base]), [[1, 'put', { title: 'x' }, 0]]);
  assert.equal(device.push(), undefined, 'it is under way');
  assert.equal(storage.outbox.size, 1);
  device.receive(verdicts(push.ref, { number, verdict: 'applied', seq: 1, fields: { done: false } }));
  assert.deepEqual(see('n1'), { id: 'n1', title: 'x', done: false });
  assert.equal((await verdict).seq, 1);
  assert.deepEqual(told.differences.map((d) => [d.after.done, d.source]), [[undefined, 'local'], [false, 'remote']]);
  device.receive({ type: 'changes', feed: 'anna', epoch: 0, from: 0, to: 0, complete: true, changes: [] });
  device.touch('note', 'n1');
  device.tell('remote');
  assert.equal(told.differences.length, 2, 'what shows the same is not told again');
  assert.deepEqual(device.cursor, { epoch: 0, seq: 0 }, 'a verdict moves no cursor');
  await settle();
  assert.equal(storage.outbox.size, 0);
  assert.equal(device.digested, 1);
});

test('digested is told when the end of the change is saved, not before', async () => {
  greet();
  device.write('put', 'note', 'n1', { title: 'x' });
  await settle();
  const push = device.push();
  assert.equal(push.digested, 0);
  storage.failing = new Error('disk');
  device.receive(verdicts(push.ref, { number: 1, verdict: 'applied', seq: 1 }));
  await settle();
  assert.equal(device.hello().digested, 0);
  storage.failing = null;
  await time.advance(5000);
  assert.equal(device.hello().digested, 1);
  assert.equal(storage.outbox.size, 0);
});

test('a write that began before the verdict came does not count as its end', async () => {
  greet();
  device.write('put', 'note', 'n1', { title: 'x' });
  await settle();
  const push = device.push();
  let finish;
  const { write } = storage;
  storage.write = async (batch) => {
    await new Promise((resolve) => { finish = resolve; });
    await write(batch);
  };
  device.write('put', 'note', 'n2', { title: 'y' });
  await settle();
  device.receive(verdicts(push.ref, { number: 1, verdict: 'applied', seq: 1 }));
  finish();
  await settle();
  assert.equal(device.hello().digested, 0);
  finish();
  await settle();
  assert.equal(device.hello().digested, 1);
});

test('the time of the server is taken over', () => {
  device.welcome({ ...WELCOME, time: '2026-02-01T00:00:00.000Z' });
  device.write('put', 'note', 'n1', { title: 'x' });
  assert.match(device.outbox.changes.get(1).clock, /^2026-02-01/);
});

test('nothing leaves before the first page', async () => {
  device.welcome(WELCOME);
  device.write('put', 'note', 'n1', { title: 'x' });
  await settle();
  assert.equal(device.push(), undefined);
  device.receive(page());
  assert.ok(device.push());
});

test('the cursor and what it stands for are saved together', async () => {
  greet(page({ upto: 2, head: 5, complete: false, changes: [record(1, 'a', { x: 1 }), record(2, 'b', { x: 2 })] }));
  await settle();
  assert.equal(storage.writes, 2, 'the device id, and this');
  assert.deepEqual(storage.meta.cursor, { epoch: 0, seq: 2, seen: 5 });
  assert.equal(storage.records.size, 2);
  storage.failing = new Error('disk');
  device.receive(page({ after: 2, upto: 3, head: 5, complete: false, changes: [record(3, 'c', { x: 3 })] }));
  await settle();
  storage.failing = null;
  device.receive(page({ after: 3, upto: 5, head: 5, changes: [record(5, 'a', { x: 5 })] }));
  await settle();
  assert.deepEqual(storage.meta.cursor, { epoch: 0, seq: 5 });
  assert.equal(storage.records.size, 3, 'nor is what failed before left out');
});

test('what was heard of already is ignored, a hole is told', () => {
  greet(page({ upto: 5, head: 5, changes: [record(5, 'a', { x: 5 })] }));
  const changes = (from, to, ...all) => ({ type: 'changes', feed: 'anna', epoch: 0, from, to, complete: true, changes: all });
  assert.equal(device.receive(changes(3, 5, record(4, 'a', { x: 4 }))), undefined);
  assert.equal(see('a').x, 5);
  assert.equal(device.receive(changes(6, 7, record(7, 'a', { x: 7 }))), 'hole');
  assert.equal(see('a').x, 5);
  assert.equal(device.receive(changes(4, 6, record(5, 'a', { x: 4 }), record(6, 'b', { x: 6 }))), undefined);
  assert.equal(see('a').x, 5);
  assert.equal(see('b').x, 6);
  assert.equal(device.cursor.seq, 6);
  assert.equal(device.receive(page({ after: 9, upto: 10 })), 'hole');
});

test('a pending write stays on top of what comes, and a refused one goes', async () => {
  greet(page({ upto: 1, head: 1, changes: [record(1, 'a', { x: 1, y: 1 })] }));
  device.write('patch', 'note', 'a', { x: 'mine' });
  await settle();
  const { ref } = device.push();
  device.receive({ type: 'changes', feed: 'anna', epoch: 0, from: 1, to: 2, complete: true, changes: [{ ...record(2, 'a', { x: 2, y: 2 }), kind: 'patch' }] });
  assert.deepEqual(see('a'), { id: 'a', x: 'mine', y: 2 });
  device.receive(verdicts(ref, { number: 1, verdict: 'rejected', code: '42501', reason: 'no' }));
  assert.deepEqual(see('a'), { id: 'a', x: 2, y: 2 });
  assert.equal(told.verdicts[0].code, '42501');
});

const refused = (number, code = '23514') => ({ number, verdict: 'rejected', code, reason: 'no' });

test('what was rejected is discarded with the next change of its record, and remembered until that has its verdict', async () => {
  greet();
  device.write('put', 'note', 'a', { x: 1 });
  device.write('put', 'note', 'b', { x: 1 });
  await settle();
  let push = device.push();
  assert.equal(push.discard, undefined);
  device.receive(verdicts(push.ref, refused(1), refused(2)));
  await settle();
  assert.deepEqual([storage.outbox.size, Object.values(storage.meta.refused)], [0, [[1], [2]]]);
  await start();
  greet();
  device.write('put', 'note', 'a', { x: 2 });
  await settle();
  push = device.push();
  assert.deepEqual(push.discard, [1]);
  /* Not heard of, it is sent with that again, in this life and the next. */
  device.lost();
  device.receive(page());
  assert.deepEqual(device.push().discard, [1]);
  await start();
  greet();
  push = device.push();
  assert.deepEqual([push.changes[0].number, push.discard], [3, [1]]);
  device.receive(verdicts(push.ref, { number: 3, verdict: 'applied', seq: 1 }));
  device.write('put', 'note', 'a', { x: 3 });
  device.write('put', 'note', 'b', { x: 3 });
  await settle();
  assert.deepEqual(device.push().discard, [2]);
});

test('what was refused as a message discarded nothing', async () => {
  greet();
  device.write('put', 'note', 'a', { x: 1 });
  await settle();
  device.receive(verdicts(device.push().ref, refused(1)));
  device.write('put', 'note', 'a', { x: '\0' });
  await settle();
  device.refused({ type: 'error', ref: device.push().ref, code: 'bad_json', retry: false, reason: 'x' });
  device.write('put', 'note', 'a', { x: 2 });
  await settle();
  assert.deepEqual(device.push().discard, [1]);
});

test('what waits behind something unknown is sent once more, after all that may be in its way', async () => {
  greet();
  device.write('put', 'note', 'b', { x: 1 });
  device.write('put', 'note', 'a', { x: 1 });
  const { verdict } = device.write('put', 'note', 'a', { x: 2 });
  await settle();
  let push = device.push();
  device.receive(verdicts(push.ref, { number: 1, verdict: 'applied', seq: 1 }, refused(2, 'MS010')));
  assert.deepEqual(see('a'), { id: 'a', x: 2 });
  assert.deepEqual(told.verdicts.map((v) => v.number), [1], 'it has no verdict yet');
  device.write('put', 'note', 'c', { x: 3 });
  await settle();
  push = device.push();
  assert.deepEqual([push.changes.map((c) => [c.number, c.fields.x]), push.discard], [[[4, 1]], [2, 1]], 'alone, as it may discard much');
  assert.deepEqual([...storage.outbox.keys()], [4, 5, 6]);
  assert.deepEqual(device.push().changes.map((c) => c.number), [6]);
  device.receive(verdicts(push.ref, refused(4, 'MS010')));
  assert.equal(told.verdicts.at(-1).code, 'MS010', 'but once');
  push = device.push();
  assert.deepEqual([push.changes.map((c) => [c.number, c.fields.x]), push.discard], [[[5, 2]], [4]]);
  device.receive(verdicts(push.ref, { number: 5, verdict: 'applied', seq: 2 }));
  assert.equal((await verdict).seq, 2);
});

test('of many that were rejected the last are remembered', async () => {
  device.outbox.limits.changes = 1000;
  greet();
  for (let i = 1; i <= 250; i++)
    device.write('put', 'note', `n${i}`, { x: 1 });
  await settle();
  for (let push; (push = device.push());)
    device.receive(verdicts(push.ref, ...push.changes.map(({ number }) => refused(number))));
  const known = Object.values(device.meta.refused).flat();
  assert.deepEqual([known.length, known[0], known.at(-1)], [200, 51, 250]);
});

test('a new device id has nothing to discard', async () => {
  greet();
  device.write('put', 'note', 'a', { x: 1 });
  await settle();
  device.receive(verdicts(device.push().ref, refused(1)));
  device.write('put', 'note', 'a', { x: 2 });
  device.renew();
  greet();
  await settle();
  const push = device.push();
  assert.deepEqual([push.changes[0].number, push.discard], [1, undefined]);
});

test('after start_over what was unsent stays, and verdicts wait for the page', async () => {
  greet(page({ upto: 2, head: 2, changes: [record(1, 'a', { x: 1 }), record(2, 'b', { x: 2 })] }));
  device.write('patch', 'note', 'a', { y: 1 });
  device.write('put', 'note', 'c', { z: 1 });
  await settle();
  const { ref } = device.push();
  device.receive({ type: 'start_over', scope: 'feed', feed: 'anna', reason: 'history_lost', delay_ms: 1 });
  assert.equal(see('b').x, 2, 'until the page comes');
  assert.equal(device.hello().cursors, undefined);
  device.receive(verdicts(ref, { number: 1, verdict: 'applied', seq: 9 }));
  assert.equal(device.outbox.size, 2);
  device.receive(page({ epoch: 1, upto: 8, head: 8, changes: [record(8, 'a', { x: 8 })] }));
  assert.deepEqual(see('a'), { id: 'a', x: 8, y: 1 });
  assert.equal(see('b'), undefined);
  assert.deepEqual(see('c'), { id: 'c', z: 1 });
  assert.equal(device.outbox.size, 1);
  await settle();
  /* It is known in the next life too, if that comes in between. */
  device.receive({ type: 'start_over', scope: 'feed', feed: 'anna', reason: 'history_lost', delay_ms: 1 });
  await settle();
  await start();
  assert.equal(see('a').x, 8);
  greet(page({ epoch: 2 }));
  assert.equal(see('a'), undefined);
  assert.deepEqual(see('c'), { id: 'c', z: 1 });
});

test('the next life has all of it, and sends what the last one sent as it was', async () => {
  greet(page({ upto: 1, head: 1, changes: [record(1, 'a', { x: 1 })] }));
  device.write('patch', 'note', 'a', { x: 2 });
  await settle();
  const sent = device.push().changes;
  const { device: id } = device.meta;
  await start();
  assert.equal(device.meta.device, id);
  assert.deepEqual(see('a'), { id: 'a', x: 2 });
  device.write('patch', 'note', 'a', { y: 3 });
  greet(page({ after: 1, upto: 1, head: 1 }));
  await settle();
  assert.deepEqual(device.push().changes, sent);
  assert.equal(device.push(), undefined, 'the later one waits');
  assert.equal(device.outbox.size, 2);
});

test('a push that had no effect is sent again, or each change alone, or given up', async () => {
  greet();
  device.write('put', 'note', 'a', { x: 1 });
  device.write('put', 'note', 'b', { x: 1 });
  await settle();
  let push = device.push();
  assert.equal(device.refused({ type: 'error', ref: push.ref, code: 'busy', retry: true, after_ms: 777 }), 777);
  push = device.push();
  assert.equal(push.changes.length, 2);
  assert.equal(device.refused({ type: 'error', ref: push.ref, code: 'bad_json', retry: false, reason: 'x' }), 0);
  const [first, second] = [device.push(), device.push()];
  assert.deepEqual([first.changes.length, second.changes.length], [1, 1]);
  device.refused({ type: 'error', ref: first.ref, code: 'bad_json', retry: false, reason: 'x' });
  device.receive(verdicts(second.ref, { number: 2, verdict: 'applied', seq: 1 }));
  assert.deepEqual(told.verdicts.map((v) => [v.number, v.verdict, v.code]), [[1, 'rejected', 'bad_json'], [2, 'applied', undefined]]);
  assert.equal(see('a'), undefined);
});

test('a storage that is full takes the write back, and says so', async () => {
  greet();
  await settle();
  const kept = device.write('put', 'note', 'a', { x: 1 });
  await kept.saved;
  storage.failing = Object.assign(new Error('full'), { name: 'QuotaExceededError' });
  const lost = device.write('put', 'note', 'b', { x: 1 });
  assert.ok(see('b'));
  await assert.rejects(lost.saved, { name: 'SyncError', code: 'storage_full' });
  assert.equal(see('b'), undefined);
  assert.equal(told.failures[0].code, 'storage_full');
  storage.failing = null;
  await time.advance(5000);
  assert.ok(see('a'));
  const { changes } = device.push();
  assert.deepEqual(changes.map((c) => c.id), ['a']);
});

test('of what memory and relay think of the device, the relay is right', () => {
  assert.equal(device.welcome({ ...WELCOME, digested: 3 }), 'device');
  device.write('put', 'note', 'a', { x: 1 });
  const { device: old } = device.meta;
  device.renew();
  assert.notEqual(device.meta.device, old);
  assert.equal(device.outbox.size, 1);
  greet();
  assert.equal(device.welcome({ ...WELCOME, user: 'bert' }), 'user');
});

test('wiped, nothing is left, here or in the storage', async () => {
  greet(page({ upto: 1, head: 1, changes: [record(1, 'a', { x: 1 })] }));
  const { verdict } = device.write('put', 'note', 'b', { x: 1 });
  await settle();
  device.wipe('bert');
  await settle();
  assert.equal((await verdict).code, 'user_changed');
  assert.equal(see('a') ?? see('b'), undefined);
  assert.equal(storage.records.size + storage.outbox.size, 0);
  assert.equal(storage.meta.user, 'bert');
  assert.equal(device.meta.number, 0);
});

test('marks go when the cursor has passed them', async () => {
  greet(page({ upto: 1, head: 1, changes: [record(1, 'a', { x: 1 })] }));
  device.write('patch', 'note', 'a', { x: 2 });
  device.write('delete', 'note', 'b');
  await settle();
  const { ref } = device.push();
  device.receive(verdicts(ref, { number: 1, verdict: 'applied', seq: 2 }, { number: 2, verdict: 'applied', seq: 3 }));
  assert.equal(device.replica.unsettled.size, 2);
  device.receive({ type: 'changes', feed: 'anna', epoch: 0, from: 1, to: 3, complete: true, changes: [] });
  assert.equal(device.replica.unsettled.size, 0);
  await settle();
  assert.deepEqual([...storage.records.values()].map((r) => r.base), [{ seq: 1, fields: { x: 2 } }]);
});
