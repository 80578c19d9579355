/*
 * dump.test.mjs
 *     Dump and restore: configuration, state and history come along, and
 *     numbers go on.  And what DROP EXTENSION leaves.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { useDatabases } from './databases.mjs';
import { checkSynced } from './synced.mjs';

/* What is dumped, once for all ways of dumping; nobody writes to these. */
const sources = {};

/* inbox is what waits of what was refused, and the number of the last. */
const inbox = (databases, name) => databases.query(name, `SELECT r::text FROM mirusync.refusal r
  UNION ALL SELECT last_value::text FROM mirusync.refusal_number_seq ORDER BY 1`);

const d = useDatabases(async (databases) => {
  for (const kind of ['fresh', 'updated']) {
    const name = await databases[kind](`${kind}_source`);
    /* What 0.1.0 had not, and a copy must not lose. */
    await databases.query(name, `SELECT mirusync.revoke('anna'), mirusync.revoke('otto', 'phone'),
      mirusync.set_realtime('anna', false)`);
    sources[kind] = {
      name,
      rows: await databases.rows(name),
      inbox: await inbox(databases, name),
      objects: await databases.fingerprint(name),
    };
  }
});

const SECTIONS = ['pre-data', 'data', 'post-data'];

/* Each dumps "from" and restores it into the empty database "to". */
const WAYS = {
  plain: async (from, to, path) => {
    await d.program('pg_dump', ['-d', from, '-f', path]);
    await d.script(to, path);
  },
  'plain, as inserts': async (from, to, path) => {
    await d.program('pg_dump', ['-d', from, '-f', path, '--column-inserts']);
    await d.script(to, path);
  },
  custom: async (from, to, path) => {
    await d.program('pg_dump', ['-d', from, '-f', path, '-Fc']);
    await d.program('pg_restore', ['-d', to, '--exit-on-error', path]);
  },
  'custom, in one transaction': async (from, to, path) => {
    await d.program('pg_dump', ['-d', from, '-f', path, '-Fc']);
    await d.program('pg_restore', ['-d', to, '--single-transaction', path]);
  },
  'directory, in parallel': async (from, to, path) => {
    await d.program('pg_dump', ['-d', from, '-f', path, '-Fd', '-j2']);
    await d.program('pg_restore', ['-d', to, '--exit-on-error', '-j4', path]);
  },
  'section by section': async (from, to, path) => {
    await d.program('pg_dump', ['-d', from, '-f', path, '-Fc']);
    for (const section of SECTIONS)
      await d.program('pg_restore', ['-d', to, '--exit-on-error', `--section=${section}`, path]);
  },
  'a dump for each section': async (from, to, path) => {
    for (const section of SECTIONS) {
      await d.program('pg_dump', ['-d', from, '-f', `${path}.${section}`, `--section=${section}`]);
      await d.script(to, `${path}.${section}`);
    }
  },
  'schema, then data without triggers': async (from, to, path) => {
    await d.program('pg_dump', ['-d', from, '-f', `${path}.schema`, '--schema-only']);
    await d.program('pg_dump', ['-d', from, '-f', `${path}.data`, '--data-only', '--disable-triggers']);
    await d.script(to, `${path}.schema`);
    await d.script(to, `${path}.data`);
    /* pg_dump enables all of them again, but not ALWAYS: docs/upgrading.md. */
    await d.query(to, `DO $$
      DECLARE
        command text;
      BEGIN
        FOR command IN
          SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tgrelid::regclass, t.tgname)
          FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
          WHERE p.pronamespace = 'mirusync'::regnamespace AND t.tgparentid = 0
            AND p.proname IN ('capture', 'registry_changed', 'mapping_changed')
        LOOP
          EXECUTE command;
        END LOOP;
      END $$`);
  },
};

/* triggers of the application's tables, which fingerprints do not have. */
const triggers = (database) => d.query(database, `SELECT tgrelid::regclass, tgname, tgenabled,
  pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
  ORDER BY tgrelid::regclass::text COLLATE "C", tgname`);

/* who may not have a session: tables that 0.1.0 had not. */
const barred = (database) => d.query(database, `SELECT r::text FROM mirusync.revocation r
  UNION ALL SELECT o::text FROM mirusync.realtime_off o ORDER BY 1`);

async function checkCopy(source, to) {
  const bars = await barred(source.name);
  assert.equal(bars.split('\n').length, 3);
  assert.equal(await barred(to), bars);
  assert.equal(await triggers(to), await triggers(source.name));
  const rows = await d.rows(to);
  for (const [table, text] of Object.entries(source.rows))
    assert.equal(rows[table], text, `rows of ${table}`);
  assert.equal(await inbox(d, to), source.inbox, 'what was refused');
  assert.deepEqual(await d.fingerprint(to), source.objects, 'objects, rights included');
  await checkSynced(d, to);
}

let count = 0;
for (const kind of ['fresh', 'updated']) {
  for (const [way, copy] of Object.entries(WAYS)) {
    /* A dump does not ask how its database came to be: one way is enough. */
    if (kind === 'updated' && way !== 'custom')
      continue;
    test(`${kind}: ${way}`, async () => {
      const to = await d.create(`copy_${++count}`);
      await copy(sources[kind].name, to, join(d.dir, to));
      await checkCopy(sources[kind], to);
    });
  }
}

test('a copy of a copy', async () => {
  const path = join(d.dir, 'second');
  await WAYS.custom('copy_1', await d.create('second'), path);
  assert.deepEqual(await d.rows('second'), await d.rows('copy_1'));
});

test('what was refused goes on waiting, and is retried in the copy', async () => {
  assert.equal(await d.query('copy_1', `SELECT count(*) FROM mirusync.rejected WHERE collection = 'page'`), '1');
  await d.query('copy_1', `UPDATE mirusync.collection SET pushable = true WHERE name = 'page'`);
  assert.equal(await d.query('copy_1', `SELECT v.verdict FROM mirusync.rejected r, mirusync.retry(r.feed, r.number) v
    WHERE r.collection = 'page'`), 'applied');
});

test('a role that was dropped is nobody else after a restore', async () => {
  const from = await d.fresh('without_role');
  await d.query(from, `CREATE ROLE upgrade_brief;
    CREATE TABLE app.brief (id int PRIMARY KEY, owner text);
    SELECT mirusync.attach('app.brief', feed => 'owner', role => 'upgrade_brief');
    DROP ROLE upgrade_brief`);
  const path = join(d.dir, 'without_role');
  const look = (database) => d.query(database, 'SELECT name, pushable, role FROM mirusync.collection ORDER BY 1');
  const before = await look(from);
  assert.match(before, /^brief\|t\|\d+$/m);
  for (const way of ['custom', 'plain, as inserts']) {
    const to = await d.create(`without_role_${way.length}`);
    await WAYS[way](from, to, path);
    assert.equal(await look(to), before.replace(/^brief.*$/m, 'brief|f|'));
  }
});

test('a schema alone is attached, and empty', async () => {
  const path = join(d.dir, 'schema');
  await d.program('pg_dump', ['-d', sources.fresh.name, '-f', path, '--schema-only']);
  const to = await d.create('schema_only');
  await d.script(to, path);
  assert.equal(await d.query(to, 'SELECT count(*) FROM mirusync.collection'), '0');
  const error = await d.error(to, `INSERT INTO app.note (owner, id)
    VALUES ('anna', '00000000-0000-0000-0000-000000000001')`);
  assert.match(error, /55000: table "note" is not attached/);
  await d.query(to, `SELECT mirusync.attach('app.note', feed => 'owner')`);
  await d.query(to, `INSERT INTO app.note (owner, id)
    VALUES ('anna', '00000000-0000-0000-0000-000000000001')`);
  assert.deepEqual(await d.heads(to), { anna: 1 });
});

test('an old dump is restored under its own version, then updated', async () => {
  await d.updated('from_old');
  await checkSynced(d, 'from_old');
});

test('DROP EXTENSION leaves the tables as they were', async () => {
  const to = await d.fresh('dropped');
  const look = async () => ({
    rows: await d.query(to, 'SELECT n::text FROM app.note n UNION ALL SELECT t::text FROM app.tag t ORDER BY 1'),
    columns: await d.query(to, `SELECT attrelid::regclass, attnum, attname, atttypid::regtype, attnotnull
      FROM pg_attribute WHERE attrelid IN ('app.note'::regclass, 'app.tag'::regclass) AND attnum > 0 ORDER BY 1, 2`),
    constraints: await d.query(to, `SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
      WHERE connamespace = 'app'::regnamespace ORDER BY 1, 2`),
    indexes: await d.query(to, `SELECT indexdef FROM pg_indexes WHERE schemaname = 'app' ORDER BY 1`),
    triggers: await d.query(to, `SELECT tgrelid::regclass, tgname, pg_get_triggerdef(oid) FROM pg_trigger
      WHERE tgname NOT LIKE '!mirusync%' AND NOT tgisinternal
        AND tgrelid IN ('app.note'::regclass, 'app.tag'::regclass) ORDER BY 1, 2`),
    rights: await d.query(to, `SELECT relname, relacl FROM pg_class
      WHERE relnamespace = 'app'::regnamespace ORDER BY 1`),
  });
  const before = await look();
  assert.match(await d.error(to, 'DROP EXTENSION mirusync'), /2BP01: cannot drop extension mirusync/);
  await d.query(to, 'DROP EXTENSION mirusync CASCADE');
  assert.deepEqual(await look(), before);

  /* Nothing of ours is left in any catalog, but the schema that is in the control file. */
  assert.equal(await d.query(to, `SELECT tgname FROM pg_trigger WHERE tgname LIKE '!mirusync%'`), '');
  assert.equal(await d.query(to, 'SELECT evtname FROM pg_event_trigger'), '');
  assert.equal(await d.query(to, `SELECT pg_describe_object(classid, objid, objsubid)
    FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'mirusync'::regnamespace`), '');
  assert.equal(await d.query(to, `SELECT classid::regclass, objid FROM pg_shdepend s
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pg_describe_object(classid, objid, objsubid) ~ 'mirusync' AND classid <> 'pg_namespace'::regclass`), '');
  /* In one session too, which has the library loaded: writes go on, untouched. */
  await d.query(to, `INSERT INTO app.note (owner, id) VALUES ('anna', '00000000-0000-0000-0000-000000000401')`);
  await d.query(to, `CREATE EXTENSION mirusync; SELECT mirusync.attach('app.note', feed => 'owner')`);
  await d.query(to, `UPDATE app.note SET stars = 2 WHERE owner = 'ben'`);
  assert.equal((await d.heads(to)).ben, 2);
  assert.equal(await d.query(to, `INSERT INTO app.tag VALUES (1, 'x', 'y', 1);
    DROP EXTENSION mirusync CASCADE;
    UPDATE app.note SET stars = 3 WHERE owner = 'ben' RETURNING stars`), '3');
});
