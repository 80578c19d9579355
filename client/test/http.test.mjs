/*
 * http.test.mjs
 *     Rounds over HTTP: what is put off, refused, or wants another token.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Credentials } from '../src/credentials.js';
import { Device } from '../src/device.js';
import { Http } from '../src/http.js';
import { Statistics } from '../src/statistics.js';
import { fakeStorage, FakeTime, seeded, settle } from './world.mjs';

const STATUS = {
  user: 'anna', time: '2026-01-01T00:00:00.000Z', token_expires_in_ms: 1e6, heads: {},
  limits: { message_max_bytes: 65536, batch_max_changes: 1000, pushes_max: 256, idle_timeout_ms: 300000 },
};
const PAGE = { feed: 'anna', epoch: 0, after: 0, upto: 0, head: 0, complete: true, changes: [] };

let http;
let time;
let device;
let answers;
let asked;
let tokens;

beforeEach(async () => {
  time = new FakeTime();
  asked = [];
  tokens = 0;
  device = new Device({
    storage: fakeStorage(), time, random: seeded(1), limits: { changes: 100, bytes: 100000 },
    listener: { differ() {}, verdict() {}, failed() {}, saved() {} },
  });
  await device.open();
  answers = { status: () => STATUS, pull: () => PAGE, push: ({ changes }) => ({ feed: 'anna', epoch: 0, verdicts: changes.map(({ number }) => ({ number, verdict: 'applied', seq: number })) }) };
  http = new Http({
    url: 'http://relay/sync',
    fetch: async (url, { headers, body }) => {
      const [, path] = /sync\/(\w+)/.exec(url);
      asked.push([path, headers.authorization]);
      const answer = answers[path](body && JSON.parse(body), headers);
      return { ok: !answer.error, status: answer.status ?? 200, json: async () => answer };
    },
    time,
    credentials: new Credentials(() => `token-${++tokens}`),
    device,
    statistics: new Statistics(),
    user: async (user) => device.wipe(user),
  });
});

const error = (status, code, retry, more = {}) => ({ status, error: { code, reason: code, retry, ...more } });
const paths = () => asked.map(([path]) => path);

test('a round pulls, pushes what there is, and pulls again if it pushed', async () => {
  await http.round();
  assert.deepEqual(paths(), ['status', 'pull']);
  const { verdict } = device.write('put', 'note', 'n1', { x: 1 });
  await http.round();
  assert.deepEqual(paths().slice(2), ['status', 'pull', 'push', 'pull']);
  assert.equal((await verdict).verdict, 'applied');
});

test('a socket that came while a round ran begins anew', async () => {
  const lost = [];
  http.connection = { state: 'greeting', lose: (reason) => lost.push(reason) };
  await http.round();
  assert.deepEqual(lost, [], 'it has the cursor of the round, or says so later');
  answers.pull = () => {
    http.connection.state = 'live';
    return PAGE;
  };
  await http.round();
  assert.deepEqual(lost, ['lost']);
});

test('what is put off is sent again after the time that was said, but not for ever', async () => {
  let busy = 2;
  const { push } = answers;
  answers.push = (body) => (busy-- > 0 ? error(503, 'busy', true, { after_ms: 700 }) : push(body));
  const { verdict } = device.write('put', 'note', 'n1', { x: 1 });
  const round = http.round();
  await time.advance(699);
  assert.equal(paths().filter((path) => path === 'push').length, 1);
  await time.advance(701);
  await round;
  assert.equal((await verdict).verdict, 'applied');
  busy = 100;
  device.write('put', 'note', 'n2', { x: 1 });
  const failing = assert.rejects(http.round(), { code: 'unreachable' });
  await time.advance(10000);
  await failing;
  assert.equal(device.outbox.size, 1, 'it is kept');
});

test('what is refused is refused alone', async () => {
  const { push } = answers;
  answers.push = (body) => (body.changes.some((c) => c.fields.bad) ? error(400, 'bad_json', false) : push(body));
  const [good, bad] = [device.write('put', 'note', 'n1', { x: 1 }), device.write('put', 'note', 'n2', { bad: true })];
  const round = http.round();
  await time.advance(100);
  await round;
  assert.deepEqual([(await good.verdict).verdict, (await bad.verdict).code], ['applied', 'bad_json']);
});

test('a token that is refused is asked for once more', async () => {
  answers.status = (_, { authorization }) => (authorization === 'Bearer token-2' ? STATUS : error(401, 'unauthorized', false));
  await http.round();
  assert.deepEqual(asked.map(([, token]) => token), ['Bearer token-1', 'Bearer token-2', 'Bearer token-2']);
  tokens = 5;
  http.credentials.token = null;
  await assert.rejects(http.round(), { code: 'unauthorized' });
});

test('rounds do not overlap, and one that failed does not stop the next', async () => {
  answers.status = () => error(500, 'internal', true);
  const first = assert.rejects(http.round(), { code: 'unreachable' });
  const second = http.round();
  await first;
  answers.status = () => STATUS;
  await second.catch(() => {});
  await settle();
  await http.round();
  assert.equal(paths().at(-1), 'pull');
});

test('another user is wiped before anything is said', async () => {
  await http.round();
  device.write('put', 'note', 'n1', { x: 1 });
  answers.status = () => ({ ...STATUS, user: 'bert' });
  asked.length = 0;
  await http.round();
  assert.deepEqual(paths(), ['status', 'pull']);
  assert.equal(device.meta.user, 'bert');
});
