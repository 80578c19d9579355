/*
 * upgrade.test.mjs
 *     From the first version to this one: the updated extension is the same,
 *     object for object, as one made anew, and goes on where the old one was.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import pg from 'pg';
import { file, useDatabases } from './databases.mjs';
import { checkSynced } from './synced.mjs';

const d = useDatabases();

const current = async () => /^default_version *= *'(.*)'/m
  .exec(await readFile(file('../../mirusync.control'), 'utf8'))[1];

/* except gives what only one of two lists has. */
const except = (a, b) => a.filter((line) => !b.includes(line));

async function assertSameObjects(one, other) {
  const a = await d.fingerprint(one);
  const b = await d.fingerprint(other);
  assert.ok(a.length > 200, 'the fingerprint sees something');
  const differing = [...except(a, b).map((line) => `${one}: ${line}`),
    ...except(b, a).map((line) => `${other}: ${line}`)];
  assert.ok(differing.length === 0, differing.join('\n'));
}

test('an updated extension is a fresh one, object for object', async () => {
  await d.updated('updated');
  await d.fresh('fresh');
  assert.equal(await d.query('updated', `SELECT extversion FROM pg_extension WHERE extname = 'mirusync'`),
    await current());
  /* The content grants, so both have the same. */
  await assertSameObjects('updated', 'fresh');
});

test('so it is without content', async () => {
  await d.create('updated_empty');
  await d.query('updated_empty', `CREATE EXTENSION mirusync VERSION '0.1.0'`);
  await d.query('updated_empty', 'ALTER EXTENSION mirusync UPDATE');
  await d.create('fresh_empty');
  await d.query('fresh_empty', 'CREATE EXTENSION mirusync');
  await assertSameObjects('updated_empty', 'fresh_empty');
});

test('the comparison sees what is different', async () => {
  await d.query('updated_empty', `COMMENT ON COLUMN mirusync.feed.head IS 'other'`);
  await d.query('updated_empty', 'GRANT SELECT ON mirusync.feed TO upgrade_app');
  const differing = except(await d.fingerprint('updated_empty'), await d.fingerprint('fresh_empty'));
  assert.deepEqual(differing.map((line) => JSON.parse(line).name), ['mirusync.feed.head', 'mirusync.feed']);
});

test('the update keeps every row', async () => {
  await d.old('rows');
  const columns = await d.columns('rows');
  /* An epoch was a text, and is a number now. */
  columns.feed = 'feed,head,floor,changed_at';
  const before = await d.rows('rows', columns);
  assert.notEqual(before.verdict, '');
  await d.query('rows', 'ALTER EXTENSION mirusync UPDATE');
  assert.deepEqual(await d.rows('rows', columns), before);
});

test('devices go on after the update', async () => {
  await checkSynced(d, 'updated');
  await checkSynced(d, 'fresh');
});

test('until the update the library refuses to work, and says what to do', async () => {
  await d.old('waiting');
  for (const sql of [`UPDATE app.note SET stars = 1`, `SELECT mirusync.pull('anna', 'anna')`,
    `SELECT mirusync.put('anna', 'page', '1', '{}')`, `SELECT mirusync.detach('app.note')`]) {
    const error = await d.error('waiting', sql);
    assert.match(error, /55000: extension "mirusync" is version 0\.1\.0, but its library is/);
    assert.match(error, /HINT: {2}Run ALTER EXTENSION mirusync UPDATE/);
  }
  assert.equal((await d.heads('waiting')).anna, (await d.heads('rows')).anna);
  /* In the same session it works at once. */
  assert.equal(await d.query('waiting', `DO $$ BEGIN
      UPDATE app.note SET stars = 1;
    EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL; END $$;
    ALTER EXTENSION mirusync UPDATE;
    UPDATE app.note SET stars = 9 WHERE owner = 'ben' RETURNING stars`), '9');
});

test('a function of 0.1.0 fails cleanly with the library of today', async () => {
  await d.create('calls');
  await d.query('calls', `CREATE EXTENSION mirusync VERSION '0.1.0'`);
  const calls = (await d.query('calls', `SELECT format('SELECT %s(%s)', p.oid::regproc,
      (SELECT string_agg(CASE
          WHEN t = 'regclass'::regtype THEN quote_literal('mirusync.document')
          WHEN t = 'regrole'::regtype THEN quote_literal('postgres')
          WHEN t = 'jsonb'::regtype THEN quote_literal('{}')
          WHEN t = 'boolean'::regtype THEN 'true'
          WHEN t IN ('bigint'::regtype, 'integer'::regtype) THEN '1'
          WHEN t = 'timestamptz'::regtype THEN 'now()'
          WHEN t = 'text[]'::regtype THEN quote_literal('{a}')
          WHEN t = 'mirusync.hlc'::regtype THEN quote_literal('2026-01-01T00:00:00Z')
          ELSE quote_literal('a') END || '::' || format_type(t, NULL), ', ')
        FROM unnest(p.proargtypes) t))
    FROM pg_proc p WHERE p.pronamespace = 'mirusync'::regnamespace
      AND NOT 'internal'::regtype = ANY (p.proargtypes) AND NOT 'cstring'::regtype = ANY (p.proargtypes)
    ORDER BY 1`)).split('\n');
  assert.ok(calls.length > 30);
  for (const sql of calls) {
    const error = await d.error('calls', sql);
    assert.doesNotMatch(error, /server closed|could not find function|XX000/, sql);
  }
});

test('ALTER EXTENSION UPDATE is one transaction', async () => {
  await d.create('undone');
  await d.query('undone', `CREATE EXTENSION mirusync VERSION '0.1.0'`);
  const before = await d.fingerprint('undone');
  await d.query('undone', 'BEGIN; ALTER EXTENSION mirusync UPDATE; ROLLBACK');
  assert.deepEqual(await d.fingerprint('undone'), before);
  /* A session that worked with the new version does not go on with the old one. */
  assert.match(await d.error('undone', `BEGIN; ALTER EXTENSION mirusync UPDATE;
    SELECT mirusync.pull('a', 'a'); ROLLBACK; SELECT mirusync.pull('b', 'b')`), /is version 0\.1\.0/);
});

test('a session notices that a newer version came', async () => {
  /* What the next update script does: the version, and a touch of the registry. */
  const update = (version) => `UPDATE pg_extension SET extversion = ${version} WHERE extname = 'mirusync';
    UPDATE mirusync.attached SET relation = relation WHERE false`;
  assert.match(await d.error('fresh_empty', `SELECT mirusync.pull('a', 'a'); ${update(`'99.0.0'`)};
      SELECT mirusync.pull('a', 'a')`),
    /55000: extension "mirusync" is version 99\.0\.0, but its library is/);
  const patch = (number) => update(`regexp_replace(extversion, '[0-9]+$', '${number}')`);
  assert.match(await d.query('fresh_empty', `${patch(99)}; SELECT mirusync.pull('a', 'a') -> 'head'`), /^0$/m,
    'patch versions mix');
  await d.query('fresh_empty', patch(0));
});

/* symbols gives the link symbols of our C functions, but for those of hlc, which knows no tables. */
const symbols = async (database) => (await d.query(database, `SELECT prosrc FROM pg_proc p
    JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c'
  WHERE pronamespace = 'mirusync'::regnamespace AND prosrc !~ '^mirusync_hlc_' ORDER BY 1`)).split('\n');

test('a session with the library of a former version finds no function of this one', async () => {
  const [major, minor] = (await current()).split('.');
  const now = await symbols('fresh_empty');
  assert.deepEqual(now.filter((name) => !name.endsWith(`_${major}_${minor}`)), [],
    'link symbols end with the version of the tables, see docs/upgrading.md');
  assert.deepEqual(await symbols('updated_empty'), now);
  const released = /^RELEASED *= *(.*)$/m.exec(await readFile(file('../../Makefile'), 'utf8'))[1].split(' ');
  assert.ok(released.length > 0);
  for (const version of released) {
    const script = await readFile(file(`../../sql/mirusync--${version}.sql`), 'utf8');
    const former = [...script.matchAll(/'MODULE_PATHNAME', '(\w+)'/g)].map((match) => match[1]);
    assert.ok(former.length > 20);
    assert.deepEqual(former.filter((name) => now.includes(name)), [], version);
  }
});

test('such a session gets an error, prepared statements too', async () => {
  await d.fresh('later');
  /* As an update to a later version does it, for this library is the old one then. */
  const update = `UPDATE pg_proc SET prosrc = regexp_replace(prosrc, '_\\d+_\\d+$', '_99_0')
    WHERE pronamespace = 'mirusync'::regnamespace AND prosrc !~ '^mirusync_hlc_'`;
  const prepare = `PREPARE star AS UPDATE app.note SET stars = 1; EXECUTE star;
    PREPARE page AS SELECT mirusync.pull('anna', 'anna') -> 'none'; EXECUTE page;
    UPDATE mirusync.collection SET pushable = pushable;`;
  for (const statement of ['EXECUTE star', 'EXECUTE page', 'UPDATE app.note SET stars = 2',
    `SELECT mirusync.put('anna', 'page', '1', '{}')`, 'UPDATE mirusync.collection SET pushable = true',
    `SELECT * FROM mirusync.push_many('{anna}', '{phone}', '{s}', '{batch}', '{"{}"}')`, 'CREATE TABLE app.x ()'])
    assert.match(await d.error('later', `${prepare} ${update}; ${statement}`),
      /42883: could not find function "mirusync_\w+_99_0" in file/, statement);
});

test('the update waits for those who have written and not committed', async () => {
  await d.old('writing');
  const { PGHOST: host, PGPORT: port, PGUSER: user } = d.stack.pgEnv;
  const writer = new pg.Client({ host, port, user, database: 'writing' });
  await writer.connect();
  try {
    for (const table of ['app.note', 'mirusync.document']) {
      await writer.query(`BEGIN; LOCK TABLE ${table} IN ROW EXCLUSIVE MODE`);
      const error = await d.error('writing', `SET lock_timeout = '100ms'; ALTER EXTENSION mirusync UPDATE`);
      assert.match(error, /55P03/);
      assert.match(error, new RegExp(`LOCK TABLE ${table.replace('mirusync.', '')} IN SHARE MODE`));
      await writer.query('ROLLBACK');
    }
  } finally {
    await writer.end();
  }
  await d.query('writing', 'ALTER EXTENSION mirusync UPDATE');
});

test('a dump of 0.1.0 from another server is another history from the update on', async () => {
  await d.old('restored');
  await d.old('in_place');
  /* The dump in data-0.1.0.sql has another server's identity. */
  await d.query('in_place', `UPDATE mirusync.feed SET epoch = (SELECT format('%s-%s', system_identifier, timeline_id)
    FROM pg_control_system(), pg_control_checkpoint())`);
  const { anna } = await d.heads('restored');
  const outcome = {};
  for (const database of ['in_place', 'restored']) {
    await d.query(database, 'ALTER EXTENSION mirusync UPDATE');
    /* Changes that the original's devices do not know, some of which have seen others there. */
    await d.query(database, `SELECT mirusync.put('anna', 'setting', 'theme', '{"n": 1}')`);
    await d.query(database, `SELECT mirusync.put('anna', 'setting', 'theme', '{"n": 2}')`);
    await d.query(database, `SELECT mirusync.put('anna', 'setting', 'theme', '{"n": 3}')`);
    await d.query(database, `SELECT mirusync.put('anna', 'setting', 'theme', '{"n": 4}')`);
    const pull = async (after) => d.query(database,
      `SELECT mirusync.pull('anna', 'anna', ${after}, epoch => 0) ->> 'after'`);
    outcome[database] = {
      epochs: await d.query(database, 'SELECT count(*) FROM mirusync.epoch'),
      behind: await pull(anna - 1),
      atHead: await pull(anna),
      sawMore: await pull(anna + 3),
    };
  }
  const known = { behind: String(anna - 1), atHead: String(anna) };
  assert.deepEqual(outcome, {
    in_place: { epochs: '1', ...known, sawMore: String(anna + 3) },
    restored: { epochs: '2', ...known, sawMore: '0' },
  });
});
