/*
 * rolling.test.mjs
 *     Two relays that share a port are restarted one after the other, again
 *     and again, under devices of both kinds that never stop writing: nothing
 *     that was acknowledged is lost, nothing is stored or delivered twice.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { createClients } from '../client.mjs';
import {
  created, cursorOf, Device, entry, freePort, isAnswer, newUser, sleep, useStack, waitUntil,
} from '../harness.mjs';

const ROUNDS = 3;

const s = useStack({ relays: 0 });
const clients = createClients(s);

/*
 * EventDevice writes all the time, keeps what was not answered, and comes back
 * with the highest number that it saw, as docs/events-protocol.md tells it to.
 */
class EventDevice {
  constructor(relay, user) {
    Object.assign(this, { relay, user, cursor: 0, unanswered: [], acknowledged: [], got: [], closes: [] });
    this.going = this.run();
  }

  async run() {
    while (!this.finished) {
      const device = await Device.open(this.relay, this.user).catch(() => null);
      if (!device) {
        await sleep(20 + Math.random() * 50);
        continue;
      }
      await this.use(device).catch((error) => {
        if (!device.closed)
          throw error;
      });
      this.take(device);
      if (device.closed)
        this.closes.push(device.closed.code);
      device.terminate();
    }
  }

  /* take notes what came: answers are in the order of what was sent. */
  take(device) {
    const answers = device.messages.filter((m) => isAnswer(m) && !/^(Sync complete|No new)/.test(m.message));
    for (const answer of answers) {
      const e = this.sent.shift();
      if (answer.type !== 'SYNC_RESPONSE')
        continue;
      this.unanswered = this.unanswered.filter((other) => other !== e);
      this.acknowledged.push(e.id);
    }
    for (const m of device.events)
      for (const e of m.entries ?? [m.entry])
        this.got.push(e.id);
    this.cursor = Math.max(this.cursor, cursorOf(device.messages));
  }

  async use(device) {
    this.sent = [];
    await device.sync({ lastSeq: this.cursor });
    const send = (e) => {
      this.sent.push(e);
      device.send(created(e));
    };
    for (const e of this.unanswered)
      send(e);
    while (!device.closed && !this.stopped) {
      const e = entry();
      this.unanswered.push(e);
      send(e);
      await sleep(5);
    }
    while (!device.closed && !this.done?.(device))
      await sleep(10);
    if (!device.closed)
      this.finished = true;
  }
}

s.test('a rolling restart of two relays under load', async (t) => {
  const listen_port = await freePort();
  const settings = { listen_port, listen_shared: 1, drain_spread: '300ms' };
  const relays = [await s.stack.addRelay(settings), await s.stack.addRelay(settings)];
  await clients.prepare();
  const users = [newUser('roll'), newUser('roll'), newUser('roll')];
  const devices = users.flatMap((user) => [0, 1].map(() => new EventDevice(relays[0], user)));
  t.after(() => {
    for (const device of devices)
      device.finished = true;
    return clients.closeAll();
  });
  const natives = [];
  for (const user of users)
    for (let i = 0; i < 2; i++) {
      const client = await clients.connected(user, { relay: relays[0] });
      natives.push(Object.assign(client, { user, made: [] }));
    }
  let stopped = false;
  t.after(() => { stopped = true; });
  const writing = Promise.all(natives.map(async (client, i) => {
    for (let n = 0; !stopped; n++) {
      const id = `n${i}-${n}`;
      client.made.push(id);
      await client.note.put(id, { text: id });
      await sleep(7);
    }
  }));

  await sleep(300);
  for (let round = 0; round < ROUNDS; round++)
    for (const relay of relays) {
      assert.deepEqual(await relay.stop(), { code: 0, signal: null });
      await relay.start();
      await sleep(200);
    }
  stopped = true;
  for (const device of devices)
    device.stopped = true;
  await writing;

  await waitUntil(() => natives.every((client) => client.status.unsent === 0 && client.status.caughtUp),
    { timeout: 30000, what: 'the clients to have sent everything' });
  /* Each event device goes on until it has the last entry of its feed. */
  for (const device of devices)
    device.done = (connection) => cursorOf(connection.messages) >= device.head
      && connection.messages.filter((m) => isAnswer(m)
        && !/^(Sync complete|No new)/.test(m.message)).length >= device.sent.length;
  await waitUntil(async () => {
    for (const device of devices)
      device.head = (await s.query(`SELECT max(seq)::int AS head FROM mirusync.record
        WHERE feed = $1 AND collection = 'logbook_entry'`, [device.user]))[0].head;
    return devices.every((device) => device.finished);
  }, { timeout: 30000, every: 50, what: 'the event devices to have everything' });
  await Promise.all(devices.map((device) => device.going));

  let acknowledged = 0;
  for (const user of users) {
    const stored = (await s.query(`SELECT collection, id, count(*)::int AS times FROM mirusync.change_log
      WHERE feed = $1 GROUP BY 1, 2`, [user]));
    const times = new Map(stored.map((row) => [`${row.collection}/${row.id}`, row.times]));
    for (const device of devices.filter((d) => d.user === user)) {
      acknowledged += device.acknowledged.length;
      for (const id of device.acknowledged)
        assert.equal(times.get(`logbook_entry/${id}`), 1, 'what was acknowledged is stored, once');
      assert.equal(device.unanswered.length, 0);
      assert.equal(new Set(device.got).size, device.got.length, 'nothing came twice');
      const others = [...times.keys()].filter((key) => key.startsWith('logbook_entry/')
        && !device.acknowledged.includes(key.slice('logbook_entry/'.length)));
      assert.deepEqual(device.got.filter((id) => !device.acknowledged.includes(id)).length, others.length,
        'everything of the others came');
    }
    for (const client of natives.filter((c) => c.user === user)) {
      for (const id of client.made)
        assert.equal(times.get(`note/${id}`), 1, `${id} is stored once`);
      const notes = await s.query(
        "SELECT id FROM mirusync.document WHERE feed = $1 AND collection = 'note' ORDER BY id COLLATE \"C\"", [user]);
      await waitUntil(() => client.note.list().length === notes.length, { what: 'a client to have every note' });
      assert.equal(client.rejected.length, 0);
    }
    assert.equal(await s.head(user), stored.reduce((sum, row) => sum + row.times, 0), 'no number is missing');
  }
  const closes = devices.flatMap((device) => device.closes);
  t.diagnostic(`${acknowledged} acknowledged by event, ${closes.length} sessions ended: ${[...new Set(closes)]}`);
  assert.ok(closes.length >= devices.length, 'each was moved');
  assert.ok(closes.every((code) => code === 1001), `closed with ${closes}`);
  clients.sound();
}, { timeout: 120000 });
