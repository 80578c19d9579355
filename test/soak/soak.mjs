/*
 * soak.mjs
 *     Everybody writes while everything fails, and in between, and at the end,
 *     all is healed and what is there is proved.
 *
 * Load is the one of the fault tests, with other devices.  What is proved, exactly:
 *     - the log of each feed is without a hole, and has every number of a device at most once;
 *     - every change has one verdict, which its device got; what was told
 *       applied stands in the log under that number, as that device's;
 *     - counters are the sum of all increments, sets what was added and not
 *       removed, maxima and minima the greatest and the least;
 *     - a record that one writer alone writes is what it last wrote;
 *     - what SQL was told is committed is there;
 *     - every device has what the database has;
 *     - the memory of the relay that ran all the time has not grown.
 *
 * The seed repeats what everybody does and what befalls them, not the moments.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { chmod, cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClients } from '../e2e/client.mjs';
import { sleep, waitUntil } from '../e2e/harness.mjs';
import { Load } from '../e2e/long/load.mjs';
import { RelayProxy, ServerProxy } from '../e2e/long/proxy.mjs';
import { Phone } from '../e2e/long/runners.mjs';
import { chanceOf } from '../e2e/replica.mjs';
import { ClientRunner, SoakEventPhone, SoakPhone, SoakWriter } from './devices.mjs';
import { Faults } from './faults.mjs';
import { Book, prepareWorld, storedIn, TABLE, TALLY } from './world.mjs';

const RELAYS = 3;
const ROUND = [15000, 45000]; /* how long a spell lasts before everything is proved */
const GROWTH = 6 << 20; /* bytes that a relay may grow by, after the first spell */
const DAY = 86400000;
const SKEWS = [0, 300, -7000, 45000, -3600000, DAY, -30 * DAY];

/* The column that is the feed says nothing. */
const plain = (state) => Object.fromEntries(Object.entries(state).sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([key, { owner, ...record }]) => [key, record]));

export class Soak extends Load {
  constructor(s, seed) {
    super(s, { seed, relays: () => this.up() });
    this.patience = 120000;
    this.began = Date.now();
    this.luck = chanceOf(`luck ${seed}`);
    this.below = chanceOf(`${seed} soak`);
    this.proxies = new Map();
    this.links = new Map();
    this.clients = createClients(s);
    this.faults = new Faults(this);
    this.memory = [];
    this.proofs = 0;
  }

  populate(user) {
    this.books ??= new Map();
    this.books.set(user, new Book());
    const below = chanceOf(`${this.seed} skews ${this.users.indexOf(user)}`);
    const skew = () => SKEWS[below(SKEWS.length)];
    return [
      new SoakPhone(this, user, 'p0', skew()), new SoakPhone(this, user, 'p1', skew()),
      new SoakEventPhone(this, user, 'event0', skew()), new SoakEventPhone(this, user, 'event1', 0),
      new ClientRunner(this, user, 'client'), new SoakWriter(this, user, 'sql'),
    ];
  }

  up() { return [...this.proxies.values()].filter((proxy) => proxy.running); }

  oneRelay() {
    const relays = this.up();
    if (!relays.length)
      throw new Error('no relay runs');
    return relays[this.luck(relays.length)];
  }

  /* Those that a client may keep to: they come back. */
  oneProxy() { return this.proxies.get(this.s.relays[this.luck(RELAYS)]); }

  /* rest waits, at most until somebody has failed or all are to stop. */
  async rest(ms) {
    const end = Date.now() + ms;
    while (Date.now() < end && !this.failure && !this.stopping)
      await sleep(Math.min(100, end - Date.now()));
  }

  /* addRelay: a relay with a network on either side of it. */
  async addRelay() {
    const { s } = this;
    this.added = (this.added ?? 0) + 1;
    const directory = join(s.stack.dir, `link-${this.added}`);
    await mkdir(directory, { mode: 0o755 });
    await chmod(directory, 0o755);
    const link = new ServerProxy(s.stack, directory, this.luck(1e9), { sick: false });
    const relay = await s.stack.addRelay({ database: await link.listen() });
    this.links.set(relay, link);
    this.proxies.set(relay, await new RelayProxy(relay, this.luck(1e9), { sick: false }).listen());
    return { relay };
  }

  removeRelay(relay) {
    for (const proxies of [this.links, this.proxies]) {
      proxies.get(relay).close();
      proxies.delete(relay);
    }
    this.s.relays.splice(this.s.relays.indexOf(relay), 1);
  }

  /* run goes on for so long, in spells. */
  async run(ms) {
    const end = Date.now() + ms;
    await prepareWorld(this.s, this.users);
    for (let i = 0; i < RELAYS; i++)
      await this.addRelay();
    do {
      const spell = ROUND[0] + this.below(ROUND[1] - ROUND[0]);
      this.go();
      this.faults.go();
      await this.rest(Math.max(5000, Math.min(spell, end - Date.now())));
      await this.prove();
    } while (Date.now() < end);
    this.proveMemory();
  }

  async prove() {
    this.stopping = true;
    await this.faults.heal();
    await this.answered();
    await waitUntil(() => this.s.query('SELECT 1').then(() => true, () => false), { timeout: 60000 });
    for (const user of this.users)
      await this.proveUser(user);
    const status = await readFile(`/proc/${this.s.relays[0].pid}/status`, 'utf8');
    this.memory.push(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024);
    this.proofs++;
  }

  async proveUser(user) {
    const runners = this.runners.filter((r) => r.user === user);
    const phones = runners.filter((r) => r instanceof Phone);
    const head = await this.proveLog(user);
    await this.proveOnce(user);
    for (const phone of phones) {
      await this.proveNumbers(phone);
      await this.proveApplied(phone);
    }
    const done = await this.proveCommitted(user);
    const stored = plain(await storedIn(this.s, user));
    this.proveTallies(user, done, stored);
    this.proveOwn(user, done, stored);
    for (const runner of runners.filter((r) => r.settled))
      await runner.settled(head);
    for (const phone of phones)
      await this.proveReplica(phone, stored);
    for (const runner of runners)
      if (runner instanceof SoakEventPhone)
        this.proveEntries(runner, stored);
      else if (runner instanceof ClientRunner)
        this.proveClient(runner, stored);
  }

  digested(phone) { return phone.digested; }

  /* No change of a device stands in the log twice. */
  async proveOnce(user) {
    const twice = await this.s.query(`SELECT device, number, array_agg(seq) AS seqs, count(*)::int FROM mirusync.change_log
      WHERE feed = $1 AND number > 0 GROUP BY device, number HAVING count(*) > 1`, [user]);
    assert.deepEqual(twice, [], `no change stands in the log twice: ${this.about(user)}`);
    const [{ broken }] = await this.s.query(
      'SELECT count(*)::int AS broken FROM mirusync.record r WHERE feed = $1 AND NOT EXISTS (SELECT FROM mirusync.change_log c'
      + ' WHERE c.feed = r.feed AND c.seq = r.seq AND c.collection = r.collection AND c.id = r.id)', [user]);
    assert.equal(broken, 0, `each record stands under its number: ${this.about(user)}`);
  }

  /* What was told is in the log, under the number that was told. */
  async proveApplied(phone) {
    const log = new Map((await this.s.query(`SELECT seq::int, collection, id FROM mirusync.change_log
      WHERE feed = $1`, [phone.user])).map(({ seq, ...key }) => [seq, key]));
    for (const [number, { fate: { seq }, ...key }] of phone.fates)
      if (seq !== undefined)
        assert.deepEqual(log.get(seq), key, `${phone.name}: ${number} is in the log as ${seq}: ${this.about(phone.user)}`);
  }

  proveTallies(user, done, stored) {
    for (const [collection, tally] of this.books.get(user).tallies) {
      const rows = done.filter((row) => row.collection === collection).sort((a, b) => a.number - b.number);
      const tags = new Set(tally.tags);
      for (const { added, removed } of rows) {
        tags.delete(removed);
        tags.add(added);
      }
      const { n, best, worst, tags: have } = stored[`${collection}/${TALLY}`];
      assert.deepEqual({ n, best, worst }, { n: rows.reduce((sum, row) => sum + row.delta, tally.n), best: tally.best, worst: tally.worst },
        `${collection}: counted once: ${this.about(user)}`);
      assert.deepEqual([...have].sort(), [...tags].sort(), `${collection}: the set: ${this.about(user)}`);
    }
  }

  proveOwn(user, done, stored) {
    for (const [key, fields] of this.books.get(user).own) {
      const { [key]: record } = stored;
      if (fields === null)
        assert.equal(record, undefined, `${key} was deleted by its only writer: ${this.about(user)}`);
      for (const [name, value] of Object.entries(fields ?? {}))
        assert.equal(record?.[name], value, `${key}.${name} is what its only writer wrote: ${this.about(user)}`);
    }
    const last = done.reduce((most, row) => (most && most.number > row.number ? most : row), undefined);
    assert.equal(stored[`${TABLE}/own-sql`]?.note, last?.own, `what SQL wrote last: ${this.about(user)}`);
  }

  proveClient(runner, stored) {
    const shown = plain(runner.state);
    const expected = plain(Object.fromEntries(Object.entries(stored).filter(([key]) => key.startsWith('soak_'))
      .map(([key, record]) => [key, { id: key.slice(key.indexOf('/') + 1), ...record }])));
    assert.deepEqual(shown, expected, `${runner.name} shows what the database has: ${this.about(runner.user)}`);
  }

  proveMemory() {
    const grown = this.memory.at(-1) - this.memory[0];
    assert.ok(grown < GROWTH, `a relay grew by ${grown} bytes: ${this.memory}, seed ${this.seed}`);
  }

  /* What the reader of a failure is told, and where the logs are kept. */
  async story() {
    const { s, faults } = this;
    const kept = join(tmpdir(), `mirusync-soak-${this.seed}-${process.pid}`);
    await mkdir(kept, { recursive: true });
    for (const name of await readdir(s.stack.dir))
      if (/\.log$/.test(name))
        await cp(join(s.stack.dir, name), join(kept, name));
    return [`SEED=${this.seed}, after ${((Date.now() - this.began) / 1000).toFixed(1)} s, ${this.proofs} proofs; logs in ${kept}`,
      `last faults:\n  ${faults.told.join('\n  ')}`, `seen: ${JSON.stringify(this.errors)}`].join('\n');
  }

  summary() {
    return { proofs: this.proofs, acknowledged: this.runners.reduce((sum, r) => sum + r.acknowledged, 0),
      memory: this.memory.map((bytes) => Math.round(bytes / 1024)), faults: this.faults.counts, seen: this.errors };
  }

  async close() {
    this.abandon();
    await this.faults.heal();
    await Promise.race([Promise.all(this.running ?? []), sleep(5000)]);
    await this.clients.closeAll();
    for (const proxy of [...this.proxies.values(), ...this.links.values()])
      proxy.close();
  }
}
