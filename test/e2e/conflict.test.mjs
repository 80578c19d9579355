/*
 * conflict.test.mjs
 *     Last write wins by the object's own stamp; the loser's device ends up
 *     with the winner; clocks that lie do not win for ever.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import {
  completed, created, deleted, entry, iso, newUser, occurrence, piece, pieceAdded, pieceRemoved,
  pieceUpdated, plan, planCreated, planUpdated, updated, useStack, waitUntil,
} from './harness.mjs';

const s = useStack();

const ago = (seconds) => iso(Date.now() - seconds * 1000);

async function pair() {
  const user = newUser();
  return { user, a: await s.live(user), b: await s.live(user) };
}

/* stored reads the notes of an entry as the database has it. */
const stored = async (user, e) => (await s.document(user, 'logbook_entry', e.id))?.notes;

/*
 * loses pushes a change that must change nothing: it is answered, the winner
 * comes before the answer, the other device hears nothing.
 */
async function loses(user, loser, other, message) {
  const head = await s.head(user);
  const { answer, before } = await loser.exchange(message);
  assert.equal(answer.type, 'SYNC_RESPONSE');
  assert.equal(answer.message, 'Mutation applied');
  assert.equal(answer.lastSeq, head, 'the highest number already sent to it');
  assert.equal(before.length, 1, 'the winner is sent, once, before the answer');
  assert.ok(before[0].seq === undefined || before[0].seq <= head);
  assert.equal(await s.head(user), head, 'nothing was numbered');
  await other.quiet();
  return before[0];
}

s.test('the newer put wins, whichever comes first', async () => {
  const { user, a, b } = await pair();
  const e = entry({ updatedAt: ago(100), notes: 'first' });
  await a.push(created(e));
  await b.event('ENTRY_CREATED');

  await b.push(updated({ ...e, updatedAt: ago(50), notes: 'newer' }));
  assert.equal((await a.event('ENTRY_UPDATED')).entry.notes, 'newer');

  const winner = await loses(user, a, b, updated({ ...e, updatedAt: ago(70), notes: 'older' }));
  assert.match(winner.type, /^ENTRY_(CREATED|UPDATED)$/);
  assert.equal(winner.entry.notes, 'newer');
  assert.equal(await stored(user, e), 'newer');
});

s.test('equal stamps leave what is stored', async () => {
  const { user, a, b } = await pair();
  const e = entry({ updatedAt: ago(10), notes: 'stored' });
  await a.push(created(e));
  await b.event('ENTRY_CREATED');
  const winner = await loses(user, b, a, updated({ ...e, notes: 'late' }));
  assert.equal(winner.entry.notes, 'stored');
  assert.equal(await stored(user, e), 'stored');
});

s.test('the stamp is updatedAt, else updated_at, else the event\'s timestamp', async () => {
  const { user, a, b } = await pair();
  const bare = (fields) => {
    const e = entry(fields);
    if (!fields.updatedAt)
      delete e.updatedAt;
    return e;
  };
  const e = bare({ updated_at: ago(50), notes: 'one' });
  await a.push(created(e));
  await b.event('ENTRY_CREATED');
  /* The event's own timestamp is now, but the object says it is older. */
  await loses(user, b, a, updated({ ...e, updated_at: ago(60), notes: 'two' }));
  await b.push(updated({ ...e, updated_at: ago(40), notes: 'three' }));
  await a.event('ENTRY_UPDATED');
  /* updatedAt counts before updated_at. */
  await loses(user, b, a, updated({ ...e, updatedAt: ago(45), updated_at: ago(1), notes: 'four' }));

  const f = bare({ notes: 'one' });
  await a.push(created(f, { timestamp: ago(50) }));
  await b.event('ENTRY_CREATED');
  await loses(user, b, a, updated({ ...f, notes: 'two' }, { timestamp: ago(60) }));
  await b.push(updated({ ...f, notes: 'three' }, { timestamp: ago(40) }));
  assert.equal((await a.event('ENTRY_UPDATED')).entry.notes, 'three');
});

s.test('pieces, plans and occurrences follow the same rule', async () => {
  const { user, a, b } = await pair();
  const p = piece({ updated_at: ago(50), notes: 'stored' });
  await a.push(pieceAdded(p));
  await b.event('PIECE_ADDED');
  const winner = await loses(user, b, a, pieceUpdated({ ...p, updated_at: ago(60), notes: 'old' }));
  assert.equal(winner.piece.notes, 'stored');

  const q = plan({ updatedAt: ago(50), title: 'stored' });
  const o = occurrence(q.id, { updatedAt: ago(50), notes: 'stored' });
  await a.push(planCreated(q, [o]));
  await b.event('PLAN_CREATED');
  assert.equal((await loses(user, b, a, planUpdated({ ...q, updatedAt: ago(60), title: 'old' })))
    .plan.title, 'stored');
  assert.equal((await loses(user, b, a, completed({ ...o, updatedAt: ago(60), notes: 'old' })))
    .occurrence.notes, 'stored');
});

s.test('in a group each record is judged by itself', async () => {
  const { user, a, b } = await pair();
  const q = plan({ updatedAt: ago(10), title: 'stored' });
  const o = occurrence(q.id, { updatedAt: ago(50), notes: 'stored' });
  await a.push(planCreated(q, [o]));
  await b.event('PLAN_CREATED');
  /* The plan is older than what is stored, the occurrence is newer. */
  const { answer, before } = await b.exchange(planUpdated(
    { ...q, updatedAt: ago(60), title: 'old' }, [{ ...o, updatedAt: ago(1), notes: 'newer' }]));
  assert.equal(answer.type, 'SYNC_RESPONSE');
  assert.equal(answer.lastSeq, 3);
  const seen = [...before, ...b.messages.slice(b.read)];
  assert.ok(seen.some((m) => m.plan?.title === 'stored'), 'the loser is told the winning plan');
  const got = await a.until((m) => m.seq === 3);
  const texts = JSON.stringify(got);
  assert.ok(texts.includes('newer'), 'the other device hears of the occurrence');
  assert.ok(!texts.includes('"old"'), 'and not of the plan that lost');
  assert.equal((await s.document(user, 'practice_plan', q.id)).title, 'stored');
  assert.equal((await s.document(user, 'plan_occurrence', o.id)).notes, 'newer');
});

s.test('a put that is older than a tombstone loses, and the sender is told of the delete', async () => {
  const { user, a, b } = await pair();
  const e = entry({ updatedAt: ago(100), notes: 'kept?' });
  await a.push(created(e));
  await b.event('ENTRY_CREATED');
  await a.push(deleted(e.id, { timestamp: ago(20) }));
  await b.event('ENTRY_DELETED');
  const winner = await loses(user, b, a, updated({ ...e, updatedAt: ago(50), notes: 'offline' }));
  assert.equal(winner.type, 'ENTRY_DELETED');
  assert.equal(winner.entryId, e.id);

  const p = piece({ updated_at: ago(100) });
  await a.push(pieceAdded(p));
  await b.event('PIECE_ADDED');
  await a.push(pieceRemoved(p.scoreId, { timestamp: ago(20) }));
  await b.event('PIECE_REMOVED');
  const removed = await loses(user, b, a, pieceUpdated({ ...p, updated_at: ago(50) }));
  assert.match(removed.type, /^PIECE_(REMOVED|DISSOCIATED)$/);
  assert.equal(removed.scoreId, p.scoreId);

  const q = plan({ updatedAt: ago(100) });
  await a.push(planCreated(q));
  await b.event('PLAN_CREATED');
  await a.push(planUpdated({ ...q, updatedAt: ago(20), deletedAt: ago(20) }));
  await b.until((m) => m.plan?.deletedAt);
  const gone = await loses(user, b, a, planUpdated({ ...q, updatedAt: ago(50), title: 'offline' }));
  assert.equal(gone.plan.id, q.id);
  assert.ok(gone.plan.deletedAt);
});

s.test('a put that is newer than a tombstone brings the record back', async () => {
  const { user, a, b } = await pair();
  const e = entry({ updatedAt: ago(100) });
  await a.push(created(e));
  await a.push(deleted(e.id, { timestamp: ago(80) }));
  await b.event('ENTRY_DELETED');
  await b.push(updated({ ...e, updatedAt: ago(10), notes: 'back' }));
  const got = await a.until((m) => m.entry?.notes === 'back');
  assert.equal(got.at(-1).entry.id, e.id);
  assert.equal(await stored(user, e), 'back');
  assert.deepEqual((await s.records(user)).map((r) => r.deleted), [false]);
});

s.test('a delete applies within the clock skew', async () => {
  const { user, a, b } = await pair();
  const e = entry();
  await a.push(created(e));
  await b.event('ENTRY_CREATED');
  /* b's clock is half a minute behind: its delete is meant all the same. */
  await b.push(deleted(e.id, { timestamp: ago(30) }));
  assert.equal((await a.event('ENTRY_DELETED')).entryId, e.id);
  assert.equal(await stored(user, e), undefined);
  /* And what it deleted is not older than its tombstone says. */
  await a.push(updated({ ...e, updatedAt: iso(Date.now() + 1000), notes: 'again' }));
  const again = (await b.until((m) => m.entry?.notes === 'again')).at(-1);
  assert.equal(again.type, 'ENTRY_UPDATED', 'the type of the original event is kept');
});

s.test('a delete that is older than the stored version by more than the skew loses', async () => {
  const { user, a, b } = await pair();
  const e = entry({ notes: 'alive' });
  await a.push(created(e));
  await b.event('ENTRY_CREATED');
  const winner = await loses(user, b, a, deleted(e.id, { timestamp: ago(3600) }));
  assert.equal(winner.entry.id, e.id);
  assert.equal(winner.entry.notes, 'alive');
  assert.equal(await stored(user, e), 'alive');
});

s.test('a delete of what was never there is answered', async () => {
  const { user, a, b } = await pair();
  const { answer } = await a.exchange(deleted('never-there'));
  assert.equal(answer.type, 'SYNC_RESPONSE');
  assert.equal(answer.lastSeq, await s.head(user));
  await a.push(created(entry()));
  await b.event('ENTRY_CREATED');
});

s.test('a clock in the future is bounded in what is stored and sent', async () => {
  const { user, a, b } = await pair();
  const e = entry({ updatedAt: iso(Date.now() + 86400000), notes: 'from tomorrow' });
  await a.push(created(e));
  const got = await b.event('ENTRY_CREATED');
  const bound = Date.now() + 61000;
  assert.ok(Date.parse(got.entry.updatedAt) <= bound, `sent ${got.entry.updatedAt}`);
  const document = await s.document(user, 'logbook_entry', e.id);
  assert.ok(Date.parse(document.updatedAt) <= bound, `stored ${document.updatedAt}`);
  const fresh = await s.open(user);
  const { messages } = await fresh.sync();
  assert.ok(Date.parse(messages[0].entries[0].updatedAt) <= bound);

  /* The same for the other spelling, and for the event's own timestamp. */
  const p = piece({ updated_at: iso(Date.now() + 86400000) });
  await a.push(pieceAdded(p));
  const sent = (await b.event('PIECE_ADDED')).piece;
  assert.ok(Date.parse(sent.updatedAt ?? sent.updated_at) <= bound);
  assert.ok(Date.parse(sent.updated_at) <= bound, `sent ${sent.updated_at}`);
  const f = entry({ notes: 'event from tomorrow' });
  delete f.updatedAt;
  await a.push(created(f, { timestamp: iso(Date.now() + 86400000) }));
  const other = await b.event('ENTRY_CREATED');
  assert.ok(Date.parse(other.timestamp) <= bound);
});

s.test('a clock in the future does not win for ever', async () => {
  const { user, a, b } = await pair();
  /* With a small skew nobody has to wait for a minute. */
  const admin = await s.client();
  const configure = async (sql) => {
    await admin.query("LOAD 'mirusync'");
    await admin.query(sql);
    await admin.query('SELECT pg_reload_conf()');
  };
  await configure("ALTER SYSTEM SET mirusync.max_clock_skew = '1s'");
  try {
    await waitUntil(async () => {
      const e = entry({ updatedAt: iso(Date.now() + 86400000) });
      await a.push(created(e));
      const got = await b.event('ENTRY_CREATED', (m) => m.entry.id === e.id);
      return Date.parse(got.entry.updatedAt) < Date.now() + 10000;
    }, { what: 'the new setting to hold' });

    const e = entry({ updatedAt: iso(Date.now() + 86400000), notes: 'from tomorrow' });
    await a.push(created(e));
    await waitUntil(async () => {
      await b.push(updated({ ...e, updatedAt: iso(), notes: 'from today' }));
      return await stored(user, e) === 'from today';
    }, { every: 100, what: 'a put of today to win' });
    await a.until((m) => m.entry?.notes === 'from today');
  } finally {
    await configure('ALTER SYSTEM RESET mirusync.max_clock_skew');
    await admin.end();
  }
});

s.test('two devices that race end up the same', async () => {
  const { user, a, b } = await pair();
  const entries = Array.from({ length: 20 }, () => entry({ updatedAt: ago(500), notes: '' }));
  for (const e of entries)
    await a.push(created(e));
  await b.until((m) => m.seq === 20);

  /* Both write every entry, in opposite order; a's stamp is newer where i is odd. */
  const base = Date.now() - 400000;
  const version = (name, i) => ({
    ...entries[i],
    notes: `${name}${i}`,
    updatedAt: iso(base + i * 1000 + ((name === 'a') === (i % 2 === 1) ? 500 : 0)),
  });
  for (let i = 0; i < entries.length; i++) {
    a.send(updated(version('a', i)));
    b.send(updated(version('b', entries.length - 1 - i)));
  }
  await a.answers(20);
  await b.answers(20);
  const head = await s.head(user);
  for (const device of [a, b])
    await device.waiting(() => device.messages.some((m) => (m.seq ?? m.lastSeq) >= head)
      || undefined, 'the head');

  /* A device has its own write until it is sent something newer. */
  const view = (device, name) => entries.map((e, i) => device.messages
    .filter((m) => m.entry?.id === e.id).map((m) => m.entry)
    .reduce((have, sent) => (sent.updatedAt > have.updatedAt ? sent : have), version(name, i)).notes);
  const winners = entries.map((e, i) => (i % 2 === 1 ? `a${i}` : `b${i}`));
  assert.deepEqual(await Promise.all(entries.map((e) => stored(user, e))), winners);
  assert.deepEqual(view(a, 'a'), winners);
  assert.deepEqual(view(b, 'b'), winners);
});
