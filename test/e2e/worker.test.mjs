/*
 * worker.test.mjs
 *     The background worker rings for those who write with SQL, after they
 *     have committed, and is in nobody's way.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import pg from 'pg';
import { newUser, Stack, useStack, waitUntil } from './harness.mjs';

const PRELOADED = { shared_preload_libraries: 'mirusync' };

/* The poll would hide a doorbell that does not ring. */
const s = useStack({
  postgres: { ...PRELOADED, log_statement: 'all' },
  relay: { heads_poll_interval: '1h' },
});

const put = (feed, key = '1') => [
  "SELECT mirusync.put($1, 'logbook_entry', $2, jsonb_build_object('id', $2::text, 'notes', $1::text))", [feed, key]];

async function connect(database = s.stack.database, stack = s.stack) {
  const client = new pg.Client({ host: '127.0.0.1', port: stack.pgPort, user: stack.user,
    password: stack.password, database });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/* withClients runs something with connections that are closed afterwards. */
async function withClients(databases, run) {
  const clients = [];
  try {
    for (const database of databases)
      clients.push(await connect(database));
    return await run(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => {})));
  }
}

const statusOf = async (client) =>
  (await client.query('SELECT * FROM mirusync.worker_status()')).rows[0];

/* status may be asked for while the server is restarting. */
async function status(database = s.stack.database) {
  const client = await connect(database);
  try {
    return await statusOf(client);
  } finally {
    await client.end();
  }
}

/* running waits for a worker, that is not the given one, and returns its status. */
const running = (database, not) => waitUntil(async () => {
  const now = await status(database).catch(() => null);
  return now?.state === 'running' && now.pid !== not && now;
}, { what: 'a worker', timeout: 20000 });

const workers = async (database) => Number((await s.query(
  `SELECT count(*) FROM pg_stat_activity
   WHERE backend_type = 'mirusync worker' AND datname = $1`, [database]))[0].count);

/* listen gathers all rings that the connection hears: [{processId, payload}]. */
async function listen(client) {
  const rings = [];
  client.on('notification', (ring) => rings.push(ring));
  for (let shard = 0; shard < 16; shard++)
    await client.query(`LISTEN mirusync_${shard}`);
  return rings;
}

const pidOf = async (client) => (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
const hashOf = async (feed) => (await s.query('SELECT mirusync.doorbell_hash($1) AS hash', [feed]))[0].hash;

const ringOf = (rings, hash) => waitUntil(() => rings.find((ring) => ring.payload.includes(hash)),
  { what: 'a ring' });

async function setStandbys(names) {
  await s.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
  await s.query('SELECT pg_reload_conf()');
  await waitUntil(async () => (await s.query('SHOW synchronous_standby_names'))[0]
    .synchronous_standby_names === names, { what: 'the setting' });
}

/*
 * whileNobodyCanNotify runs something while a commit that notifies is waiting
 * for a standby that there is not, and has the lock of those who notify.
 */
async function whileNobodyCanNotify(run) {
  const blocker = await connect();
  await blocker.query('CREATE TABLE IF NOT EXISTS blocker (n int)');
  await setStandbys('nobody');
  let commit;
  try {
    await blocker.query('BEGIN; INSERT INTO blocker VALUES (1); NOTIFY other');
    const pid = await pidOf(blocker);
    commit = blocker.query('COMMIT');
    await waitUntil(async () => (await s.query(
      "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'", [pid])).length,
    { what: 'the commit to wait' });
    return await run();
  } finally {
    await setStandbys('');
    await commit;
    await blocker.end();
  }
}

s.test('a change by SQL is rung by the worker, and not by who commits it', async () => {
  const user = newUser();
  const device = await s.live(user);
  const { pid } = await running();
  await withClients([undefined, undefined], async (listener, writer) => {
    const rings = await listen(listener);
    await writer.query(...put(user));
    const arrived = await device.event('ENTRY_CREATED');
    assert.equal(arrived.entry.notes, user);
    assert.equal((await ringOf(rings, await hashOf(user))).processId, pid);
    assert.equal(rings.length, 1);

    await writer.query('SET mirusync.doorbell = transaction');
    await writer.query(...put(user, '2'));
    await device.event('ENTRY_CREATED');
    await waitUntil(() => rings.length === 2, { what: 'a ring' });
    assert.equal(rings[1].processId, await pidOf(writer));

    /* Nothing is rung for what was not committed. */
    await writer.query('RESET mirusync.doorbell');
    const before = (await statusOf(writer)).rings;
    await writer.query('BEGIN');
    await writer.query(...put(user, '3'));
    await writer.query('ROLLBACK');
    await writer.query(...put(user, '4'));
    assert.equal((await device.event('ENTRY_CREATED')).entry.id, '4');
    /* It counts a ring when that has committed, which the device may hear first. */
    await waitUntil(async () => Number((await statusOf(writer)).rings) > Number(before),
      { what: 'the ring to be counted' });
    assert.equal(Number((await statusOf(writer)).rings), Number(before) + 1);
  });
});

s.test('the bell rings when the commit is there to be seen', async () => {
  const user = newUser();
  const device = await s.live(user);
  const before = await running();
  await withClients([undefined], async (writer) => {
    await writer.query('SET synchronous_commit = on');
    await setStandbys('nobody');
    let commit;
    try {
      commit = writer.query(...put(user));
      await waitUntil(async () => (await s.query(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")).length,
      { what: 'the commit to wait' });
      await device.quiet();
      assert.equal((await status()).rings, before.rings);
    } finally {
      await setStandbys('');
      await commit;
    }
    await device.event('ENTRY_CREATED');
  });
});

s.test('commits do not wait for who notifies, and share rings', async () => {
  const users = Array.from({ length: 50 }, () => newUser());
  /* What is set for the users of a database is not for its worker. */
  await s.query(`ALTER DATABASE ${s.stack.database} SET lock_timeout = '1ms'`);
  const { pid } = await running();
  await s.query('SELECT pg_terminate_backend($1, 5000)', [pid]);
  const before = await running(undefined, pid);
  await s.query(`ALTER DATABASE ${s.stack.database} RESET lock_timeout`);
  const device = await s.live(users[49]);
  await withClients([undefined], async (writer) => {
    await writer.query('SET synchronous_commit = local');
    await whileNobodyCanNotify(async () => {
      for (const user of users) {
        await writer.query(...put(user));
        await writer.query(...put(user, '2'));
      }
      const { waiting, rings } = await statusOf(writer);
      assert.ok(waiting >= 49, `${waiting} feeds wait`);
      assert.equal(rings, before.rings);
    });
    await device.event('ENTRY_CREATED');
    const after = await waitUntil(async () => {
      const now = await statusOf(writer);
      return now.waiting === 0 && Number(now.feeds) >= Number(before.feeds) + 50 && now;
    }, { what: 'all to be rung' });
    assert.equal(Number(after.rings), Number(before.rings) + 2);
    assert.ok(Number(after.feeds) <= Number(before.feeds) + 51);
  });
});

/* configure sets something for the whole server, null: back. */
async function configure(name, value) {
  await s.query(value === null ? `ALTER SYSTEM RESET ${name}` : `ALTER SYSTEM SET ${name} = '${value}'`);
  await s.query('SELECT pg_reload_conf()');
}

/* fill makes a feed of so many old changes, of which retention keeps one. */
async function fill(feed, count) {
  await s.query(
    `SELECT count(mirusync.put($1, 'logbook_entry', '1', jsonb_build_object('n', 0)))`, [feed]);
  for (let i = 1; i < count; i++)
    await s.query("SELECT mirusync.patch($1, 'logbook_entry', '1', jsonb_build_object('n', $2::int))", [feed, i]);
  await s.query("SELECT mirusync.set_retention('logbook_entry', history_count => 1)");
}

const kept = async (feed) => Number((await s.query(
  'SELECT count(*) FROM mirusync.change_log WHERE feed = $1', [feed]))[0].count);

const trimmer = async () => (await s.query(
  "SELECT pid, wait_event_type FROM pg_stat_activity WHERE backend_type = 'mirusync trimmer'"))[0];

s.test('the worker has retention done, while it rings', async () => {
  const user = newUser();
  const device = await s.live(user);
  await running();
  await fill(user, 5);
  await withClients([undefined, undefined], async (holder, writer) => {
    /* Somebody is in the middle of writing to the feed: trimming waits, rings do not. */
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM mirusync.feed WHERE feed = $1 FOR UPDATE', [user]);
    await configure('mirusync.trim_interval', '1s');
    const waiting = await waitUntil(async () => (await trimmer())?.wait_event_type === 'Lock' && trimmer(),
      { what: 'trimming to wait' });
    const other = newUser();
    const hears = await s.live(other);
    await writer.query(...put(other));
    await hears.event('ENTRY_CREATED');
    const during = await status();
    assert.equal(during.trim_ended_at, null);
    assert.ok(during.trim_started_at <= during.trim_next);

    /* Cut off: it says so, and the next one does it. */
    await s.query('SELECT pg_terminate_backend($1)', [waiting.pid]);
    const cut = await waitUntil(async () => {
      const now = await status();
      return now.trim_failed_at && now;
    }, { what: 'the end' });
    assert.match(cut.trim_error ?? '', /^(it was terminated)?$/);
    assert.equal(await kept(user), 5);
    await waitUntil(async () => (await trimmer())?.pid !== waiting.pid && trimmer(), { what: 'the next one' });
    await holder.query('COMMIT');
  });
  await waitUntil(async () => await kept(user) === 1, { what: 'history to be trimmed' });
  const done = await waitUntil(async () => {
    const now = await status();
    return now.trim_ended_at && now.trim_error === null && now;
  }, { what: 'the end of a run' });
  assert.ok(done.trim_next > done.trim_started_at);
  await device.event('ENTRY_CREATED');
});

s.test('trimming that fails says why, and others go on', async () => {
  const user = newUser();
  await fill(user, 3);
  await s.query("INSERT INTO mirusync.retention VALUES ('broken', '170000000 years')");
  const failed = await waitUntil(async () => {
    const now = await status();
    return now.trim_error && now;
  }, { what: 'the error' });
  assert.match(failed.trim_error, /out of range/);
  assert.equal(failed.state, 'running');
  await s.query("DELETE FROM mirusync.retention WHERE collection = 'broken'");
  await waitUntil(async () => await kept(user) === 1, { what: 'history to be trimmed' });
  await configure('mirusync.trim_interval', null);
});

s.test('more feeds than can be kept are a ring for all', async () => {
  const user = newUser();
  const device = await s.live(user);
  const before = await running();
  await withClients([undefined, undefined], async (listener, writer) => {
    const rings = await listen(listener);
    await writer.query(`INSERT INTO mirusync.document (feed, collection, id, data)
      SELECT CASE n WHEN 1500 THEN $1 ELSE 'crowd-' || n END, 'logbook_entry', 'x', '{"id": "x"}'
      FROM generate_series(1, 1500) n`, [user]);
    await device.event('ENTRY_CREATED');
    await waitUntil(() => rings.length >= 16, { what: 'all channels' });
    assert.deepEqual(rings.map((ring) => ring.payload), Array(16).fill('*'));
    assert.equal(new Set(rings.map((ring) => ring.channel)).size, 16);
    assert.equal(Number((await statusOf(writer)).overflows), Number(before.overflows) + 1);
    /* Then it counts again. */
    await writer.query(...put(user, 'y'));
    await device.event('ENTRY_CREATED');
    assert.equal((await ringOf(rings, await hashOf(user))).processId, before.pid);
  });
});

s.test('a worker that ends comes back, and what it had taken is rung', async () => {
  const user = newUser();
  const device = await s.live(user);
  const before = await running();
  await withClients([undefined, undefined], async (listener, writer) => {
    const rings = await listen(listener);
    await writer.query('SET synchronous_commit = local');
    await whileNobodyCanNotify(async () => {
      await writer.query(...put(user));
      await waitUntil(async () => (await s.query(
        "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'", [before.pid])).length,
      { what: 'the worker to have taken it' });
      await writer.query('SELECT pg_terminate_backend($1, 5000)', [before.pid]);
      const now = await statusOf(writer);
      assert.notEqual(now.pid, before.pid);
      assert.ok(now.failed_at > before.started_at);
    });
    await device.event('ENTRY_CREATED');
    await waitUntil(() => rings.length === 16, { what: 'a ring for all' });
    assert.deepEqual(new Set(rings.map((ring) => ring.payload)), new Set(['*']));
    const after = await running(undefined, before.pid);
    assert.equal(Number(after.restarts), Number(before.restarts) + 1);
  });
});

s.test('without a worker whoever commits rings', async () => {
  const user = newUser();
  const device = await s.live(user);
  const { pid } = await running();
  await withClients([undefined, undefined], async (listener, writer) => {
    const rings = await listen(listener);
    await writer.query('SELECT pg_terminate_backend($1, 5000)', [pid]);
    /* It is put off for a second after its end. */
    await writer.query(...put(user));
    await device.event('ENTRY_CREATED');
    const ring = await ringOf(rings, await hashOf(user));
    assert.equal(ring.processId, await pidOf(writer));
  });
  await running(undefined, pid);
});

s.test('a launcher that ends comes back', async () => {
  const [{ pid }] = await s.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'mirusync launcher'");
  const worker = await running();
  await s.query('SELECT pg_terminate_backend($1, 5000)', [pid]);
  await waitUntil(async () => (await s.query(
    "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'mirusync launcher' AND pid <> $1", [pid])).length,
  { what: 'a launcher', timeout: 20000 });
  assert.equal((await running()).pid, worker.pid);
  await s.query('SELECT pg_terminate_backend($1, 5000)', [worker.pid]);
  await running(undefined, worker.pid);
});

s.test('a worker comes with the extension and goes with it', async () => {
  await s.query('CREATE DATABASE coming');
  await withClients(['coming'], async (client) => {
    await client.query('CREATE EXTENSION mirusync');
    const { pid } = await running('coming');
    await client.query('BEGIN; DROP EXTENSION mirusync; ROLLBACK');
    assert.equal((await running('coming')).pid, pid);
    await client.query('DROP SCHEMA mirusync CASCADE');
    await waitUntil(async () => await workers('coming') === 0, { what: 'the worker to go' });
    await client.query('CREATE EXTENSION mirusync');
    await running('coming', pid);
  });
  await s.query('DROP DATABASE coming');
});

s.test('commands that need the database for themselves get it', async () => {
  await s.query('CREATE DATABASE busy');
  await withClients(['busy'], (client) => client.query('CREATE EXTENSION mirusync'));
  await running('busy');

  await s.query('CREATE DATABASE copy TEMPLATE busy');
  const { pid } = await running('busy');
  /* The copy's worker is asked for by the first who writes. */
  await withClients(['copy'], async (client) => {
    await client.query("SELECT mirusync.create_collection('c')");
    await client.query("SELECT mirusync.put('f', 'c', '1', '{}')");
    await running('copy');
  });

  await s.query('BEGIN; ALTER DATABASE busy RENAME TO renamed; ROLLBACK');
  const { pid: second } = await running('busy', pid);
  await s.query('ALTER DATABASE busy RENAME TO renamed');
  await running('renamed', second);

  await withClients([undefined], async (client) => {
    await client.query('SET allow_in_place_tablespaces = on');
    await client.query("CREATE TABLESPACE spare LOCATION ''");
  });
  await s.query('ALTER DATABASE renamed SET TABLESPACE spare');

  /* Who may not run the command does not get that far. */
  await s.query('CREATE ROLE stranger');
  await s.query('CREATE ROLE maker CREATEDB');
  const { pid: third } = await running('renamed');
  await withClients([undefined], async (client) => {
    await client.query('SET ROLE stranger');
    for (const sql of ['DROP DATABASE renamed', 'ALTER DATABASE renamed RENAME TO x',
      'CREATE DATABASE x TEMPLATE renamed'])
      await assert.rejects(client.query(sql), { code: '42501' });
    await client.query('RESET ROLE');
    await client.query('SET ROLE maker');
    await assert.rejects(client.query('CREATE DATABASE x TEMPLATE renamed'), { code: '42501' });
  });
  assert.equal((await running('renamed')).pid, third);

  await s.query('DROP DATABASE renamed');
  await s.query('DROP DATABASE copy');
  assert.doesNotMatch(await s.stack.logs(), /FATAL: .*database .* does not exist/);
});

s.test('each database has its own worker', async () => {
  await s.query('CREATE DATABASE second');
  await withClients(['second', 'second'], async (listener, writer) => {
    await writer.query('CREATE EXTENSION mirusync');
    await writer.query("SELECT mirusync.create_collection('c')");
    const there = await running('second');
    const here = await running();
    const rings = await listen(listener);
    await writer.query("SELECT mirusync.put('f', 'c', '1', '{}')");
    await waitUntil(() => rings.length === 1, { what: 'a ring' });
    assert.equal(rings[0].processId, there.pid);
    assert.equal((await status()).rings, here.rings);
  });
});

s.test('of strangers who ring for all a relay takes little notice', async () => {
  const device = await s.live(newUser());
  const heads = async () =>
    (await readFile(s.stack.pgLogPath, 'utf8')).match(/execute heads:/g)?.length ?? 0;
  const before = await heads();
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  while (seconds() < 1)
    await s.query("SELECT pg_notify('mirusync_0', '*')");
  await waitUntil(async () => await heads() > before, { what: 'the heads to be read' });
  assert.ok(await heads() - before <= seconds() + 2);
  await device.quiet();
});

s.test('workers come back with the server', async () => {
  const user = newUser();
  const before = await running();
  await s.stack.stopPostgres();
  await s.stack.startPostgres();
  /* Nobody has written: they were looked for. */
  const after = await running(undefined, before.pid);
  await running('second');
  assert.equal(await workers('postgres'), 0);

  process.kill(after.pid, 'SIGKILL');
  await running(undefined, after.pid);
  const device = await s.live(user);
  await withClients([undefined, undefined], async (listener, writer) => {
    const rings = await listen(listener);
    await writer.query(...put(user));
    await device.event('ENTRY_CREATED');
    assert.equal((await ringOf(rings, await hashOf(user))).processId, (await running()).pid);
  });
});

s.test('trimming goes on after a crash in the middle of it', async () => {
  const user = newUser();
  const { pid } = await running();
  const holder = await connect();
  await holder.query('BEGIN');
  await fill(user, 4);
  await holder.query('SELECT 1 FROM mirusync.feed WHERE feed = $1 FOR UPDATE', [user]);
  await configure('mirusync.trim_interval', '1s');
  const waiting = await waitUntil(async () => (await trimmer())?.wait_event_type === 'Lock' && trimmer(),
    { what: 'trimming to wait' });
  process.kill(waiting.pid, 'SIGKILL');
  /* The server starts anew, and everything in its memory is gone. */
  await running(undefined, pid);
  await waitUntil(async () => await kept(user) === 1, { what: 'history to be trimmed', timeout: 20000 });
  const now = await status();
  assert.equal(now.trim_failed_at, null);
  assert.ok(now.trim_rows >= 0);
  await configure('mirusync.trim_interval', null);
  await s.query("SELECT mirusync.set_retention('logbook_entry')");
});

test('where no process is to be had, whoever commits rings', async () => {
  /* One is the launcher for logical replication, one is ours. */
  const stack = await Stack.start({ relays: 0, postgres: { ...PRELOADED, max_worker_processes: 2 } });
  try {
    const client = await connect(stack.database, stack);
    const rings = await listen(client);
    for (let i = 0; i < 3; i++) {
      await client.query(...put('f', `${i}`));
      await waitUntil(() => rings.length === i + 1, { what: 'a ring' });
      assert.equal(rings[i].processId, await pidOf(client));
    }
    assert.equal((await statusOf(client)).state, 'not running');
    await client.end();
    const log = await stack.logs();
    assert.equal(log.match(/could not start a mirusync worker/g)?.length, 1, log);
  } finally {
    await stack.stop();
  }
});
