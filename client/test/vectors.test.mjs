/*
 * vectors.test.mjs
 *     The merge vectors of the repository (test/vectors/merge.json), as a
 *     device lives them.
 *
 * One rule runs here: of a device's own writes the last one stands.  All the
 * others run at the server, so what must hold of them is this: meanwhile the
 * device shows its own write, and in the end what the rule gave, in whatever
 * order verdict and change come.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Device } from '../src/device.js';
import { fakeStorage, FakeTime, seeded } from './world.mjs';

const VECTORS = JSON.parse(readFileSync(new URL('../../test/vectors/merge.json', import.meta.url)));

/* An increment has no word in the client; a set is an array with 7 in it or not. */
const usable = VECTORS.filter(({ add }) => add === undefined);
const valueOf = (v, value) => v.rule === 'set' ? (value ? [7] : []) : value;
const fieldsOf = (v, name) => name in v ? { f: valueOf(v, v[name]) } : {};

async function open() {
  const device = new Device({
    storage: fakeStorage(), time: new FakeTime(), random: seeded(1), limits: { changes: 100, bytes: 100000 },
    listener: { differ() {}, verdict() {}, failed() {}, saved() {} },
  });
  await device.open();
  device.greeted({ time: '2026-01-01T00:00:00.000Z', limits: { message_max_bytes: 65536, batch_max_changes: 1000, pushes_max: 256 } });
  return device;
}

const record = (seq, fields) => ({ seq, kind: 'put', collection: 'c', id: 'r', clock: '2026-01-01T00:00:00.000Z/0000', fields });
const shown = (device) => device.replica.views.get('c')?.get('r')?.f;

/* page brings the device up to a number. */
function page(device, upto, changes) {
  device.receive({ type: 'page', feed: 'u', epoch: 0, after: device.cursor.seq, upto, head: upto, complete: true, changes });
}

/* verdictOf is what the server says of the vector's change, and a change that got a number. */
function verdictOf(v, number) {
  const result = valueOf(v, v.result);
  const incoming = fieldsOf(v, 'incoming').f;
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  if (v.rejected)
    return { number, verdict: 'rejected', code: 'MS006', reason: 'a counter needs its base' };
  if (same(result, incoming))
    return { number, verdict: v.lost ? 'merged' : 'applied', seq: v.stored_number + 1 };
  if (same(result, fieldsOf(v, 'stored').f))
    return { number, verdict: 'stale', seq: v.stored_number, fields: { f: result } };
  return { number, verdict: 'merged', seq: v.stored_number + 1, fields: { f: result } };
}

/* play lives a vector: `order` says what comes first, the others' change or the verdict. */
async function play(v, order) {
  const device = await open();
  const seen = v.base ?? v.stored_number;
  const unseen = seen < v.stored_number && v.stored_device !== v.device;
  if (unseen)
    page(device, seen, 'at_base' in v ? [record(seen, fieldsOf(v, 'at_base'))] : []);
  else
    page(device, v.stored_number, [record(v.stored_number, fieldsOf(v, 'stored'))]);
  device.write(v.kind ?? 'patch', 'c', 'r', fieldsOf(v, 'incoming'));
  await device.saver.done();
  assert.deepEqual(shown(device), fieldsOf(v, 'incoming').f, 'a write shows at once');
  const { changes: [{ number }], ref } = device.push();
  const steps = {
    change: () => unseen && device.receive({ type: 'changes', feed: 'u', epoch: 0, from: seen, to: v.stored_number, complete: true,
      changes: [{ ...record(v.stored_number, fieldsOf(v, 'stored')), kind: 'at_base' in v ? 'patch' : 'put' }] }),
    verdict: () => device.receive({ type: 'verdicts', ref, feed: 'u', epoch: 0, verdicts: [verdictOf(v, number)] }),
  };
  steps[order[0]]();
  if (order[0] === 'change')
    assert.deepEqual(shown(device), fieldsOf(v, 'incoming').f, 'it does not flicker back while it waits');
  else if (!v.rejected)
    assert.deepEqual(shown(device), valueOf(v, v.result), 'the verdict tells what stands');
  steps[order[1]]();
  assert.deepEqual(shown(device), valueOf(v, v.result));
  assert.equal(device.outbox.size, 0);
  /* And when all has been said. */
  page(device, v.stored_number + 1, []);
  assert.deepEqual(shown(device), valueOf(v, v.result));
}

for (const rule of new Set(usable.map((v) => v.rule)))
  test(`what the rule ${rule} gave stands here in the end`, async () => {
    for (const v of usable.filter((one) => one.rule === rule))
      for (const order of [['change', 'verdict'], ['verdict', 'change']])
        await play(v, order).catch((error) => { throw new Error(`${v.case}, ${order[0]} first: ${error.message}`, { cause: error }); });
  });

test('of own writes the last one stands, by every rule that says so', async () => {
  const own = usable.filter((v) => v.stored_device === v.device && v.clock > v.stored_clock && 'stored' in v && !v.kind
    && ['lww', 'lww_field', 'first_wins', 'manual'].includes(v.rule));
  assert.ok(own.length >= 4, `${own.length} vectors`);
  for (const v of own) {
    const device = await open();
    page(device, 0, []);
    device.write('put', 'c', 'r', fieldsOf(v, 'stored'));
    device.write('patch', 'c', 'r', fieldsOf(v, 'incoming'));
    await device.saver.done();
    assert.deepEqual(shown(device), v.result, v.case);
    const { changes } = device.push();
    assert.deepEqual(changes.map(({ fields }) => fields), [{ f: v.result }], `${v.case}: it leaves as one`);
  }
});
