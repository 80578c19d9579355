/*
 * native_converge.test.mjs
 *     Native devices on two relays, HTTP, and SQL change the same records,
 *     connections are cut, pushes are sent again: in the end every device has
 *     what the database has, and every change has counted once.
 *
 * A device here follows docs/protocol.md and nothing else: values have numbers,
 * and of two values of a field the one with the higher number stands.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { newUser, sleep, useStack } from './harness.mjs';
import { api, NativeDevice, useNative } from './native.mjs';
import { chance, Replica } from './replica.mjs';

const SECONDS = Number(process.env.MIRUSYNC_CONVERGE_SECONDS || 6);
const SEED = Number(process.env.MIRUSYNC_SEED || Date.now() % 1000000);
const RECORDS = Number(process.env.MIRUSYNC_CONVERGE_RECORDS || 4);
const RECORD_IDS = Array.from({ length: RECORDS }, (_, i) => `n${i}`);
const FIELDS = ['a', 'b', 'c', 'd'];

const s = useStack({ relays: 2, relay: { heads_poll_interval: '300ms' } });
useNative(s);

/* Phone: a device that outlives its connections. */
class Phone {
  constructor(user, name) {
    this.user = user;
    this.name = name;
    this.replica = new Replica();
    this.cursor = { epoch: 0, seq: 0 };
    this.number = 0;
    this.outbox = [];
    this.faults = [];
    this.trace = [];
  }

  async connect(relay) {
    const phone = this;
    this.session = new (class extends NativeDevice {
      apply(message) {
        super.apply(message);
        phone.cursor = { ...this.cursor };
        phone.trace.push(message);
        for (const c of message.type === 'page' || message.type === 'changes' ? message.changes : []) {
          if (c.kind === 'patch')
            phone.replica.some(c.id, c.seq, c.fields, c.removed);
          else
            phone.replica.whole(c.id, c.seq, c.kind === 'delete' ? null : c.fields);
        }
        if (message.type === 'verdicts')
          message.verdicts.forEach((v) => phone.settle(v));
      }
    })(relay, this.user, { device: this.name, cursor: this.cursor });
    s.devices.push(this.session);
    await this.session.opened;
    this.session.say(this.session.hello);
    await this.session.type('welcome');
    for (const change of this.outbox)
      this.send(change);
  }

  send(change) { this.session.say({ type: 'push', changes: [change] }); }

  settle(verdict) {
    const change = this.outbox.find((c) => c.number === verdict.number);
    assert.notEqual(verdict.verdict, 'rejected', verdict.reason);
    if (change === undefined)
      return;
    this.outbox = this.outbox.filter((c) => c !== change);
    if (verdict.deleted)
      this.replica.whole(change.id, verdict.seq, null);
    else if (change.kind === 'delete')
      this.replica.whole(change.id, verdict.seq, verdict.verdict === 'stale' ? verdict.fields : null);
    else if (change.kind === 'put' && verdict.verdict !== 'stale')
      this.replica.whole(change.id, verdict.seq, { ...change.fields, ...verdict.fields });
    else
      this.replica.some(change.id, verdict.seq,
        verdict.verdict === 'stale' ? verdict.fields ?? {} : { ...change.fields, ...verdict.fields });
    for (const name of verdict.removed ?? [])
      this.replica.some(change.id, verdict.seq, {}, [name]);
  }

  change(kind, id, fields) {
    const change = {
      number: ++this.number, kind, collection: 'note', id, ...(fields ? { fields } : {}), base: this.cursor.seq,
      clock: new Date().toISOString(),
    };
    this.outbox.push(change);
    return change;
  }

  cut() {
    this.faults.push(...this.session.faults);
    this.session.terminate();
    /* What still comes was never received. */
    this.session.received = () => {};
  }
}

/* same: the replica is what is stored; if not, how it came to that. */
async function same(phone, stored) {
  try {
    assert.deepEqual(phone.replica.state, stored, `${phone.name}, seed ${SEED}`);
  } catch (error) {
    const wrong = RECORD_IDS.find((id) => JSON.stringify(phone.replica.state[id]) !== JSON.stringify(stored[id]));
    const log = await s.query(`SELECT seq, kind, device, session, old, new FROM mirusync.change_log
      WHERE feed = $1 AND id = $2 ORDER BY seq DESC LIMIT 12`, [phone.user, wrong]);
    const about = phone.trace.map((m) => ({ ...m, changes: m.changes?.filter((c) => c.id === wrong) }))
      .filter((m) => m.type === 'verdicts' || m.changes?.length);
    console.error(`${phone.name} ${phone.session.welcome?.session} ${wrong}:`, JSON.stringify(phone.replica.state[wrong]),
      JSON.stringify(stored[wrong]), log.map((l) => JSON.stringify(l)).join('\n'), '\n',
      about.slice(-25).map((m) => JSON.stringify(m)).join('\n'));
    throw error;
  }
}

s.test(`devices, HTTP and SQL end with the same (seed ${SEED})`, async () => {
  const user = newUser();
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  const below = chance(SEED);
  const one = (list) => list[below(list.length)];
  const record = () => `n${below(RECORDS)}`;
  const some = () => Object.fromEntries(FIELDS.filter(() => below(2)).map((name) => [name, below(1000)]));
  const phones = ['p1', 'p2', 'p3', 'p4'].map((name) => new Phone(user, name));
  await Promise.all(phones.map((phone, i) => phone.connect(s.relays[i % 2])));

  let number = 0;
  let stop = false;
  const byHttp = (async () => {
    while (!stop) {
      const body = { device: 'http', changes: [{ number: ++number, kind: 'patch', collection: 'note', id: record(), fields: some() }] };
      /* Each twice, at once, to either relay. */
      const answers = await Promise.all(s.relays.map((relay) => api(relay, user, '/sync/push', { body })));
      assert.equal(answers.filter((a) => a.body.verdicts[0].replay).length, 1);
      await sleep(below(30));
    }
  })();
  const bySql = (async () => {
    while (!stop) {
      const id = record();
      if (below(6) === 0)
        await s.query('SELECT mirusync.delete($1, $2, $3)', [user, 'note', id]);
      else
        await s.query('SELECT mirusync.put($1, $2, $3, $4)', [user, 'note', id, some()]);
      await sleep(below(20));
    }
  })();
  const end = Date.now() + SECONDS * 1000;
  while (Date.now() < end) {
    const phone = one(phones);
    if (below(25) === 0) {
      phone.cut();
      await phone.connect(one(s.relays));
    }
    const kind = one(['put', 'patch', 'patch', 'patch', 'delete']);
    const fields = kind === 'delete' ? undefined : some();
    phone.send(phone.change(kind, record(), fields));
    await sleep(below(15));
  }
  stop = true;
  await Promise.all([byHttp, bySql]);

  for (const phone of phones)
    await phone.session.waiting(() => phone.outbox.length === 0 || undefined, 'its verdicts', 20000);
  const head = await s.head(user);
  const stored = Object.fromEntries((await s.query(
    "SELECT id, data FROM mirusync.document WHERE feed = $1 AND collection = 'note'", [user]))
    .map((row) => [row.id, Object.fromEntries(Object.entries(row.data).sort())]));
  for (const phone of phones) {
    await phone.session.waiting(() => phone.cursor.seq >= head || phone.session.faults.length || undefined,
      `number ${head}`, 20000);
    phone.session.sound();
    assert.deepEqual(phone.faults, []);
    await same(phone, stored);
  }
  const [{ count }] = await s.query(`SELECT count(*)::int FROM (SELECT device, number FROM mirusync.verdict
    WHERE user_id = $1) v`, [user]);
  assert.equal(count, number + phones.reduce((sum, phone) => sum + phone.number, 0), 'each change counted once');
}, { timeout: 120000 });
