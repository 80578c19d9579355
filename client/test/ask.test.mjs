/*
 * ask.test.mjs
 *     What a user asks about his records: what is sent, what comes back, what
 *     goes wrong.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { createClient, SyncError } from '../src/index.js';

const CHANGE = { seq: 3, at: '2026-01-01T00:00:00.000001Z', kind: 'patch', origin: 'sql', changes: { title: { from: 'a', to: null } }, clock: '2026-01-01T00:00:00.000Z/0000' };

let client;
let asked;
let answers;
let tokens;

beforeEach(() => {
  asked = [];
  tokens = ['token-1', 'token-2', 'token-3'];
  answers = [];
  client = createClient({
    url: 'http://relay',
    storage: 'memory',
    token: () => tokens.shift() ?? null,
    WebSocket: class {},
    fetch: async (url, { method, headers, body }) => {
      const { pathname, searchParams } = new URL(url);
      asked.push({ path: pathname, method, token: headers.authorization.slice(7), ...(body ? { body: JSON.parse(body) } : { query: Object.fromEntries(searchParams) }) });
      const answer = answers.shift();
      if (answer instanceof Error)
        throw answer;
      return { ok: !answer.error, status: answer.status ?? 200, json: async () => answer };
    },
  });
});

afterEach(() => client.close());

const error = (status, code, retry, more = {}) => ({ status, error: { code, reason: `it is ${code}`, retry, ...more } });
const fault = (code, cause = {}) => (thrown) => {
  assert.ok(thrown instanceof SyncError, String(thrown));
  assert.equal(thrown.code, code);
  for (const [key, value] of Object.entries(cause))
    assert.equal(thrown.cause[key], value);
  return true;
};

test('history is asked for by collection and id, and is a list', async () => {
  answers = [{ complete: true, changes: [CHANGE] }, { complete: false, changes: [] }];
  assert.deepEqual(await client.history('note', 'a/b&c=d é'), [CHANGE]);
  assert.deepEqual(await client.history('note', 'n1', { limit: 5, before: 40 }), []);
  assert.deepEqual(asked, [
    { path: '/sync/history', method: 'GET', token: 'token-1', query: { collection: 'note', id: 'a/b&c=d é' } },
    { path: '/sync/history', method: 'GET', token: 'token-1', query: { collection: 'note', id: 'n1', limit: '5', before: '40' } }]);
});

test('conflicts of all, of a collection, of a record', async () => {
  answers = [1, 2, 3].map((id) => ({ complete: true, conflicts: [{ id }] }));
  assert.deepEqual(await client.conflicts(), [{ id: 1 }]);
  assert.deepEqual(await client.conflicts({ collection: 'note' }), [{ id: 2 }]);
  assert.deepEqual(await client.conflicts({ collection: 'note', id: 'n1', before: 9, limit: 1 }), [{ id: 3 }]);
  assert.deepEqual(asked.map(({ path, query }) => [path, query]), [['/sync/conflicts', {}], ['/sync/conflicts', { collection: 'note' }],
    ['/sync/conflicts', { collection: 'note', id: 'n1', before: '9', limit: '1' }]]);
});

test('a conflict is decided by a side or a value, null among them', async () => {
  answers = [1, 2, 3].map((seq) => ({ epoch: 0, seq }));
  assert.deepEqual(await client.resolve(5, { choose: 'incoming' }), { epoch: 0, seq: 1 });
  await client.resolve(6, { value: null });
  await client.resolve(7, { value: { a: [1] } });
  assert.deepEqual(asked.map(({ path, method, body }) => [path, method, body]), [
    ['/sync/resolve', 'POST', { conflict: 5, choose: 'incoming' }], ['/sync/resolve', 'POST', { conflict: 6, value: null }],
    ['/sync/resolve', 'POST', { conflict: 7, value: { a: [1] } }]]);
});

test('a token that is no good is replaced, once', async () => {
  answers = [error(401, 'unauthorized', false), { complete: true, conflicts: [] }];
  await client.conflicts();
  assert.deepEqual(asked.map(({ token }) => token), ['token-1', 'token-2']);
  answers = [error(401, 'unauthorized', false), error(401, 'unauthorized', false)];
  await assert.rejects(client.conflicts(), fault('unauthorized', { code: 'unauthorized' }));
  assert.deepEqual(asked.map(({ token }) => token), ['token-1', 'token-2', 'token-2', 'token-3']);
  answers = [error(401, 'unauthorized', false)];
  await assert.rejects(client.conflicts(), fault('unauthorized'));
  await assert.rejects(client.conflicts(), fault('unauthorized'), 'nobody is signed in');
  assert.equal(asked.length, 5, 'without a token nothing is asked');
});

test('a token that is the same again is not tried again', async () => {
  tokens = ['token-1', 'token-1'];
  answers = [error(401, 'unauthorized', false)];
  await assert.rejects(client.conflicts(), fault('unauthorized'));
  assert.equal(asked.length, 1);
});

test('what the relay refuses is thrown with what the database said', async () => {
  answers = [error(422, 'refused', false, { sqlstate: '23514' }), error(503, 'unavailable', true), error(400, 'bad_message', false), new TypeError('no network')];
  await assert.rejects(client.resolve(5, { value: '' }), fault('refused', { sqlstate: '23514', reason: 'it is refused' }));
  await assert.rejects(client.resolve(5, { choose: 'stored' }), fault('unreachable', { code: 'unavailable' }));
  await assert.rejects(client.history('note', 'n1', { limit: 0 }), fault('refused', { code: 'bad_message' }));
  await assert.rejects(client.history('note', 'n1'), fault('unreachable'));
});

test('what is no question is not asked', async () => {
  for (const wrong of [() => client.history('note'), () => client.history('note', ''), () => client.history(undefined, 'n1'), () => client.history('note', 5),
    () => client.conflicts({ id: 'n1' }), () => client.conflicts({ collection: '' }), () => client.conflicts({ collection: 'note', id: '' }),
    () => client.resolve(5), () => client.resolve(5, {}), () => client.resolve(5, { choose: 'stored', value: 1 }), () => client.resolve(5, null)])
    await assert.rejects(wrong, fault('wrong_use'));
  await client.close();
  await assert.rejects(client.history('note', 'n1'), fault('closed'));
  assert.deepEqual(asked, []);
});
