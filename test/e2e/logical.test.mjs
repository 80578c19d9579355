/*
 * logical.test.mjs
 *     Logical replication in both directions: what a subscription writes into
 *     an attached table reaches the devices, initial copy and stream alike,
 *     and a publication of all tables, ours included, refuses no write.
 *
 * Publisher and subscriber are two databases of one server, so the slot is
 * made first: CREATE SUBSCRIPTION would wait for its own transaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { newUser, useStack, waitUntil } from './harness.mjs';

const s = useStack({ postgres: { wal_level: 'logical' } });

const TABLE = `CREATE TABLE note (id text PRIMARY KEY, owner text NOT NULL, title text,
  done boolean NOT NULL DEFAULT false)`;

const source = (sql) => s.stack.psql(sql, { database: 'source' });

/* numbers of a feed: the head, and whether 1 .. head are all there. */
async function checkFeed(user) {
  const [row] = await s.query(`SELECT f.head::int, count(l.seq)::int AS numbered
    FROM mirusync.feed f LEFT JOIN mirusync.change_log l USING (feed) WHERE feed = $1
    GROUP BY f.head`, [user]);
  assert.equal(row.numbered, row.head, 'no hole in the history');
  assert.deepEqual(await s.query(
    'SELECT id FROM mirusync.record WHERE feed = $1 AND NOT deleted ORDER BY id', [user]),
  await s.query('SELECT id FROM note WHERE owner = $1 ORDER BY id', [user]), 'records are the rows');
  return row.head;
}

s.test('what a subscription copies and streams reaches the devices', async () => {
  const [user, other] = [newUser(), newUser()];
  await s.stack.psql('CREATE DATABASE source', { database: 'postgres' });
  await source(`${TABLE}; INSERT INTO note VALUES ('copied', '${user}', 'before'), ('gone', '${user}', 'before');
    CREATE PUBLICATION notes FOR TABLE note`);
  await source("SELECT pg_create_logical_replication_slot('notes', 'pgoutput')");

  await s.query(TABLE);
  await s.query("SELECT mirusync.attach('note', feed => 'owner')");
  await s.query(`INSERT INTO mirusync.event_collection
    (collection, clock_keys, payload, created_type, updated_type, deleted_type, deleted_key)
    VALUES ('note', '{}', 'note', 'NOTE_CREATED', 'NOTE_UPDATED', 'NOTE_DELETED', 'noteId')`);
  /* A worker applies with session_replication_role = replica: this is silent. */
  await s.query('CREATE TABLE fired (id text)');
  await s.query(`CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.fired VALUES (NEW.id); RETURN NULL; END $$`);
  await s.query('CREATE TRIGGER fire AFTER INSERT OR UPDATE ON note FOR EACH ROW EXECUTE FUNCTION fire()');
  const device = await s.live(user);
  const second = await s.live(other);

  await s.query(`CREATE SUBSCRIPTION notes CONNECTION
    'host=${s.stack.socketDir} port=${s.stack.pgPort} user=postgres dbname=source'
    PUBLICATION notes WITH (create_slot = false, slot_name = 'notes')`);
  const copied = [await device.event('NOTE_CREATED'), await device.event('NOTE_CREATED')];
  assert.deepEqual(copied.map((m) => m.note.id).sort(), ['copied', 'gone'], 'the initial copy');
  await waitUntil(async () => (await s.query(
    "SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r'")).length === 0, { what: 'the copy to end' });

  await source(`INSERT INTO note VALUES ('streamed', '${user}', 'one'), ('other', '${other}', 'x')`);
  assert.equal((await device.event('NOTE_CREATED')).note.id, 'streamed');
  assert.equal((await second.event('NOTE_CREATED')).note.id, 'other');
  /* One transaction there is one here: one change a record. */
  await source(`BEGIN; UPDATE note SET title = 'two' WHERE id = 'streamed';
    UPDATE note SET title = 'three' WHERE id = 'streamed'; DELETE FROM note WHERE id = 'gone';
    UPDATE note SET owner = '${other}' WHERE id = 'copied'; COMMIT`);
  assert.equal((await device.event('NOTE_UPDATED')).note.title, 'three');
  const gone = [await device.event('NOTE_DELETED'), await device.event('NOTE_DELETED')];
  assert.deepEqual(gone.map((m) => m.noteId).sort(), ['copied', 'gone'], 'deleted, and moved away');
  assert.equal((await second.event('NOTE_CREATED')).note.id, 'copied');
  await source(`UPDATE note SET id = 'renamed' WHERE id = 'streamed'`);
  assert.equal((await device.event('NOTE_DELETED')).noteId, 'streamed');
  assert.equal((await device.event('NOTE_CREATED')).note.id, 'renamed');
  await source('TRUNCATE note');
  assert.equal((await device.event('NOTE_DELETED')).noteId, 'renamed');

  assert.deepEqual(await s.query('TABLE fired'), [], 'ordinary triggers were silent');
  await s.query("INSERT INTO note VALUES ('local', $1, 'beside the subscription')", [user]);
  assert.equal((await device.event('NOTE_CREATED')).note.id, 'local');
  await device.quiet();
  assert.equal(await checkFeed(user), 10, 'each change has one number');
  assert.equal(await checkFeed(other), 4);
  await s.query('ALTER SUBSCRIPTION notes DISABLE');
  await s.query('ALTER SUBSCRIPTION notes SET (slot_name = NONE)');
  await s.query('DROP SUBSCRIPTION notes');
  await source("SELECT pg_drop_replication_slot('notes')");
});

s.test('a publication of all tables refuses no write of ours', async () => {
  const user = newUser();
  await s.query('CREATE PUBLICATION everything FOR ALL TABLES');
  await s.query("SELECT pg_create_logical_replication_slot('everything', 'pgoutput')");
  await s.query('CREATE TABLE task (id int PRIMARY KEY, owner text, title text)');
  await s.query("SELECT mirusync.attach('task', feed => 'owner')");
  await s.query("INSERT INTO task VALUES (1, $1, 'a'), (2, $1, 'b')", [user]);
  await s.query("UPDATE task SET title = 'c' WHERE id = 1");
  await s.query('DELETE FROM task WHERE id = 2');
  const push = (number, change, digested = 0) => s.query('SELECT mirusync.push($1, $2, $3) AS answer',
    [user, 'phone', { digested, changes: [{ number, collection: 'task', id: '1', ...change }] }]);
  await push(1, { kind: 'patch', fields: { title: 'd' } });
  await push(2, { kind: 'delete' }, 1);
  await s.query("SELECT mirusync.create_collection('everything')");
  await s.query("SELECT mirusync.put($1, 'everything', 'x', '{}')", [user]);
  await s.query("SELECT mirusync.patch($1, 'everything', 'x', '{\"n\": 1}')", [user]);
  await s.query("SELECT mirusync.delete($1, 'everything', 'x')", [user]);
  await s.query("UPDATE mirusync.collection SET pushable = false WHERE name = 'everything'");
  await s.query("DELETE FROM mirusync.collection WHERE name = 'everything'");
  await s.query('ALTER TABLE task ADD COLUMN more int');
  await s.query("INSERT INTO task VALUES (3, $1, 'e', 5)", [user]);
  await s.query("UPDATE mirusync.event_collection SET updated_type = 'NOTE_CHANGED' WHERE collection = 'note'");
  await s.query("SELECT mirusync.detach('task')");
  await s.query('TRUNCATE task');

  const [{ changes }] = await s.query(`SELECT count(*)::int AS changes FROM pg_logical_slot_peek_binary_changes(
    'everything', NULL, NULL, 'proto_version', '1', 'publication_names', 'everything')`);
  assert.ok(changes > 20, `all of it can be decoded (${changes})`);
  await s.query("SELECT pg_drop_replication_slot('everything')");
});
