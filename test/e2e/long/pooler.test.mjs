/*
 * pooler.test.mjs
 *     PgBouncer between relays and database, with the example that we ship, in
 *     both of its modes: all but the doorbell's connections go through it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import {
  created, entry, freePort, isAnswer, metrics, newUser, useStack, waitUntil,
} from '../harness.mjs';
import { api, useNative } from '../native.mjs';

const s = useStack({ relays: 0 });
const native = useNative(s);
const example = await readFile(new URL('../../../contrib/pgbouncer/pgbouncer.ini', import.meta.url), 'utf8');

/* change replaces what must stand in the example. */
function change(text, changes) {
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `the example has ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

class Pooler {
  constructor(mode) {
    this.mode = mode;
    this.dir = `${s.stack.dir}/pooler-${mode}`;
  }

  async prepare() {
    this.port = await freePort();
    await mkdir(this.dir);
    await chmod(this.dir, 0o777);
    await writeFile(`${this.dir}/users`, '"mirusync_relay" "secret"\n', { mode: 0o644 });
    await writeFile(`${this.dir}/pgbouncer.ini`, change(example, [
      ['app = host=/var/run/postgresql port=5432 dbname=app',
        `app = host=${s.stack.socketDir} port=${s.stack.pgPort} dbname=mirusync`],
      ['listen_port = 6432', `listen_port = ${this.port}`],
      ['unix_socket_dir = /var/run/pgbouncer', `unix_socket_dir = ${this.dir}`],
      ['/etc/pgbouncer/userlist.txt', `${this.dir}/users`],
      ['pool_mode = transaction', `pool_mode = ${this.mode}`],
    ]), { mode: 0o644 });
    return this;
  }

  get conninfo() {
    return `host=${this.dir} port=${this.port} dbname=app user=mirusync_relay password=secret`;
  }

  async start() {
    const drop = process.getuid() === 0
      ? ['--reuid=postgres', '--regid=postgres', '--init-groups'] : [];
    this.child = spawn('setpriv', [...drop, '--pdeathsig=TERM', '--', 'pgbouncer', `${this.dir}/pgbouncer.ini`],
      { stdio: ['ignore', 'ignore', 'pipe'] });
    this.log = '';
    this.child.stderr.on('data', (data) => { this.log += data; });
    this.ended = new Promise((resolve) => this.child.once('exit', resolve));
    await waitUntil(() => / process up: /.test(this.log), { what: 'PgBouncer to start' })
      .catch((error) => { throw new Error(`${error.message}\n${this.log}`); });
  }

  async stop() {
    this.child.kill('SIGINT');
    const force = setTimeout(() => this.child.kill('SIGQUIT'), 1000);
    await this.ended;
    clearTimeout(force);
  }
}

for (const mode of ['transaction', 'session'])
  s.test(`pooling by ${mode}`, async (t) => {
    const pooler = await new Pooler(mode).prepare();
    await pooler.start();
    t.after(() => pooler.stop());
    const settings = {
      database: pooler.conninfo, database_direct: s.stack.relayConninfo, database_pooled: 1, writers: 1,
    };
    const relays = [
      await s.stack.addRelay({ ...settings, metrics_port: await freePort() }),
      await s.stack.addRelay({ ...settings, metrics_port: await freePort() }),
    ];
    t.after(() => Promise.all(relays.map((relay) => relay.stop())));
    const user = newUser();
    const device = await s.live(user, { relay: relays[0] });
    const phone = await native.live(user, { relay: relays[1] });

    await t.test('what is pushed arrives at once, at both relays', async () => {
      for (let i = 0; i < 20; i++) {
        const e = entry();
        await device.push(created(e));
        await waitUntil(() => phone.state.has(`logbook_entry/${e.id}`), { what: 'the entry at the phone' });
      }
      const e = entry({ id: 'phone' });
      assert.equal((await phone.put('logbook_entry', e.id, e))[0].verdict, 'applied');
      await device.event('ENTRY_CREATED', (m) => m.entry.id === 'phone');
      await s.query("SELECT mirusync.put($1, 'logbook_entry', 'sql', $2)", [user, entry({ id: 'sql' })]);
      await device.event('ENTRY_CREATED', (m) => m.entry.id === 'sql');
      for (const relay of relays)
        assert.equal((await metrics(relay))('doorbells_recovered_total'), 0, 'no poll was needed');
      assert.equal((await api(relays[0], user, '/sync/pull?after=0')).body.changes.length, 22);
      phone.sound();
    });

    await t.test('only the doorbell goes past it', async () => {
      const rows = await s.query(`SELECT application_name AS name, count(*)::int AS n FROM pg_stat_activity
        WHERE usename = 'mirusync_relay' GROUP BY 1`);
      const names = rows.map((row) => row.name.replace('mirusync relay ', ''));
      for (const name of ['listener', 'bell'])
        assert.equal(rows[names.indexOf(name)]?.n, 2, name);
      if (mode === 'transaction')
        assert.ok(rows.reduce((sum, row) => sum + row.n, 0) <= 4 + 2, 'two relays share what they do not use at once');
    });

    await t.test('the lock timeout counts there as well', async () => {
      const quick = await s.live(newUser(), { relay: relays[0] });
      const lock = await s.client();
      try {
        await lock.query('BEGIN');
        await lock.query('SELECT 1 FROM mirusync.feed WHERE feed = $1 FOR UPDATE', [user]);
        device.send(created(entry()));
        await quick.push(created(entry()));
        await waitUntil(async () => (await metrics(relays[0]))('slow_pushes_total') >= 1);
        await quick.push(created(entry()));
        await lock.query('COMMIT');
        assert.equal((await device.until(isAnswer)).at(-1).type, 'SYNC_RESPONSE');
        assert.equal((await s.query("SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'mirusync_relay'"
          + " AND state = 'idle in transaction'"))[0].n, 0);
      } finally {
        await lock.end();
      }
    });

    await t.test('PgBouncer is restarted under open sessions', async () => {
      await pooler.stop();
      device.send(created(entry({ id: 'meanwhile' })));
      await pooler.start();
      assert.equal((await device.until(isAnswer, 'an answer', 20000)).at(-1).type, 'SYNC_RESPONSE');
      await waitUntil(() => phone.state.has('logbook_entry/meanwhile'), { what: 'the entry at the phone' });
      assert.equal(device.closed, null);
      assert.equal(phone.closed, null);
      phone.sound();
    });
  });
