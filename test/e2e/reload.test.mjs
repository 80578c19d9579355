/*
 * reload.test.mjs
 *     SIGHUP, and the two forms of the log.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import {
  created, entry, freePort, metrics, newUser, upgrade, useStack, userToken, waitUntil,
} from './harness.mjs';

const s = useStack({ relay: { metrics_port: await freePort() } });
const ok = 'config_reloads_total{result="ok"}';
const failed = 'config_reloads_total{result="failed"}';

/* reload sends the signal and waits until this counter has moved. */
async function reload(counter = ok) {
  const before = await metrics(s.relay);
  const at = s.relay.log.length;
  s.relay.signal('SIGHUP');
  await waitUntil(async () => (await metrics(s.relay))(counter) > before(counter),
    { what: `${counter} to grow` });
  return s.relay.log.slice(at);
}

async function set(settings) {
  await s.relay.writeConfig(settings);
  return reload();
}

/* statusOf tries to connect as a user. */
const statusOf = async (user) => (await upgrade(s.relay,
  `/sync/ws?userId=${user}&token=${userToken(s.stack.secret, user)}`)).status;

s.test('a limit is changed, and sessions go on', async () => {
  const user = newUser();
  const a = await s.live(user);
  const b = await s.live(user);
  await set({ connections_per_user: 2 });
  assert.equal(await statusOf(user), 429);
  await set({ connections_per_user: 3, message_max_bytes: '2kB', session_queue_max_bytes: '1MB' });
  const c = await s.live(user);
  await a.push(created(entry()));
  await b.event('ENTRY_CREATED');
  await c.event('ENTRY_CREATED');
  c.send(created(entry({ notes: 'x'.repeat(3000) })));
  assert.equal((await c.ended).code, 1009);
  assert.equal(a.closed ?? b.closed, null);
  await set({});
  await a.push(created(entry({ notes: 'x'.repeat(3000) })));
});

s.test('every setting that the page names as reloaded is taken, the others are named', async () => {
  const page = await readFile(new URL('../../docs/relay.md', import.meta.url), 'utf8');
  const section = page.slice(page.indexOf('## Reloading'), page.indexOf('The others need a restart'));
  const documented = new Set(section.match(/`[a-z_]+`/g).map((name) => name.slice(1, -1)));
  const other = {
    catch_up_parallel: 9, connection_rate_per_address: 9999, connections_max: 9999,
    connections_per_address: 9999, connections_per_user: 99, drain_timeout: '6s',
    environment: 'elsewhere', fast_lock_timeout: '21ms', handshake_timeout: '11s',
    handshakes_max: 999, heads_poll_interval: '6s', idle_timeout: '6min',
    listen_socket_mode: '0600', log_format: 'json', log_level: 'debug', message_max_bytes: '65kB',
    metrics_address: '127.0.0.2', push_queue_max: 9999, push_wait_max: '31s', rate_burst: '11s',
    readers: 3, reconnect_wait_max: '6s', session_bytes_per_second: '2MB',
    session_messages_per_second: 999, session_pushes_max: 255, session_queue_max_bytes: '2MB',
    session_queue_max_messages: 999, slow_lanes: 5, slow_lock_timeout: '11s',
    socket_send_buffer_bytes: '129kB', static_dir: '/nowhere', tls_min_version: '1.3',
    trusted_proxies: '192.0.2.0/24', user_bytes_per_second: '3MB', user_messages_per_second: 1999,
    writers: 3, listen_shared: 1, tls_certificate_file: '/nowhere', tls_key_file: '/nowhere',
  };
  const named = new Set([...(await set(other)).matchAll(/needs a restart key=([a-z_]+)/g)]
    .map((match) => match[1]));
  for (const name of Object.keys(other)) {
    /* TLS cannot be switched on: the page says files, not that. */
    const restart = !documented.has(name) || name.startsWith('tls_');
    assert.equal(named.has(name), restart, name);
  }
  const again = await set({});
  assert.doesNotMatch(again, /key["=:]*log_level/);
});

s.test('a bad file changes nothing', async (t) => {
  const user = newUser();
  const a = await s.live(user);
  const good = await readFile(s.relay.configPath, 'utf8');
  const cases = {
    'an unknown key': `${good}no_such_key = 1\n`,
    'a value out of bounds': `${good}connections_per_user = 0\n`,
    'half a file': good.slice(0, good.length / 2).replace(/\n[^\n]*$/, '\nconnec'),
    'no range': `${good}trusted_proxies = nobody\n`,
    'an empty file': '',
  };
  for (const [name, text] of Object.entries(cases))
    await t.test(name, async () => {
      await writeFile(s.relay.configPath, `${text}\n#`);
      const log = await reload(failed);
      assert.match(log, /error settings are not taken reason=/);
    });
  await t.test('a line that would forge words of the log', async () => {
    await writeFile(s.relay.configPath, `${good}trusted_proxies = x" user="root\n`);
    assert.match(await reload(failed), /not taken reason="trusted_proxies: \\"x\\"\\" is no address range"\n/);
  });
  await t.test('no file', async () => {
    await chmod(s.relay.configPath, 0);
    assert.match(await reload(failed), /could not open file/);
    await chmod(s.relay.configPath, 0o600);
  });
  await s.relay.writeConfig();
  await a.push(created(entry()));
  assert.equal(await statusOf(user), 101);
});

s.test('levels are changed without a restart', async () => {
  await set({ log_level: 'error' });
  const at = s.relay.log.length;
  const a = await s.live(newUser());
  await a.close();
  assert.equal(s.relay.log.slice(at), '');
  await set({});
  const user = newUser();
  await (await s.live(user)).close();
  await waitUntil(() => s.relay.log.includes(`user=${user}`));
});

s.test('as JSON every line is an object, with session and user where there is one', async () => {
  await set({ log_format: 'json' });
  const at = s.relay.log.length;
  const user = `o"b\\r=i en\u00e9 ${newUser()}`;
  const a = await s.live(user);
  a.send('x'.repeat(70000));
  await a.ended;
  const b = await s.live(user);
  await b.close();
  await upgrade(s.relay, '/sync/ws?userId=a&token=secret-token');
  const lines = await waitUntil(() => {
    const text = s.relay.log.slice(at).trimEnd().split('\n').map((line) => JSON.parse(line));
    return text.filter((line) => line.event === 'session closed').length >= 2
      && text.some((line) => line.event === 'token refused') && text;
  }, { what: 'the lines' });
  for (const line of lines) {
    assert.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.match(line.level, /^(info|warn|error)$/);
    if (/^session|^message/.test(line.event)) {
      assert.match(line.session, /^[0-9a-f]{16}$/, JSON.stringify(line));
      assert.equal(line.user, user);
    }
  }
  const refused = lines.find((line) => line.event === 'message refused');
  assert.deepEqual([refused.code, refused.reason], ['1009', 'message too large']);
  assert.equal(lines.find((line) => line.event === 'session opened').address, '127.0.0.1');
  assert.doesNotMatch(s.relay.log, /secret-token|xxxx/);
  await set({});
});
