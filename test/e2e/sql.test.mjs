/*
 * sql.test.mjs
 *     Every writer counts: what plain SQL does reaches the devices like a
 *     pushed change, and is not undone by the next device that syncs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import {
  created, deleted, entry, iso, newUser, piece, pieceAdded, plan, updated, useStack,
} from './harness.mjs';

const s = useStack({ relays: 2 });

const insert = (user, collection, key, data) => s.query(
  'INSERT INTO mirusync.document (feed, collection, id, data) VALUES ($1, $2, $3, $4)',
  [user, collection, key, data]);

/* change sets top-level keys of a document, as anybody at a psql prompt would. */
const change = (user, collection, key, fields) => s.query(
  `UPDATE mirusync.document SET data = data || $4
   WHERE feed = $1 AND collection = $2 AND id = $3`, [user, collection, key, fields]);

const remove = (user, collection, key) => s.query(
  'DELETE FROM mirusync.document WHERE feed = $1 AND collection = $2 AND id = $3',
  [user, collection, key]);

s.test('INSERT, UPDATE and DELETE of an entry arrive as created, updated, deleted', async () => {
  const user = newUser();
  const devices = [await s.live(user), await s.live(user, { relay: s.relays[1] })];
  const e = entry({ notes: 'by hand' });
  await insert(user, 'logbook_entry', e.id, e);
  for (const device of devices) {
    const got = await device.event('ENTRY_CREATED');
    assert.equal(got.entry.id, e.id);
    assert.equal(got.entry.notes, 'by hand');
    assert.equal(got.seq, 1);
  }
  await change(user, 'logbook_entry', e.id, { notes: 'from SQL' });
  for (const device of devices) {
    const got = await device.event('ENTRY_UPDATED');
    assert.equal(got.entry.notes, 'from SQL');
    assert.equal(got.entry.instrument, 'piano', 'the whole object is sent');
    assert.equal(got.seq, 2);
  }
  await remove(user, 'logbook_entry', e.id);
  for (const device of devices) {
    const got = await device.event('ENTRY_DELETED');
    assert.equal(got.entryId, e.id);
    assert.equal(got.seq, 3);
    await device.quiet();
  }
});

s.test('pieces, plans and occurrences by SQL arrive by their own events', async () => {
  const user = newUser();
  const device = await s.live(user);
  const p = piece();
  await insert(user, 'repertoire_item', p.scoreId, p);
  const got = await device.event('PIECE_ADDED');
  assert.equal(got.piece.scoreId, p.scoreId);
  assert.equal(got.piece.score_id, p.scoreId);
  await change(user, 'repertoire_item', p.scoreId, { status: 'polished' });
  assert.equal((await device.event('PIECE_UPDATED')).piece.status, 'polished');
  await remove(user, 'repertoire_item', p.scoreId);
  assert.equal((await device.until((m) => /^PIECE_(REMOVED|DISSOCIATED)$/.test(m.type)))
    .at(-1).scoreId, p.scoreId);

  const q = plan();
  await insert(user, 'practice_plan', q.id, q);
  assert.equal((await device.until((m) => /^PLAN_(CREATED|UPDATED)$/.test(m.type))).at(-1).plan.id, q.id);
  const o = { id: 'occ', planId: q.id, status: 'scheduled' };
  await insert(user, 'plan_occurrence', 'occ', o);
  await device.until((m) => JSON.stringify(m).includes('"occ"'));
  await remove(user, 'practice_plan', q.id);
  const gone = (await device.event('PLAN_UPDATED', (m) => m.plan.deletedAt)).plan;
  assert.equal(gone.id, q.id);
  assert.equal(gone.title, q.title, 'its last image');
});

s.test('a transaction arrives when it commits, and not at all when it does not', async () => {
  const user = newUser();
  const device = await s.live(user);
  const client = await s.client();
  try {
    await client.query('BEGIN');
    const [e, f] = [entry(), entry()];
    const sql = `INSERT INTO mirusync.document (feed, collection, id, data)
      VALUES ($1, 'logbook_entry', $2, $3)`;
    await client.query(sql, [user, e.id, e]);
    await client.query('SAVEPOINT one');
    await client.query(sql, [user, 'rolled-back', entry({ id: 'rolled-back' })]);
    await client.query('ROLLBACK TO one');
    await client.query(sql, [user, f.id, f]);
    await device.quiet();
    await client.query('COMMIT');
    const got = await device.until((m) => m.entry?.id === f.id);
    assert.deepEqual(got.map((m) => m.entry.id), [e.id, f.id]);
    assert.deepEqual(got.map((m) => m.seq), [1, 2]);

    await client.query('BEGIN');
    await client.query(sql, [user, 'never', entry({ id: 'never' })]);
    await client.query('ROLLBACK');
    await device.quiet();
    await insert(user, 'logbook_entry', 'next', entry({ id: 'next' }));
    assert.equal((await device.event('ENTRY_CREATED')).seq, 3, 'an abort leaves no hole');
  } finally {
    await client.end();
  }
});

s.test('several changes of a record in one transaction are one', async () => {
  const user = newUser();
  const device = await s.live(user);
  const e = entry();
  const client = await s.client();
  try {
    await client.query('BEGIN');
    await client.query(`INSERT INTO mirusync.document (feed, collection, id, data)
      VALUES ($1, 'logbook_entry', $2, $3)`, [user, e.id, e]);
    for (let i = 0; i < 5; i++)
      await client.query(`UPDATE mirusync.document SET data = data || $3
        WHERE feed = $1 AND id = $2`, [user, e.id, { notes: `v${i}` }]);
    await client.query('COMMIT');
  } finally {
    await client.end();
  }
  const got = await device.next();
  assert.equal(got.entry.notes, 'v4');
  assert.equal(got.seq, 1);
  await device.quiet();
});

s.test('COPY and INSERT ... SELECT of many rows reach a device whole', async () => {
  const user = newUser();
  const device = await s.live(user);
  const lines = Array.from({ length: 100 }, (_, i) =>
    [user, 'logbook_entry', `copy-${i}`, JSON.stringify(entry({ id: `copy-${i}`, notes: null }))].join('\t'));
  const file = await s.stack.psql(`COPY mirusync.document (feed, collection, id, data)
    FROM PROGRAM 'echo ${Buffer.from(lines.join('\n')).toString('base64')} | base64 -d'`);
  assert.equal(file, '');
  const got = await device.until((m) => (m.seq ?? 0) === 100);
  assert.deepEqual(new Set(got.map((m) => m.entry.id)).size, 100);
  assert.equal(await s.head(user), 100);
});

s.test('one UPDATE of many users reaches each with his own', async () => {
  const everybody = [newUser(), newUser(), newUser()];
  const devices = [];
  for (const user of everybody) {
    await insert(user, 'logbook_entry', 'shared-id', entry({ id: 'shared-id', notes: user }));
    devices.push(await s.live(user));
  }
  await s.query(`UPDATE mirusync.document SET data = data || jsonb_build_object('mood', 'proud',
    'notes', feed) WHERE feed = ANY ($1)`, [everybody]);
  for (const [i, device] of devices.entries()) {
    const got = await device.event('ENTRY_UPDATED');
    assert.equal(got.entry.notes, everybody[i]);
    assert.equal(got.entry.mood, 'proud');
    assert.equal(got.seq, 2);
    await device.quiet();
  }
});

s.test('the updatedAt that is sent is never behind the record\'s clock', async () => {
  const user = newUser();
  const device = await s.live(user);
  const other = await s.live(user);
  const stamp = iso(Date.now() + 30000);
  const e = entry({ updatedAt: stamp, notes: 'device' });
  await device.push(created(e));
  await other.event('ENTRY_CREATED');

  /* SQL does not touch updatedAt; the application keeps the newer object. */
  await change(user, 'logbook_entry', e.id, { notes: 'support fixed it' });
  for (const one of [device, other]) {
    const got = await one.event('ENTRY_UPDATED');
    assert.equal(got.entry.notes, 'support fixed it');
    assert.ok(Date.parse(got.entry.updatedAt) >= Date.parse(stamp),
      `sent ${got.entry.updatedAt}, stored was ${stamp}`);
  }
  const fresh = await s.open(user);
  const { messages } = await fresh.sync();
  assert.ok(Date.parse(messages[0].entries[0].updatedAt) >= Date.parse(stamp));

  /* A device with the old version does not undo it. */
  const { before } = await other.exchange(updated({ ...e, notes: 'undone?' }));
  assert.equal(before.at(-1).entry.notes, 'support fixed it');
  assert.equal((await s.document(user, 'logbook_entry', e.id)).notes, 'support fixed it');

  /* A later one does, with what it was told as its base. */
  await other.push(updated({ ...e, notes: 'later', updatedAt: iso(Date.now() + 45000) }));
  assert.equal((await s.document(user, 'logbook_entry', e.id)).notes, 'later');
});

s.test('a record first written by SQL can be changed by a device, and the other way round', async () => {
  const user = newUser();
  const [a, b] = [await s.live(user), await s.live(user)];
  const e = entry({ notes: 'sql' });
  await insert(user, 'logbook_entry', e.id, e);
  await a.event('ENTRY_CREATED');
  await b.event('ENTRY_CREATED');
  await a.push(updated({ ...e, notes: 'device', updatedAt: iso(Date.now() + 1000) }));
  assert.equal((await b.event('ENTRY_UPDATED')).entry.notes, 'device');
  await b.push(deleted(e.id, { timestamp: iso(Date.now() + 2000) }));
  await a.event('ENTRY_DELETED');
  await insert(user, 'logbook_entry', e.id, { ...e, notes: 'again' });
  const back = await a.until((m) => m.entry?.notes === 'again');
  assert.equal(back.at(-1).entry.id, e.id);
});

s.test('forged numbers and clocks in a document change nothing', async () => {
  const user = newUser();
  const [a, b] = [await s.live(user), await s.live(user)];
  const forged = { seq: 999, lastSeq: 999, _seq: 999, clock: 'x', device_id: 'other', sync_version: 77 };
  const e = entry(forged);
  const message = created(e, { seq: 4711, lastSeq: 4711, session: 'x', feed: newUser('victim') });
  assert.equal(await a.push(message), 1);
  const got = await b.next();
  assert.equal(got.seq, 1);
  assert.equal(got.lastSeq, undefined);
  assert.equal(got.entry.sync_version, 77, 'they are fields like any other');
  await insert(user, 'logbook_entry', 'forged', entry({ id: 'forged', ...forged }));
  assert.equal((await b.event('ENTRY_CREATED')).seq, 2);
  assert.equal(await s.head(user), 2);
  const none = await s.query("SELECT count(*)::int AS n FROM mirusync.record WHERE feed LIKE 'victim%'");
  assert.equal(none[0].n, 0);
});

s.test('moving a row to another feed takes it away here and brings it there', async () => {
  const [from, to] = [newUser('from'), newUser('to')];
  const a = await s.live(from);
  const b = await s.live(to);
  const p = piece();
  await a.push(pieceAdded(p));
  await s.query('UPDATE mirusync.document SET feed = $2 WHERE feed = $1', [from, to]);
  assert.equal((await a.until((m) => /^PIECE_(REMOVED|DISSOCIATED)$/.test(m.type))).at(-1).scoreId, p.scoreId);
  assert.equal((await b.event('PIECE_ADDED')).piece.scoreId, p.scoreId);
});

s.test('the API functions of the document store count as well', async () => {
  const present = await s.query(`SELECT count(*)::int AS n FROM pg_proc
    WHERE pronamespace = 'mirusync'::regnamespace AND proname IN ('put', 'patch', 'delete')`);
  if (!present[0].n)
    return;
  const user = newUser();
  const device = await s.live(user);
  const e = entry({ id: 'by-function' });
  await s.query('SELECT mirusync.put($1, $2, $3, $4)', [user, 'logbook_entry', e.id, e]);
  assert.equal((await device.event('ENTRY_CREATED')).entry.id, e.id);
});

s.test('a change that events do not speak of moves the number and sends nothing', async () => {
  const user = newUser();
  const device = await s.live(user);
  const other = await s.live(user);
  await s.query("SELECT mirusync.create_collection('unspoken')");
  await s.query("SELECT mirusync.put($1, 'unspoken', '1', '{}')", [user]);
  const e = entry();
  assert.equal(await device.push(created(e)), 2);
  const event = await other.event('ENTRY_CREATED');
  assert.equal(event.seq, 2);
  /* Every frame was JSON, or Device would have failed on it. */
  await s.query("SELECT mirusync.delete($1, 'unspoken', '1')", [user]);
  await other.quiet();
});
