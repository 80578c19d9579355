/*
 * elements.test.mjs
 *     What of the web components needs no page: words, ages, values,
 *     differences, who wrote what, and the log without tokens.  The rest is
 *     test/e2e/elements.test.mjs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, diff, isWorthwhile } from '../src/elements/diff.js';
import { disputesOf, fieldName, namesOf, recordName, sidesOf } from '../src/elements/disputes.js';
import { sampleOf } from '../src/elements/debug.js';
import { retry, tap, wipe } from '../src/elements/inside.js';
import { HIDDEN, lineOf, Log, redact } from '../src/elements/log.js';
import { INDICATOR_TEXTS, meaningOf } from '../src/elements/meaning.js';
import { ago, millis, tick, timeOf } from '../src/elements/time.js';
import { draftOf, editKindOf, parse, textOf } from '../src/elements/values.js';
import { createClient } from '../src/index.js';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const EN = { locale: 'en', now: 'just now' };

test('the modules can be imported where there is no page', async () => {
  for (const name of ['indicator', 'conflicts', 'debug'])
    assert.equal(typeof (await import(`../src/elements/${name}.js`))[`Mirusync${name[0].toUpperCase()}${name.slice(1)}`], 'function');
});

test('ages in words, and how soon they may be others', () => {
  const cases = [[0, 'just now'], [-5000, 'just now'], [9999, 'just now'], [30000, '30 seconds ago'], [60000, '1 minute ago'],
    [26 * 60000, '26 minutes ago'], [3600000, '1 hour ago'], [86400000, 'yesterday'], [3 * 86400000, '3 days ago'], [70 * 86400000, '2 months ago']];
  for (const [ms, words] of cases)
    assert.equal(ago(NOW - ms, NOW, EN), words);
  assert.equal(ago(NOW - 120000, NOW, { locale: 'de', now: 'eben' }), 'vor 2 Minuten');
  assert.ok(tick(NOW, NOW) < tick(NOW - 120000, NOW) && tick(NOW - 120000, NOW) < tick(NOW - 7200000, NOW));
});

test('times of the server and of clocks', () => {
  assert.equal(millis('2026-03-01T12:00:00.000Z/0001'), NOW);
  assert.equal(millis('2026-03-01T14:00:00.000000+02:00'), NOW);
  assert.equal(millis(NOW), NOW);
  assert.equal(millis('nonsense'), undefined);
  assert.equal(millis(null), undefined);
  const zone = { timeZone: 'UTC' };
  assert.match(timeOf(NOW - 3600000, NOW, 'en', zone), /^11:00/);
  assert.match(timeOf(NOW - 86400000, NOW, 'en', zone), /^Feb 28, 2026/);
});

const STATUS = {
  state: 'connected', reason: '', via: 'socket', unsent: 0, unsentSince: null, user: 'anna', device: 'd', caughtUp: true, lasting: true, leading: true,
};
const meaning = (status, more = {}) => meaningOf(status && { ...STATUS, ...status }, { now: NOW, synced: null, online: true, texts: INDICATOR_TEXTS, ...more });

/* Status, and what it means: kind, tone, action, reason. */
const MEANINGS = [
  [{}, 'synced', 'good', null, ''],
  [{ caughtUp: false }, 'receiving', 'good', null, ''],
  [{ unsent: 2, unsentSince: NOW - 1000 }, 'sending', 'good', null, ''],
  [{ unsent: 2, unsentSince: NOW - 60000 }, 'slow', 'wait', null, ''],
  [{ state: 'connecting', reason: 'not_connected' }, 'connecting', 'wait', null, ''],
  [{ state: 'reconnecting', reason: 'closed_1006' }, 'offline', 'wait', 'retry', 'The connection was lost.'],
  [{ state: 'reconnecting', reason: 'unreachable' }, 'offline', 'wait', 'retry', 'The server cannot be reached.'],
  [{ state: 'reconnecting', reason: 'planned maintenance' }, 'offline', 'wait', 'retry', 'planned maintenance'],
  [{ state: 'reconnecting', reason: 'constructor' }, 'offline', 'wait', 'retry', 'constructor'],
  [{ state: 'needs-auth', reason: 'no_token' }, 'signed-out', 'bad', 'sign-in', 'You are not signed in.'],
  [{ state: 'disconnected', reason: 'not_connected' }, 'paused', 'off', 'connect', 'Sync was not started.'],
  [{ state: 'disconnected', reason: 'by_request' }, 'paused', 'off', 'connect', 'Sync was paused.'],
  [{ state: 'disconnected', reason: 'switched_off' }, 'off', 'off', null, ''],
  [{ state: 'disconnected', reason: 'forbidden' }, 'stopped', 'bad', 'retry', 'You may not sync here.'],
];

test('what each status means', () => {
  for (const [status, kind, tone, action, reason] of MEANINGS) {
    const got = meaning(status);
    assert.deepEqual([got.kind, got.tone, got.action, got.reason], [kind, tone, action, reason], JSON.stringify(status));
    assert.ok(got.title);
  }
  assert.equal(meaning(null).kind, 'none');
  assert.equal(meaning({ state: 'reconnecting', reason: 'unreachable' }, { online: false }).reason, INDICATOR_TEXTS.noNetwork);
  assert.equal(meaning({ via: 'http' }).detail, INDICATOR_TEXTS.slowWay);
});

test('what is unsent: how much, since when, and whether it may be lost', () => {
  const offline = { state: 'reconnecting', reason: 'silent', unsent: 3, unsentSince: NOW - 300000 };
  assert.equal(meaning(offline).unsent, '3 changes, the oldest 5 minutes ago');
  assert.equal(meaning({ ...offline, unsent: 1 }).unsent, '1 change, the oldest 5 minutes ago');
  assert.equal(meaning({}).unsent, 'Nothing');
  assert.equal(meaning({ ...offline, lasting: false }).detail, INDICATOR_TEXTS.unkept);
  assert.match(meaning({ ...offline, lasting: false }).announcement, /Keep this page open/);
  assert.equal(meaning({}, { synced: NOW - 7200000 }).synced, 'just now');
  assert.equal(meaning(offline, { synced: NOW - 7200000 }).synced, '2 hours ago');
  assert.equal(meaning(offline).synced, 'Not yet');
});

test('an announcement is due when the meaning changes, not when a number or an age does', () => {
  const offline = { state: 'reconnecting', reason: 'silent', unsent: 3, unsentSince: NOW - 300000 };
  assert.equal(meaning(offline).key, meaning({ ...offline, unsent: 4 }).key);
  assert.equal(meaning(offline).key, meaning(offline, { now: NOW + 60000 }).key);
  assert.equal(meaning(offline).key, meaning({ ...offline, reason: 'unreachable' }).key);
  assert.notEqual(meaning(offline).key, meaning({ ...offline, unsent: 0 }).key);
  assert.notEqual(meaning(offline).key, meaning({}).key);
});

test('texts in another language', () => {
  const texts = { ...INDICATOR_TEXTS, locale: 'de', offline: 'Getrennt', changes: (n) => `${n} Änderungen`, unsentSince: (changes, age) => `${changes}, die älteste ${age}` };
  const got = meaning({ state: 'reconnecting', reason: 'silent', unsent: 3, unsentSince: NOW - 300000 }, { texts });
  assert.deepEqual([got.title, got.unsent], ['Getrennt', '3 Änderungen, die älteste vor 5 Minuten']);
});

const marked = (pieces) => pieces.map(({ text, same }) => (same ? text : `[${text}]`)).join('');

test('differences of texts, word by word', () => {
  const cases = [
    ['practice at 60', 'practice at 72', 'practice at [60]', 'practice at [72]'],
    ['a b c', 'a c', 'a [b ]c', 'a c'],
    ['in 1 and 2 go', 'in 3 and 4 go', 'in [1] and [2] go', 'in [3] and [4] go'],
    ['same', 'same', 'same', 'same'],
    ['', 'new', '', '[new]'],
    ['one two three', 'four five six', '[one two three]', '[four five six]'],
    ['Größe 😀 ok', 'Größe 😎 ok', 'Größe [😀] ok', 'Größe [😎] ok'],
  ];
  for (const [a, b, left, right] of cases) {
    const [x, y] = diff(a, b);
    assert.deepEqual([marked(x), marked(y)], [left, right]);
    assert.deepEqual([x.map(({ text }) => text).join(''), y.map(({ text }) => text).join('')], [a, b], 'nothing is lost');
  }
  assert.ok(isWorthwhile(diff('practice at 60', 'practice at 72')[0]));
  assert.ok(!isWorthwhile(diff('one two three', 'four five six')[0]));
});

test('long texts are compared in bounded time, and cut where they agree', () => {
  const words = (n, of) => Array.from({ length: n }, (_, i) => of(i)).join(' ');
  const [x, y] = diff(words(5000, (i) => `x${i}`), words(5000, (i) => `y${i}`));
  assert.deepEqual([x.length, y.length, x[0].same], [1, 1, false]);
  const same = words(200, () => 'word');
  const [left] = diff(`${same} one ${same}`, `${same} two ${same}`);
  const short = cut(left);
  assert.equal(short.filter((piece) => piece.cut).length, 2);
  assert.match(marked(short), /… ?.*\[one\].*…/);
  assert.ok(short.reduce((sum, { text }) => sum + text.length, 0) < 400);
});

const WORDS = { none: 'No value', empty: 'Empty', emptyText: 'Empty text', yes: 'Yes', no: 'No', notNumber: 'no number', notJson: 'no JSON' };

test('values of any kind, to read and to edit', () => {
  const cases = [[undefined, 'No value'], [null, 'Empty'], ['', 'Empty text'], ['x', 'x'], [12.5, '12.5'], [true, 'Yes'], [false, 'No'],
    [['a', 2], 'a, 2'], [[], '[]'], [[null], '[\n  null\n]'], [{ a: 1 }, '{\n  "a": 1\n}']];
  for (const [value, text] of cases)
    assert.equal(textOf(value, WORDS), text);
  assert.deepEqual([editKindOf('a', null), editKindOf(1, 2), editKindOf(true, undefined), editKindOf('a', 1), editKindOf([1], [2]), editKindOf(null, undefined)],
    ['text', 'number', 'boolean', 'json', 'json', 'text']);
  for (const value of ['text', 12.5, true, false, { a: [1] }, [1, 'b']]) {
    const kind = editKindOf(value, value);
    assert.deepEqual(parse(draftOf(value, kind), kind, WORDS), { value });
  }
  assert.deepEqual(parse(' 12,5 ', 'number', WORDS), { value: 12.5 });
  for (const text of ['', 'x', '1e999', 'NaN'])
    assert.equal(parse(text, 'number', WORDS).error, 'no number');
  assert.match(parse('{', 'json', WORDS).error, /^no JSON/);
});

const conflict = (more) => ({
  id: 1, collection: 'note', record: 'n1', field: 'title', rule: 'lww_field', outcome: 'incoming', at: '2026-03-01T11:00:00Z',
  stored: 'a', stored_device: 'phone', stored_clock: '2026-03-01T10:00:00.000Z/0000',
  incoming: 'b', incoming_device: 'tablet', incoming_clock: '2026-03-01T10:30:00.000Z/0000', ...more,
});
const SIDES = {
  mine: 'This device', sql: 'The server', other: 'Another device', numbered: (name, which) => `${name} (${which})`, earlier: 'earlier', later: 'later',
};
const names = (more, device, deviceName) => namesOf(sidesOf(conflict(more), device), SIDES, deviceName);

test('mine and theirs: by the device that wrote it, mine first', () => {
  assert.deepEqual(sidesOf(conflict(), 'phone').map(({ name, who, value }) => [name, who, value]), [['stored', 'mine', 'a'], ['incoming', 'other', 'b']]);
  assert.deepEqual(sidesOf(conflict(), 'tablet').map(({ name, who }) => [name, who]), [['incoming', 'mine'], ['stored', 'other']]);
  assert.deepEqual(sidesOf(conflict({ stored_device: undefined }), 'x').map(({ who }) => who), ['sql', 'other']);
  assert.equal(sidesOf(conflict(), 'phone')[0].at, Date.parse('2026-03-01T10:00:00Z'));
  assert.deepEqual(names({}, 'tablet'), ['This device', 'Another device']);
  assert.deepEqual(names({}, 'x'), ['Another device (hone)', 'Another device (blet)']);
  assert.deepEqual(names({}, 'x', (device) => device.toUpperCase()), ['PHONE', 'TABLET']);
  assert.deepEqual(names({ stored_device: null }, 'tablet'), ['This device', 'The server']);
  assert.deepEqual(names({ incoming_device: 'phone' }, 'phone'), ['This device (earlier)', 'This device (later)']);
});

test('conflicts by record, the newest first, fields in order', () => {
  const disputes = disputesOf([conflict(), conflict({ id: 2, record: 'n2', at: '2026-03-01T11:30:00Z' }), conflict({ id: 3, field: 'body' }), conflict({ id: 4, field: undefined })]);
  assert.deepEqual(disputes.map(({ record, conflicts }) => [record, conflicts.map(({ id }) => id)]), [['n2', [2]], ['n1', [4, 3, 1]]]);
});

test('names of records and fields', () => {
  assert.equal(fieldName('start_time'), 'Start time');
  assert.equal(fieldName('durationMinutes'), 'Duration minutes');
  assert.equal(recordName({ collection: 'note', record: 'n1', fields: { title: ' Milk ' } }), 'Milk');
  assert.equal(recordName({ collection: 'practice_log', record: '0194a2c4-1111', fields: { title: 5 } }), 'Practice log 0194a2c4…');
});

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl';

test('no token is kept in the log, wherever it stands', () => {
  const log = new Log(10);
  log.add(NOW, ['sent', { type: 'hello', token: JWT, device: 'd' }]);
  log.add(NOW, ['connection', 'token provider', new Error(`refused ${JWT}`)]);
  log.add(NOW, ['sent', { type: 'push', changes: [{ kind: 'put', collection: 'c', id: 'x', fields: { note: `mine: ${JWT}`, password: 'hunter2' } }] }], ['opaque-token']);
  log.add(NOW, ['http', 'GET', 'pull?token=opaque-token'], ['opaque-token']);
  log.add(NOW, ['connection', 'closed', 4401, 'opaque-token is wrong'], ['opaque-token']);
  const all = JSON.stringify(log.entries) + log.entries.map(lineOf).join('\n');
  for (const secret of [JWT, 'eyJ', 'opaque-token', 'hunter2'])
    assert.ok(!all.includes(secret), secret);
  assert.ok(all.includes(HIDDEN));
  assert.deepEqual(redact({ token_expires_in_ms: 5, deep: [{ Authorization: 'Bearer x' }] }), { token_expires_in_ms: 5, deep: [{ Authorization: HIDDEN }] });
});

test('the log is bounded, filtered, and copied as lines', () => {
  const log = new Log(3);
  for (const n of [1, 2, 3, 4])
    log.add(NOW + n, ['sent', { type: 'ping', ref: n }]);
  log.add(NOW + 5, ['connection', 'live', 'lost', 'waiting', 'silent']);
  assert.deepEqual(log.select({}).map(({ number }) => number), [5, 4, 3]);
  assert.deepEqual(log.select({ kind: 'sent' }).map(({ number }) => number), [4, 3]);
  assert.deepEqual(log.select({ kind: 'messages' }).map(({ number }) => number), [4, 3]);
  assert.deepEqual(log.select({ text: ' WAITING' }).map(({ summary }) => summary), ['live → waiting (silent)']);
  assert.equal(lineOf(log.entries[0]), `2026-03-01T12:00:00.003Z sent ping {"type":"ping","ref":3}`);
  const big = log.add(NOW, ['sent', { type: 'push', changes: Array.from({ length: 2000 }, (_, i) => ({ kind: 'put', collection: 'c', id: `r${i}` })) }]);
  assert.ok(big.detail.length <= 8000 && big.summary.endsWith('and 1997 more'));
  assert.ok(lineOf(big).length < 300, 'one that was cut is copied in short');
});

test('test records are like what is there', () => {
  assert.deepEqual(sampleOf(3), { title: 'Test 3' });
  assert.deepEqual(sampleOf(3, { id: 'x', minutes: 20, note: 'y', done: false }), { minutes: 20, note: 'Test 3', done: false });
});

test('retry connects at once, where the client would wait', { timeout: 20000 }, async () => {
  let down = true;
  let tries = 0;
  class Socket {
    constructor() {
      tries++;
      if (down)
        throw new Error('no network');
    }

    close() {}
  }
  /* A time that stands still: no wait ever ends. */
  const time = { now: () => 0, setTimeout: () => 0, clearTimeout: () => {} };
  const client = createClient({
    url: 'http://relay.invalid', token: 'token', storage: 'memory', WebSocket: Socket, time, fetch: async () => { throw new TypeError('no network'); },
  });
  await client.ready;
  const reach = async (state) => {
    while (client.leader.connection.state !== state)
      await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const heard = [];
  tap(client, (kind, ...what) => kind === 'http' && heard.push(what));
  client.connect();
  await reach('waiting');
  assert.deepEqual([client.status.state, tries], ['reconnecting', 1]);
  assert.deepEqual(heard.map(([what, path]) => [what, path]), [['GET', 'status'], ['failed', 'status']], 'over HTTP too');
  down = false;
  retry(client);
  await reach('opening');
  assert.equal(tries, 2);
  await client.close();
  retry(client);
});

test('a tap hears what a client does, and the wipe forgets all and takes another device id', async () => {
  const client = createClient({ url: 'http://relay.invalid', token: () => null, storage: 'memory', WebSocket: class {} });
  await client.ready;
  const heard = [];
  const end = tap(client, (...what) => heard.push(what));
  const other = tap(client, () => {});
  client.collection('note').put('n1', { title: 'x' });
  client.connect();
  while (client.status.state !== 'needs-auth')
    await new Promise((resolve) => setTimeout(resolve, 1));
  assert.ok(heard.some(([kind, , event]) => kind === 'connection' && event === 'no_token'));
  end();
  other();
  const { length } = heard;
  retry(client);
  while (client.status.state !== 'needs-auth')
    await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(heard.length, length);
  const { device } = client.status;
  client.disconnect();
  assert.equal(await wipe(client), true);
  assert.deepEqual([client.status.unsent, client.collection('note').getSnapshot().length], [0, 0]);
  assert.notEqual(client.status.device, device);
  await client.close();
});
