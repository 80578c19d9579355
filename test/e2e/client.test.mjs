/*
 * client.test.mjs
 *     The JavaScript client (client/) against a real relay and PostgreSQL.
 *
 * Every message of either side is held against the schemas.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { createClients, lastingStorage } from './client.mjs';
import { newUser, sleep, useStack, waitUntil } from './harness.mjs';

const s = useStack({ relays: 1, relay: { heads_poll_interval: '1s' } });
const c = createClients(s);

test('two clients see what the other writes, and what SQL writes', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const b = await c.connected(user);
  const written = a.note.put('n1', { title: 'Milk' });
  assert.deepEqual(a.note.get('n1'), { id: 'n1', title: 'Milk' }, 'shows at once');
  assert.equal((await written.verdict).verdict, 'applied');
  await waitUntil(() => b.note.get('n1'), { what: 'the note at the other' });
  assert.deepEqual(b.note.get('n1'), { id: 'n1', title: 'Milk' });
  await s.query(`UPDATE mirusync.document SET data = data || '{"done": true}' WHERE feed = $1`, [user]);
  for (const client of [a, b])
    await waitUntil(() => client.note.get('n1').done, { what: 'what SQL did' });
  b.note.delete('n1');
  await waitUntil(() => !a.note.get('n1'), { what: 'the end of the note' });
  assert.deepEqual(a.note.getSnapshot(), []);
});

test('what is written offline is kept, shown, and sent when the network is back', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const b = await c.connected(user);
  await a.note.put('n1', { title: 'one', text: 'old' }).verdict;
  await waitUntil(() => b.note.get('n1'));
  a.net.cut();
  await waitUntil(() => a.status.state === 'reconnecting');
  const first = a.note.patch('n1', { title: 'two' });
  a.note.patch('n1', { text: 'new' });
  a.note.put('n2', { title: 'three' });
  a.note.delete('n2');
  assert.deepEqual(a.note.get('n1'), { id: 'n1', title: 'two', text: 'new' });
  assert.equal(a.note.get('n2'), undefined);
  assert.equal(a.status.unsent, 3, 'two patches of one record are one change');
  assert.ok(Date.now() - a.status.unsentSince < 10000);
  await b.note.patch('n1', { done: true }).verdict;
  a.net.mend();
  assert.equal((await first.verdict).verdict, 'merged');
  const whole = { id: 'n1', title: 'two', text: 'new', done: true };
  for (const client of [a, b])
    await waitUntil(() => client.note.get('n1')?.text === 'new' && client.note.get('n1').done, { what: 'both edits' });
  assert.deepEqual(a.note.get('n1'), whole);
  assert.deepEqual(b.note.get('n1'), whole);
  await waitUntil(() => a.status.unsent === 0);
  const history = await s.query(`SELECT kind FROM mirusync.change_log WHERE feed = $1 AND id = 'n1' ORDER BY seq`, [user]);
  assert.equal(history.length, 3);
});

test('a record does not flicker back while its change waits for the verdict', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const b = await c.connected(user);
  await a.note.put('n1', { title: 'zero', by: 'a' }).verdict;
  await waitUntil(() => b.note.get('n1'));
  const seen = [];
  a.on('NOTE_UPDATED', ({ record }) => seen.push(record.title));
  /* What the other writes goes on coming, older and newer than ours. */
  for (let i = 1; i <= 20; i++) {
    a.note.patch('n1', { title: `a${i}` });
    b.note.patch('n1', { by: `b${i}` });
    await sleep(3);
  }
  await waitUntil(() => a.status.unsent === 0 && b.status.unsent === 0);
  await waitUntil(() => a.note.get('n1').by === 'b20' && b.note.get('n1').title === 'a20', { what: 'the last of both' });
  const numbers = seen.map((title) => Number(title.slice(1)));
  assert.deepEqual(numbers, [...numbers].sort((x, y) => x - y), 'titles never go back');
});

test('a refused write is rolled back and reported, and only its own record waits', async () => {
  const user = newUser();
  const a = await c.connected(user);
  await a.task.put(`${user}-1`, { title: 'one' }).verdict;
  const refused = a.task.patch(`${user}-1`, { title: '' });
  const later = a.task.patch(`${user}-1`, { done: true });
  const other = a.note.put('n1', { title: 'other' });
  assert.equal(a.task.get(`${user}-1`).title, '');
  assert.equal((await other.verdict).verdict, 'applied');
  const verdict = await refused.verdict;
  await later.verdict;
  assert.equal(a.task.get(`${user}-1`).title, 'one');
  const { rejected: [event] } = a;
  assert.equal(event.code, '23514');
  assert.match(event.reason, /violates check constraint/);
  assert.equal(event.change.id, `${user}-1`);
  assert.equal(verdict.verdict, 'rejected');
});

test('a user sees the history of a record, and decides a conflict on every device', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const b = await c.connected(user);
  const other = await c.connected(newUser());
  await a.task.put(`${user}-1`, { title: 'Tea' }).verdict;
  await waitUntil(() => b.task.get(`${user}-1`));
  b.net.cut();
  await waitUntil(() => b.status.state === 'reconnecting');
  const lost = b.task.patch(`${user}-1`, { title: 'Green' });
  await sleep(5);
  await a.task.patch(`${user}-1`, { title: 'Black' }).verdict;
  assert.deepEqual(await a.conflicts(), []);
  b.net.mend();
  await lost.verdict;
  const [conflict, ...more] = await b.conflicts({ collection: 'task', id: `${user}-1` });
  assert.deepEqual(more, []);
  assert.deepEqual([conflict.field, conflict.stored, conflict.incoming, conflict.incoming_device], ['title', 'Black', 'Green', b.status.device]);
  assert.deepEqual([await other.conflicts(), await other.history('task', `${user}-1`)], [[], []]);
  await assert.rejects(other.resolve(conflict.id, { choose: 'incoming' }), (error) => error.code === 'refused' && error.cause.sqlstate === '42704');
  await assert.rejects(a.resolve(conflict.id, { value: '' }), (error) => error.code === 'refused' && error.cause.sqlstate === '23514');
  await a.resolve(conflict.id, { choose: 'incoming' });
  for (const client of [a, b])
    await waitUntil(() => client.task.get(`${user}-1`).title === 'Green', { what: 'what was decided' });
  await assert.rejects(b.resolve(conflict.id, { choose: 'stored' }), (error) => error.cause.sqlstate === '55000');
  const history = await a.history('task', `${user}-1`);
  assert.deepEqual(history.map(({ origin, device, changes }) => [origin, device, changes.title.to]),
    [['push', a.status.device, 'Tea'], ['push', a.status.device, 'Black'], ['resolve', undefined, 'Green']]);
  assert.deepEqual(await a.history('task', `${user}-1`, { limit: 1 }), history.slice(-1));
});

test('a patch behind a refused new record carries what it was made upon', async () => {
  const user = newUser();
  const a = await c.open(user);
  const record = `${user}-1`;
  a.connect();
  await waitUntil(() => a.status.caughtUp);
  let mended;
  a.net.beforeSend = (message) => {
    if (message.type === 'push' && !mended)
      mended = a.task.patch(record, { title: 'mended' });
  };
  const refused = a.task.put(record, { title: '', done: true });
  assert.equal((await refused.verdict).verdict, 'rejected');
  assert.equal((await mended.verdict).verdict, 'applied');
  assert.deepEqual(a.task.get(record), { id: record, title: 'mended', done: true });
  assert.deepEqual(await s.query('SELECT title, done FROM task WHERE id = $1', [record]), [{ title: 'mended', done: true }]);
  assert.deepEqual(await inbox(user), [], 'what was corrected waits for nobody');
});

test('a refused write waits for an administrator until its record is written again', async () => {
  const user = newUser();
  const next = lastingStorage();
  let a = await c.connected(user, { storage: next() });
  const record = `${user}-1`;
  await a.task.put(record, { title: 'one' }).verdict;
  await a.task.patch(record, { title: '' }).verdict;
  await a.task.put(`${user}-2`, { title: '' }).verdict;
  assert.deepEqual(await inbox(user), [record, `${user}-2`]);
  await a.close();
  /* The next life knows of it, and loses the first answer. */
  a = await c.connected(user, { storage: next() });
  const pushes = () => a.net.sent.filter((m) => m.type === 'push');
  a.net.beforeSend = (message) => {
    if (message.type === 'push' && pushes().length === 1)
      setImmediate(() => a.net.cut());
  };
  const later = a.task.patch(record, { title: 'two' });
  await waitUntil(() => a.status.state === 'reconnecting');
  a.net.mend();
  assert.equal((await later.verdict).verdict, 'applied');
  assert.deepEqual(pushes().map((m) => m.discard), [[2], [2]]);
  assert.deepEqual(await inbox(user), [`${user}-2`]);
  assert.equal((await a.task.patch(record, { done: true }).verdict).verdict, 'applied');
  assert.equal(pushes().at(-1).discard, undefined);
});

test('a write gets past a refused one that the device does not know of any more', async () => {
  const user = newUser();
  const a = await c.connected(user);
  await a.task.put(`${user}-1`, { title: '' }).verdict;
  a.leader.device.meta.refused = {};
  const later = a.task.put(`${user}-1`, { title: 'one' });
  const last = a.task.patch(`${user}-1`, { done: true });
  assert.equal((await later.verdict).verdict, 'applied');
  assert.equal((await last.verdict).verdict, 'applied');
  assert.equal(a.rejected.length, 1);
  assert.deepEqual(await inbox(user), []);
});

test('a field that lost to its removal is gone here too', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const b = await c.connected(user);
  await a.note.put('n1', { y: 0 }).verdict;
  await waitUntil(() => b.note.get('n1'));
  a.net.cut();
  await waitUntil(() => a.status.state === 'reconnecting');
  const late = a.note.put('n1', { y: 2, z: 9 });
  await sleep(5);
  await b.note.put('n1', { x: 1 }).verdict;
  a.net.mend();
  await late.verdict;
  await waitUntil(() => a.note.get('n1').x === 1 && a.leader.device.cursor.seq === 3);
  const [{ data }] = await s.query("SELECT data FROM mirusync.document WHERE feed = $1 AND id = 'n1'", [user]);
  assert.equal('y' in data, false);
  assert.deepEqual(a.note.get('n1'), { id: 'n1', ...data });
  await waitUntil(() => b.leader.device.cursor.seq === 3);
  assert.deepEqual(b.note.get('n1'), { id: 'n1', ...data });
});

test('what a table adds comes with the verdict', async () => {
  const user = newUser();
  const a = await c.connected(user);
  await a.task.put(`${user}-1`, { title: 'one' }).verdict;
  assert.deepEqual(a.task.get(`${user}-1`), { id: `${user}-1`, title: 'one', done: false });
});

test('unsent writes survive the end of the program, and count once', async () => {
  const user = newUser();
  const storage = lastingStorage();
  const a = await c.connected(user, { storage: storage() });
  await a.note.put('n1', { title: 'one' }).verdict;
  const { device } = a.status;
  a.net.cut();
  await a.note.patch('n1', { title: 'two' }).saved;
  /* It dies without a chance to say anything: nothing is closed. */
  c.all.splice(c.all.indexOf(a), 1);
  a.disconnect();
  const again = await c.open(user, { storage: storage() });
  assert.deepEqual(again.note.get('n1'), { id: 'n1', title: 'two' }, 'before it connects');
  assert.equal(again.status.unsent, 1);
  assert.equal(again.status.device, device);
  again.connect();
  await waitUntil(() => again.status.unsent === 0);
  assert.equal(await s.head(user), 2);
});

test('a push whose verdict was lost is sent again by the next life, and counts once', async () => {
  const user = newUser();
  const storage = lastingStorage();
  const a = await c.connected(user, { storage: storage() });
  /* The relay gets it; the answer finds nobody. */
  a.net.beforeSend = (message) => {
    if (message.type === 'push')
      for (const socket of a.net.sockets)
        socket.removeAllListeners('message');
  };
  a.net.sockets.forEach((socket) => { socket.onmessage = null; });
  a.note.put('n1', { n: 1 });
  await waitUntil(async () => await s.head(user) === 1, { what: 'the change to arrive' });
  assert.equal(a.status.unsent, 1);
  c.all.splice(c.all.indexOf(a), 1);
  a.net.cut();
  a.disconnect();
  const verdicts = [];
  const again = await c.open(user, { storage: storage() });
  again.on('verdict', ({ verdict }) => verdicts.push(verdict));
  again.connect();
  await waitUntil(() => verdicts.length);
  assert.equal(verdicts[0].replay, true);
  assert.equal(await s.head(user), 1);
  assert.deepEqual(again.note.get('n1'), { id: 'n1', n: 1 });
});

test('the next life goes on from its cursor', async () => {
  const user = newUser();
  const storage = lastingStorage();
  const a = await c.connected(user, { storage: storage() });
  for (let i = 0; i < 5; i++)
    await a.note.put(`n${i}`, { i }).verdict;
  await waitUntil(() => a.leader.device.cursor.seq === 5);
  await a.close();
  const b = await c.connected(user);
  await b.note.put('n5', { i: 5 }).verdict;
  await b.note.delete('n0').verdict;
  const again = await c.open(user, { storage: storage() });
  assert.equal(again.note.getSnapshot().length, 5);
  again.connect();
  await waitUntil(() => again.status.caughtUp);
  assert.deepEqual(again.net.sent[0].cursors, { [user]: { epoch: 0, seq: 5 } });
  assert.deepEqual(again.note.list({ order: 'i' }).map((n) => n.i), [1, 2, 3, 4, 5]);
  const { changesReceived } = await again.statistics();
  assert.equal(changesReceived, 2);
});

/* Before the next one: a floor rises at most once an hour after an epoch began. */
test('from below the floor the device starts over, and what it wrote meanwhile counts', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const b = await c.connected(user);
  for (const id of ['n1', 'n2'])
    await a.note.put(id, { title: id }).verdict;
  await waitUntil(() => b.note.get('n2'), { what: 'the notes at the other' });
  /* With each push a device says how far it is. */
  const told = await s.query(
    'SELECT cursor <= 2 AS near, unsent::int FROM mirusync.devices WHERE user_id = $1 AND cursor IS NOT NULL', [user]);
  assert.deepEqual(told, [{ near: true, unsent: 1 }]);

  a.net.cut();
  await waitUntil(() => a.status.state === 'reconnecting');
  const unsent = a.note.put('n3', { title: 'n3' });
  const patched = a.note.patch('n2', { text: 'patched' });
  await b.note.delete('n1').verdict;
  await s.query("SELECT mirusync.set_retention('note', tombstone_count => 0)");
  await s.query("CALL mirusync.trim($1, active => '0 s')", [user]);
  assert.equal((await s.query('SELECT floor::int FROM mirusync.feed WHERE feed = $1', [user]))[0].floor, 3);
  a.net.mend();
  for (const { verdict } of [unsent, patched])
    assert.equal((await verdict).verdict, 'applied');
  await waitUntil(() => !a.note.get('n1'), { what: 'the end of the note' });
  for (const client of [a, b])
    await waitUntil(() => client.note.get('n3') && client.note.get('n2').text === 'patched', { what: 'the rest' });
  assert.deepEqual(a.note.getSnapshot().map(({ id }) => id).sort(), ['n2', 'n3']);
  await s.query("SELECT mirusync.set_retention('note')");
});

test('a restored backup makes the device start over, and nothing unsent is lost', async () => {
  const user = newUser();
  const a = await c.connected(user);
  await a.note.put('n1', { title: 'kept' }).verdict;
  await a.note.put('n2', { title: 'of a lost history' }).verdict;
  await waitUntil(() => a.leader.device.cursor.seq === 2);
  a.net.cut();
  a.note.patch('n1', { more: true });
  /* Another history: n2 never was, and the epoch is another. */
  await s.query('SELECT mirusync.new_epoch()');
  await s.query(`DELETE FROM mirusync.record WHERE feed = $1 AND id = 'n2'`, [user]);
  await s.query(`SET session_replication_role = replica; DELETE FROM mirusync.document WHERE feed = '${user}' AND id = 'n2'; RESET session_replication_role`);
  await s.query('DELETE FROM mirusync.change_log WHERE feed = $1 AND seq = 2', [user]);
  await s.query('UPDATE mirusync.feed SET head = 1 WHERE feed = $1', [user]);
  a.net.mend();
  await waitUntil(() => a.status.unsent === 0 && !a.note.get('n2'), { what: 'the new history', timeout: 20000 });
  assert.deepEqual(a.note.getSnapshot(), [{ id: 'n1', title: 'kept', more: true }]);
});

test('another user finds nothing of the former one', async () => {
  const [anna, bert] = [newUser('anna'), newUser('bert')];
  const storage = lastingStorage();
  const a = await c.connected(anna, { storage: storage() });
  await a.note.put('n1', { title: 'of anna' }).verdict;
  const { device } = a.status;
  a.net.cut();
  await a.note.put('n2', { title: 'unsent' }).saved;
  await a.close();
  const asked = [];
  const b = await c.open(bert, { storage: storage(), onUserChange: (event) => { asked.push(event); } });
  assert.equal(b.note.getSnapshot().length, 2, 'whose it is, is not known yet');
  b.connect();
  await waitUntil(() => b.status.caughtUp);
  assert.equal(b.note.getSnapshot().length, 0);
  assert.equal(b.status.unsent, 0);
  assert.equal(b.status.user, bert);
  assert.notEqual(b.status.device, device);
  assert.equal(b.net.sent[0].cursors, undefined, 'the relay was told nothing of the former user');
  assert.notEqual(b.net.sent[0].device, device);
  assert.deepEqual(asked.map(({ former, user, unsent }) => [former, user, unsent.changes.map((x) => x.fields)]),
    [[anna, bert, [{ title: 'unsent' }]]]);
  assert.equal(await s.head(bert), 0);
  await b.close();
  /* If the user is known beforehand nothing is shown at all. */
  const again = await c.open(anna, { storage: storage(), user: anna });
  assert.equal(again.note.getSnapshot().length, 0);
});

test('an application that will not have it wiped stops the other user', async () => {
  const [anna, bert] = [newUser('anna'), newUser('bert')];
  const storage = lastingStorage();
  const a = await c.connected(anna, { storage: storage() });
  a.net.cut();
  await a.note.put('n2', { title: 'unsent' }).saved;
  await a.close();
  const b = await c.open(bert, { storage: storage(), onUserChange: () => { throw new Error('no'); } });
  b.connect();
  await waitUntil(() => b.status.reason === 'user_changed');
  assert.equal(b.status.state, 'disconnected');
  assert.equal(b.status.unsent, 1);
});

test('without a token the user has to sign in, and connect leads on', async () => {
  const user = newUser();
  let token = null;
  const a = await c.open(user, { token: () => token });
  a.connect();
  await waitUntil(() => a.status.state === 'needs-auth');
  assert.equal(a.status.reason, 'no_token');
  a.note.put('n1', { title: 'meanwhile' });
  const { userToken } = await import('./harness.mjs');
  token = userToken(s.stack.secret, user);
  a.connect();
  await waitUntil(() => a.status.caughtUp && a.status.unsent === 0);
  assert.equal(await s.head(user), 1);
});

test('a killed relay is found again when it is back', async () => {
  const user = newUser();
  const relay = await s.stack.addRelay();
  const a = await c.connected(user, { relay });
  await relay.kill();
  await waitUntil(() => a.status.state === 'reconnecting');
  a.note.put('n1', { title: 'meanwhile' });
  await relay.start();
  await waitUntil(() => a.status.unsent === 0 && a.status.state === 'connected', { timeout: 20000, what: 'it to be back' });
  assert.equal(await s.head(user), 1);
  const statistics = await a.statistics();
  assert.equal(statistics.connects, 2);
  assert.equal(statistics.reconnects, 1);
  assert.ok(statistics.push.last >= 0);
  await relay.stop();
  s.stack.relays.splice(s.stack.relays.indexOf(relay), 1);
});

test('a change that is larger than a message is refused here, and blocks nothing', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const large = a.note.put('n1', { text: 'x'.repeat(70000) });
  const other = a.note.put('n2', { title: 'small' });
  assert.equal((await large.verdict).code, 'too_large');
  assert.equal((await other.verdict).verdict, 'applied');
  assert.equal(a.note.get('n1'), undefined);
});

test('what jsonb refuses is refused alone', async () => {
  const user = newUser();
  const a = await c.connected(user);
  a.net.cut();
  const bad = a.note.put('n1', { text: 'a\u0000b' });
  const good = a.note.put('n2', { text: 'b' });
  await Promise.all([bad.saved, good.saved]);
  a.net.mend();
  assert.equal((await bad.verdict).verdict, 'rejected');
  assert.equal((await good.verdict).verdict, 'applied');
  assert.deepEqual(a.note.getSnapshot().map((n) => n.id), ['n2']);
});

test('many records come by pages, and many writes go by batches', async () => {
  const user = newUser();
  const a = await c.connected(user);
  const writes = [];
  for (let i = 0; i < 1500; i++)
    writes.push(a.note.put(`n${i}`, { i, text: 'x'.repeat(100) }).verdict);
  const verdicts = await Promise.all(writes);
  assert.ok(verdicts.every((v) => v.verdict === 'applied'));
  const { messagesSent, changesSent } = await a.statistics();
  assert.equal(changesSent, 1500);
  assert.ok(messagesSent < 30);
  const b = await c.connected(user);
  assert.equal(b.note.getSnapshot().length, 1500);
  assert.ok((await b.statistics()).messagesReceived >= 4);
});

test('where sockets are blocked, it goes over HTTP, and back', async () => {
  const user = newUser();
  const a = await c.open(user);
  a.net.blocked = true;
  a.connect();
  await waitUntil(() => a.status.via === 'http' && a.status.caughtUp, { what: 'HTTP' });
  assert.equal(a.status.state, 'connected');
  assert.equal(a.status.reason, 'sockets_blocked');
  const b = await c.connected(user);
  assert.equal((await a.note.put('n1', { title: 'by HTTP' }).verdict).verdict, 'applied');
  await waitUntil(() => b.note.get('n1'));
  b.note.patch('n1', { title: 'by socket' });
  await waitUntil(() => a.note.get('n1').title === 'by socket', { what: 'the answer' });
  a.net.blocked = false;
  await waitUntil(() => a.status.via === 'socket', { timeout: 40000, what: 'the socket' });
  assert.equal(a.status.reason, '');
});

test('syncNow without a connection brings both sides together', async () => {
  const user = newUser();
  const b = await c.connected(user);
  await b.note.put('n1', { title: 'one' }).verdict;
  const a = await c.open(user);
  a.note.put('n2', { title: 'two' });
  a.task.put(`${user}-1`, { title: '' });
  await a.syncNow();
  assert.equal(a.status.state, 'disconnected');
  assert.equal(a.status.unsent, 0);
  assert.deepEqual(a.note.list({ order: 'title' }).map((n) => n.title), ['one', 'two']);
  assert.equal(a.rejected[0].code, '23514');
  await waitUntil(() => b.note.get('n2'));
  a.net.down = true;
  await assert.rejects(a.syncNow(), { code: 'unreachable' });
});

test('a socket that comes while a round over HTTP runs does not stand still', async () => {
  let asked = false;
  let go;
  const gate = new Promise((resolve) => { go = resolve; });
  const a = await c.open(newUser(), { fetch: async (url, request) => {
    const answer = await fetch(url, request);
    asked ||= url.includes('/pull');
    if (asked)
      await gate;
    return answer;
  } });
  const round = a.syncNow();
  await waitUntil(() => asked, { what: 'the round' });
  a.connect();
  await waitUntil(() => a.status.state === 'connected', { what: 'the socket' });
  go();
  await round;
  a.note.put('n1', { title: 'Milk' });
  await waitUntil(() => !a.status.unsent && a.status.caughtUp, { what: 'the verdict, and all there is' });
  assert.equal(a.status.via, 'socket');
});

test('syncNow of a connected client ends when all is judged', async () => {
  const user = newUser();
  const a = await c.connected(user);
  a.note.put('n1', { title: 'one' });
  await a.syncNow();
  assert.equal(a.status.unsent, 0);
  assert.equal(a.net.requests, 0);
  assert.equal(await s.head(user), 1);
});

test('a batch that went by both ways counts once', async () => {
  const user = newUser();
  const a = await c.connected(user);
  a.net.beforeSend = (message) => {
    if (message.type === 'push') {
      a.net.beforeSend = undefined;
      /* It arrives, but the answer does not. */
      for (const socket of a.net.sockets)
        socket.onmessage = null;
    }
  };
  a.note.put('n1', { n: 1 });
  await waitUntil(async () => await s.head(user) === 1);
  a.disconnect();
  await a.syncNow();
  assert.equal(a.status.unsent, 0);
  assert.equal(await s.head(user), 1);
});

test('a token that is refused is asked for anew, and then the user has to sign in', async () => {
  const user = newUser();
  let asked = 0;
  const a = await c.open(user, { token: () => `wrong-${++asked}` });
  a.connect();
  await waitUntil(() => a.status.state === 'needs-auth', { timeout: 20000 });
  assert.equal(a.status.reason, 'unauthorized');
  assert.ok(asked >= 2 && asked <= 4, `${asked} tokens`);
});

test('a token is replaced before its end', async () => {
  const user = newUser();
  const { userToken } = await import('./harness.mjs');
  /* As in production: no token in the address. */
  const relay = await s.stack.addRelay({ jwt_leeway: '0s', token_sources: 'header message' });
  const a = await c.connected(user, { relay, token: () => userToken(s.stack.secret, user, 3) });
  await waitUntil(() => a.net.sent.filter((m) => m.type === 'token').length === 2, { what: 'the second fresh token' });
  assert.equal(a.status.state, 'connected');
  assert.equal((await a.statistics()).connects, 1, 'the first has ended meanwhile, the session has not');
});

test('when its token has ended the client comes back with another', async () => {
  const user = newUser();
  const { userToken } = await import('./harness.mjs');
  const relay = await s.stack.addRelay({ jwt_leeway: '0s' });
  const a = await c.connected(user, { relay, token: () => userToken(s.stack.secret, user, 2) });
  a.leader.connection.renewToken = () => {};
  a.leader.connection.timer('token');
  await waitUntil(() => a.status.reason === 'token expired', { what: 'the end of the token' });
  await waitUntil(() => a.status.state === 'connected', { what: 'the next session' });
});

/* inbox lists the records whose changes wait at the server. */
async function inbox(user) {
  return (await s.query('SELECT id FROM mirusync.rejected WHERE feed = $1 ORDER BY number', [user])).map(({ id }) => id);
}

function test(name, body) {
  s.test(name, async () => {
    await c.prepare();
    try {
      await body();
    } finally {
      await c.closeAll();
    }
    c.sound();
  });
}
