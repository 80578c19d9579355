/*
 * rejected.test.mjs
 *     What the table refuses waits in the inbox, and holds nothing up; when an
 *     administrator lets it through every device gets it, the one that sent it
 *     too, unless the user has written that record since.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { id, iso, newUser, useStack, waitUntil } from './harness.mjs';

/* The poll would hide a doorbell that does not ring. */
const s = useStack({ relays: 2, relay: { heads_poll_interval: '1h' } });

s.test('the application has a table that refuses something', async () => {
  await s.query(`
    CREATE TABLE lesson (id text PRIMARY KEY, owner text NOT NULL, minutes int CHECK (minutes > 0), notes text);
    SELECT mirusync.attach('lesson', feed => 'owner', rule => 'lww');
    INSERT INTO mirusync.event_collection (collection, clock_keys, payload, created_type, updated_type)
      VALUES ('lesson', '{}', 'lesson', 'LESSON', 'LESSON');
    INSERT INTO mirusync.event_type (type, collection, kind, payload, id_keys)
      VALUES ('LESSON', 'lesson', 'put', 'lesson', '{id}');
  `);
});

let clock = Date.now() - 60000;
const lesson = (fields) => ({ type: 'LESSON', timestamp: iso(clock++), lesson: { id: id(), notes: null, ...fields } });

const inbox = (user) => s.query(`SELECT number, device, sqlstate, behind, tries FROM mirusync.rejected
  WHERE feed = $1 ORDER BY number`, [user]);
const retry = (user, number, edited = null) => s.query(
  'SELECT verdict, code FROM mirusync.retry($1, $2, $3)', [user, number, edited]);
const rows = (user) => s.query('SELECT id, minutes, notes FROM lesson WHERE owner = $1 ORDER BY id', [user]);

/* seen is what a device has of its lessons, as rows. */
function seen(...messages) {
  const state = new Map();
  for (const m of messages.flat())
    if (m.type === 'LESSON')
      state.set(m.lesson.id, { id: m.lesson.id, minutes: m.lesson.minutes, notes: m.lesson.notes });
  return [...state.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function refused(device, message, pattern) {
  const { answer } = await device.exchange(message);
  assert.equal(answer.type, 'ERROR');
  assert.match(answer.error, pattern);
  assert.equal(answer.retryable, undefined, 'sending it again is of no use');
}

s.test('refused, edited, retried: all devices see it, and nothing is held up meanwhile', async () => {
  const user = newUser();
  const a = await s.live(user);
  const b = await s.live(user, { relay: s.relays[1] });
  const first = lesson({ minutes: 0 });
  const key = first.lesson.id;
  await refused(a, first, /lesson_minutes_check/);
  const other = lesson({ minutes: 5 });
  await a.push(other);
  await b.event('LESSON', (m) => m.lesson.id === other.lesson.id);
  await b.push(lesson({ minutes: 6 }));
  const waiting = await inbox(user);
  assert.deepEqual(waiting.map((r) => [r.sqlstate, r.behind, r.tries]), [['23514', null, 1]]);
  assert.equal((await rows(user)).length, 2);

  const [{ number }] = waiting;
  assert.deepEqual(await retry(user, number), [{ verdict: 'rejected', code: '23514' }]);
  assert.deepEqual(await retry(user, number, { id: key, minutes: 10 }), [{ verdict: 'applied', code: null }]);
  for (const device of [a, b])
    await device.event('LESSON', (m) => m.lesson.id === key && m.lesson.minutes === 10);
  assert.deepEqual(await inbox(user), []);
  /* Then the session goes on with that record. */
  await a.push(lesson({ id: key, minutes: 30 }));
  await b.event('LESSON', (m) => m.lesson.minutes === 30);
  const { messages } = await (await s.open(user)).sync();
  assert.deepEqual(seen(messages), await rows(user));
  assert.deepEqual(seen(b.events), (await rows(user)).filter((r) => r.minutes !== 6));
});

s.test('what the user corrects in the same session goes through at once, and stays', async () => {
  const user = newUser();
  const a = await s.live(user);
  const b = await s.live(user);
  const first = lesson({ minutes: -1, notes: 'wrong' });
  const key = first.lesson.id;
  await refused(a, first, /lesson_minutes_check/);
  await a.push(lesson({ id: key, minutes: 2, notes: 'right' }));
  await b.event('LESSON', (m) => m.lesson.minutes === 2);
  /* What comes too late is stale, and nobody hears of it. */
  const head = await s.head(user);
  const [{ number }] = await inbox(user);
  assert.deepEqual(await retry(user, number, { id: key, minutes: 9, notes: 'late' }),
    [{ verdict: 'stale', code: null }]);
  assert.equal(await s.head(user), head);
  assert.deepEqual(await inbox(user), []);
  /* Refused once more, and discarded: there is nothing to follow. */
  await refused(a, lesson({ id: key, minutes: -2 }), /lesson_minutes_check/);
  await a.push(lesson({ id: key, minutes: 4 }));
  const [again] = await inbox(user);
  assert.deepEqual((await s.query('SELECT verdict FROM mirusync.discard($1, $2)', [user, again.number])),
    [{ verdict: 'discarded' }]);
  await b.event('LESSON', (m) => m.lesson.minutes === 4);
  assert.deepEqual(seen(b.events), await rows(user));
  assert.deepEqual((await rows(user)).map((r) => r.minutes), [4]);
});

s.test('sent again after a reconnect it waits once, and arrives at a device that was away', async () => {
  const user = newUser();
  let a = await s.live(user);
  const first = lesson({ minutes: 0 });
  await refused(a, first, /lesson_minutes_check/);
  await refused(a, first, /lesson_minutes_check/);
  a.terminate();
  a = await s.live(user, { relay: s.relays[1] });
  await refused(a, first, /lesson_minutes_check/);
  const waiting = await inbox(user);
  assert.deepEqual(waiting.map((r) => r.tries), [3], 'one event, once in the inbox');
  await a.close();
  await s.query('ALTER TABLE lesson DROP CONSTRAINT lesson_minutes_check');
  assert.deepEqual((await retry(user, waiting[0].number)).map((r) => r.verdict), ['applied']);
  a = await s.open(user);
  const { messages } = await a.sync({ lastSeq: 0 });
  assert.deepEqual(seen(messages), await rows(user));
  assert.equal((await rows(user))[0].minutes, 0);
  /* And again, when it is long applied: nothing more happens. */
  const head = await s.head(user);
  await a.push(first);
  assert.equal(await s.head(user), head);
  await s.query('ALTER TABLE lesson ADD CHECK (minutes > 0) NOT VALID');
});

s.test('a lock that is not had in time is nobody\'s fault and never lands there', async () => {
  const user = newUser();
  const a = await s.live(user);
  const first = lesson({ minutes: 1 });
  await a.push(first);
  const client = await s.client();
  await client.query('BEGIN');
  await client.query('SELECT FROM lesson WHERE id = $1 FOR UPDATE', [first.lesson.id]);
  a.send(lesson({ id: first.lesson.id, minutes: 2 }));
  await waitUntil(async () => (await s.query(`SELECT FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%push_many%'`)).length > 0, { what: 'the push to wait' });
  await client.query('ROLLBACK');
  await client.end();
  assert.equal((await a.answers(1))[0].type, 'SYNC_RESPONSE');
  assert.deepEqual(await inbox(user), []);
  assert.equal((await rows(user))[0].minutes, 2);
});
