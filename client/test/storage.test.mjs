/*
 * storage.test.mjs
 *     IndexedDB: what is written is there in the next life, whole or not at all,
 *     and only the last one who opened it writes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import './world.mjs';
import { indexedDbStorage } from '../src/storage_indexeddb.js';

const change = (number) => ({ number, kind: 'put', collection: 'note', id: `n${number}`, fields: {}, clock: '', base: 0, epoch: 0, at: 0 });
const batch = (more) => ({ clear: false, records: new Map(), outbox: new Map(), meta: {}, ...more });
const record = (id, fields) => [id, { collection: 'note', id, base: fields && { seq: 1, fields } }];

test('records, outbox and meta come back', async () => {
  const first = indexedDbStorage('back');
  assert.deepEqual(await first.open(), { records: [], outbox: [], meta: {} });
  await first.write(batch({ records: new Map([record('a', { x: 1 }), record('b', { x: 2 })]), outbox: new Map([[2, change(2)], [1, change(1)]]), meta: { number: 2 } }));
  await first.write(batch({ records: new Map([record('b', null)]), outbox: new Map([[1, null]]), meta: { number: 3 } }));
  await first.close();
  const second = indexedDbStorage('back');
  assert.deepEqual(await second.open(), {
    records: [{ collection: 'note', id: 'a', base: { seq: 1, fields: { x: 1 } } }], outbox: [change(2)], meta: { number: 3 },
  });
  await second.write(batch({ clear: true, records: new Map([record('c', { x: 3 })]) }));
  await second.close();
  const third = await indexedDbStorage('back').open();
  assert.deepEqual([third.records.map((r) => r.id), third.outbox], [['c'], []]);
});

test('a batch is written whole or not at all', async () => {
  const storage = indexedDbStorage('whole');
  await storage.open();
  await storage.write(batch({ records: new Map([record('a', { x: 1 })]), meta: { number: 1 } }));
  const bad = batch({ records: new Map([record('a', { x: 2 }), record('b', { x: () => {} })]), meta: { number: 2 } });
  await assert.rejects(storage.write(bad));
  await storage.close();
  const { records, meta } = await indexedDbStorage('whole').open();
  assert.deepEqual([records.map((r) => r.base.fields), meta], [[{ x: 1 }], { number: 1 }]);
});

test('who opened before writes no more', async () => {
  const old = indexedDbStorage('fence');
  await old.open();
  const young = indexedDbStorage('fence');
  await young.open();
  await assert.rejects(old.write(batch({ records: new Map([record('a', { x: 1 })]) })), { code: 'lost_lead' });
  await young.write(batch({ records: new Map([record('b', { x: 1 })]) }));
  assert.deepEqual((await indexedDbStorage('fence').open()).records.map((r) => r.id), ['b']);
});
