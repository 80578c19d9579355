/*
 * access.test.mjs
 *     A session gets only what its user owns; the relay's database role can
 *     call the relay's functions and nothing else.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  created, deleted, entry, iso, newUser, pieceRemoved, plan, planUpdated, updated, useStack,
  waitUntil,
} from './harness.mjs';

const s = useStack({ relays: 2 });

s.test('another user hears nothing, live or catching up', async () => {
  const [anna, bob] = [newUser('anna'), newUser('bob')];
  const a = await s.live(anna);
  const others = [await s.live(bob), await s.live(bob, { relay: s.relays[1] })];
  const e = entry({ notes: 'private' });
  await a.push(created(e));
  await a.push(updated({ ...e, notes: 'still private', updatedAt: iso(Date.now() + 10) }));
  await a.push(deleted(e.id));
  await a.push(planUpdated(plan()));
  for (const other of others) {
    await other.quiet();
    const { messages, response } = await other.sync({ lastSeq: 0 });
    assert.deepEqual(messages, []);
    assert.equal(response.lastSeq, 0);
  }
});

s.test('one id of two users is two records', async () => {
  const [anna, bob] = [newUser('anna'), newUser('bob')];
  const a = await s.live(anna);
  const b = await s.live(bob);
  const e = entry({ id: 'same-id', notes: 'of anna' });
  await a.push(created(e));
  await b.push(created({ ...e, notes: 'of bob', updatedAt: iso(Date.now() + 1000) }));
  assert.equal((await s.document(anna, 'logbook_entry', 'same-id')).notes, 'of anna');
  assert.equal((await s.document(bob, 'logbook_entry', 'same-id')).notes, 'of bob');
  await b.push(deleted('same-id', { timestamp: iso(Date.now() + 2000) }));
  assert.equal((await s.document(anna, 'logbook_entry', 'same-id')).notes, 'of anna');
  await b.exchange(pieceRemoved('score-of-anna'));
  await a.quiet();
});

s.test('a message cannot name another user', async () => {
  const [anna, bob] = [newUser('anna'), newUser('bob')];
  const a = await s.live(anna);
  const b = await s.live(bob);
  const forged = { user: bob, userId: bob, user_id: bob, feed: bob, sub: bob, ownerId: bob };
  await a.push(created(entry(forged), forged));
  await a.push(planUpdated(plan(forged), undefined, forged));
  const { messages } = await a.sync({ lastSeq: 0, ...forged });
  assert.equal(messages.length, 2);
  await b.quiet();
  assert.equal(await s.head(bob), 0);
});

s.test('the relay\'s role can read and write no table', async () => {
  const client = await s.client({ user: 'mirusync_relay' });
  try {
    const tables = await s.query(`SELECT c.oid::regclass::text AS name, c.relkind FROM pg_class c
      WHERE relnamespace = 'mirusync'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')`);
    assert.ok(tables.length > 3);
    for (const { name, relkind } of tables) {
      await assert.rejects(client.query(`SELECT * FROM ${name} LIMIT 1`), { code: '42501' },
        `${name} is not readable`);
      if (relkind !== 'r' && relkind !== 'p')
        continue;
      await assert.rejects(client.query(`DELETE FROM ${name}`), { code: '42501' }, `${name} DELETE`);
      await assert.rejects(client.query(`INSERT INTO ${name} DEFAULT VALUES`), { code: '42501' },
        `${name} INSERT`);
      await assert.rejects(client.query(`TRUNCATE ${name}`), { code: '42501' }, `${name} TRUNCATE`);
    }
    await assert.rejects(client.query('CREATE TABLE mirusync.mine ()'), { code: '42501' });
  } finally {
    await client.end();
  }
});

s.test('the relay\'s role can call the relay\'s functions and no other', async () => {
  await s.query('CREATE ROLE somebody LOGIN');
  try {
    const rows = await s.query(`SELECT p.proname AS name,
        has_function_privilege('mirusync_relay', p.oid, 'EXECUTE') AS relay,
        has_function_privilege('somebody', p.oid, 'EXECUTE') AS somebody
      FROM pg_proc p WHERE p.pronamespace = 'mirusync'::regnamespace`);
    const more = new Set(rows.filter((r) => r.relay && !r.somebody).map((r) => r.name));
    assert.deepEqual([...more].sort(),
      ['heads', 'pull_events', 'push_many', 'relay_access', 'relay_conflicts', 'relay_hello', 'relay_history', 'relay_redeem',
        'ring', 'seq_before']);
    const open = rows.filter((r) => r.somebody).map((r) => r.name);
    for (const name of ['heads', 'pull_events', 'push_many', 'relay_access', 'relay_conflicts', 'relay_hello', 'relay_history', 'relay_redeem',
      'ring', 'seq_before', 'revoke', 'set_realtime', 'grant_relay', 'attach', 'create_practice_log', 'put', 'push', 'pull'])
      assert.ok(!open.includes(name), `${name} is not for everybody`);

    const client = await s.client({ user: 'somebody' });
    try {
      await assert.rejects(client.query("SELECT * FROM mirusync.pull_events('x', 0, 1, false)"),
        { code: '42501' });
      await assert.rejects(client.query('SELECT * FROM mirusync.document'), { code: '42501' });
    } finally {
      await client.end();
    }
  } finally {
    await s.query('DROP ROLE somebody');
  }
});

s.test('a doorbell tells a stranger hashes and nothing else', async () => {
  const anna = newUser('anna');
  await s.query(`DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'stranger') THEN CREATE ROLE stranger LOGIN; END IF;
  END $$`);
  const stranger = await s.client({ host: s.stack.socketDir, user: 'stranger' });
  const heard = [];
  stranger.on('notification', ({ channel, payload }) => heard.push({ channel, payload }));
  /* There are 16; whatever else may be rung would have to be listened for by name. */
  for (let i = 0; i < 16; i++)
    await stranger.query(`LISTEN mirusync_${i}`);
  const a = await s.live(anna);
  await a.push(created(entry({ id: 'secret-id', notes: 'secret' })));
  await s.query(`UPDATE mirusync.document SET data = data || '{"notes": "more"}' WHERE feed = $1`, [anna]);
  const [{ hash }] = await s.query('SELECT mirusync.doorbell_hash($1) AS hash', [anna]);
  /* One by the relay for the push, one by the writing transaction. */
  await waitUntil(() => heard.filter(({ payload }) => payload.split(' ').includes(hash)).length >= 2,
    { what: 'both rings' });
  for (const { channel, payload } of heard) {
    assert.match(channel, /^mirusync_\d+$/);
    assert.match(payload, /^[0-9a-f]{16}( [0-9a-f]{16})*$/);
  }
  /* The hash is of a key that he cannot get at. */
  const plain = createHash('sha256').update(anna).digest('hex');
  assert.notEqual(hash, plain.slice(0, 16));
  for (const sql of ['SELECT doorbell_key FROM mirusync.instance', `SELECT mirusync.doorbell_hash('x')`,
    `SELECT * FROM mirusync.relay_hello('0')`])
    await assert.rejects(stranger.query(sql), { code: '42501' });
  await stranger.end();
});
