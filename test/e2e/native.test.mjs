/*
 * native.test.mjs
 *     The protocol mirusync.v1 over WebSocket, message by message, and
 *     together with devices of the event protocol.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { created, entry, id, newUser, sleep, updated, userToken, useStack, waitUntil } from './harness.mjs';
import { check, codes, seen, useNative } from './native.mjs';

const s = useStack({ relays: 2, relay: { heads_poll_interval: '1s', session_queue_max_bytes: '256kB' } });
const n = useNative(s);

/* notes is made once: a collection of documents with a merge by field. */
const notes = async () => {
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  await s.query("SELECT mirusync.create_collection('whole', 'lww')");
  await s.query(`CREATE TABLE IF NOT EXISTS task (id text PRIMARY KEY, owner text NOT NULL,
    title text NOT NULL CHECK (title <> ''), done boolean NOT NULL DEFAULT false)`);
  await s.query(`SELECT mirusync.attach('task', feed => 'owner')
    WHERE NOT EXISTS (SELECT FROM mirusync.collections WHERE name = 'task')`);
};

const test = (name, body, options) => s.test(name, async (t) => {
  await notes();
  await body(t);
  for (const device of s.devices)
    device.sound?.();
}, options);

test('hello is answered with a welcome, and a page follows unasked', async () => {
  const user = newUser();
  const a = await n.open(user, { hello: { ref: 5, application: 'test 1.0' } });
  assert.equal(a.socket.protocol, 'mirusync.v1');
  assert.equal(a.welcome.ref, 5);
  assert.equal(a.welcome.user, user);
  assert.equal(a.welcome.digested, 0);
  assert.deepEqual(a.welcome.heads, { [user]: { epoch: 0, seq: 0 } });
  assert.equal(a.welcome.limits.message_max_bytes, 65536);
  assert.ok(Math.abs(Date.parse(a.welcome.time) - Date.now()) < 60000);
  const page = await a.type('page');
  assert.deepEqual(page, {
    type: 'page', feed: user, epoch: 0, after: 0, upto: 0, head: 0, complete: true, changes: [],
  });
  await a.put('note', 'n1', { title: 'one' });
  const b = await n.live(user, { device: 'tablet', digested: 7 });
  assert.deepEqual(b.welcome.heads, { [user]: { epoch: 0, seq: 1 } });
  assert.equal(b.welcome.digested, 7);
  assert.deepEqual(b.state.get('note/n1'), { title: 'one' });
});

test('a push has a verdict for each change, and others get what changed only', async () => {
  const user = newUser();
  const a = await n.live(user);
  const b = await n.live(user, { device: 'tablet' });
  const far = await n.live(user, { device: 'laptop', relay: s.relays[1] });
  const changes = [
    a.change('put', 'task', `${user}-1`, { title: 'Milk' }),
    a.change('put', 'task', `${user}-2`, { title: '' }),
    a.change('put', 'note', 'n1', { title: 'x', text: 'y' })];
  const verdicts = await a.push(changes);
  assert.deepEqual(verdicts.map((v) => [v.number, v.verdict, v.seq, v.code]),
    [[1, 'applied', 1, undefined], [2, 'rejected', undefined, '23514'], [3, 'applied', 2, undefined]]);
  assert.deepEqual(verdicts[0].fields, { id: `${user}-1`, done: false });
  const live = await b.type('changes');
  assert.deepEqual([live.from, live.to, live.complete], [0, 2, true]);
  assert.deepEqual(live.changes.map((c) => [c.seq, c.kind, c.collection]), [[1, 'put', 'task'], [2, 'put', 'note']]);
  await a.push([a.change('patch', 'task', `${user}-1`, { done: true }), a.change('put', 'note', 'n1', { text: 'z' })]);
  const patch = await b.type('changes');
  assert.deepEqual(patch.changes.map(({ clock, ...c }) => c), [
    { seq: 3, kind: 'patch', collection: 'task', id: `${user}-1`, fields: { done: true } },
    { seq: 4, kind: 'patch', collection: 'note', id: 'n1', fields: { text: 'z' }, removed: ['title'] }]);
  await a.remove('task', `${user}-1`);
  assert.equal((await b.type('changes')).changes[0].kind, 'delete');
  await far.caughtUp(5);
  assert.deepEqual([...b.state], [['note/n1', { text: 'z' }]]);
  assert.deepEqual([...far.state], [...b.state]);
});

test('a session gets the numbers of its own changes and nothing else of them', async () => {
  const user = newUser();
  const a = await n.live(user);
  const b = await n.live(user, { device: 'tablet' });
  for (let i = 1; i <= 3; i++)
    await a.put('note', `a${i}`, { i });
  await a.caughtUp(3);
  const own = a.messages.filter((m) => m.type === 'changes');
  assert.ok(own.length > 0);
  assert.ok(own.every((m) => m.complete && m.changes.length === 0));
  await b.put('note', 'b1', { i: 4 });
  const got = await a.type('changes', (m) => m.changes.length > 0);
  assert.deepEqual([got.from, got.to], [3, 4]);
  await b.caughtUp(4);
  assert.equal(b.state.size, 3);
});

test('its own change does not hide from a session what others did to the record before', async () => {
  const user = newUser();
  const a = await n.live(user);
  await a.put('note', 'n1', { own: 1 });
  await a.caughtUp(1);
  const client = await s.client();
  try {
    /* Nobody rings, so the push finds a hole before it, and the feed is read. */
    await client.query('SET mirusync.doorbell = off');
    await client.query("SELECT mirusync.patch($1, 'note', 'n1', '{\"other\": 2}')", [user]);
    await a.patch('note', 'n1', { own: 3 });
    await a.caughtUp(3);
    assert.equal(a.state.get('note/n1').other, 2);
  } finally {
    await client.end();
  }
});

test('a verdict carries the values that stand where they differ', async () => {
  const user = newUser();
  const a = await n.live(user);
  const b = await n.live(user, { device: 'tablet' });
  await a.put('note', 'n1', { title: 'first', text: 'first' });
  await b.caughtUp(1);
  await sleep(5);
  const past = { clock: new Date().toISOString(), base: 1 };
  await sleep(5);
  await a.patch('note', 'n1', { title: 'newer' });
  const [merged] = await b.push([{ ...b.change('patch', 'note', 'n1', { title: 'older', more: 'mine' }), ...past }]);
  assert.equal(merged.verdict, 'merged');
  assert.deepEqual(merged.fields, { title: 'newer' });
  const [stale] = await b.push([{ ...b.change('patch', 'note', 'n1', { title: 'older' }), ...past }]);
  assert.equal(stale.verdict, 'stale');
  assert.deepEqual(stale.fields, { title: 'newer' });
});

test('an atomic push is stored as a whole or not at all', async () => {
  const user = newUser();
  const a = await n.live(user);
  const refused = await a.push([a.change('put', 'task', `${user}-1`, { title: 'one' }),
    a.change('put', 'task', `${user}-2`, { title: '' })], { atomic: true });
  assert.deepEqual(refused.map((v) => [v.verdict, v.code]), [['rejected', 'MS007'], ['rejected', '23514']]);
  assert.equal(await s.head(user), 0);
  const stored = await a.push([a.change('put', 'task', `${user}-1`, { title: 'one' }),
    a.change('put', 'task', `${user}-2`, { title: 'two' })], { atomic: true, discard: [refused[0].number] });
  assert.deepEqual(stored.map((v) => v.verdict), ['applied', 'applied']);
});

test('sent again, a push gives the same verdicts and has no second effect', async () => {
  const user = newUser();
  const a = await n.live(user);
  const changes = [a.change('put', 'note', 'n1', { title: 'one' }), a.change('put', 'task', `${user}-1`, { title: '' })];
  const first = await a.push(changes);
  const again = await a.push(changes);
  assert.deepEqual(again, first.map((v) => ({ ...v, replay: true })));
  /* From another session of the device, and at the same time. */
  const b = await n.live(user);
  const both = await Promise.all([a.push(changes), b.push(changes)]);
  assert.deepEqual(both, [again, again]);
  assert.equal(await s.head(user), 1);
  /* Digested: they are known no more, and not done again either. */
  const c = await n.live(user, { digested: 2 });
  assert.equal(c.welcome.digested, 2);
  const gone = await c.push(changes);
  assert.deepEqual(gone.map((v) => v.code), ['MS004', 'MS004']);
});

test('what SQL does comes transaction by transaction', async () => {
  const user = newUser();
  const a = await n.live(user);
  const client = await s.client();
  try {
    await client.query('BEGIN');
    for (let i = 0; i < 3; i++)
      await client.query('INSERT INTO task VALUES ($1, $2, $3)', [`${user}-${i}`, user, `t${i}`]);
    await client.query('COMMIT');
    const got = await a.type('changes');
    assert.deepEqual([got.from, got.to, got.changes.length, got.complete], [0, 3, 3, true]);
    await client.query('UPDATE task SET done = true WHERE id = $1', [`${user}-1`]);
    const patch = await a.type('changes');
    assert.deepEqual(patch.changes[0].fields, { done: true });
    assert.equal(patch.changes[0].kind, 'patch');
  } finally {
    await client.end();
  }
});

test('a cursor leads on from where the device was', async () => {
  const user = newUser();
  const a = await n.live(user);
  for (let i = 1; i <= 5; i++)
    await a.put('note', `n${i}`, { i });
  const b = await n.live(user, { device: 'tablet', cursor: { epoch: 0, seq: 3 } });
  const page = b.messages.find((m) => m.type === 'page');
  assert.deepEqual([page.after, page.upto, page.changes.map((c) => c.seq)], [3, 5, [4, 5]]);
  /* A catch-up skips nothing: not even what the device did itself. */
  const again = await n.live(user);
  assert.equal(again.state.size, 5);
});

test('catch-up joins live without a gap or a repeat, while others write', async () => {
  const user = newUser();
  const writer = await n.live(user);
  const text = randomBytes(300).toString('hex');
  for (let i = 0; i < 1200; i += 50)
    await writer.push(Array.from({ length: 50 }, (_, j) => writer.change('put', 'note', `n${i + j}`, { i, text })));
  let stop = false;
  const writing = (async () => {
    const other = await n.live(user, { device: 'other', relay: s.relays[1] });
    for (let i = 0; !stop; i++) {
      await Promise.all([
        writer.put('note', `n${i % 1300}`, { w: i, text }),
        other.patch('note', `n${(i * 7) % 1300}`, { o: i }),
        i % 10 ? null : s.query('INSERT INTO task VALUES ($1, $2, $3)', [`${user}-${i}`, user, 'sql'])]);
    }
  })();
  const devices = [];
  for (let i = 0; i < 8; i++) {
    devices.push(await n.live(user, { device: `d${i}`, relay: s.relays[i % 2] }));
    await sleep(30);
  }
  stop = true;
  await writing;
  const head = await s.head(user);
  const rows = await s.query(`SELECT 'note/' || id AS key, data AS value FROM mirusync.document
    WHERE feed = $1 AND collection = 'note'
    UNION ALL SELECT 'task/' || id, to_jsonb(t) - 'owner' FROM task t WHERE owner = $1`, [user]);
  for (const device of devices) {
    await device.caughtUp(head);
    device.sound();
    assert.ok(device.messages.filter((m) => m.type === 'page').length >= 3);
    assert.equal(device.state.size, rows.length);
    for (const { key, value } of rows)
      assert.deepEqual(device.state.get(key), value, key);
  }
});

test('both dialects on one user see each other, on one relay and on two', async () => {
  const user = newUser();
  const a = await n.live(user);
  const far = await n.live(user, { device: 'far', relay: s.relays[1] });
  const old = await s.live(user);
  const oldFar = await s.live(user, { relay: s.relays[1] });
  const e = entry();
  await old.push(created(e));
  for (const device of [a, far]) {
    const got = await device.type('changes', (m) => m.changes.length > 0);
    assert.equal(got.changes[0].collection, 'logbook_entry');
    assert.equal(got.changes[0].fields.duration, e.duration);
  }
  const [verdict] = await a.patch('logbook_entry', e.id, { notes: 'by hand', updatedAt: new Date().toISOString() });
  assert.equal(verdict.verdict, 'applied');
  for (const device of [old, oldFar]) {
    const got = await device.event('ENTRY_UPDATED');
    assert.equal(got.entry.notes, 'by hand');
    assert.equal(got.seq, 2);
  }
  /* Several changes at once: one message here, one event each there. */
  await a.push([1, 2, 3].map((i) => a.change('put', 'logbook_entry', id(), { ...entry(), id: undefined, duration: i })));
  for (const device of [old, oldFar])
    for (const seq of [3, 4, 5])
      assert.equal((await device.event('ENTRY_CREATED')).seq, seq);
  await far.caughtUp(5);
  assert.equal(far.state.size, 4);
  /* What one dialect does not speak of moves the numbers of both. */
  await a.put('note', 'n1', { x: 1 });
  await far.caughtUp(6);
  assert.equal(await old.push(updated({ ...e, notes: 'again', updatedAt: new Date(Date.now() + 1000).toISOString() })), 7);
  await a.caughtUp(7);
});

test('ping and token: how long the token lives', async () => {
  const user = newUser();
  const a = await n.live(user, { token: userToken(s.stack.secret, user, 100) });
  const pong = await a.ask({ type: 'ping' });
  assert.equal(pong.type, 'pong');
  assert.ok(pong.token_expires_in_ms > 0 && pong.token_expires_in_ms <= 130000, `${pong.token_expires_in_ms}`);
  const fresh = userToken(s.stack.secret, user, 5000);
  const answer = await a.ask({ type: 'token', token: fresh });
  assert.equal(answer.type, 'token');
  assert.ok(answer.token_expires_in_ms > 4000000);
  assert.ok((await a.ask({ type: 'ping' })).token_expires_in_ms > 4000000);
  const refused = await a.ask({ type: 'token', token: 'nonsense' });
  assert.deepEqual([refused.type, refused.code, refused.retry], ['error', 'unauthorized', false]);
  assert.ok((await a.ask({ type: 'ping' })).token_expires_in_ms > 4000000);
});

test('wrong messages are answered by name, and the session goes on', async () => {
  const user = newUser();
  const a = await n.live(user);
  const wrong = [
    ['{"type":"push"', 'bad_json'], ['nonsense', 'bad_json'], ['{"type":"push","changes":[],"x":"\\u0000"}', 'bad_json'],
    ['[]', 'bad_message'], ['7', 'bad_message'], ['{}', 'bad_message'], ['{"type":"klingon"}', 'bad_message'],
    ['{"type":7}', 'bad_message'], ['{"type":"ping","type":"ping"}', 'bad_message'], ['{"t\\u0079pe":"ping"}', 'bad_message'],
    ['{"type":"ping","ref":-1}', 'bad_message'], ['{"type":"ping","ref":"7"}', 'bad_message'],
    ['{"type":"welcome"}', 'bad_message'], ['{"type":"token"}', 'bad_message'],
    [`{"type":"ping","x":${'['.repeat(70)}${']'.repeat(70)}}`, 'bad_message'],
    ['{"type":"push"}', 'bad_batch'], ['{"type":"push","changes":[1]}', 'bad_batch'],
    ['{"type":"push","changes":[{"kind":"put"}]}', 'bad_batch'],
    ['{"type":"push","changes":[{"number":1},{"number":1}]}', 'bad_batch'],
    ['{"type":"hello","protocol":1,"device":"x"}', 'out_of_order']];
  for (const [text] of wrong)
    a.send(text);
  const { meaning } = codes.errors.find((e) => e.code === 'bad_message');
  for (const [text, code] of wrong) {
    const error = await a.type('error');
    assert.equal(error.code, code, text);
    assert.equal(error.retry, false);
    assert.notEqual(error.reason, meaning, `${text} is told what is wrong with it`);
  }
  for (const [text, reason] of [
    ['{"type":"ping","ref":1.5}', 'ref must be an integer from 0 to 2^53 - 1'],
    ['{"type":"push","cursors":{"anna":{"epoch":1}}}', /^cursors must be an object .*, with seq/],
    ['{"type":"ping","ref":1,"ref":1}', 'ref must stand once, and without escapes'],
    ['{"type":"pong"}', 'type must be "hello", "push", "ping" or "token"'],
    ['{"type":"token","token":5}', 'token must be a text without escapes']]) {
    a.send(text);
    const error = await a.type('error');
    assert[typeof reason === 'string' ? 'equal' : 'match'](error.reason, reason);
  }
  a.send('{"type":"push","ref":77,"changes":{}}');
  const named = await a.type('error');
  assert.deepEqual([named.ref, named.code, named.sqlstate], [77, 'bad_batch', 'MS400']);
  const [verdict] = await a.push([{ number: 1, kind: 'put', collection: 'nowhere', id: 'x', fields: {} }]);
  assert.equal(verdict.code, 'MS002');
  assert.equal((await a.put('note', 'n1', { x: 1 }))[0].verdict, 'rejected', 'number 1 was that one');
});

test('a first message that is no hello ends the session, with a goodbye', async () => {
  for (const [text, code] of [
    ['{"type":"ping"}', 'out_of_order'], ['nonsense', 'bad_json'], ['{"type":"hello"}', 'bad_message'],
    ['{"type":"hello","protocol":2,"device":"x"}', 'bad_message'], ['{"type":"hello","protocol":1}', 'bad_message'],
    ['{"type":"hello","protocol":1,"device":""}', 'bad_message'],
    [`{"type":"hello","protocol":1,"device":"${'x'.repeat(256)}"}`, 'bad_message'],
    ['{"type":"hello","protocol":1,"device":"x","cursors":[]}', 'bad_message'],
    ['{"type":"hello","protocol":1,"device":"x","cursors":{"y":{"epoch":0}}}', 'bad_message'],
    ['{"type":"hello","protocol":1,"device":"x","token":"bad"}', 'unauthorized'],
    ['{"type":"hello","protocol":1,"device":"x","digested":"7"}', 'bad_batch']]) {
    const a = await n.raw(newUser());
    a.send(text);
    const closed = await a.ended;
    const [end, reason] = code === 'unauthorized' ? [4401, 'token refused']
      : [4400, code === 'out_of_order' ? 'hello expected' : 'hello refused'];
    assert.equal(closed.code, end, text);
    const [error, goodbye] = a.messages;
    assert.deepEqual([error.type, error.code], ['error', code], text);
    assert.deepEqual([goodbye.type, goodbye.code, goodbye.reason, goodbye.reconnect], ['goodbye', end, reason, false]);
    a.sound();
  }
});

test('what is refused before the upgrade says so in the form of errors', async () => {
  const user = newUser();
  const refused = async (options, status) => {
    await assert.rejects(n.raw(user, options), (error) => error.status === status);
  };
  await refused({ query: '' }, 401);
  await refused({ token: 'nonsense' }, 401);
  await refused({ query: `?token=${userToken(s.stack.secret, user)}&userId=other` }, 403);
  await refused({ protocols: ['other'] }, 400);
  const header = await n.raw(user, {
    query: '', protocols: ['other', 'mirusync.v1'], headers: { authorization: `Bearer ${userToken(s.stack.secret, user)}` },
  });
  assert.equal(header.socket.protocol, 'mirusync.v1');
  const all = [header];
  for (let i = 1; i < 10; i++)
    all.push(await n.raw(user));
  await refused({}, 429);
  for (const device of all)
    device.terminate();
});

test('what the transport refuses closes with a goodbye, and a code of the table', async () => {
  for (const [message, closes] of [
    [JSON.stringify({ type: 'push', changes: [], x: 'y'.repeat(70000) }), 1009],
    [Buffer.from('{"type":"ping"}'), 1003],
  ]) {
    const a = await n.live(newUser());
    a.socket.send(message);
    const { code } = await a.ended;
    assert.equal(code, closes);
    assert.ok(codes.closes.some((c) => c.code === code));
    const { type, code: said, reconnect } = a.messages.at(-1);
    assert.deepEqual([type, said, reconnect], ['goodbye', closes, false]);
    a.sound();
  }
});

test('nothing comes before the welcome, and a pong waits for nothing else', async () => {
  const user = newUser();
  const a = await n.raw(user);
  /* In one piece, so that the relay has the rest before it can say welcome. */
  a.socket._socket.cork();
  a.say(a.hello);
  a.say({ type: 'ping', ref: 1 });
  a.say({ type: 'token', ref: 2, token: userToken(s.stack.secret, user, 5000) });
  a.socket._socket.uncork();
  await a.type('page');
  assert.deepEqual(a.messages.map((m) => m.type).slice(0, 3), ['welcome', 'pong', 'token']);
  /* And here, before the push is stored. */
  a.socket._socket.cork();
  a.say({ type: 'push', ref: 3, changes: [a.change('put', 'note', 'n1', { x: 1 })] });
  a.say({ type: 'ping', ref: 4 });
  a.socket._socket.uncork();
  await a.type('verdicts');
  assert.deepEqual(a.messages.filter((m) => m.ref > 2).map((m) => m.ref), [4, 3]);
  a.sound();
});

test('a slow device is moved to pages, and misses nothing', async () => {
  const user = newUser();
  const slow = await n.live(user, { device: 'slow' });
  slow.socket.pause();
  /* 30 MB: more than all buffers between the relay and a stopped reader. */
  for (let i = 1; i <= 30; i++)
    await s.query(`INSERT INTO mirusync.document (feed, collection, id, data)
      SELECT $1, 'note', 'n' || i, jsonb_build_object('i', $2::int, 'text', repeat('x', 10000))
      FROM generate_series(1, 100) AS i
      ON CONFLICT (feed, collection, id) DO UPDATE SET data = EXCLUDED.data`, [user, i]);
  const quick = await n.live(user, { device: 'quick' });
  await quick.caughtUp(3000, 30000);
  slow.socket.resume();
  await slow.caughtUp(3000, 30000);
  assert.ok(slow.messages.some((m) => m.type === 'page' && m.after > 0), 'it got pages in between');
  assert.equal(slow.state.get('note/n99').i, 30);
});

test('after a lost history a device starts over, by message and after a wait', async () => {
  const user = newUser();
  const a = await n.live(user);
  await a.put('note', 'n1', { x: 1 });
  const b = await n.live(user, { device: 'tablet', cursor: { epoch: 0, seq: 900 } });
  const over = b.messages.find((m) => m.type === 'start_over');
  assert.equal(over.feed, user);
  assert.ok(over.delay_ms >= 0 && over.delay_ms < 5000);
  assert.deepEqual(b.state.get('note/n1'), { x: 1 });
});

test('a relay that stops says goodbye', async () => {
  const user = newUser();
  const relay = s.relays[1];
  const a = await n.live(user, { relay });
  await relay.stop();
  const goodbye = await a.type('goodbye');
  assert.deepEqual([goodbye.code, goodbye.reconnect], [1001, true]);
  assert.equal((await a.ended).code, 1001);
  await relay.start();
  const again = await n.live(user, { relay, cursor: a.cursor });
  assert.equal((await again.put('note', 'n1', { x: 1 }))[0].verdict, 'applied');
});

test('no message type was left out', async () => {
  for (const { type, from } of codes.messages) {
    if (from !== 'relay')
      assert.ok(seen.device.has(type), `a device sent ${type}`);
    if (from !== 'device')
      assert.ok(seen.relay.has(type), `the relay sent ${type}`);
  }
  assert.throws(() => check('relay_message', { type: 'pong' }));
});
