/*
 * client_convergence.test.mjs
 *     Clients, relays and SQL do as chance will have it; when all is
 *     delivered every client shows what the database has.
 *
 * The seed is in the name of the test; SEED=… repeats what was done, though
 * not the moments at which it happened.  SESSIONS=… makes it longer.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { createClients, lastingStorage } from './client.mjs';
import { newUser, sleep, useStack, waitUntil } from './harness.mjs';
import { seeded } from '../../client/test/world.mjs';

const SEED = Number(process.env.SEED ?? Date.now() % 1e9);
const SESSIONS = Number(process.env.SESSIONS ?? 100);

const s = useStack({ relays: 2, relay: { heads_poll_interval: '1s' } });
const c = createClients(s);

s.test(`${SESSIONS} random sessions end with equal replicas (SEED=${SEED})`, async () => {
  await c.prepare();
  await s.query("SELECT mirusync.create_collection('whole', 'lww')");
  const random = seeded(SEED);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const user = newUser();
  const storages = [0, 1, 2, 3].map(() => lastingStorage());
  const clients = [];
  const ids = ['n1', 'n2', 'n3', 'n4'];
  const names = ['a', 'b', 'c', 'd'];
  let step = 0;
  const fields = () => Object.fromEntries(names.filter(() => random() < 0.4).map((name) => [name, `${name}${++step}`]));

  const life = async (i) => {
    const client = await c.open(user, { storage: storages[i](), relay: pick(s.relays) });
    client.whole = client.collection('whole');
    client.connect();
    clients[i] = client;
  };
  const write = (client) => {
    const collection = pick([client.note, client.whole, client.task]);
    const id = collection === client.task ? `${user}-${pick(ids)}` : pick(ids);
    const kind = pick(['put', 'patch', 'patch', 'patch', 'delete']);
    if (kind === 'delete')
      collection.delete(id);
    else if (collection === client.task)
      /* One in five is refused. */
      collection[kind](id, { title: random() < 0.2 ? '' : `t${++step}`, done: random() < 0.5 });
    else
      collection[kind](id, fields());
  };
  const sql = async () => {
    const id = pick(ids);
    const [name] = Object.keys(fields()).concat('a');
    if (random() < 0.7)
      await s.query(`INSERT INTO mirusync.document (feed, collection, id, data) VALUES ($1, 'note', $2, $3)
        ON CONFLICT (feed, collection, id) DO UPDATE SET data = document.data || excluded.data`, [user, id, { [name]: `sql${++step}` }]);
    else
      await s.query('UPDATE task SET done = NOT done WHERE owner = $1', [user]);
  };

  for (let i = 0; i < 4; i++)
    await life(i);
  for (let session = 0; session < SESSIONS; session++) {
    const i = Math.floor(random() * 4);
    const client = clients[i];
    if (random() < 0.4)
      client.net.cut();
    for (let n = Math.floor(random() * 6); n > 0; n--) {
      write(client);
      if (random() < 0.3)
        write(pick(clients));
      if (random() < 0.3)
        await sql();
      if (random() < 0.3)
        await sleep(random() * 15);
    }
    client.net.mend();
    client.leader.connection.awake();
    if (random() < 0.1) {
      await client.close();
      await life(i);
    }
    if (session % 40 === 20) {
      const relay = pick(s.relays);
      await relay.kill();
      await relay.start();
    }
  }

  await waitUntil(() => {
    clients.forEach((client) => client.leader.connection.awake());
    return clients.every(({ status }) => status.unsent === 0 && status.caughtUp);
  }, { what: 'everything to be delivered', timeout: 40000, every: 100 });
  const head = await s.head(user);
  await waitUntil(() => clients.every((client) => client.leader.device.cursor.seq === head), { what: `number ${head} everywhere`, timeout: 20000 });
  const truth = await s.query(`SELECT collection || '/' || id AS key, data AS value FROM mirusync.document WHERE feed = $1
    UNION ALL SELECT 'task/' || id, to_jsonb(t) - 'owner' FROM task t WHERE owner = $1 ORDER BY key`, [user]);
  for (const client of clients) {
    const shown = [client.note, client.task, client.whole].flatMap((collection) => collection.list({ order: 'id' })
      .map(({ ...record }) => ({ key: `${collection.name}/${record.id}`, value: record })));
    const expected = truth.map(({ key, value }) => ({ key, value: { id: key.split('/')[1], ...value } }));
    assert.deepEqual(shown.sort((x, y) => (x.key < y.key ? -1 : 1)), expected.sort((x, y) => (x.key < y.key ? -1 : 1)),
      `client ${clients.indexOf(client)}`);
    assert.equal(client.leader.device.replica.unsettled.size, 0, 'nothing is left to be told');
  }
  await c.closeAll();
  c.sound();
}, { timeout: 180000 });
