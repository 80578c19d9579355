/*
 * restart.test.mjs
 *     The database goes away and comes back under open sessions: no session is
 *     closed, a push is answered or can be sent again, everything that was
 *     missed arrives.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import {
  created, cursorOf, entry, http, isAnswer, newUser, replica, sleep, useStack, waitUntil,
} from './harness.mjs';

const s = useStack({ relay: { heads_poll_interval: '1s' } });

const LONG = 30000;

/* survive pushes a change until it is taken, as a device would. */
async function survive(device, message) {
  for (;;) {
    const { answer } = await device.exchange(message, LONG);
    if (answer.type === 'SYNC_RESPONSE')
      return answer.lastSeq;
    assert.notEqual(answer.error, 'Invalid sync event format');
    assert.notEqual(answer.error, 'Invalid JSON format');
    await sleep(100);
  }
}

const terminate = () => s.query(`SELECT count(pg_terminate_backend(pid))::int AS n
  FROM pg_stat_activity WHERE usename = 'mirusync_relay'`);

async function trio() {
  const user = newUser();
  return { user, a: await s.live(user), b: await s.live(user) };
}

s.test('all backends of the relay are terminated: sessions stay and go on', async () => {
  const { user, a, b } = await trio();
  await a.push(created(entry()));
  await b.event('ENTRY_CREATED');
  for (let round = 0; round < 3; round++) {
    assert.ok((await terminate())[0].n > 0);
    const e = entry();
    await survive(a, created(e));
    await b.event('ENTRY_CREATED', (m) => m.entry.id === e.id, LONG);
  }
  assert.equal(a.closed, null);
  assert.equal(b.closed, null);
  const seqs = b.events.map((m) => m.seq);
  assert.deepEqual(seqs, [1, 2, 3, 4]);
  assert.equal(await s.head(user), 4);
});

s.test('backends are terminated again and again while devices write', async () => {
  const { user, a, b } = await trio();
  const entries = Array.from({ length: 150 }, () => entry());
  let done = false;
  const trouble = (async () => {
    while (!done) {
      await terminate();
      await sleep(150);
    }
  })();
  for (const e of entries)
    await survive(a, created(e));
  done = true;
  await trouble;
  const head = await s.head(user);
  assert.equal(head, 150, 'each once, without a hole');
  await b.waiting(() => cursorOf(b.messages) >= head || undefined, 'the head', LONG);
  assert.equal(replica(b.messages).size, 150);
  const seqs = b.events.map((m) => m.seq);
  assert.deepEqual(seqs, [...new Set(seqs)].sort((x, y) => x - y));
  assert.equal(a.closed, null);
  assert.equal(b.closed, null);
});

s.test('what SQL wrote while nobody listened arrives', async () => {
  const { user, a } = await trio();
  await terminate();
  const e = entry({ id: 'unheard' });
  await s.query(`INSERT INTO mirusync.document (feed, collection, id, data)
    VALUES ($1, 'logbook_entry', 'unheard', $2)`, [user, e]);
  await a.event('ENTRY_CREATED', (m) => m.entry.id === 'unheard', LONG);
});

for (const [how, signal] of [['restarted', 'SIGINT'], ['crashes', 'SIGQUIT']]) {
  s.test(`the server ${how} under open sessions`, async () => {
    const { user, a, b } = await trio();
    await a.push(created(entry()));
    await b.event('ENTRY_CREATED');

    /* Something is in flight when it goes, and more comes while it is away. */
    const flying = Array.from({ length: 50 }, () => entry());
    for (const e of flying)
      a.send(created(e));
    await s.stack.stopPostgres(signal);
    const late = entry();
    a.send(created(late));
    const health = await http(s.relay, '/health');
    assert.equal(health.status, 200, 'the relay itself is well');
    const newcomer = await s.open(newUser());
    newcomer.send({ type: 'PING', timestamp: new Date().toISOString() });
    await newcomer.event('PONG');
    await sleep(500);
    await s.stack.startPostgres();

    /* Each of the 51 is answered. */
    const answered = () => a.messages.slice(answersBefore).filter(isAnswer);
    const answersBefore = a.messages.findIndex((m) => m.message === 'Mutation applied') + 1;
    await a.waiting(() => answered().length >= 51 || undefined, '51 answers', LONG);
    a.read = a.messages.length;
    const refused = answered().map((m, i) => [m, [...flying, late][i]])
      .filter(([m]) => m.type === 'ERROR').map(([, e]) => e);
    for (const e of refused)
      await survive(a, created(e));

    const expected = 52;
    await waitUntil(async () => (await s.records(user)).length === expected,
      { what: 'all changes', timeout: LONG });
    const head = await s.head(user);
    await b.waiting(() => cursorOf(b.messages) >= head || undefined, 'the head', LONG);
    assert.equal(replica(b.messages).size, expected);
    const seqs = b.events.map((m) => m.seq);
    assert.deepEqual(seqs, [...new Set(seqs)].sort((x, y) => x - y));
    assert.equal(a.closed, null, 'no session is closed');
    assert.equal(b.closed, null, 'no session is closed');

    /* And on it goes, for old sessions and new ones. */
    const e = entry();
    await survive(b, created(e));
    await a.event('ENTRY_CREATED', (m) => m.entry.id === e.id, LONG);
    const fresh = await s.open(user);
    await fresh.sync({}, LONG);
    assert.equal(replica(fresh.messages).size, expected + 1);
  }, { timeout: 90000 });
}

s.test('one user whose feed is locked does not hold up the others', async () => {
  const [slow, quick] = [newUser('slow'), newUser('quick')];
  const a = await s.live(slow);
  const b = await s.live(quick);
  await a.push(created(entry()));
  const client = await s.client();
  try {
    await client.query('BEGIN');
    await client.query('SELECT * FROM mirusync.feed WHERE feed = $1 FOR UPDATE', [slow]);
    const waiting = entry();
    a.send(created(waiting));
    const times = [];
    for (let i = 0; i < 20; i++) {
      const start = performance.now();
      await b.push(created(entry()));
      times.push(performance.now() - start);
    }
    times.sort((x, y) => x - y);
    assert.ok(times[10] < 500, `median ${times[10].toFixed(0)} ms`);
    assert.equal(a.messages.slice(a.read).filter(isAnswer).length, 0);
    await client.query('COMMIT');
    const answer = (await a.until(isAnswer, 'the answer', LONG)).at(-1);
    assert.equal(answer.type, 'SYNC_RESPONSE');
    assert.equal(answer.lastSeq, 2);
  } finally {
    await client.end();
  }
});
