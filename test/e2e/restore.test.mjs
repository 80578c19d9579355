/*
 * restore.test.mjs
 *     An older backup, or a standby that lagged, takes the database's place.
 *     Devices that have seen more go on against it: in the end each has what
 *     the database has, and what they had not sent arrived exactly once.
 *
 * Two kinds of device.  A native one keeps a replica, a cursor with its epoch,
 * and an outbox, and speaks SQL as a server for devices would.  One of the
 * event dialect keeps the highest number that it saw, and nothing can tell it
 * to throw a record away: it must have every live record as it stands.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import pg from 'pg';
import {
  created, cursorOf, Device, entry, newUser, replica, Stack, syncRequest, updated, useStack,
  waitUntil,
} from './harness.mjs';

const s = useStack();

const SETUP = `
  SELECT mirusync.create_collection('note', rule => 'lww_field');
  CREATE TABLE task (owner text, id int, title text, PRIMARY KEY (owner, id));
  SELECT mirusync.attach('task', feed => 'owner');
  CREATE ROLE server LOGIN;
  GRANT EXECUTE ON FUNCTION mirusync.push(text, text, jsonb),
    mirusync.pull(text, text, bigint, int, int, bigint) TO server`;

/* connect gives a query function on a database, as a role. */
async function connect(t, stack, { database = 'mirusync', user = stack.user } = {}) {
  const client = new pg.Client({ host: stack.socketDir, port: stack.pgPort, user, database });
  client.on('error', () => {});
  await client.connect();
  t.after(() => client.end().catch(() => {}));
  return async (sql, parameters) => (await client.query(sql, parameters)).rows;
}

/*
 * Native: a device that keeps what the documentation asks it to keep.
 */
class Native {
  constructor(user, name) {
    this.user = user;
    this.name = name;
    this.replica = new Map();
    this.cursor = { number: 0, epoch: null, seen: null };
    this.outbox = [];
    this.number = 0;
    this.startedOver = 0;
  }

  /* edit notes a change of one field of a note, to be sent some time. */
  edit(id, field, value) {
    this.outbox.push({
      epoch: this.cursor.epoch,
      change: {
        number: ++this.number, kind: 'patch', collection: 'note', id,
        fields: { [field]: value }, base: this.cursor.number,
      },
    });
  }

  /* push sends what is in the outbox; a lost answer leaves it there. */
  async push(query, { answerLost = false } = {}) {
    for (const { epoch, change } of [...this.outbox]) {
      const [{ verdicts }] = await query('SELECT mirusync.push($1, $2, $3) AS verdicts',
        [this.user, this.name, { changes: [change], ...(epoch === null ? {} : { epoch }) }]);
      assert.match(verdicts.verdicts[0].verdict, /^(applied|merged|stale)$/);
      if (!answerLost)
        this.outbox = this.outbox.filter((item) => item.change !== change);
    }
  }

  /* page reads one page; true if it was the last. */
  async page(query, max = 500) {
    const [{ page }] = await query('SELECT mirusync.pull($1, $1, $2, $3, $4, $5) AS page',
      [this.user, this.cursor.number, max, this.cursor.epoch, this.cursor.seen]);
    if (page.start_over) {
      this.replica.clear();
      this.startedOver++;
    }
    for (const c of page.changes) {
      if (c.kind === 'delete')
        this.replica.delete(`${c.collection}/${c.id}`);
      else
        this.replica.set(`${c.collection}/${c.id}`, c.fields);
    }
    this.cursor = {
      number: page.upto, epoch: page.epoch ?? null, seen: page.complete ? null : page.head,
    };
    return page.complete;
  }

  async pull(query) {
    while (!await this.page(query))
      ;
  }

  async sync(query) {
    await this.push(query);
    await this.pull(query);
  }
}

/* stored is what the database has for a user, as a replica should. */
async function stored(query, user) {
  const rows = await query(`
    SELECT collection || '/' || id AS key, data FROM mirusync.document WHERE feed = $1
    UNION ALL
    SELECT 'task/' || id, to_jsonb(t) - 'owner' FROM task t WHERE owner = $1`, [user]);
  return new Map(rows.map((row) => [row.key, row.data]));
}

const sorted = (map) => Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));

async function assertSame(query, device) {
  assert.deepEqual(sorted(device.replica), sorted(await stored(query, device.user)),
    `${device.name} of ${device.user} differs from the database`);
}

/* times tells how often a value was written, as the history has it. */
async function times(query, user, value) {
  const [{ count }] = await query(`
    SELECT count(*)::int FROM mirusync.change_log
    WHERE feed = $1 AND EXISTS (SELECT FROM jsonb_each(new) WHERE value = to_jsonb($2::text))`,
  [user, value]);
  return count;
}

const put = (query, user, id, data) =>
  query('SELECT mirusync.put($1, $2, $3, $4)', [user, 'note', id, data]);

/*
 * The story, the same for both ways to lose a history: before() is what both
 * histories have, lost() what one had, after() goes on in the other.
 */
class Story {
  constructor() {
    this.users = ['anna', 'bert', 'carl', 'dora'].map((name) => newUser(name));
    this.devices = [];
    for (const name of ['seen-all', 'offline', 'unsent', 'unanswered', 'between', 'paging'])
      for (const user of this.users)
        this.devices.push(new Native(user, name));
    /* Of a feed that only the lost history had. */
    this.newcomer = new Native(newUser('newcomer'), 'seen-all');
  }

  all(name) { return this.devices.filter((device) => device.name === name); }

  async before(sql, api) {
    for (const user of this.users) {
      for (const id of ['a', 'b', 'c', 'd', 'e', 'f'])
        await put(sql, user, id, { text: id, of: 'before' });
      await sql('INSERT INTO task SELECT $1, i, $2 FROM generate_series(1, 3) i', [user, 'before']);
      await sql('SELECT mirusync.delete($1, $2, $3)', [user, 'note', 'f']);
    }
    for (const device of this.devices)
      if (device.name !== 'paging')
        await device.pull(api);
    for (const device of this.all('unanswered')) {
      device.edit('a', 'unanswered', 'before');
      await device.push(api, { answerLost: true });
    }
  }

  async lost(sql, api) {
    for (const device of this.all('unanswered')) {
      device.edit('b', 'unanswered', 'lost');
      await device.push(api, { answerLost: true });
    }
    for (const device of this.all('unsent'))
      device.edit('c', 'unsent', 'offline before');
    for (const user of this.users) {
      /* One page of those who catch up leaves out what is changed here. */
      await put(sql, user, 'a', { text: 'a', of: 'lost' });
      await put(sql, user, 'lost', { text: 'only there' });
      await sql('SELECT mirusync.delete($1, $2, $3)', [user, 'note', 'd']);
      await sql('UPDATE task SET title = $2 WHERE owner = $1 AND id = 1', [user, 'lost']);
      await sql('DELETE FROM task WHERE owner = $1 AND id = 2', [user]);
    }
    for (const device of this.all('between'))
      await device.pull(api);
    for (const device of this.all('paging'))
      assert.equal(await device.page(api, 2), false);
    for (const user of this.users) {
      await sql('INSERT INTO task SELECT $1, i, $2 FROM generate_series(10, 14) i', [user, 'lost']);
      await put(sql, user, 'b', { text: 'b', of: 'lost' });
    }
    for (const device of [...this.all('seen-all'), ...this.all('unsent')])
      await device.pull(api);
    for (const device of this.all('unsent')) {
      device.edit('c', 'late', 'based on the lost');
      device.edit('lost', 'late', 'to what is lost');
    }
    await put(sql, this.newcomer.user, 'x', { text: 'only there' });
    await put(sql, this.newcomer.user, 'y', { text: 'only there' });
    await this.newcomer.pull(api);
  }

  async after(sql, api) {
    const [anna, bert, carl] = this.users;
    /* Treacherous: the head passes every old cursor before they return. */
    for (let i = 0; i < 40; i++)
      await put(sql, anna, `after-${i % 8}`, { text: `after ${i}` });
    await sql('DELETE FROM task WHERE owner = $1 AND id = 3', [anna]);
    /* Bert's ends just where an old cursor stands. */
    const high = Math.max(...this.devices.filter((d) => d.user === bert)
      .map((d) => d.cursor.number));
    for (let head = 0, i = 0; head < high; i++) {
      await put(sql, bert, `after-${i % 3}`, { text: `after ${i}` });
      [{ head }] = await sql('SELECT head::int FROM mirusync.feed WHERE feed = $1', [bert]);
    }
    /* Of Carl's one change is there, and of Dora's none: pulls come first. */
    await put(sql, carl, 'after', { text: 'after' });
    for (const device of this.devices)
      if (device.user !== bert)
        await device.pull(api);
    for (const device of this.devices)
      await device.sync(api);
    await this.newcomer.sync(api);
    await put(sql, this.newcomer.user, 'z', { text: 'after' });
    for (const user of this.users)
      await put(sql, user, 'last', { text: 'after all' });
    for (const device of [...this.devices, this.newcomer])
      await device.sync(api);
  }

  async check(sql) {
    for (const device of [...this.devices, this.newcomer]) {
      assert.equal(device.outbox.length, 0);
      await assertSame(sql, device);
    }
    for (const user of this.users) {
      for (const value of ['before', 'lost'])
        assert.equal((await sql(`
          SELECT count(*)::int FROM mirusync.change_log
          WHERE feed = $1 AND device = 'unanswered' AND new ->> 'unanswered' = $2`,
        [user, value]))[0].count, 1, `${value} of ${user} arrived once`);
      for (const value of ['offline before', 'based on the lost', 'to what is lost'])
        assert.equal(await times(sql, user, value), 1, `${value} of ${user} arrived once`);
      assert.equal((await stored(sql, user)).get('note/c').unsent, 'offline before');
    }
    /* Only those start over who must. */
    for (const device of this.all('offline'))
      assert.equal(device.startedOver, 0, `offline device of ${device.user} started over`);
    for (const name of ['seen-all', 'between', 'paging'])
      for (const device of this.all(name))
        assert.equal(device.startedOver, 1, `${name} of ${device.user} started over`);
  }
}

/* entries are the live entries of a user, as events should have told them. */
async function entries(query, user) {
  const rows = await query(`SELECT 'logbook_entry/' || id AS key, data FROM mirusync.document
    WHERE feed = $1 AND collection = 'logbook_entry'`, [user]);
  return new Map(rows.map((row) => [row.key, row.data]));
}

/* assertHasAll: what the database has, the device has; it may have more. */
async function assertHasAll(query, user, state) {
  for (const [key, data] of await entries(query, user))
    assert.deepEqual({ ...state.get(key), updatedAt: 0 }, { ...data, updatedAt: 0 },
      `${key} of ${user}`);
}

const putEntry = (query, user, object) => query(
  'SELECT mirusync.put($1, $2, $3, $4)', [user, 'logbook_entry', object.id, object]);

s.test('an older backup is restored', async (t) => {
  const story = new Story();
  await s.query(SETUP);
  const sql = await connect(t, s.stack);
  await story.before(sql, await connect(t, s.stack, { user: 'server' }));

  /* Devices of the event dialect. */
  const users = [newUser('passed'), newUser('behind'), newUser('same')];
  const shared = entry();
  const states = new Map();
  const cursors = new Map();
  for (const user of users) {
    await putEntry(sql, user, shared);
    await putEntry(sql, user, entry());
  }

  const file = join(s.stack.dir, 'backup');
  await s.stack.tool('pg_dump', ['--format=custom', `--file=${file}`, 'mirusync']);

  await story.lost(sql, await connect(t, s.stack, { user: 'server' }));
  for (const user of users) {
    for (let i = 0; i < 5; i++)
      await putEntry(sql, user, entry({ notes: 'lost' }));
    await putEntry(sql, user, { ...shared, notes: 'lost' });
    const device = await s.open(user);
    const { messages, all } = await device.sync();
    states.set(user, replica(messages));
    cursors.set(user, cursorOf(all));
    assert.equal(cursors.get(user), 8);
    await device.close();
  }

  /* Into the same cluster: neither system identifier nor timeline are others. */
  await s.stack.psql('CREATE DATABASE restored', { database: 'postgres' });
  await s.stack.tool('pg_restore', ['--dbname=restored', '--exit-on-error', file]);
  const there = await connect(t, s.stack, { database: 'restored' });
  const api = await connect(t, s.stack, { database: 'restored', user: 'server' });
  const relay = await s.stack.addRelay({
    database: s.stack.relayConninfo.replace(/dbname=\w+/, 'dbname=restored'),
  });
  t.after(() => relay.stop());

  await t.test('native devices', async () => {
    await story.after(there, api);
    await story.check(there);
    assert.equal((await there('SELECT count(*)::int FROM mirusync.epoch'))[0].count, 2);
  });

  await t.test('event devices', async () => {
    const [passed, behind] = users;
    for (let i = 0; i < 20; i++)
      await putEntry(there, passed, entry({ notes: 'after' }));
    await putEntry(there, behind, entry({ notes: 'after' }));
    for (const user of users) {
      const device = await s.open(user, { relay });
      const { response } = await device.sync({ lastSeq: cursors.get(user) });
      const own = entry({ notes: 'own' });
      const number = await device.push(created(own));
      assert.ok(number > cursors.get(user), 'numbers move on');
      assert.ok(response.lastSeq > cursors.get(user) || user === users[2]);
      await putEntry(there, user, entry({ notes: 'live' }));
      await device.event('ENTRY_CREATED', (m) => m.entry.notes === 'live');
      const state = replica(device.messages, states.get(user));
      state.set(`logbook_entry/${own.id}`, (await entries(there, user)).get(
        `logbook_entry/${own.id}`));
      await assertHasAll(there, user, state);
      await device.close();
    }
  });
});

s.test('a standby that lagged is promoted', async (t) => {
  const standby = await Stack.start({ standbyOf: s.stack });
  t.after(() => standby.stop());
  const both = `host=${s.stack.socketDir},${standby.socketDir}`
    + ` port=${s.stack.pgPort},${standby.pgPort} user=mirusync_relay dbname=mirusync`
    + ' target_session_attrs=read-write';
  const relay = await s.stack.addRelay({ database: both });
  t.after(() => relay.stop());
  const sql = await connect(t, s.stack);
  const server = await connect(t, s.stack, { user: 'server' });
  const story = new Story();
  await story.before(sql, server);

  /* So much that a session which does not read has not got all of it. */
  const long = newUser('long');
  const large = (i, notes) => ({ ...entry({ id: `large-${i}`, notes }), more: 'x'.repeat(20000) });
  await sql(`SELECT mirusync.put($1, 'logbook_entry', 'large-' || i,
      jsonb_set($2::jsonb, '{id}', to_jsonb('large-' || i))) FROM generate_series(1, 1000) i`,
  [long, large(0, 'before')]);

  const user = newUser('eva');
  const held = newUser('held');
  await putEntry(sql, user, entry({ notes: 'before' }));
  await putEntry(sql, held, entry({ notes: 'before' }));
  const device = await Device.live(relay, user);
  const waiting = await Device.live(relay, held);
  t.after(() => { device.terminate(); waiting.terminate(); });

  /* From here on the standby gets nothing. */
  const [{ lsn }] = await sql('SELECT pg_current_wal_flush_lsn() AS lsn');
  await waitUntil(async () => await standby.psql(
    `SELECT pg_last_wal_replay_lsn() >= '${lsn}'`) === 't', { what: 'the standby to have it' });
  await standby.psql("ALTER SYSTEM SET primary_conninfo = ''");
  await standby.psql('SELECT pg_reload_conf()');
  await waitUntil(async () => await standby.psql('SELECT count(*) FROM pg_stat_wal_receiver') === '0',
    { what: 'the WAL receiver to end' });

  await story.lost(sql, server);
  for (let i = 0; i < 5; i++)
    await putEntry(sql, user, entry({ notes: 'lost' }));

  /*
   * One that catches up when the server goes: these come last here, but with
   * the lowest numbers there.
   */
  for (let i = 1; i <= 3; i++)
    await putEntry(sql, long, large(i, 'lost'));
  const slow = await Device.open(relay, long);
  t.after(() => slow.terminate());
  slow.socket._socket.pause();
  slow.send(syncRequest());
  await waitUntil(async () => (await sql(`
    SELECT max(state_change) < clock_timestamp() - interval '0.3 s' AS quiet
    FROM pg_stat_activity WHERE usename = 'mirusync_relay' AND query LIKE '%pull_events%'`))[0].quiet,
  { what: 'the relay to wait for the slow session', every: 50 });

  await device.until((m) => m.seq === 6, 'what is lost');

  /*
   * A push is committed, but what was numbered before it cannot be read, so
   * its answer has to wait; and then it is lost.
   */
  const blocker = await connect(t, s.stack);
  await blocker('SET mirusync.doorbell = off');
  await blocker('INSERT INTO task VALUES ($1, 1, $2)', [held, 'in between']);
  await blocker('BEGIN');
  await blocker('LOCK TABLE task IN ACCESS EXCLUSIVE MODE');
  const kept = entry({ notes: 'promised' });
  waiting.send(created(kept));
  await waitUntil(async () => await s.head(held) === 3, { what: 'the push to be committed' });
  await waitUntil(async () => (await s.query(
    "SELECT count(*)::int FROM pg_locks WHERE NOT granted AND relation = 'task'::regclass"))[0].count
    > 0, { what: 'the read to wait' });

  await s.stack.stopPostgres('SIGQUIT');
  await standby.psql('SELECT pg_promote()');
  await waitUntil(async () => await standby.psql('SELECT pg_is_in_recovery()') === 'f',
    { what: 'the promotion' });
  const there = await connect(t, standby);
  const api = await connect(t, standby, { user: 'server' });

  await t.test('what was promised is answered as lost', async () => {
    const [answer] = await waiting.answers(1, 30000);
    assert.equal(answer.type, 'ERROR');
    assert.equal(answer.retryable, true);
    await waiting.push(created(kept));
    assert.equal((await entries(there, held)).get(`logbook_entry/${kept.id}`).notes, 'promised');
  });

  await t.test('a session in the middle of its catch-up', async () => {
    assert.equal(slow.events.length, 0);
    slow.socket._socket.resume();
    await slow.until((m) => m.message === 'Sync complete', 'the end of the catch-up', 30000);
    await assertHasAll(there, long, replica(slow.events));
  });

  await t.test('native devices', async () => {
    await story.after(there, api);
    await story.check(there);
    assert.equal((await there('SELECT count(*)::int FROM mirusync.epoch'))[0].count, 2);
  });

  await t.test('a session that stayed open', async () => {
    for (let i = 0; i < 3; i++)
      await putEntry(there, user, entry({ notes: `after ${i}` }));
    await device.until((m) => JSON.stringify(m).includes('after 2'), 'the change after', 30000);
    const own = entry({ notes: 'own' });
    await device.push(created(own));
    await device.push(updated({ ...own, notes: 'own again', updatedAt: new Date(Date.now() + 1000) }));
    const state = replica(device.messages);
    state.set(`logbook_entry/${own.id}`, (await entries(there, user)).get(`logbook_entry/${own.id}`));
    await assertHasAll(there, user, state);
  });
});
