/*
 * native_auth.test.mjs
 *     Who gets in, stays and goes with mirusync.v1, over WebSocket and over
 *     HTTP, and what the metrics say of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import {
  created, Device, entry, freePort, http, metrics, newUser, useStack, waitUntil,
} from './harness.mjs';
import { api, codes, useNative } from './native.mjs';
import { now, tokenOf } from './tokens.mjs';

const ORIGIN = 'https://app.example.org';

/* No poll in the way: what comes at once comes by the ring. */
const s = useStack({
  relays: 2,
  relay: {
    access_poll_interval: '1h', auth_timeout: '2s', idle_timeout: '2s', jwt_device_claim: 'device', jwt_leeway: '0s',
    allowed_origins: ORIGIN,
  },
});
const n = useNative(s);

const token = (user, fields) => tokenOf({ algorithm: 'HS256', secret: s.stack.secret }, user, fields);
const revoke = (user, device) => s.query('SELECT mirusync.revoke($1, $2)', [user, device]);
const realtime = (user, on) => s.query('SELECT mirusync.set_realtime($1, $2)', [user, on]);
const notes = () => s.query("SELECT mirusync.create_collection('note', 'lww_field')");
const bearer = (user, fields) => ({ Authorization: `Bearer ${token(user, fields)}` });

const closing = async (device) => {
  const { code, reason } = await device.ended;
  return `${code} ${reason}`;
};

/* goodbye waits for the end of a native session: the message and the frame. */
async function goodbye(device) {
  const message = await device.type('goodbye');
  const { code, reason } = await device.ended;
  assert.deepEqual([message.code, message.reason], [code, reason]);
  const known = codes.closes.find((c) => c.code === code);
  assert.ok(known, `${code} stands in the table`);
  assert.equal(message.reconnect, known.reconnect);
  device.sound();
  return `${code} ${reason}`;
}

/* refused connects, says hello, and tells how it was closed. */
async function refused(user, options = {}) {
  const device = await n.raw(user, options);
  device.say(device.hello);
  return goodbye(device);
}

const change = (number) => ({ number, kind: 'put', collection: 'note', id: `n${number}`, fields: { x: number } });
const status = async (user, fields, relay = s.relay) => {
  const answer = await api(relay, user, '/sync/status', { token: token(user, fields) });
  return answer.body.error?.code ?? answer.status;
};

s.test('a revocation ends sessions of both kinds, and requests', async () => {
  await notes();
  const [user, other] = [newUser(), newUser()];
  const native = [await n.live(user), await n.live(user, { device: 'tablet', relay: s.relays[1] })];
  const events = await s.live(user);
  const stays = await n.live(other);
  assert.equal(await status(user), 200);
  const poll = api(s.relay, user, '/sync/pull?wait=20', { token: token(user) });
  const issued = now();
  await revoke(user);
  for (const device of native)
    assert.equal(await goodbye(device), '4410 revoked');
  assert.equal(await closing(events), '4410 revoked');

  for (const relay of s.relays) {
    assert.equal(await refused(user, { relay, token: token(user, { iat: issued }) }), '4410 revoked');
    assert.equal(await status(user, { iat: issued }, relay), 'unauthorized');
  }
  const push = await api(s.relay, user, '/sync/push',
    { token: token(user, { iat: issued }), body: { device: 'phone', changes: [change(1)] } });
  assert.deepEqual([push.status, push.body.error.code], [401, 'unauthorized']);
  assert.equal(await s.head(user), 0);

  /* A request that waits is asked about again before it is answered. */
  await s.query(`SELECT mirusync.put($1, 'note', 'secret', '{"x": 1}')`, [user]);
  assert.equal((await poll).status, 401);

  await waitUntil(() => now() > issued, { what: 'the next second' });
  assert.equal(await status(user), 200);
  await n.live(user, { token: token(user) });
  assert.equal((await stays.ask({ type: 'ping' })).type, 'pong');
});

s.test('a revocation of a device is for that one', async () => {
  const user = newUser();
  const phone = await n.live(user, { token: token(user, { device: 'phone' }) });
  const tablet = await n.live(user, { device: 'tablet', token: token(user, { device: 'tablet' }) });
  await revoke(user, 'phone');
  assert.equal(await goodbye(phone), '4410 revoked');
  assert.equal(await status(user, { device: 'phone' }), 'unauthorized');
  assert.equal(await status(user, { device: 'tablet' }), 200);
  assert.equal((await tablet.ask({ type: 'ping' })).type, 'pong');
});

s.test('without real-time sync sessions of both kinds end, and requests go on', async () => {
  await notes();
  const user = newUser();
  const native = await n.live(user, { relay: s.relays[1] });
  const events = await s.live(user);
  await realtime(user, false);
  assert.equal(await goodbye(native), '4405 real-time sync is off');
  assert.equal(await closing(events), '4405 real-time sync is off');
  assert.equal(await refused(user), '4405 real-time sync is off');
  const plain = new Device(s.relay, user, { token: token(user) });
  s.devices.push(plain);
  assert.equal(await closing(plain), '4405 real-time sync is off');

  const push = await api(s.relay, user, '/sync/push', { body: { device: 'phone', changes: [change(1)] } });
  assert.equal(push.body.verdicts[0].verdict, 'applied');
  assert.equal((await api(s.relays[1], user, '/sync/pull')).body.upto, 1);
  assert.equal(await status(user), 200);
  await realtime(user, true);
  assert.equal((await n.live(user)).cursor.seq, 1);
});

s.test('the token comes with hello, which is answered once its user is in', async () => {
  const user = newUser();
  const bring = (device, fields) => device.say({ ...device.hello, token: token(user, fields) });
  const device = await n.raw(user, { query: '?auth=message' });
  bring(device);
  device.say({ type: 'ping', ref: 7 });
  await device.type('page');
  assert.equal(device.messages.find((m) => m.type === 'welcome').user, user);
  /* Held until its user was in; it comes before or after the page. */
  await waitUntil(() => device.messages.some((m) => m.type === 'pong' && m.ref === 7), { what: 'the pong' });
  device.sound();

  for (const [say, end] of [
    [(d) => d.say(d.hello), '4401 token missing'],
    [(d) => d.send({ type: 'AUTH', token: token(user) }), '4401 token missing'],
    [(d) => d.say({ type: 'ping' }), '4401 token missing'],
    [(d) => bring(d, { exp: now() - 1 }), '4401 token refused'],
    [() => {}, '4408 no token in time'],
  ]) {
    const stranger = await n.raw(user, { query: '?auth=message' });
    say(stranger);
    assert.equal(await goodbye(stranger), end);
  }
  const other = await n.raw(user, { query: '?auth=message&userId=other' });
  bring(other);
  assert.equal(await goodbye(other), '4403 token of another user');
  await revoke(user);
  const gone = await n.raw(user, { query: '?auth=message' });
  bring(gone, { iat: now() - 1 });
  assert.equal(await goodbye(gone), '4410 revoked');
});

s.test('a ticket lets one session in, of either kind', async () => {
  const user = newUser();
  const { json } = await http(s.relay, '/sync/ticket', { method: 'POST', headers: bearer(user) });
  const query = `?ticket=${json.ticket}`;
  const device = await n.live(user, { query, relay: s.relays[1] });
  assert.equal((await device.ask({ type: 'ping' })).type, 'pong');
  assert.equal(await refused(user, { query }), '4401 ticket used');
  const used = new Device(s.relay, user, { query });
  s.devices.push(used);
  assert.equal(await closing(used), '4401 ticket used');
});

s.test('before its token ends a session is warned, once; then it ends, unless it has another', async () => {
  const user = newUser();
  const warned = await n.live(user, { token: token(user, { exp: now() + 4 }) });
  /* It may have come before the page. */
  const ofToken = () => warned.messages.find((m) => m.type === 'token');
  await waitUntil(ofToken, { what: 'the warning' });
  const warning = ofToken();
  assert.equal(warning.expiring, true);
  assert.ok(warning.token_expires_in_ms > 0 && warning.token_expires_in_ms <= 4000);

  const fresh = await n.live(user, { device: 'tablet', token: token(user, { exp: now() + 4 }) });
  const answer = await fresh.ask({ type: 'token', token: token(user, { exp: now() + 3600 }) });
  assert.equal(answer.type, 'token');
  assert.ok(answer.token_expires_in_ms > 3500000);
  const bad = await fresh.ask({ type: 'token', token: token(user, { exp: now() - 1 }) });
  assert.equal(bad.code, 'unauthorized');

  const pings = setInterval(() => [warned, fresh].forEach((d) => d.closed ?? d.say({ type: 'ping' })), 300);
  try {
    assert.equal(await goodbye(warned), '4419 token expired');
    assert.equal(warned.messages.filter((m) => m.type === 'token').length, 1);
    assert.equal((await fresh.ask({ type: 'ping' })).type, 'pong');
  } finally {
    clearInterval(pings);
  }

  for (const [what, ...fields] of [['user', 'other', {}], ['device', user, { device: 'laptop' }], ['device', user, {}]]) {
    const device = await n.live(user, { token: token(user, { device: 'phone' }) });
    device.say({ type: 'token', token: token(...fields) });
    assert.equal(await goodbye(device), `4403 token of another ${what}`);
  }
});

s.test('pages of listed origins may ask over HTTP, and read the answers', async () => {
  const user = newUser();
  const cors = (answer) => answer.headers['access-control-allow-origin'];
  const from = (origin, path = '/sync/status', options = {}) => api(s.relay, user, path, { headers: { origin }, ...options });
  const mine = await from(ORIGIN);
  assert.deepEqual([mine.status, cors(mine), mine.headers.vary], [200, ORIGIN, 'Origin']);
  const wrong = await from(ORIGIN, '/sync/pull?max=0');
  assert.deepEqual([wrong.status, cors(wrong)], [400, ORIGIN]);
  const large = await from(ORIGIN, '/sync/push', { body: 'x'.repeat(70000), raw: true });
  assert.deepEqual([large.status, cors(large)], [413, ORIGIN]);
  for (const origin of ['https://evil.example', `${ORIGIN}.evil.example`, 'null', 'x'.repeat(600)]) {
    const foreign = await from(origin);
    assert.deepEqual([foreign.status, foreign.body.error.code, cors(foreign)], [403, 'forbidden', undefined]);
  }
  const none = await api(s.relay, user, '/sync/status');
  assert.deepEqual([none.status, cors(none)], [200, undefined]);

  for (const path of ['/sync/push', '/sync/pull', '/sync/status']) {
    const ask = (origin) => http(s.relay, path, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } });
    const preflight = await ask(ORIGIN);
    assert.deepEqual([preflight.status, cors(preflight)], [200, ORIGIN]);
    assert.match(preflight.headers['access-control-allow-headers'], /Authorization/);
    assert.equal(cors(await ask('https://evil.example')), undefined);
  }
});

s.test('the metrics count messages of both protocols, and requests', async () => {
  await notes();
  const user = newUser();
  const relay = await s.stack.addRelay({ metrics_port: await freePort() });
  const before = await metrics(relay);
  const grown = (name, by) => waitUntil(
    async () => (await metrics(relay))(name) >= before(name) + by, { what: `${name} to grow by ${by}` });
  const a = await n.live(user, { relay });
  const b = await n.live(user, { relay, device: 'tablet', cursor: { epoch: 0, seq: 0 } });
  await a.put('note', 'n1', { x: 1 });
  await b.caughtUp(1);
  await a.ask({ type: 'ping' });
  a.send('nonsense');
  await a.type('error');
  const events = await s.live(user, { relay });
  await events.push(created(entry()));
  assert.equal((await api(relay, user, '/sync/push', { body: { device: 'web', changes: [change(1)] } })).status, 200);
  await grown('messages_received_total{type="change"}', 3);
  await grown('messages_received_total{type="sync"}', 2);
  await grown('messages_received_total{type="ping"}', 1);
  await grown('messages_received_total{type="invalid"}', 1);
  await grown('messages_sent_total{type="answer"}', 4);
  await grown('messages_sent_total{type="page"}', 2);
  await grown('messages_sent_total{type="live"}', 2);
  await grown('http_answers_total{status="200"}', 1);
  await grown('sessions_opened_total', 3);
  await revoke(user);
  await goodbye(a);
  await grown('sessions_closed_total{code="4xxx"}', 3);
});
