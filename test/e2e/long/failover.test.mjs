/*
 * failover.test.mjs
 *     How the relay reaches its database: TLS that is verified, several hosts
 *     of which one is dead and silent, and a standby that is promoted under
 *     devices that write.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { chown, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import pg from 'pg';
import { makeCertificate } from '../certificate.mjs';
import { createClients } from '../client.mjs';
import {
  created, entry, http, isAnswer, newUser, sleep, Stack, useStack, waitUntil,
} from '../harness.mjs';

const s = useStack({ relays: 0 });
const clients = createClients(s);

s.test('TLS to PostgreSQL, verified in full', async (t) => {
  const server = await makeCertificate(s.stack.dir, 'server');
  const stranger = await makeCertificate(s.stack.dir, 'stranger');
  /* PostgreSQL wants its key for itself. */
  const { uid, gid } = await stat(s.stack.dataDir);
  for (const [from, to] of [[server.crt, 'server.crt'], [server.key, 'server.key']]) {
    await writeFile(`${s.stack.dataDir}/${to}`, await readFile(from), { mode: 0o600 });
    await chown(`${s.stack.dataDir}/${to}`, uid, gid);
  }
  await s.query("ALTER SYSTEM SET ssl = 'on'");
  await s.query('SELECT pg_reload_conf()');
  await s.query("ALTER ROLE mirusync_relay PASSWORD 'secret'");
  const conninfo = (host, root) => `host=${host} hostaddr=127.0.0.1 port=${s.stack.pgPort} user=mirusync_relay`
    + ` password=secret dbname=mirusync sslmode=verify-full sslrootcert=${root} sslcert=${s.stack.dir}/none`;

  const relay = await s.stack.addRelay({ database: conninfo('localhost', server.crt) });
  const user = newUser();
  const device = await s.live(user, { relay });
  await device.push(created(entry()));
  const rows = await s.query(`SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
    WHERE usename = 'mirusync_relay'`);
  assert.ok(rows.length >= 4 && rows.every((row) => row.ssl), 'every connection is encrypted');
  await relay.stop();

  for (const [what, database] of [
    ['a root that did not sign it', conninfo('localhost', stranger.crt)],
    ['a host of another name', conninfo('db.example.org', server.crt)],
  ])
    await t.test(`${what} is refused`, async () => {
      const other = await s.stack.addRelay({ database }, { ready: false });
      await waitUntil(() => /database connection lost connection=listener/.test(other.log));
      assert.equal((await http(other, '/ready')).status, 503);
      assert.ok(!/database connected/.test(other.log));
      await other.stop();
    });
});

s.test('a host that takes connections and says nothing is not waited for again and again', async (t) => {
  const sockets = [];
  const silent = createServer((socket) => sockets.push(socket));
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets)
      socket.destroy();
    silent.close();
  });
  const relay = await s.stack.addRelay({
    database: `host=127.0.0.1,${s.stack.socketDir} port=${silent.address().port},${s.stack.pgPort}`
      + ' user=mirusync_relay dbname=mirusync connect_timeout=1 target_session_attrs=read-write',
  }, { ready: false });
  await waitUntil(async () => (await http(relay, '/ready')).status === 200, { what: 'the other host' });
  assert.ok(sockets.length >= 1, 'it was tried');
  await (await s.live(newUser(), { relay })).push(created(entry()));
  await relay.stop();
});

s.test('the standby is promoted: nothing acknowledged is lost, sessions go on', async (t) => {
  await clients.prepare();
  const standby = await Stack.start({ standbyOf: s.stack });
  t.after(() => standby.stop());
  /* Only what the standby has too is acknowledged. */
  await s.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
  await s.query('SELECT pg_reload_conf()');
  await waitUntil(async () => (await s.query(
    "SELECT count(*)::int AS n FROM pg_stat_replication WHERE sync_state = 'sync'"))[0].n === 1,
  { what: 'the standby to be synchronous' });
  const relay = await s.stack.addRelay({
    database: `host=${s.stack.socketDir},${standby.socketDir} port=${s.stack.pgPort},${standby.pgPort}`
      + ' user=mirusync_relay dbname=mirusync target_session_attrs=read-write',
    push_wait_max: '20s',
  });
  const user = newUser('fail');
  const device = await s.live(user, { relay });
  const witness = await s.live(user, { relay });
  const client = await clients.connected(user, { relay });
  const made = [];
  const acknowledged = [];
  let stopped = false;
  t.after(async () => {
    stopped = true;
    device.terminate();
    await clients.closeAll();
  });
  const writing = Promise.all([
    (async () => {
      while (!stopped) {
        const e = entry();
        for (;;) {
          device.send(created(e));
          const answer = (await device.until(isAnswer, 'an answer', 40000)).at(-1);
          if (answer.type === 'SYNC_RESPONSE')
            break;
          assert.equal(answer.retryable, true);
          await sleep(50);
        }
        acknowledged.push(e.id);
        await sleep(5);
      }
    })(),
    (async () => {
      for (let n = 0; !stopped; n++) {
        made.push(`n${n}`);
        await client.note.put(`n${n}`, { text: `${n}` });
        await sleep(10);
      }
    })(),
  ]);

  await waitUntil(() => acknowledged.length > 20 && made.length > 20);
  await s.stack.stopPostgres('SIGQUIT');
  const before = acknowledged.length;
  await sleep(300);
  await standby.psql('SELECT pg_promote()');
  await waitUntil(() => acknowledged.length > before + 20, { timeout: 30000, what: 'writing to go on' });
  stopped = true;
  await writing;
  await waitUntil(() => client.status.unsent === 0 && client.status.caughtUp, { timeout: 20000 });

  const there = new pg.Client({ host: standby.socketDir, port: standby.pgPort, user: 'postgres', database: 'mirusync' });
  there.on('error', () => {}); /* the server ends first */
  await there.connect();
  t.after(() => there.end().catch(() => {}));
  const { rows } = await there.query(`SELECT collection || '/' || id AS key, count(*)::int AS times
    FROM mirusync.change_log WHERE feed = $1 GROUP BY 1`, [user]);
  const times = new Map(rows.map((row) => [row.key, row.times]));
  for (const id of acknowledged)
    assert.equal(times.get(`logbook_entry/${id}`), 1, 'what was acknowledged is there, once');
  for (const id of made)
    assert.equal(times.get(`note/${id}`), 1, `${id} is there, once`);
  await waitUntil(() => new Set(witness.events.flatMap((m) => m.entries ?? [m.entry]).map((e) => e.id)).size
    >= acknowledged.length, { what: 'the other device to have it all' });
  await waitUntil(() => client.note.list().length === made.length);
  assert.equal(device.closed, null);
  assert.equal(witness.closed, null);
  assert.equal(client.rejected.length, 0);
  clients.sound();
}, { timeout: 90000 });
