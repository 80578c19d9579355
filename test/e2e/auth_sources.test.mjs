/*
 * auth_sources.test.mjs
 *     The ways in which a token comes, what happens before it has come, how
 *     long it lasts, and that none of them is ever written down.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  created, Device, entry, http, newUser, rawSocket, upgrade, useStack, userToken, waitUntil,
} from './harness.mjs';
import { now, tokenOf } from './tokens.mjs';

const s = useStack({
  relays: 2,
  relay: { log_level: 'debug', auth_timeout: '1s', auth_message_max_bytes: '4kB', jwt_leeway: '0s',
    idle_timeout: '20s' },
  postgres: { log_statement: 'all', log_parameter_max_length: '-1' },
});

const key = () => ({ algorithm: 'HS256', secret: s.stack.secret });
const token = (user, fields) => tokenOf(key(), user, fields);
const bearer = (user, fields) => ({ Authorization: `Bearer ${token(user, fields)}` });
const auth = (text) => ({ type: 'AUTH', token: text });

/* open connects without taking a welcome; its closing is no error. */
async function open(query, { relay = s.relay, ...options } = {}) {
  const device = new Device(relay, 'somebody', { query, ...options });
  s.devices.push(device);
  await device.opened;
  return device;
}

const ticketOf = async (user, { relay = s.relay, fields } = {}) => {
  const answer = await http(relay, '/sync/ticket', { method: 'POST', headers: bearer(user, fields) });
  assert.equal(answer.status, 200, answer.body);
  return answer.json.ticket;
};

const closing = async (device) => {
  const { code, reason } = await device.ended;
  return `${code} ${reason}`;
};

async function syncs(device, user) {
  device.user = user;
  assert.equal((await device.next()).type, 'WELCOME');
  await device.sync();
  assert.equal(typeof await device.push(created(entry())), 'number');
}

s.test('who floods the log with one reason hides no other', async () => {
  const refused = (bad) => upgrade(s.relay, `/sync/ws?userId=anna&token=${bad}`);
  for (let i = 0; i < 3; i++)
    await refused('x.y.z');
  await refused(token('anna', { exp: now() - 1 }));
  const reasons = new Set([...s.relay.log.matchAll(/token refused reason="([^"]+)"/g)].map(([, reason]) => reason));
  assert.ok(reasons.size >= 2, [...reasons].join());
});

s.test('in the Authorization header', async () => {
  const user = newUser();
  await syncs(await open('', { headers: bearer(user) }), user);
  await syncs(await open(`?userId=${user}`, { headers: { authorization: `bEaReR  ${token(user)}` } }), user);
  for (const [path, headers, status] of [
    ['/sync/ws', { Authorization: 'Bearer' }, 400],
    ['/sync/ws', { Authorization: 'Bearer x' }, 401],
    ['/sync/ws', { Authorization: `Bearer ${token(user)}, Bearer ${token(user)}` }, 401],
    ['/sync/ws', { Authorization: `Basic ${token(user)}` }, 400],
    ['/sync/ws?userId=other', bearer(user), 403],
    [`/sync/ws?userId=${user}&token=${token(user)}`, bearer(user), 400],
    ['/sync/ws', bearer(user, { exp: now() - 1 }), 401],
  ])
    assert.equal((await upgrade(s.relay, path, headers)).status, status, `${path} ${headers.Authorization}`);
});

s.test('as the first message', async () => {
  const user = newUser();
  const device = await open('?auth=message');
  await device.quiet();
  device.send(auth(token(user)));
  await syncs(device, user);

  /* What follows it at once waits until the user is let in, in order. */
  const eager = await open(`?auth=message&userId=${user}`);
  eager.send({ ...auth(token(user)), timestamp: new Date().toISOString() });
  eager.send({ type: 'PING', timestamp: new Date().toISOString() });
  for (let i = 0; i < 20; i++)
    eager.send(created(entry()));
  assert.equal((await eager.next()).type, 'WELCOME');
  assert.equal((await eager.next()).type, 'PONG');
  const answers = await eager.answers(20);
  assert.ok(answers.every((a) => a.type === 'SYNC_RESPONSE'), JSON.stringify(answers[0]));
});

s.test('a first message that brings no good token ends it, and touches no database', async () => {
  const user = newUser();
  const before = readFileSync(s.stack.pgLogPath, 'utf8').length;
  for (const [message, end] of [
    ['', '4401 token missing'],
    ['{}', '4401 token missing'],
    ['no json', '4401 token missing'],
    [{ type: 'PING', timestamp: new Date().toISOString() }, '4401 token missing'],
    [{ type: 'SYNC_REQUEST', timestamp: new Date().toISOString(), token: token(user) }, '4401 token missing'],
    [{ token: token(user) }, '4401 token missing'],
    [{ type: 'hello', token: token(user), device: 'phone' }, '4401 token missing'], // of the other protocol
    [{ type: 'AUTH', token: 7 }, '4401 token missing'],
    [{ type: 'AUTH', token: '' }, '4401 token missing'],
    [`{"type":"AUTH","token":"x","token":"${token(user)}"}`, '4401 token missing'],
    [`{"type":"AUTH","type":"AUTH","token":"${token(user)}"}`, '4401 token missing'],
    [`{"type":"AUTH","tok\\u0065n":"${token(user)}"}`, '4401 token missing'],
    [auth('x.y.z'), '4401 token refused'],
    [auth(token(user, { exp: now() - 1 })), '4401 token refused'],
    [auth('x'.repeat(5000)), '1009 message too large'],
    [Buffer.from(JSON.stringify(auth(token(user)))), '1003 text messages only'],
  ]) {
    const device = await open('?auth=message');
    device.send(message);
    assert.equal(await closing(device), end, JSON.stringify(message).slice(0, 60));
    assert.deepEqual(device.messages, []);
  }
  const other = await open(`?auth=message&userId=${newUser()}`);
  other.send(auth(token(user)));
  assert.equal(await closing(other), '4403 token of another user');
  assert.ok(!readFileSync(s.stack.pgLogPath, 'utf8').slice(before).includes(user), 'a query for a stranger');
});

s.test('who says nothing, or dribbles, is closed in time', async () => {
  const silent = await open('?auth=message');
  assert.equal(await closing(silent), '4408 no token in time');
  const slow = await open('?auth=message');
  /* One message in pieces that never ends. */
  slow.socket.send('{"type":"AUTH","token":"', { fin: false });
  assert.equal(await closing(slow), '4408 no token in time');
  /* A flood before the token is bounded by the message's limit, piece by piece. */
  const flood = await open('?auth=message');
  for (let i = 0; i < 100; i++)
    flood.socket.send('x'.repeat(1000), { fin: false });
  assert.equal(await closing(flood), '1009 message too large');
});

s.test('a ticket works once, on any relay', async (t) => {
  const user = newUser();
  const answer = await http(s.relays[0], '/sync/ticket', { method: 'POST', headers: bearer(user) });
  assert.deepEqual(Object.keys(answer.json).sort(), ['expires_in', 'ticket']);
  assert.equal(answer.json.expires_in, 30);
  assert.equal(answer.headers['cache-control'], 'no-store');
  const { ticket } = answer.json;
  assert.match(ticket, /^[\w-]+$/);
  assert.ok(!Buffer.from(ticket, 'base64url').toString('latin1').includes(user), 'it does not tell whose it is');

  await syncs(await open(`?ticket=${ticket}`, { relay: s.relays[1] }), user);
  for (const relay of s.relays)
    assert.equal(await closing(await open(`?ticket=${ticket}`, { relay })), '4401 ticket used');

  /* Of many that come with one at the same time one gets in. */
  const [one] = [await ticketOf(user, { relay: s.relays[1] })];
  const ends = await Promise.all(Array.from({ length: 8 }, async (_, i) => {
    const device = await open(`?ticket=${one}`, { relay: s.relays[i % 2] });
    return Promise.race([device.next().then((m) => m.type, () => null), closing(device)])
      .then((end) => end ?? closing(device));
  }));
  assert.equal(ends.filter((e) => e === 'WELCOME').length, 1, ends.join());
  assert.equal(ends.filter((e) => e === '4401 ticket used').length, 7, ends.join());

  const status = async (query) => (await upgrade(s.relay, `/sync/ws${query}`)).status;
  const fresh = await ticketOf(user);
  assert.equal(await status(`?ticket=${fresh}&userId=${newUser()}`), 403);
  assert.equal(await status(`?ticket=${fresh}&token=${token(user)}&userId=${user}`), 400);
  for (let i = 0; i < fresh.length; i += 7) {
    const changed = fresh.slice(0, i) + (fresh[i] === 'A' ? 'B' : 'A') + fresh.slice(i + 1);
    assert.equal(await status(`?ticket=${changed}`), 401, `changed at ${i}`);
  }
  for (const bad of [`${fresh}=`, fresh.slice(0, -1), `${fresh}A`, 'x', token(user), 'A'.repeat(60), 'A'.repeat(2000)])
    assert.ok([400, 401].includes(await status(`?ticket=${bad}`)), bad.slice(0, 20));
  assert.equal(await status(`?ticket=${fresh}`), 101, 'and nothing of that spent it');

  const brief = await s.stack.addRelay({ ticket_lifetime: '1s' });
  t.after(() => brief.stop());
  const short = await ticketOf(user, { relay: brief });
  await waitUntil(async () => await status(`?ticket=${short}&userId=x`) === 401, { what: 'the ticket to expire' });
  assert.equal(await status(`?ticket=${short}`), 401);
});

s.test('a ticket is for who has a token', async () => {
  const user = newUser();
  const ask = async (options) => (await http(s.relay, '/sync/ticket', { method: 'POST', ...options })).status;
  assert.equal(await ask({}), 401);
  assert.equal(await ask({ headers: { Authorization: 'Bearer x' } }), 401);
  assert.equal(await ask({ headers: bearer(user, { exp: now() - 1 }) }), 401);
  assert.equal(await ask({ headers: bearer(user), method: 'GET' }), 405);
  assert.equal((await http(s.relay, `/sync/ticket?token=${token(user)}`, { method: 'POST' })).status, 401);
  const [found] = await s.query('SELECT count(*)::int AS n FROM mirusync.spent_ticket WHERE user_id = $1', [user]);
  assert.equal(found.n, 0);
});

s.test('a session from a ticket ends with the token that it stood for', async () => {
  const user = newUser();
  const ticket = await ticketOf(user, { fields: { exp: now() + 3 } });
  const device = await open(`?ticket=${ticket}`);
  assert.equal((await device.next()).type, 'WELCOME');
  assert.equal(await closing(device), '4419 token expired');
});

s.test('a session ends with its token, unless it is refreshed', async () => {
  const user = newUser();
  const exp = now() + 3;
  const ends = await s.live(user, { token: token(user, { exp }) });
  const stays = await s.live(user, { token: token(user, { exp }) });
  stays.send(auth(token(user, { exp: exp + 600 })));
  const answer = await stays.next();
  assert.deepEqual(Object.keys(answer).sort(), ['expiresAt', 'message', 'timestamp', 'type']);
  assert.equal(answer.type, 'AUTH');
  assert.equal(Date.parse(answer.expiresAt), (exp + 600) * 1000);
  assert.equal(await closing(ends), '4419 token expired');
  assert.ok(Date.now() >= exp * 1000);
  await stays.push(created(entry()));
  await stays.quiet(undefined, 1200);
  assert.equal(stays.closed, null);
});

s.test('a refresh needs a good token of the same user', async () => {
  const user = newUser();
  const device = await s.live(user);
  for (const bad of ['x', token(user, { exp: now() - 1 }), `${token(user)}x`]) {
    device.send(auth(bad));
    const answer = await device.next();
    assert.equal(answer.type, 'ERROR');
    assert.equal(answer.error, 'Invalid or expired token');
    assert.ok(!JSON.stringify(answer).includes(bad.slice(0, 20)) || bad === 'x');
  }
  await device.push(created(entry()));
  device.send(auth(token(newUser())));
  assert.equal(await closing(device), '4403 token of another user');
});

s.test('a flood of refreshes, or of strangers, costs those who make it', async (t) => {
  const user = newUser();
  const device = await s.live(user);
  for (let i = 0; i < 21; i++)
    device.send(auth(token(user)));
  assert.equal(await closing(device), '1013 too many messages');
  assert.equal(device.messages.filter((m) => m.type === 'AUTH').length <= 20, true);

  const relay = await s.stack.addRelay({ handshakes_max: 5, auth_timeout: '1min' });
  t.after(() => relay.stop());
  const strangers = [];
  for (let i = 0; i < 8; i++)
    strangers.push(await open('?auth=message', { relay }));
  for (const stranger of strangers.slice(0, 3))
    assert.equal(await closing(stranger), '1013 too many connections');
  for (const stranger of strangers.slice(3)) {
    assert.equal(stranger.closed, null);
    stranger.send(auth(token(user)));
    assert.equal((await stranger.next()).type, 'WELCOME');
  }
});

s.test('a relay takes tokens from where it is told to', async (t) => {
  const user = newUser();
  const ways = {
    header: ['', bearer(user)],
    message: ['?auth=message', {}],
    ticket: [() => ticketOf(user).then((ticket) => `?ticket=${ticket}`), {}],
    query: [`?userId=${user}&token=${token(user)}`, {}],
  };
  for (const sources of ['header', 'message ticket', 'query', 'header message ticket']) {
    const relay = await s.stack.addRelay({ token_sources: sources });
    t.after(() => relay.stop());
    for (const [name, [query, headers]] of Object.entries(ways)) {
      const path = `/sync/ws${typeof query === 'function' ? await query() : query}`;
      const answer = await upgrade(relay, path, headers);
      assert.equal(answer.status, sources.split(' ').includes(name) ? 101 : 400, `${name} of ${sources}`);
    }
    const ticket = await http(relay, '/sync/ticket', { method: 'POST', headers: bearer(user) });
    assert.equal(ticket.status, sources.includes('ticket') ? 200 : 404);
  }
});

s.test('origins of pages', async (t) => {
  const user = newUser();
  const path = `/sync/ws?userId=${user}&token=${token(user)}`;
  const listed = await s.stack.addRelay({ allowed_origins: 'https://app.example.org http://localhost:5173 null' });
  const strict = await s.stack.addRelay({ allowed_origins: 'https://app.example.org', origin_required: 1 });
  t.after(() => Promise.all([listed.stop(), strict.stop()]));
  const status = async (relay, Origin) => (await upgrade(relay, path, Origin === undefined ? {} : { Origin })).status;
  const cases = [
    ['https://app.example.org', 101, 101, 101], ['http://localhost:5173', 101, 101, 403], ['null', 101, 101, 403],
    [undefined, 101, 101, 403], ['https://app.example.org.evil.net', 101, 403, 403],
    ['https://app.example.org:443', 101, 403, 403], ['http://app.example.org', 101, 403, 403],
    ['https://evil.net', 101, 403, 403], ['https://APP.example.org', 101, 403, 403],
    ['https://app.example.org http://localhost:5173', 101, 403, 403], ['x'.repeat(600), 101, 403, 403],
  ];
  for (const [origin, ...expected] of cases) {
    const got = [];
    for (const relay of [s.relay, listed, strict])
      got.push(await status(relay, origin));
    assert.deepEqual(got, expected, String(origin).slice(0, 60));
  }
  const ticket = await http(listed, '/sync/ticket',
    { method: 'POST', headers: { ...bearer(user), Origin: 'https://evil.net' } });
  assert.equal(ticket.status, 403);
});

s.test('a page of another origin may get a ticket if that is listed', async (t) => {
  const user = newUser();
  const relay = await s.stack.addRelay({ allowed_origins: 'https://app.example.org null' });
  t.after(() => relay.stop());
  const ask = (r, method, Origin, headers) => http(r, '/sync/ticket', { method, headers: { Origin, ...headers } });
  const allowed = (answer) => answer.headers['access-control-allow-origin'];
  for (const origin of ['https://app.example.org', 'null']) {
    const before = await ask(relay, 'OPTIONS', origin, { 'Access-Control-Request-Method': 'POST' });
    assert.equal(before.status, 204);
    assert.equal(allowed(before), origin);
    assert.match(before.headers['access-control-allow-headers'], /\bAuthorization\b/);
    assert.match(before.headers['access-control-allow-methods'], /\bPOST\b/);
    assert.equal(before.headers.vary, 'Origin');
    const answer = await ask(relay, 'POST', origin, bearer(user));
    assert.equal(answer.status, 200);
    assert.equal(allowed(answer), origin);
    assert.equal(answer.headers['access-control-allow-methods'], undefined);
    const refused = await ask(relay, 'POST', origin, {});
    assert.equal(refused.status, 401);
    assert.equal(allowed(refused), origin, 'the page sees why');
    assert.equal(refused.headers['www-authenticate'], 'Bearer');
  }
  for (const [r, origin] of [[relay, 'https://evil.net'], [relay, 'https://app.example.org null'],
    [s.relay, 'https://app.example.org']]) {
    for (const method of ['OPTIONS', 'POST'])
      assert.equal(allowed(await ask(r, method, origin, bearer(user))), undefined, origin);
  }
});

s.test('guests are let go in order when the relay stops', async () => {
  const relay = await s.stack.addRelay({ auth_timeout: '1min' });
  const guest = await open('?auth=message', { relay });
  const end = closing(guest);
  const { code } = await relay.stop();
  assert.equal(await end, '1001 server is going away');
  assert.equal(code, 0);
});

s.test('a guest that hangs up leaves nothing behind', async () => {
  const user = newUser();
  for (let i = 0; i < 30; i++) {
    const device = await open('?auth=message');
    if (i % 2)
      device.send(auth(token(user)));
    device.terminate();
  }
  const raw = await rawSocket(s.relay);
  raw.destroy();
  await waitUntil(async () => Device.open(s.relay, user).catch(() => null), { what: 'a free place' });
});

/* Last, so that all of the above is in the logs. */
s.test('no token, ticket or secret is written down at the highest level of any log', async () => {
  const user = newUser();
  const texts = [userToken(s.stack.secret, user), token(user), await ticketOf(user)];
  await syncs(await open(`?userId=${user}&token=${texts[0]}`), user);
  const second = await open('?auth=message');
  second.send(auth(texts[1]));
  await syncs(second, user);
  second.send(auth(texts[0]));
  await second.next();
  await syncs(await open(`?ticket=${texts[2]}`), user);
  await upgrade(s.relay, `/sync/ws?userId=x&token=${texts[0]}`);
  await upgrade(s.relay, `/sync/ws?userId=${user}&token=${texts[0]}x`);
  await upgrade(s.relay, `/nothing?token=${texts[0]}`, { Authorization: `Bearer ${texts[1]}` });
  second.send(`{"type":"AUTH","token":"${texts[1]}","timestamp":"x"`);
  await second.next();
  const refused = await open('?auth=message');
  refused.send(auth(`${texts[1]}x`));
  await refused.ended;

  const logs = [s.stack.pgLogPath, ...s.stack.relays.map((r) => r.logPath)]
    .map((path) => readFileSync(path, 'utf8')).join('\n');
  assert.ok(logs.includes('token refused') && logs.includes('relay_redeem'), 'these are the logs');
  for (const text of texts)
    for (const part of text.split('.'))
      assert.ok(!logs.includes(part.slice(0, 24)) || part === texts[0].split('.')[0], 'a part was logged');
  assert.ok(!logs.includes(s.stack.secret), 'the secret was logged');
  /* Nor is anything that looks like one, of all that this file used. */
  assert.deepEqual(logs.match(/eyJ[\w-]{8,}\.[\w-]+/g), null);
});
