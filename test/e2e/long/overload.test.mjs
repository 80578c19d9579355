/*
 * overload.test.mjs
 *     PostgreSQL stands still, or is slow: pushes are refused with a time to
 *     come back, memory stays bounded, and afterwards all goes on.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { created, entry, freePort, http, metrics, newUser, sleep, useStack, waitUntil } from '../harness.mjs';
import { api, useNative } from '../native.mjs';

const s = useStack({
  relay: {
    metrics_port: await freePort(), push_queue_max: 500, push_wait_max: '2s',
    session_pushes_max: 2000, session_messages_per_second: 0, user_messages_per_second: 0,
    session_bytes_per_second: 0, user_bytes_per_second: 0, heads_poll_interval: '1s',
  },
});
const native = useNative(s);

/* A backend that stands still looks to the relay like one at work. */
async function stopped(body) {
  const rows = await s.query("SELECT pid FROM pg_stat_activity WHERE usename = 'mirusync_relay'");
  const signal = (name) => {
    for (const { pid } of rows)
      try { process.kill(pid, name); } catch { /* it has ended */ }
  };
  signal('SIGSTOP');
  try {
    return await body();
  } finally {
    signal('SIGCONT');
  }
}

const text = 'x'.repeat(20000);

s.test('all backends are stopped: refused with a time, within memory, and it recovers', async (t) => {
  const devices = await Promise.all(Array.from({ length: 10 }, () => s.live(newUser())));
  const phones = await Promise.all(Array.from({ length: 10 }, () => native.live(newUser())));
  const witness = await s.live(devices[0].user);
  for (const device of devices)
    await device.push(created(entry()));
  const before = await metrics(s.relay);
  const answers = { refused: 0, codes: new Set(), waits: [] };

  await stopped(async () => {
    for (let i = 0; i < 200; i++) {
      for (const device of devices)
        device.send(created(entry({ notes: text })));
      for (const phone of phones)
        phone.say({ type: 'push', epoch: phone.cursor.epoch, ref: i,
          changes: [phone.change('put', 'logbook_entry', `r${i}`, entry({ id: `r${i}`, notes: text }))] });
      await sleep(2);
    }
    for (const device of devices)
      for (const answer of await device.answers(200, 30000)) {
        assert.equal(answer.type, 'ERROR');
        assert.equal(answer.retryable, true);
        answers.refused++;
      }
    for (const phone of phones) {
      await phone.waiting(() => phone.messages.filter((m) => m.ref !== undefined && m.type === 'error').length >= 200
        || undefined, '200 answers', 30000);
      for (const m of phone.messages.filter((each) => each.type === 'error')) {
        assert.equal(m.retry, true);
        answers.codes.add(m.code);
        answers.waits.push(m.after_ms);
      }
      phone.sound();
    }
    const call = await api(s.relay, phones[0].user, '/sync/status');
    assert.equal(call.status, 503);
    assert.ok(Number(call.headers['retry-after']) >= 1);
    assert.equal((await http(s.relay, '/health')).status, 200);
    const m = await metrics(s.relay);
    /* 4000 messages of 20 kB were sent: 80 MB. */
    const grown = m('process_resident_memory_bytes') - before('process_resident_memory_bytes');
    assert.ok(m('push_queue_messages') <= 500);
    assert.ok(grown < 40e6, `it grew by ${grown} bytes`);
    assert.ok(m('pushes_refused_total') > before('pushes_refused_total'));
    t.diagnostic(`grew by ${(grown / 1e6).toFixed(1)} MB; codes ${[...answers.codes]}; `
      + `wait ${Math.min(...answers.waits)} to ${Math.max(...answers.waits)} ms`);
  });
  assert.deepEqual([...answers.codes].sort(), ['busy', 'unavailable']);
  assert.ok(answers.waits.every((ms) => ms >= 1000 && ms < 2000), 'they do not all come at once');
  assert.ok(Math.max(...answers.waits) - Math.min(...answers.waits) > 300);

  /* It goes on in the same sessions. */
  for (const device of devices) {
    assert.equal(device.closed, null);
    await device.push(created(entry()), 30000);
  }
  await waitUntil(async () => (await metrics(s.relay))('push_queue_messages') === 0, { timeout: 30000 });
  const last = entry();
  await devices[0].push(created(last));
  await witness.event('ENTRY_CREATED', (m) => m.entry.id === last.id);
});

s.test('a slow table holds up nobody else for long', async () => {
  await s.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.data ->> 'notes' = 'slow' THEN
        PERFORM pg_sleep(0.5);
      END IF;
      RETURN NEW;
    END $$`);
  await s.query('CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON mirusync.document FOR EACH ROW EXECUTE FUNCTION slow()');
  const slow = await s.live(newUser());
  const quick = await s.live(newUser());
  const rest = await s.live(newUser());
  for (let i = 0; i < 20; i++)
    slow.send(created(entry({ notes: 'slow' })));
  let refused = 0;
  for (let i = 0; i < 10; i++) {
    const { answer } = await quick.exchange(created(entry()), 15000);
    refused += answer.type === 'ERROR';
    if (answer.type === 'ERROR')
      assert.equal(answer.retryable, true);
  }
  for (const answer of await slow.answers(20, 30000))
    assert.ok(answer.type === 'SYNC_RESPONSE' || answer.retryable);
  await s.query('DROP TRIGGER slow ON mirusync.document');
  await rest.push(created(entry()), 15000);
  assert.ok(refused <= 10);
}, { timeout: 90000 });
