/*
 * auth.test.mjs
 *     Who gets in, and what everybody else is told, before any upgrade.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { createSign, generateKeyPairSync, createHmac } from 'node:crypto';
import {
  assertTimestamps, Device, http, iso, newUser, sign, upgrade, userToken, useStack, waitUntil,
} from './harness.mjs';

const s = useStack({ relay: { environment: 'test-bed' } });

const at = (user, token) =>
  `/sync/ws?userId=${encodeURIComponent(user)}&token=${encodeURIComponent(token)}`;

const claims = (user, fields = {}) => {
  const now = Math.floor(Date.now() / 1000);
  return { sub: user, email: 'a@example.org', iat: now, exp: now + 600, ...fields };
};

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  .toString('base64url');

async function refused(path, status, body) {
  const answer = await upgrade(s.relay, path);
  assert.equal(answer.status, status, `${path.slice(0, 120)}: ${answer.body}`);
  if (body)
    assert.deepEqual(answer.json, body);
  return answer;
}

s.test('a missing userId or token is a bad request', async () => {
  const body = { error: 'Missing userId or token' };
  const token = userToken(s.stack.secret, 'anna');
  await refused('/sync/ws', 400, body);
  await refused('/sync/ws?userId=anna', 400, body);
  await refused(`/sync/ws?token=${token}`, 400, body);
  await refused(`/sync/ws?userId=&token=${token}`, 400, body);
  await refused('/sync/ws?userId=anna&token=', 400, body);
});

s.test('a valid token of the user gets in and is welcomed', async () => {
  const user = newUser();
  const device = await s.open(user);
  const [welcome] = device.messages;
  assert.deepEqual(Object.keys(welcome).sort(), ['message', 'timestamp', 'type']);
  assert.equal(welcome.message, 'Connected to Mirubato sync');
  assertTimestamps([welcome]);
  assert.equal(device.socket.protocol, '', 'no subprotocol is chosen');
  await device.close();
});

s.test('ping is answered by pong', async () => {
  const device = await s.open(newUser());
  device.send({ type: 'PING', timestamp: iso() });
  const pong = await device.next();
  assert.deepEqual(Object.keys(pong).sort(), ['timestamp', 'type']);
  assert.equal(pong.type, 'PONG');
  assertTimestamps([pong]);
  await device.close();
});

s.test('tokens that prove nothing are refused', async (t) => {
  const user = newUser();
  const good = userToken(s.stack.secret, user);
  const [header, payload, signature] = good.split('.');
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  const rs256 = `${b64({ alg: 'RS256', typ: 'JWT' })}.${payload}`;
  const flip = signature[5] === 'A' ? 'B' : 'A';
  const hmac = (text) => createHmac('sha256', s.stack.secret).update(text).digest('base64url');
  const signed = (text) => `${text}.${hmac(text)}`;

  const bad = {
    'another secret': userToken('another secret of thirty-two bytes', user),
    'an empty secret': sign('', claims(user)),
    'a changed signature': `${header}.${payload}.${signature.slice(0, 5)}${flip}${signature.slice(6)}`,
    'a cut signature': good.slice(0, -4),
    'no signature': `${header}.${payload}.`,
    'two parts': `${header}.${payload}`,
    'four parts': `${good}.${signature}`,
    'garbage': 'garbage',
    'dots': '..',
    'padding after the signature': `${good}=`,
    'changed claims': `${header}.${b64(claims(user, { admin: true }))}.${signature}`,
    'expired': sign(s.stack.secret, claims(user, { exp: Math.floor(Date.now() / 1000) - 3600 })),
    'no exp': sign(s.stack.secret, claims(user, { exp: undefined })),
    'exp as a text': sign(s.stack.secret, claims(user, { exp: '9999999999' })),
    'not valid yet': sign(s.stack.secret, claims(user, { nbf: Math.floor(Date.now() / 1000) + 3600 })),
    'alg none, no signature': sign('', claims(user), { alg: 'none', typ: 'JWT' }),
    'alg none, signed': signed(`${b64({ alg: 'none' })}.${payload}`),
    'alg None': sign('', claims(user), { alg: 'None', typ: 'JWT' }),
    'no alg': signed(`${b64({ typ: 'JWT' })}.${payload}`),
    'alg hs256': signed(`${b64({ alg: 'hs256' })}.${payload}`),
    'alg HS512': sign(s.stack.secret, claims(user), { alg: 'HS512', typ: 'JWT' }),
    'alg RS256 by a key nobody configured': `${rs256}.${createSign('sha256').update(rs256)
      .sign(privateKey).toString('base64url')}`,
    'a public key as HMAC secret': `${header}.${payload}.${createHmac('sha256', pem)
      .update(`${header}.${payload}`).digest('base64url')}`,
    'claims that are no JSON': signed(`${header}.${b64('{"sub":')}`),
    'claims that are a list': signed(`${header}.${b64([user])}`),
    'an unknown critical header': signed(
      `${b64({ alg: 'HS256', typ: 'JWT', crit: ['x'], x: 1 })}.${payload}`),
    'sub given twice': signed(`${header}.${b64(
      `{"sub":"other","sub":"${user}","exp":${claims(user).exp}}`)}`),
  };
  for (const [name, token] of Object.entries(bad))
    await t.test(name, async () => {
      await refused(at(user, token), 401, { error: 'Invalid or expired token' });
    });
});

s.test('a token of 3000 bytes still fits, a huge one is refused', async () => {
  const user = newUser();
  const long = sign(s.stack.secret, claims(user, { filler: 'x'.repeat(1800) }));
  const device = await s.open(user, { token: long });
  await device.close();
  const answer = await upgrade(s.relay, at(user, sign(s.stack.secret,
    claims(user, { filler: 'x'.repeat(20000) })))).catch(() => ({ status: 'dropped' }));
  assert.notEqual(answer.status, 101);
});

s.test('a token of somebody else is forbidden', async () => {
  const anna = newUser('anna');
  const token = userToken(s.stack.secret, anna);
  const body = { error: 'User ID mismatch' };
  await refused(at(newUser('bob'), token), 403, body);
  await refused(at(`${anna} `, token), 403, body);
  await refused(at(anna.toUpperCase(), token), 403, body);
  /* A NUL may also be refused as a bad request, or dropped; but not let in. */
  const nul = await upgrade(s.relay, at(`${anna}\0`, token)).catch(() => ({ status: 'dropped' }));
  assert.notEqual(nul.status, 101);
});

s.test('ids of users are any text', async () => {
  for (const user of ['a b&c=d%', 'zoë-漢字-🎹', 'a/b?c#d', '"quoted"', "o'hara", '{a,b}']) {
    const device = await s.live(user);
    await device.close();
  }
});

s.test('a subprotocol that is not ours does not matter to the practice-log app', async () => {
  const user = newUser();
  const answer = await upgrade(s.relay, at(user, userToken(s.stack.secret, user)),
    { 'Sec-WebSocket-Protocol': '' });
  assert.equal(answer.status, 101);
  assert.equal(answer.headers['sec-websocket-protocol'], undefined);
});

s.test('health tells who and when', async () => {
  const answer = await http(s.relay, '/health');
  assert.equal(answer.status, 200);
  assert.match(answer.headers['content-type'], /^application\/json/);
  assert.deepEqual(Object.keys(answer.json).sort(), ['environment', 'service', 'status', 'timestamp']);
  assert.equal(answer.json.status, 'healthy');
  assert.equal(answer.json.environment, 'test-bed');
  assert.equal(typeof answer.json.service, 'string');
  assertTimestamps([answer.json]);
});

s.test('other paths are not found', async () => {
  const user = newUser();
  const query = at(user, userToken(s.stack.secret, user)).slice('/sync/ws'.length);
  assert.equal((await http(s.relay, '/')).status, 404);
  assert.equal((await http(s.relay, '/nothing')).status, 404);
  assert.equal((await http(s.relay, '/healthy')).status, 404);
  assert.equal((await http(s.relay, '/../../etc/passwd')).status, 404);
  assert.equal((await upgrade(s.relay, `/${query}`)).status, 404);
  assert.equal((await upgrade(s.relay, `/sync/wss${query}`)).status, 404);
  assert.equal((await upgrade(s.relay, `/sync/ws/${query}`)).status, 404);
});

s.test('a request that is no upgrade opens nothing', async () => {
  const user = newUser();
  const path = at(user, userToken(s.stack.secret, user));
  const plain = await http(s.relay, path);
  assert.ok(plain.status >= 400 && plain.status < 500, `got ${plain.status}`);
  const other = await http(s.relay, path, { headers: { Connection: 'Upgrade', Upgrade: 'h2c' } })
    .catch(() => ({ status: 'dropped' }));
  assert.notEqual(other.status, 101);
});

s.test('a user has ten connections, others are not concerned', async () => {
  const user = newUser();
  const devices = [];
  for (let i = 0; i < 10; i++)
    devices.push(await s.open(user));
  const path = at(user, userToken(s.stack.secret, user));
  const answer = await refused(path, 429);
  assert.equal(typeof answer.json.error, 'string');
  /* Who may not come in at all is told that, not how busy it is. */
  await refused(at(user, 'garbage'), 401);
  const other = await s.open(newUser());

  await devices.pop().close();
  const again = await waitUntil(() => Device.open(s.relay, user).catch(() => null),
    { what: 'a free place' });
  for (const device of [...devices, other, again])
    await device.close();
});

s.test('no token and no secret reaches the log', async () => {
  const user = newUser();
  const token = userToken(s.stack.secret, user);
  const device = await s.open(user, { token });
  await device.close();
  await refused(at(newUser(), token), 403);
  await refused(at(user, `${token}x`), 401);
  const { log } = s.relay;
  assert.ok(!log.includes(token.split('.')[2]), 'a signature was logged');
  assert.ok(!log.includes(token.split('.')[1]), 'claims were logged');
  assert.ok(!log.includes(s.stack.secret), 'the secret was logged');
});
