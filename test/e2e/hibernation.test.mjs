/*
 * hibernation.test.mjs
 *     A relay that nobody needs lets the database go, and has it again for the
 *     first who does; nothing that happened meanwhile is missed.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import {
  created, cursorOf, entry, freePort, http, metrics, newUser, rawSocket, replica, sleep, useStack, userToken,
  waitUntil,
} from './harness.mjs';
import { api, useNative } from './native.mjs';

const s = useStack({
  relay: { metrics_port: await freePort(), hibernate_after: '300ms', push_wait_max: '1s' },
});
const native = useNative(s);

const connections = async () => (await s.query(`SELECT count(*)::int AS n FROM pg_stat_activity
  WHERE application_name LIKE 'mirusync relay %'`))[0].n;
const ready = async () => http(s.relay, '/ready');
const count = async (name) => (await metrics(s.relay))(name);

/* asleep waits until the relay hibernates, and its backends are gone. */
async function asleep() {
  await waitUntil(async () => await count('hibernating') === 1, { what: 'the relay to hibernate' });
  await waitUntil(async () => await connections() === 0, { what: 'the backends to end' });
}

/* wakes runs body, which must wake the relay once. */
async function wakes(body) {
  await asleep();
  const before = await metrics(s.relay);
  const result = await body();
  const after = await metrics(s.relay);
  assert.equal(after('wakes_total'), before('wakes_total') + 1);
  return result;
}

s.test('without a session all connections are closed, the first one opens them', async () => {
  const user = newUser();
  const device = await wakes(() => s.live(user));
  assert.ok(await connections() >= 5);
  const other = await s.live(user);
  await device.push(created(entry()));
  await other.event('ENTRY_CREATED');
  assert.equal(await count('hibernating'), 0);
  /* A session that only waits is a session. */
  await sleep(700);
  assert.equal(await count('hibernating'), 0);
  /* And it hears of what is done without the relay: LISTEN is there again. */
  await s.query("SELECT mirusync.put($1, 'logbook_entry', 'sql', $2)", [user, entry({ id: 'sql' })]);
  await device.event('ENTRY_CREATED', (m) => m.entry.id === 'sql');
  assert.equal((await metrics(s.relay))('doorbells_recovered_total'), 0);
  await device.close();
  await other.close();
  await asleep();
  const m = await metrics(s.relay);
  assert.equal(m('hibernations_total'), m('wakes_total') + 1);
  assert.equal(m('database_connections{state="ready"}') + m('database_connections{state="waiting"}')
    + m('database_connections{state="connecting"}'), 0);
  assert.ok(m('wake_seconds_count') >= 1);
});

s.test('probes, files, tickets and strangers do not wake it', async () => {
  await asleep();
  const before = await metrics(s.relay);
  const answer = await ready();
  assert.equal(answer.status, 200);
  assert.equal(answer.json.status, 'hibernating');
  assert.equal((await http(s.relay, '/health')).status, 200);
  await assert.rejects(s.open(newUser(), { token: 'x.y.z' }), /refused: 401/);
  assert.equal((await api(s.relay, null, '/sync/pull')).status, 401);
  const socket = await rawSocket(s.relay);
  socket.write('GET /sync/ws HTTP/1.1\r\n');
  await sleep(200);
  socket.destroy();
  const after = await metrics(s.relay);
  assert.equal(after('ready'), 1);
  assert.equal(after('wakes_total'), before('wakes_total'));
  assert.equal(await connections(), 0);
});

s.test('what happened meanwhile is caught up with', async () => {
  const user = newUser();
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  const device = await s.live(user);
  const phone = await native.live(user);
  await device.push(created(entry()));
  await phone.put('note', 'a', { text: 'before' });
  await device.waiting(() => cursorOf(device.messages) >= 1 || undefined, 'its number');
  const seen = cursorOf(device.messages);
  await device.close();
  await phone.close();
  await asleep();
  for (let i = 0; i < 5; i++)
    await s.query("SELECT mirusync.put($1, 'logbook_entry', $2, $3)", [user, `e${i}`, entry({ id: `e${i}` })]);
  await s.query("SELECT mirusync.patch($1, 'note', 'a', $2)", [user, { text: 'meanwhile' }]);
  const again = await wakes(() => s.open(user));
  const { messages } = await again.sync({ lastSeq: seen });
  assert.equal([...replica(messages).keys()].filter((key) => key.startsWith('logbook_entry/e')).length, 5);
  const back = await native.live(user, { cursor: phone.cursor });
  assert.equal(back.state.get('note/a').text, 'meanwhile');
  back.sound();
  await again.close();
  await back.close();
});

s.test('who was shut out meanwhile is not let in', async () => {
  const [revoked, off, fine] = [newUser(), newUser(), newUser()];
  await (await s.live(fine)).close();
  await asleep();
  const old = userToken(s.stack.secret, revoked);
  await sleep(1100);
  await s.query('SELECT mirusync.revoke($1)', [revoked]);
  await s.query('SELECT mirusync.set_realtime($1, false)', [off]);
  const open = (user, options) => native.raw(user, options);
  /* The first of all to come is one of them. */
  const first = await wakes(async () => {
    const device = await open(revoked, { token: old });
    assert.equal((await device.ended).code, 4410);
    return device;
  });
  assert.ok(first.closed);
  assert.equal((await (await open(off)).ended).code, 4405);
  await (await s.live(fine)).close();
  await s.query('SELECT mirusync.set_realtime($1, true)', [off]);
});

s.test('requests over HTTP wait for the connections', async () => {
  const user = newUser();
  const push = await wakes(() => api(s.relay, user, '/sync/push', {
    body: {
      device: 'web', changes: [{ number: 1, kind: 'put', collection: 'note', id: 'x', fields: { text: 'y' } }],
    },
  }));
  assert.equal(push.status, 200);
  const page = await wakes(() => api(s.relay, user, '/sync/pull?after=0'));
  assert.equal(page.body.changes.length, 1);
  /* A ticket needs no database; who comes with it does. */
  await asleep();
  const given = await fetch(`${s.relay.url}/sync/ticket`, {
    method: 'POST', headers: { authorization: `Bearer ${userToken(s.stack.secret, user)}` },
  });
  const { ticket } = await given.json();
  assert.equal(await count('hibernating'), 1);
  const device = await wakes(() => s.open(user, { query: `?userId=${user}&ticket=${ticket}` }));
  const second = await s.open(user, { query: `?userId=${user}&ticket=${ticket}` }).catch((error) => error);
  if (!(second instanceof Error))
    assert.equal((await second.ended).code, 4401);
  await device.close();
});

s.test('a long poll keeps the relay awake', async () => {
  const user = newUser();
  await asleep();
  const poll = api(s.relay, user, '/sync/pull?after=0&wait=20');
  await waitUntil(async () => await count('hibernating') === 0, { what: 'it to wake' });
  await sleep(700);
  assert.equal(await count('hibernating'), 0);
  await s.query("SELECT mirusync.put($1, 'note', 'z', $2)", [user, { text: 'z' }]);
  assert.equal((await poll).body.changes.length, 1);
});
