/*
 * practice_log.test.mjs
 *     Every message of the practice-log event protocol: what is taken, in what
 *     form it reaches the other devices, and what is refused.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  assertTimestamps, completed, created, deleted, entry, iso, isAnswer, newUser, occurrence,
  piece, pieceAdded, pieceRemoved, pieceUpdated, plan, planCreated, planUpdated, updated, useStack,
} from './harness.mjs';

const s = useStack();

/* pair gives two live devices of a new user. */
async function pair() {
  const user = newUser();
  return { user, a: await s.live(user), b: await s.live(user) };
}

/*
 * carried pushes an event from a and shows the whole rule "a client changes
 * something": the answer, the event at b, nothing more at a.
 */
async function carried(a, b, message, type = message.type) {
  const { answer, before } = await a.exchange(message);
  assert.deepEqual(before, [], 'the sender does not get its own event back');
  assert.deepEqual(Object.keys(answer).sort(), ['lastSeq', 'message', 'timestamp', 'type']);
  assert.equal(answer.type, 'SYNC_RESPONSE');
  assert.equal(answer.message, 'Mutation applied');
  const got = await b.next();
  assert.equal(got.type, type);
  assert.equal(got.seq, answer.lastSeq, 'the event carries the number that was promised');
  assertTimestamps([answer, got]);
  return got;
}

/* includes: the object has at least these fields with these values. */
function includes(object, fields) {
  for (const [key, value] of Object.entries(fields))
    assert.deepEqual(object[key], value, `field ${key}`);
}

s.test('entries: created, updated, deleted', async () => {
  const { user, a, b } = await pair();
  const e = entry({ notes: 'slow', pieces: [{ title: 'Étude', composer: 'Czerny', tempo: 88 }] });
  let got = await carried(a, b, created(e));
  assert.deepEqual(Object.keys(got).sort(), ['entry', 'seq', 'timestamp', 'type']);
  assert.equal(got.seq, 1);
  includes(got.entry, e);

  const e2 = { ...e, notes: 'faster', updatedAt: iso(Date.now() + 5) };
  got = await carried(a, b, updated(e2));
  assert.equal(got.seq, 2);
  includes(got.entry, e2);
  includes(await s.document(user, 'logbook_entry', e.id), { notes: 'faster' });

  got = await carried(a, b, deleted(e.id));
  assert.equal(got.seq, 3);
  assert.equal(got.entryId, e.id);
  assert.equal(await s.head(user), 3);
  await a.quiet();
  await b.quiet();
});

s.test('pieces: added, updated, removed, dissociated', async () => {
  const { a, b } = await pair();
  const p = piece({ target_tempo: 120.5 });
  let got = await carried(a, b, pieceAdded(p));
  includes(got.piece, { ...p, score_id: p.scoreId });
  got = await carried(a, b, pieceUpdated({ ...p, status: 'polished', updated_at: iso(Date.now() + 5) }));
  assert.equal(got.piece.status, 'polished');
  got = await carried(a, b, pieceRemoved(p.scoreId));
  assert.equal(got.scoreId, p.scoreId);

  const q = piece();
  await carried(a, b, pieceAdded(q));
  got = await carried(a, b,
    { type: 'PIECE_DISSOCIATED', timestamp: iso(), scoreId: q.scoreId, piece: q });
  assert.equal(got.scoreId, q.scoreId);
});

s.test('a piece is known by scoreId, else score_id, else id', async () => {
  const { user, a, b } = await pair();
  const p = piece({ scoreId: undefined, score_id: 'score_b' });
  let got = await carried(a, b, pieceAdded(p));
  includes(got.piece, { scoreId: 'score_b', score_id: 'score_b', id: p.id });
  assert.ok(await s.document(user, 'repertoire_item', 'score_b'));

  const q = { ...piece(), id: 'only-an-id' };
  delete q.scoreId;
  delete q.score_id;
  const { answer } = await a.exchange(pieceAdded(q));
  if (answer.type === 'SYNC_RESPONSE') {
    got = await b.next();
    includes(got.piece, { scoreId: 'only-an-id', score_id: 'only-an-id' });
  }
});

s.test('plans with occurrences are one group, and its number is the last', async () => {
  const { user, a, b } = await pair();
  const p = plan();
  const [o1, o2, o3] = [occurrence(p.id), occurrence(p.id), occurrence(p.id)];
  let got = await carried(a, b, planCreated(p, [o1, o2, o3]));
  assert.equal(got.seq, 4);
  includes(got.plan, p);
  assert.deepEqual(got.occurrences.map((o) => o.id).sort(), [o1.id, o2.id, o3.id].sort());
  for (const o of got.occurrences)
    includes(o, { planId: p.id, plan_id: p.id, status: 'scheduled' });
  assert.equal(await s.head(user), 4);

  got = await carried(a, b, planUpdated({ ...p, title: 'Arpeggios', updatedAt: iso(Date.now() + 5) }));
  assert.equal(got.seq, 5);
  assert.equal(got.plan.title, 'Arpeggios');

  got = await carried(a, b, completed({
    ...o2, status: 'completed', updatedAt: iso(Date.now() + 5), checkIn: { recordedAt: iso() },
  }));
  assert.equal(got.seq, 6);
  includes(got.occurrence, { id: o2.id, status: 'completed', planId: p.id, plan_id: p.id });
});

s.test('a plan without occurrences carries its own number', async () => {
  const { a, b } = await pair();
  const got = await carried(a, b, planCreated(plan()));
  assert.equal(got.seq, 1);
  await carried(a, b, planCreated(plan(), []));
});

s.test('plans and occurrences are deleted by their deletedAt, and come with their last image', async () => {
  const { user, a, b } = await pair();
  const p = plan();
  const o = occurrence(p.id);
  await carried(a, b, planCreated(p, [o]));
  const gone = iso(Date.now() + 10);
  let got = await carried(a, b, completed({ ...o, deletedAt: gone, updatedAt: gone }));
  includes(got.occurrence, { id: o.id, planId: p.id });
  assert.ok(got.occurrence.deletedAt, 'deletedAt is sent');
  got = await carried(a, b, planUpdated({ ...p, deletedAt: gone, updatedAt: gone }));
  includes(got.plan, { id: p.id, title: p.title });
  assert.ok(got.plan.deletedAt, 'deletedAt is sent');
  const records = await s.records(user);
  assert.deepEqual(records.map((r) => r.deleted), [true, true]);
});

s.test('a put with deletedAt is a delete', async () => {
  const { user, a, b } = await pair();
  const e = entry();
  await carried(a, b, created(e));
  const gone = iso(Date.now() + 10);
  const got = await carried(a, b, updated({ ...e, deletedAt: gone, updatedAt: gone }), 'ENTRY_DELETED');
  assert.equal(got.entryId, e.id);
  assert.deepEqual((await s.records(user)).map((r) => r.deleted), [true]);

  /* An empty or null deletedAt deletes nothing. */
  for (const deletedAt of ['', null]) {
    const f = entry({ deletedAt });
    await carried(a, b, created(f));
  }
});

s.test('an entry is normalised', async () => {
  const { user, a, b } = await pair();
  const e = entry({ instrument: 'Grand PIANO', timestamp: '2024-03-01T10:00:00.000Z' });
  for (const field of ['pieces', 'techniques', 'tags', 'goal_ids'])
    delete e[field];
  const got = await carried(a, b, created({ ...e, goalIds: ['goal-1'] }));
  includes(got.entry, {
    instrument: 'grand piano',
    timestamp: Date.parse('2024-03-01T10:00:00.000Z'),
    pieces: [],
    techniques: [],
    tags: [],
    goal_ids: ['goal-1'],
  });
  includes(await s.document(user, 'logbook_entry', e.id), {
    instrument: 'grand piano', timestamp: 1709287200000, goal_ids: ['goal-1'],
  });

  const p = piece();
  delete p.tags;
  assert.deepEqual((await carried(a, b, pieceAdded(p))).piece.tags, []);
});

/* The cases that the extension's own tests read, too: input, output or error. */
s.test('the vectors of practice_log.json', async () => {
  const vectors = JSON.parse(readFileSync(new URL('../vectors/practice_log.json', import.meta.url)));
  const kinds = {
    entry: ['logbook_entry', (o) => o.id, created],
    piece: ['repertoire_item', (o) => o.scoreId, pieceAdded],
    plan: ['practice_plan', (o) => o.id, planCreated],
    occurrence: ['plan_occurrence', (o) => o.id, completed],
  };
  for (const { case: name, payload, input, output } of vectors) {
    const label = `${payload}: ${name}`;
    const [collection, key, message] = kinds[payload];
    const user = newUser('vector');
    const device = await s.open(user);
    const { answer } = await device.exchange(message(input));
    if (!output) {
      assert.equal(answer.error, 'Invalid sync event format', label);
      assert.equal(await s.head(user), 0, label);
    } else {
      assert.equal(answer.type, 'SYNC_RESPONSE', `${label}: ${answer.error}`);
      assert.equal(answer.lastSeq, 1, label);
      /* The stamps of a vector may lie in the future, and are bounded then. */
      const stored = await s.document(user, collection, key(output));
      const bare = (object) => object && { ...object, updatedAt: 0, updated_at: 0 };
      assert.deepEqual(bare(stored), output.deletedAt ? undefined : bare(output), label);
    }
    await device.close();
  }
}, { timeout: 120000 });

s.test('unknown fields are kept and returned', async () => {
  const { a, b } = await pair();
  const extra = {
    futureField: { deep: [1, 2.5, null, true, 'x'] },
    'ключ 🎻': 'значение "quoted" \\ back',
    emptyText: '',
    zero: 0,
    exact: 12345678901234567,
  };
  const message = created({ ...entry(), ...extra });
  const got = await carried(a, b, message);
  includes(got.entry, extra);
  includes((await carried(a, b, pieceAdded({ ...piece(), ...extra }))).piece, extra);
  const p = plan(extra);
  const group = await carried(a, b, planCreated(p, [occurrence(p.id, extra)]));
  includes(group.plan, extra);
  includes(group.occurrences[0], extra);

  /* The same through the store: what a new device is sent. */
  const fresh = await s.open(a.user);
  const { messages } = await fresh.sync();
  includes(messages.find((m) => m.type === 'BULK_SYNC').entries[0], extra);
});

s.test('optional fields may be absent or null, and every listed value is taken', async () => {
  const { a } = await pair();
  for (const type of ['practice', 'performance', 'lesson', 'masterclass', 'rehearsal', 'technique',
    'status_change', 'other'])
    await a.push(created(entry({ type })));
  for (const mood of ['frustrated', 'neutral', 'satisfied', 'excited', 'proud', null])
    await a.push(created(entry({ mood })));
  for (const status of ['planned', 'learning', 'working', 'polished', 'performance_ready', 'archived'])
    await a.push(pieceAdded(piece({ status })));
  for (const type of ['bootcamp', 'course', 'custom'])
    await a.push(planCreated(plan({ type })));
  for (const status of ['draft', 'active', 'completed', 'archived'])
    await a.push(planCreated(plan({ status })));
  for (const visibility of ['private', 'shared', 'template'])
    await a.push(planCreated(plan({ visibility })));
  for (const status of ['scheduled', 'completed', 'skipped', 'expired'])
    await a.push(completed(occurrence('some-plan', { status })));
  await a.push(created(entry({ duration: 0 })));
});

s.test('what is no JSON is an error, and the connection stays', async (t) => {
  const { user, a, b } = await pair();
  const bad = ['', 'hello', '{', '{"type":"PING"', "{'type':'PING'}", '{"type":"PING",}', '\u0000',
    '[1,2', '{"type":"PING"} x', 'NaN', '{"a":01}'];
  for (const text of bad)
    await t.test(JSON.stringify(text), async () => {
      const { answer } = await a.exchange(text);
      assert.deepEqual({ type: answer.type, error: answer.error },
        { type: 'ERROR', error: 'Invalid JSON format' });
      assertTimestamps([answer]);
    });
  assert.equal(await a.push(created(entry())), 1);
  await b.event('ENTRY_CREATED');
  assert.equal(await s.head(user), 1);
});

const without = (object, key) => {
  const copy = { ...object };
  delete copy[key];
  return copy;
};

s.test('what fails validation is an error, changes nothing, and the connection stays', async (t) => {
  const { user, a, b } = await pair();
  const p = plan();
  const bad = {
    'a list': [],
    'a number': 1,
    'a text': '"x"',
    'null': null,
    'no type': { timestamp: iso() },
    'a type that is no text': { type: 5, timestamp: iso() },
    'an unknown type': { type: 'ENTRY_EXPLODED', timestamp: iso(), entry: entry() },
    'a type only the server sends': { type: 'BULK_SYNC', timestamp: iso(), entries: [] },
    'no timestamp': without(created(entry()), 'timestamp'),
    'a timestamp that is no time': created(entry(), { timestamp: 'yesterday' }),
    'no entry': { type: 'ENTRY_CREATED', timestamp: iso() },
    'an entry that is a text': created('x'),
    'an entry that is a list': created([]),
    'an entry without id': created(without(entry(), 'id')),
    'an id that is a number': created(entry({ id: 7 })),
    'no entry timestamp': created(without(entry(), 'timestamp')),
    'an entry timestamp that is none': created(entry({ timestamp: 'soon' })),
    'no duration': created(without(entry(), 'duration')),
    'a negative duration': created(entry({ duration: -1 })),
    'a duration with a fraction': created(entry({ duration: 1.5 })),
    'a duration as text': created(entry({ duration: '30' })),
    'no entry type': created(without(entry(), 'type')),
    'an unknown entry type': created(entry({ type: 'nap' })),
    'no instrument': created(without(entry(), 'instrument')),
    'an empty instrument': created(entry({ instrument: '' })),
    'pieces that are no list': created(entry({ pieces: {} })),
    'a piece of an entry without title': created(entry({ pieces: [{ composer: 'Bach' }] })),
    'techniques that are no texts': created(entry({ techniques: [1] })),
    'tags that are no list': created(entry({ tags: 'x' })),
    'an unknown mood': created(entry({ mood: 'sleepy' })),
    'metadata that is no object': created(entry({ metadata: 'x' })),
    'no entryId': { type: 'ENTRY_DELETED', timestamp: iso() },
    'an entryId that is a number': deleted(5),
    'no piece': { type: 'PIECE_ADDED', timestamp: iso() },
    'a piece without title': pieceAdded(without(piece(), 'title')),
    'a piece without status': pieceAdded(without(piece(), 'status')),
    'a piece of unknown status': pieceAdded(piece({ status: 'forgotten' })),
    'a tempo as text': pieceAdded(piece({ target_tempo: 'fast' })),
    'no scoreId to remove': { type: 'PIECE_REMOVED', timestamp: iso() },
    'no plan': { type: 'PLAN_CREATED', timestamp: iso() },
    'a plan without title': planCreated(without(p, 'title')),
    'a plan without schedule': planCreated(without(p, 'schedule')),
    'a schedule of unknown kind': planCreated({ ...p, schedule: { kind: 'weekly' } }),
    'a plan of unknown type': planCreated({ ...p, type: 'x' }),
    'a plan of unknown visibility': planCreated({ ...p, visibility: 'x' }),
    'a plan of unknown status': planCreated({ ...p, status: 'x' }),
    'a plan without updatedAt': planCreated(without(p, 'updatedAt')),
    'occurrences that are no list': planCreated(p, {}),
    'one bad occurrence of two': planCreated(p,
      [occurrence(p.id), without(occurrence(p.id), 'status')]),
    'no occurrence': { type: 'PLAN_OCCURRENCE_COMPLETED', timestamp: iso() },
    'an occurrence without planId': completed(without(occurrence(p.id), 'planId')),
    'an occurrence of unknown status': completed(occurrence(p.id, { status: 'x' })),
    'a negative lastSeq': { type: 'SYNC_REQUEST', timestamp: iso(), lastSeq: -1 },
    'a lastSeq as text': { type: 'SYNC_REQUEST', timestamp: iso(), lastSeq: '1' },
    'a lastSyncTime that is no time': { type: 'SYNC_REQUEST', timestamp: iso(), lastSyncTime: 'x' },
  };
  for (const [name, message] of Object.entries(bad))
    await t.test(name, async () => {
      const { answer } = await a.exchange(message === null || typeof message !== 'string'
        ? JSON.stringify(message) : message);
      assert.deepEqual({ type: answer.type, error: answer.error },
        { type: 'ERROR', error: 'Invalid sync event format' });
    });
  assert.equal(await s.head(user), 0, 'nothing was stored');
  assert.equal(await a.push(created(entry())), 1);
  await b.event('ENTRY_CREATED');
  await b.quiet();
});

s.test('texts that the database cannot hold fail alone', async () => {
  const { a, b } = await pair();
  const raw = JSON.stringify(created(entry({ notes: 'NOTES' })));
  for (const notes of ['\\u0000', '\\ud800', '\\udc00 x']) {
    const { answer } = await a.exchange(raw.replace('NOTES', notes));
    assert.equal(answer.type, 'ERROR', `${notes} is refused`);
  }
  const { answer } = await a.exchange(raw.replace('"NOTES"', '1e999999'));
  assert.equal(answer.type, 'ERROR');
  await a.push(created(entry({ notes: '\u{1F3B9} ok' })));
  await b.event('ENTRY_CREATED');
  await b.quiet();
});

s.test('200 queued mutations at once are answered in order', async () => {
  const { user, a, b } = await pair();
  const entries = Array.from({ length: 200 }, (_, i) => entry({ notes: `entry ${i}` }));
  for (const e of entries)
    a.send(created(e));
  const answers = [];
  while (answers.length < entries.length)
    answers.push((await a.until(isAnswer)).at(-1));
  assert.ok(answers.every((m) => m.type === 'SYNC_RESPONSE'), 'all are taken');
  assert.deepEqual(answers.map((m) => m.lastSeq), entries.map((_, i) => i + 1));
  const got = await b.until((m) => m.seq === 200);
  assert.deepEqual(got.map((m) => m.entry.id), entries.map((e) => e.id));
  assert.deepEqual(got.map((m) => m.seq), entries.map((_, i) => i + 1));
  assert.equal(await s.head(user), 200);
});

s.test('the same event again changes nothing and is answered the same way', async () => {
  const { user, a, b } = await pair();
  const message = created(entry());
  assert.equal(await a.push(message), 1);
  await b.event('ENTRY_CREATED');
  assert.equal(await a.push(message), 1);
  const removal = deleted(message.entry.id);
  const gone = await a.push(removal);
  await b.event('ENTRY_DELETED');
  await a.push(removal);
  assert.ok(await s.head(user) >= gone);
  assert.equal(await s.document(user, 'logbook_entry', message.entry.id), undefined);
});

s.test('long ids, long texts and deep objects come back as they were', async () => {
  const { a, b } = await pair();
  let deep = {};
  for (let i = 0; i < 40; i++)
    deep = { deep };
  const e = entry({ id: `id "with" \\ ${'x'.repeat(200)} 漢字`, notes: 'long '.repeat(8000), metadata: deep });
  const got = await carried(a, b, created(e));
  includes(got.entry, { id: e.id, notes: e.notes, metadata: e.metadata });
  const removed = await carried(a, b, deleted(e.id));
  assert.equal(removed.entryId, e.id);
});
