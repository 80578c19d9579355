/*
 * catchup.test.mjs
 *     A device that was away gets what it lacks, once, in order, and no number
 *     before all that is below it; and nothing is lost where the catch-up ends
 *     and live delivery begins.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import {
  assertPromises, assertTimestamps, completed, created, cursorOf, deleted, entry, iso,
  keysOf, newUser, occurrence, piece, pieceAdded, pieceRemoved, plan, planCreated, planUpdated,
  replica, sleep, updated, useStack, waitUntil,
} from './harness.mjs';

const s = useStack();

/* fill writes n entries by SQL, in one transaction. */
const fill = (user, n, label = 'fill') => s.query(`
  INSERT INTO mirusync.document (feed, collection, id, data)
  SELECT $1, 'logbook_entry', $3 || '-' || lpad(i::text, 6, '0'), jsonb_build_object(
    'id', $3 || '-' || lpad(i::text, 6, '0'), 'timestamp', 1700000000000 + i, 'duration', 60,
    'type', 'practice', 'instrument', 'piano', 'pieces', '[]'::jsonb, 'techniques', '[]'::jsonb,
    'goal_ids', '[]'::jsonb, 'tags', '[]'::jsonb, 'notes', 'n' || i,
    'updatedAt', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
  FROM generate_series(1, $2) AS i`, [user, n, label]);

/* age makes all that a user has look older than the 60 seconds. */
const age = (user, interval = '10 minutes') => s.query(
  `UPDATE mirusync.record SET changed_at = changed_at - $2::interval WHERE feed = $1`,
  [user, interval]);

/* mixed makes one user with records of all kinds, some deleted. */
async function mixed() {
  const user = newUser();
  const writer = await s.live(user);
  const entries = [entry(), entry(), entry()];
  const pieces = [piece(), piece()];
  const p = plan();
  const occurrences = [occurrence(p.id), occurrence(p.id)];
  const q = plan({ title: 'to be deleted' });
  for (const e of entries)
    await writer.push(created(e));
  for (const one of pieces)
    await writer.push(pieceAdded(one));
  await writer.push(planCreated(p, occurrences));
  await writer.push(planCreated(q));
  await writer.push(deleted(entries[1].id));
  await writer.push(pieceRemoved(pieces[0].scoreId));
  const gone = iso(Date.now() + 10);
  await writer.push(planUpdated({ ...q, updatedAt: gone, deletedAt: gone }));
  await writer.push(completed({ ...occurrences[0], updatedAt: gone, deletedAt: gone }));
  return { user, writer, entries, pieces, p, q, occurrences };
}

s.test('a user without data is told so', async () => {
  const device = await s.open(newUser());
  for (const fields of [{}, { lastSeq: 0 }, { lastSyncTime: iso(Date.now() - 1000) }]) {
    const { response, messages } = await device.sync(fields);
    assert.deepEqual(messages, []);
    assert.deepEqual(Object.keys(response).sort(), ['lastSeq', 'message', 'timestamp', 'type']);
    assert.equal(response.message, 'No new data to sync');
    assert.equal(response.lastSeq, 0);
    assertTimestamps([response]);
  }
});

s.test('without a cursor: every record, in the messages of its kind', async () => {
  const { user, entries, pieces, p, q, occurrences } = await mixed();
  const device = await s.open(user);
  const { response, messages } = await device.sync();
  assert.equal(response.message, 'Sync complete');
  assert.equal(response.lastSeq, await s.head(user));
  assertTimestamps(messages);

  const of = (type) => messages.filter((m) => m.type === type);
  assert.deepEqual(of('BULK_SYNC').flatMap((m) => m.entries.map((e) => e.id)),
    [entries[0].id, entries[2].id]);
  assert.deepEqual(of('REPERTOIRE_BULK_SYNC').flatMap((m) => m.pieces.map((x) => x.scoreId)),
    [pieces[1].scoreId]);
  assert.deepEqual(of('ENTRY_DELETED').map((m) => m.entryId), [entries[1].id]);
  assert.deepEqual(messages.filter((m) => /^PIECE_(REMOVED|DISSOCIATED)$/.test(m.type))
    .map((m) => m.scoreId), [pieces[0].scoreId]);
  const plans = of('PLAN_UPDATED').map((m) => m.plan);
  assert.deepEqual(plans.map((x) => x.id).sort(), [p.id, q.id].sort());
  assert.ok(plans.find((x) => x.id === q.id).deletedAt, 'a deleted plan comes with deletedAt');
  assert.equal(plans.find((x) => x.id === q.id).title, 'to be deleted', 'and its last image');
  assert.ok(!plans.find((x) => x.id === p.id).deletedAt);
  const sent = messages.flatMap((m) => [...(m.occurrences ?? []), ...(m.occurrence ? [m.occurrence] : [])]);
  assert.deepEqual(sent.map((o) => o.id).sort(), occurrences.map((o) => o.id).sort());
  assert.ok(sent.find((o) => o.id === occurrences[0].id).deletedAt);
  assert.ok(!sent.find((o) => o.id === occurrences[1].id).deletedAt);

  const keys = messages.flatMap(keysOf);
  assert.equal(new Set(keys).size, keys.length, 'each record once');
  assertPromises(device.messages, await s.records(user));
});

s.test('with lastSeq: only what is above it, deletes included', async () => {
  const { user, writer, entries, pieces } = await mixed();
  const cursor = await s.head(user);
  const device = await s.open(user);
  let { response, messages } = await device.sync({ lastSeq: cursor });
  assert.deepEqual(messages, []);
  assert.equal(response.message, 'No new data to sync');
  assert.equal(response.lastSeq, cursor);

  await device.close();
  const e = entry();
  await writer.push(created(e));
  await writer.push(deleted(entries[0].id));
  await writer.push(pieceRemoved(pieces[1].scoreId));
  const again = await s.open(user);
  ({ response, messages } = await again.sync({ lastSeq: cursor }));
  assert.equal(response.message, 'Sync complete');
  assert.deepEqual(messages.flatMap(keysOf), [
    `logbook_entry/${e.id}`, `logbook_entry/${entries[0].id}`, `repertoire_item/${pieces[1].scoreId}`]);
  assert.equal(cursorOf(again.messages), await s.head(user));
  assertPromises(again.messages, await s.records(user), { cursor });
});

s.test('a record that changed often comes once, as it is now', async () => {
  const user = newUser();
  const writer = await s.live(user);
  const e = entry();
  const f = entry();
  await writer.push(created(e));
  await writer.push(created(f));
  for (let i = 1; i <= 5; i++)
    await writer.push(updated({ ...e, notes: `v${i}`, updatedAt: iso(Date.now() + i * 10) }));
  const device = await s.open(user);
  const { messages } = await device.sync({ lastSeq: 1 });
  const sent = messages.flatMap((m) => m.entries);
  assert.deepEqual(sent.map((x) => x.id), [f.id, e.id], 'in order of their latest change');
  assert.equal(sent[1].notes, 'v5');
});

s.test('a lastSeq above the head: everything', async () => {
  const { user } = await mixed();
  const device = await s.open(user);
  const { response, messages } = await device.sync({ lastSeq: 1000000 });
  assert.equal(response.message, 'Sync complete');
  assert.equal(response.lastSeq, await s.head(user));
  assert.equal(messages.flatMap(keysOf).length, (await s.records(user)).length);
  /* And live from there, at the numbers that hold. */
  const other = await s.live(user);
  const seq = await other.push(created(entry()));
  assert.equal((await device.event('ENTRY_CREATED')).seq, seq);
});

s.test('with lastSyncTime: what changed since', async () => {
  const user = newUser();
  const writer = await s.live(user);
  const [e, f, g] = [entry(), entry(), entry()];
  await writer.push(created(e));
  await writer.push(created(f));
  await age(user);
  const since = iso(Date.now() - 5000);
  await writer.push(created(g));
  await writer.push(deleted(e.id));
  const device = await s.open(user);
  const { response, messages } = await device.sync({ lastSyncTime: since });
  assert.equal(response.message, 'Sync complete');
  assert.equal(response.lastSeq, await s.head(user));
  const keys = messages.flatMap(keysOf);
  assert.ok(keys.includes(`logbook_entry/${g.id}`));
  assert.ok(keys.includes(`logbook_entry/${e.id}`));
  assert.ok(!keys.includes(`logbook_entry/${f.id}`), 'what did not change is not sent');

  const none = await s.open(user);
  const nothing = await none.sync({ lastSyncTime: iso(Date.now() + 3600000) });
  assert.deepEqual(nothing.messages, []);
  assert.equal(nothing.response.message, 'No new data to sync');
});

s.test('lastSeq counts before lastSyncTime', async () => {
  const { user } = await mixed();
  const device = await s.open(user);
  const { messages } = await device.sync({ lastSeq: await s.head(user), lastSyncTime: iso(0) });
  assert.deepEqual(messages, []);
});

s.test('1400 entries come in pages of at most 250, and no number before what is below it', async () => {
  const user = newUser();
  await fill(user, 1400);
  const device = await s.open(user);
  const { response, messages } = await device.sync();
  assert.equal(response.lastSeq, 1400);
  assert.ok(messages.length >= 6);
  for (const m of messages) {
    assert.equal(m.type, 'BULK_SYNC');
    assert.ok(m.entries.length >= 1 && m.entries.length <= 250, `${m.entries.length} in one`);
    assert.equal(typeof m.lastSeq, 'number');
  }
  assert.equal(replica(messages).size, 1400);
  assertPromises(device.messages, await s.records(user));
});

s.test('pages of mixed kinds keep the cursor rule', async () => {
  const user = newUser();
  const writer = await s.live(user);
  const p = plan();
  for (let i = 0; i < 60; i++) {
    writer.send(created(entry()));
    writer.send(pieceAdded(piece()));
    writer.send(completed(occurrence(p.id)));
  }
  writer.send(planCreated(p, Array.from({ length: 40 }, () => occurrence(p.id))));
  await fill(user, 700);
  await writer.answers(181);
  for (const { key } of (await s.records(user)).filter((_, i) => i % 7 === 0))
    if (key.startsWith('logbook_entry/'))
      await writer.push(deleted(key.slice('logbook_entry/'.length)));

  const records = await s.records(user);
  const cursors = [0, 100, Math.floor(records.at(-1).seq / 2), records.at(-1).seq - 3];
  for (const cursor of cursors) {
    const device = await s.open(user);
    const { response, messages } = await device.sync(cursor ? { lastSeq: cursor } : {});
    assert.equal(response.lastSeq, await s.head(user));
    const expected = records.filter((r) => r.seq > cursor).map((r) => r.key);
    assert.deepEqual(messages.flatMap(keysOf).sort(), expected.sort(), `above ${cursor}`);
    assertPromises(device.messages, records, { cursor });
    await device.close();
  }
});

s.test('a catch-up that is cut off anywhere can be resumed', async () => {
  const user = newUser();
  await fill(user, 1400);
  const whole = await s.open(user);
  const { messages } = await whole.sync();
  for (let cut = 0; cut < messages.length; cut++) {
    /* The device got these messages, then lost its connection. */
    const state = replica(messages.slice(0, cut));
    const cursor = cursorOf(messages.slice(0, cut));
    const device = await s.open(user);
    const rest = await device.sync(cursor ? { lastSeq: cursor } : {});
    assert.equal(replica(rest.messages, state).size, 1400, `cut after ${cut}`);
    await device.close();
  }
});

s.test('live changes join the catch-up without a gap', async () => {
  const user = newUser();
  await fill(user, 1500);
  const writer = await s.live(user);
  let writing = true;
  const wrote = (async () => {
    const acked = [];
    while (writing) {
      const e = entry();
      await writer.push(created(e));
      acked.push(e.id);
      await s.query(`UPDATE mirusync.document SET data = data || '{"notes":"touched"}'
        WHERE feed = $1 AND collection = 'logbook_entry' AND id = $2`,
      [user, `fill-${String(acked.length % 1500 + 1).padStart(6, '0')}`]);
    }
    return acked;
  })();
  const devices = [];
  for (let i = 0; i < 6; i++) {
    const device = await s.open(user);
    device.sync().catch(() => {});
    devices.push(device);
    await sleep(60);
  }
  await sleep(200);
  writing = false;
  const acked = await wrote;
  assert.ok(acked.length > 5);
  const head = await s.head(user);
  const records = await s.records(user);
  for (const device of devices) {
    await device.waiting(() => cursorOf(device.messages) >= head || undefined, 'the head');
    const state = replica(device.messages);
    assert.equal(state.size, records.length);
    for (const key of acked)
      assert.ok(state.has(`logbook_entry/${key}`), `${key} arrived`);
    /* Live numbers come in order, each once. */
    const live = device.messages.filter((m) => m.seq !== undefined).map((m) => m.seq);
    assert.deepEqual(live, [...new Set(live)].sort((x, y) => x - y));
    const settled = records.filter((r) => !r.key.startsWith('logbook_entry/fill-'));
    assertPromises(device.messages, settled);
  }
});

s.test('a session gets nothing live before its first SYNC_REQUEST is answered', async () => {
  const user = newUser();
  const writer = await s.live(user);
  await writer.push(created(entry()));
  await age(user);
  const device = await s.open(user);
  const e = entry();
  await writer.push(created(e));
  const { all } = await device.sync({ lastSeq: 0 });
  assert.deepEqual(all.flatMap(keysOf).length, 2, 'both records, each once');
  assert.ok(all.slice(0, -1).every((m) => m.type === 'BULK_SYNC'));
  await device.quiet();
});

s.test('no first message within a second: what changed in the last 60 seconds', async () => {
  const user = newUser();
  const writer = await s.live(user);
  const old = entry();
  await writer.push(created(old));
  await age(user);
  const [e, f] = [entry(), entry()];
  await writer.push(created(e));
  await writer.push(created(f));
  await writer.push(deleted(f.id));
  const device = await s.open(user);
  await device.waiting(() => {
    const keys = device.messages.flatMap(keysOf);
    return (keys.includes(`logbook_entry/${e.id}`) && keys.includes(`logbook_entry/${f.id}`))
      || undefined;
  }, 'the last 60 seconds');
  assert.ok(!device.messages.flatMap(keysOf).includes(`logbook_entry/${old.id}`));
  /* And live from then on. */
  const g = entry();
  await writer.push(created(g));
  await device.event('ENTRY_CREATED', (m) => m.entry.id === g.id);
});

s.test('another first message: the last 60 seconds come first, then its answer', async () => {
  const user = newUser();
  const writer = await s.live(user);
  const missed = entry();
  await writer.push(created(missed));
  const device = await s.open(user);
  const own = entry();
  const { answer, before } = await device.exchange(created(own));
  assert.equal(answer.type, 'SYNC_RESPONSE');
  assert.equal(answer.lastSeq, 2);
  assert.ok(before.flatMap(keysOf).includes(`logbook_entry/${missed.id}`),
    'a number is a promise: everything below it was sent');
  assertPromises(device.messages, [{ key: `logbook_entry/${missed.id}`, seq: 1, deleted: false }]);
  await writer.event('ENTRY_CREATED', (m) => m.entry.id === own.id);
});

s.test('a ping first is answered, and the last 60 seconds come', async () => {
  const user = newUser();
  const writer = await s.live(user);
  const missed = entry();
  await writer.push(created(missed));
  const device = await s.open(user);
  device.send({ type: 'PING', timestamp: iso() });
  await device.waiting(() => (device.messages.some((m) => m.type === 'PONG')
    && device.messages.flatMap(keysOf).includes(`logbook_entry/${missed.id}`)) || undefined,
  'a pong and what was missed');
});

s.test('the offline queue sent right after the SYNC_REQUEST', async () => {
  const user = newUser();
  const other = await s.live(user);
  await fill(user, 600);
  await other.until((m) => m.seq === 600);
  const device = await s.open(user);
  const queue = Array.from({ length: 200 }, () => entry());
  device.send({ type: 'SYNC_REQUEST', timestamp: iso(), lastSeq: 0 });
  for (const e of queue)
    device.send(created(e));
  assert.equal((await device.answers(201))[0].message, 'Sync complete');
  await other.until((m) => m.seq === 800);
  assert.equal(await s.head(user), 800);
  const records = (await s.records(user)).filter((r) => r.seq <= 600);
  assertPromises(device.messages, records);
  assert.equal(device.messages.filter((m) => m.message === 'Sync complete').length, 1);
});

s.test('a second SYNC_REQUEST in a session is answered like the first', async () => {
  const { user, writer } = await mixed();
  const device = await s.live(user);
  const cursor = cursorOf(device.messages);
  await writer.push(created(entry()));
  await device.event('ENTRY_CREATED');
  const { response, messages } = await device.sync({ lastSeq: cursor });
  assert.equal(response.lastSeq, cursor + 1);
  assert.equal(messages.flatMap(keysOf).length, 1);
  const all = await device.sync();
  assert.equal(all.messages.flatMap(keysOf).length, (await s.records(user)).length);
});

s.test('a device that comes and goes misses nothing', async () => {
  const user = newUser();
  const writer = await s.live(user);
  const state = new Map();
  let cursor = 0;
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 5; i++)
      writer.send(created(entry({ notes: `${round}/${i}` })));
    const device = await s.open(user);
    await device.sync(cursor ? { lastSeq: cursor } : {});
    device.terminate();
    await device.ended;
    replica(device.messages, state);
    cursor = Math.max(cursor, cursorOf(device.messages));
  }
  await waitUntil(async () => await s.head(user) === 40, { what: 'all writes' });
  const device = await s.open(user);
  await device.sync({ lastSeq: cursor });
  replica(device.messages, state);
  assert.equal(state.size, 40);
});
