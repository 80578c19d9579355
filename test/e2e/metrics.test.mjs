/*
 * metrics.test.mjs
 *     What happens shows in /metrics, in a form that Prometheus reads.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  created, deleted, entry, freePort, http, metrics, newUser, syncRequest, upgrade, useStack,
  waitUntil,
} from './harness.mjs';
import { useNative } from './native.mjs';

const port = await freePort();
const s = useStack({ relay: { metrics_port: port, session_pushes_max: 10, heads_poll_interval: '300ms' } });
const n = useNative(s);

/* reaches waits until a metric has grown by so much since before. */
const reaches = (before, name, by = 1) => waitUntil(
  async () => (await metrics(s.relay))(name) >= before(name) + by, { what: `${name} to grow` });

s.test('the text is what Prometheus reads, and every metric of the table is in it', async () => {
  const m = await metrics(s.relay);
  const table = readFileSync(new URL('../../relay/metrics.def', import.meta.url), 'utf8');
  const families = table.match(/"(mirusync_relay|process)_\w+"/g).map((name) => name.slice(1, -1));
  assert.ok(families.length > 40);
  const lines = m.text.trimEnd().split('\n');
  for (const family of families) {
    const at = lines.indexOf(lines.find((line) => line.startsWith(`# HELP ${family} `)));
    assert.ok(at >= 0, `${family} has a help line`);
    assert.match(lines[at + 1], new RegExp(`^# TYPE ${family} (counter|gauge|histogram)$`));
    assert.ok(lines[at + 2].startsWith(family), `${family} has a value`);
    const counter = lines[at + 1].endsWith('counter');
    assert.equal(family.endsWith('_total'), counter, `${family}: counters and no others end in _total`);
  }
  for (const line of lines.filter((l) => !l.startsWith('#')))
    assert.match(line, /^[a-z_]+(\{[a-z]+="[^"]+"\})? [0-9.]+$/);
  assert.equal(m('ready'), 1);
  assert.equal(m('database_connections{state="ready"}'), 6);
  assert.ok(m('process_resident_memory_bytes') > 1e6);
  assert.ok(Math.abs(m('process_start_time_seconds') - Date.now() / 1000) < 600);
  assert.ok(m('process_open_fds') > 5 && m('process_open_fds') < 200);
});

s.test('the port of the metrics has probes, and nothing else', async () => {
  const there = { url: s.relay.probes };
  assert.equal((await http(there, '/health')).status, 200);
  assert.equal((await http(there, '/ready')).status, 200);
  assert.equal((await http(there, '/')).status, 404);
  assert.equal((await upgrade(there, '/sync/ws?userId=a&token=b')).status, 404);
  assert.equal((await http(s.relay, '/metrics')).status, 404);
});

s.test('sessions, messages, pushes and verdicts are counted', async () => {
  const user = newUser();
  const before = await metrics(s.relay);
  const a = await s.live(user);
  const b = await s.live(user);
  const note = entry();
  await a.push(created(note));
  await b.event('ENTRY_CREATED');
  await a.push(deleted(note.id));
  const { answer } = await a.exchange(deleted('no such record'));
  assert.ok(answer);
  a.send('{"type":"PING","timestamp":"2026-01-01T00:00:00.000Z"}');
  await a.event('PONG');
  a.send('not json');
  await a.event('ERROR');
  const m = await metrics(s.relay);
  const grew = (name) => m(name) - before(name);
  assert.equal(grew('sessions_opened_total'), 2);
  assert.equal(grew('connections_accepted_total') >= 2, true);
  assert.equal(m('sessions{state="live"}') - before('sessions{state="live"}'), 2);
  assert.equal(grew('feeds'), 1);
  assert.equal(grew('messages_received_total{type="change"}'), 3);
  assert.equal(grew('messages_received_total{type="sync"}'), 2);
  assert.equal(grew('messages_received_total{type="ping"}'), 1);
  assert.equal(grew('messages_received_total{type="invalid"}'), 1);
  assert.equal(grew('received_bytes_total{type="invalid"}'), 8);
  assert.ok(grew('messages_sent_total{type="live"}') >= 2);
  assert.ok(grew('messages_sent_total{type="answer"}') >= 6);
  assert.equal(grew('messages_sent_total{type="control"}'), 3);
  assert.equal(grew('pushes_total'), 3);
  assert.ok(grew('verdicts_total{kind="applied"}') >= 2);
  assert.equal(grew('receive_to_commit_seconds_count'), 3);
  assert.ok(grew('receive_to_commit_seconds_sum') > 0);
  assert.ok(grew('commit_to_send_seconds_count') >= 8);
  assert.equal(grew('catch_ups_total{cause="asked"}'), 2);
  assert.ok(grew('push_groups_total') >= 3);
  await b.close(1000);
  a.terminate();
  await reaches(before, 'sessions_closed_total{code="1000"}');
  await reaches(before, 'sessions_closed_total{code="1006"}');
});

s.test('verdicts are counted by change, and what is no push has none', async () => {
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  const user = newUser();
  const before = await metrics(s.relay);
  const a = await n.live(user);
  const push = [
    a.change('put', 'note', 'n1', { x: 1 }), a.change('put', 'note', 'n2', { x: 1 }),
    a.change('patch', 'note', 'n1', { x: 0 }, { base: 0, clock: '2020-01-01T00:00:00.000Z/0000' }),
    a.change('put', 'nowhere', 'n1', { x: 1 }),
  ];
  const verdicts = await a.push(push);
  await a.push(push);
  assert.deepEqual(verdicts.map((v) => v.verdict), ['applied', 'applied', 'stale', 'rejected']);
  a.say({ type: 'push', ref: 99, changes: [a.change('put', 'note', 'n3', {}), { ...a.change('put', 'note', 'n3', {}), number: 5 }] });
  assert.equal((await a.type('error')).code, 'bad_batch');
  const m = await metrics(s.relay);
  assert.deepEqual(['applied', 'merged', 'stale', 'rejected', 'retry']
    .map((kind) => m(`verdicts_total{kind="${kind}"}`) - before(`verdicts_total{kind="${kind}"}`)), [2, 0, 1, 2, 0]);
  a.sound();
});

s.test('a rejection is counted, and so is a device that comes back', async () => {
  const user = newUser();
  const before = await metrics(s.relay);
  const a = await s.open(user);
  a.send(syncRequest({ lastSeq: 0 }));
  await a.event('SYNC_RESPONSE');
  a.send(created({ ...entry(), duration: 'long' }));
  await a.event('ERROR');
  await reaches(before, 'sessions_resumed_total');
  await reaches(before, 'verdicts_total{kind="rejected"}');
  /* A later request is no return. */
  a.send(syncRequest({ lastSeq: 0 }));
  await a.event('SYNC_RESPONSE');
  assert.equal((await metrics(s.relay))('sessions_resumed_total'), before('sessions_resumed_total') + 1);
});

s.test('who is refused is counted by what for', async () => {
  const before = await metrics(s.relay);
  await upgrade(s.relay, '/sync/ws?userId=a&token=b');
  await http(s.relay, '/sync/ws');
  await http(s.relay, '/nowhere');
  await http(s.relay, '/nowhere', { method: 'POST' });
  await reaches(before, 'http_answers_total{status="401"}');
  await reaches(before, 'http_answers_total{status="400"}');
  await reaches(before, 'http_answers_total{status="404"}');
  await reaches(before, 'http_answers_total{status="405"}');
});

s.test('a session that sends more than it may owe is held back', async () => {
  const before = await metrics(s.relay);
  const a = await s.live(newUser());
  for (let i = 0; i < 15; i++)
    a.send(created(entry()));
  await a.answers(15);
  await reaches(before, 'held_back_total{bound="session_pushes_max"}');
});

s.test('what nobody rang for is recovered by the poll', async () => {
  const user = newUser();
  const a = await s.live(user);
  const before = await metrics(s.relay);
  const client = await s.client();
  try {
    await client.query("SET mirusync.doorbell = 'off'");
    await client.query(
      `INSERT INTO mirusync.document (feed, collection, id, data)
       VALUES ($1, 'logbook_entry', 'x', $2)`, [user, entry({ id: 'x' })]);
  } finally {
    await client.end();
  }
  await a.event('ENTRY_CREATED').catch(() => {});
  await reaches(before, 'doorbells_recovered_total');
});

s.test('lost connections to the database are counted', async () => {
  const before = await metrics(s.relay);
  await s.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name LIKE 'mirusync relay writer%'`);
  await reaches(before, 'database_losses_total', 2);
  await reaches(before, 'database_connects_total', 2);
  assert.equal((await metrics(s.relay))('ready'), 1);
});
