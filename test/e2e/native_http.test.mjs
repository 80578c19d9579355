/*
 * native_http.test.mjs
 *     The fallback over HTTP: the same pushes, pages, verdicts and errors as
 *     over the WebSocket, and requests as only HTTP has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { freePort, http, metrics, newUser, sign, sleep, userToken, useStack, waitUntil } from './harness.mjs';
import { api, useNative } from './native.mjs';

const s = useStack({
  relays: 2,
  relay: { heads_poll_interval: '1s', connections_per_user: 4, jwt_leeway: '0s', handshake_timeout: '2s', drain_timeout: '3s',
    socket_send_buffer_bytes: '4kB' },
});
const n = useNative(s);

const test = (name, body, options) => s.test(name, async (t) => {
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  await body(t);
  for (const device of s.devices)
    device.sound?.();
}, options);

const change = (number, more = {}) => ({
  number, kind: 'put', collection: 'note', id: `n${number}`, fields: { number }, ...more,
});
const push = (user, body, options = {}) =>
  api(options.relay ?? s.relay, user, '/sync/push', { body: { device: 'phone', ...body }, ...options });
const pull = (user, query = '', options = {}) => api(options.relay ?? s.relay, user, `/sync/pull${query}`, options);

/* talk writes pieces to a socket as they are and gives what comes back. */
function talk(relay, pieces, { pause = 20, end = false } = {}) {
  return new Promise((resolve, reject) => {
    const socket = connect(relay.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => { text += data; });
    socket.on('close', () => resolve(text));
    socket.on('error', (error) => (text ? resolve(text) : reject(error)));
    socket.setTimeout(10000, () => { socket.destroy(); });
    (async () => {
      for (const piece of pieces) {
        socket.write(piece);
        await sleep(pause);
      }
      if (end)
        socket.end();
    })();
  });
}
const statusOf = (text) => Number(text.match(/^HTTP\/1\.1 (\d+)/)?.[1]);
const auth = (user) => `Authorization: Bearer ${userToken(s.stack.secret, user)}\r\n`;

/* Its ten seconds pass during the other tests. */
let silent;
test('a WebSocket on which nobody says hello', async () => {
  silent = await n.raw(newUser());
});

test('push, pull and status', async () => {
  const user = newUser();
  const first = await push(user, { ref: 3, changes: [change(1), change(2, { collection: 'nowhere' })] });
  assert.equal(first.status, 200);
  assert.equal(first.body.ref, 3);
  assert.deepEqual(first.body.verdicts.map((v) => [v.verdict, v.seq, v.code]),
    [['applied', 1, undefined], ['rejected', undefined, 'MS002']]);
  const page = await pull(user);
  assert.deepEqual([page.body.feed, page.body.after, page.body.upto, page.body.complete], [user, 0, 1, true]);
  assert.deepEqual(page.body.changes[0].fields, { number: 1 });
  const status = await api(s.relay, user, '/sync/status');
  assert.deepEqual(status.body.heads, { [user]: { epoch: 0, seq: 1 } });
  assert.equal(status.body.user, user);
  assert.ok(status.body.token_expires_in_ms > 3000000);
  assert.equal(status.headers['cache-control'], 'no-store');
});

test('the same batch by socket and by HTTP counts once', async () => {
  const user = newUser();
  const a = await n.live(user);
  const changes = [change(1), change(2), change(3, { collection: 'nowhere' })];
  const [bySocket, byHttp, again] = await Promise.all([
    a.push(changes), push(user, { changes }), push(user, { changes }, { relay: s.relays[1] })]);
  const plain = ({ replay, ...verdict }) => verdict;
  assert.deepEqual(byHttp.body.verdicts.map(plain), bySocket.map(plain));
  assert.deepEqual(again.body.verdicts.map(plain), bySocket.map(plain));
  assert.equal([bySocket, byHttp.body.verdicts, again.body.verdicts].filter((v) => v[0].replay).length, 2);
  assert.equal(await s.head(user), 2);
});

test('a push by HTTP reaches every session, its own device too', async () => {
  const user = newUser();
  const own = await n.live(user);
  const other = await n.live(user, { device: 'tablet', relay: s.relays[1] });
  const events = await s.live(user);
  await push(user, { changes: [{ ...change(1), collection: 'logbook_entry',
    fields: { id: 'n1', duration: 1, timestamp: 1, type: 'practice', instrument: 'piano' } }] });
  for (const device of [own, other]) {
    await device.caughtUp(1);
    assert.equal(device.state.get('logbook_entry/n1').duration, 1);
  }
  assert.equal((await events.event('ENTRY_CREATED')).seq, 1);
});

test('pages: by number and size, and a start over', async () => {
  const user = newUser();
  await push(user, { changes: Array.from({ length: 7 }, (_, i) => change(i + 1)) });
  let query = '?max=3';
  const got = [];
  for (let pages = 1; ; pages++) {
    const { body } = await pull(user, query);
    got.push(...body.changes.map((c) => c.seq));
    query = `?max=3&feed=${encodeURIComponent(user)}&after=${body.upto}&epoch=${body.epoch}${body.complete ? '' : `&seen=${body.head}`}`;
    assert.ok(pages < 5);
    if (body.complete)
      break;
  }
  assert.deepEqual(got, [1, 2, 3, 4, 5, 6, 7]);
  const over = await pull(user, '?after=900&epoch=0');
  assert.equal(over.body.start_over, true);
  assert.deepEqual([over.body.after, over.body.changes.length], [0, 7]);
  /* A cursor within the history, of a page whose snapshot stood beyond it. */
  assert.equal((await pull(user, '?after=5&seen=900')).body.start_over, true);
  assert.equal((await pull(user, '?after=5')).body.start_over, undefined);
});

test('a long poll waits for a change, however it comes', async () => {
  const user = newUser();
  for (const [seq, write] of [
    [1, () => push(user, { changes: [change(1)] })],
    [2, () => push(user, { changes: [change(2)] }, { relay: s.relays[1] })],
    [3, () => s.query("SELECT mirusync.put($1, 'note', 'sql', '{}')", [user])]]) {
    let answered = false;
    const waiting = pull(user, `?after=${seq - 1}&wait=20`).then((r) => { answered = true; return r; });
    await sleep(200);
    assert.equal(answered, false);
    const start = Date.now();
    await write();
    const { body } = await waiting;
    assert.deepEqual([body.upto, body.changes.length], [seq, 1]);
    assert.ok(Date.now() - start < 5000);
  }
  /* With something there it does not wait, and without it not for ever. */
  assert.equal((await pull(user, '?after=1&wait=20')).body.upto, 3);
  const start = Date.now();
  const empty = await pull(user, '?after=3&wait=1');
  assert.deepEqual([empty.body.upto, empty.body.changes], [3, []]);
  assert.ok(Date.now() - start >= 900);
});

test('a long poll ends with its token, and gives nothing after that', async () => {
  const user = newUser();
  const until = Math.floor(Date.now() / 1000) + 2;
  const token = sign(s.stack.secret, { sub: user, iat: until - 60, exp: until });
  const quiet = newUser();
  const [late, empty] = await Promise.all([
    (async () => {
      const waiting = pull(user, '?wait=20', { token });
      await sleep(2200);
      await s.query("SELECT mirusync.put($1, 'note', 'late', '{}')", [user]);
      return waiting;
    })(),
    pull(quiet, '?wait=20', { token: sign(s.stack.secret, { sub: quiet, iat: until - 60, exp: until }) }),
  ]);
  for (const { status, body } of [late, empty])
    assert.deepEqual([status, body.error?.code], [401, 'unauthorized'], JSON.stringify(body));
});

test('who was turned out while he waited is told so at the end, feed or none', async () => {
  const user = newUser();
  const waiting = pull(user, '?wait=2');
  await sleep(300);
  await s.query('SELECT mirusync.revoke($1)', [user]);
  const { status, body } = await waiting;
  assert.deepEqual([status, body.error?.reason], [401, 'revoked']);
});

test('a client that goes while it waits leaves nothing behind', async () => {
  const user = newUser();
  for (let round = 0; round < 3; round++) {
    const abort = new AbortController();
    const waiting = Array.from({ length: 4 }, () => pull(user, '?wait=30', { signal: abort.signal }).catch((e) => e.name));
    await sleep(200);
    assert.equal((await pull(user)).status, 429);
    abort.abort();
    assert.deepEqual(await Promise.all(waiting), Array(4).fill('AbortError'));
    await waitUntil(async () => (await pull(user)).status === 200);
  }
});

test('one who does not read his answers gets no heap of them', async () => {
  const user = newUser();
  await s.query(`INSERT INTO mirusync.document (feed, collection, id, data)
    SELECT $1, 'note', i, jsonb_build_object('text', repeat('x', 10000)) FROM generate_series(1, 100) AS i`, [user]);
  const sockets = await Promise.all([1, 2, 3, 4].map(() => new Promise((resolve) => {
    const socket = connect(s.relay.port, '127.0.0.1', () => {
      socket.write(`GET /sync/pull HTTP/1.1\r\n${auth(user)}\r\n`);
      socket.pause();
      resolve(socket);
    });
    socket.on('error', () => {});
  })));
  await waitUntil(async () => (await api(s.relay, user, '/sync/status')).status === 429);
  await sleep(500);
  assert.equal((await pull(user)).status, 429);
  sockets.forEach((socket) => socket.destroy());
  await waitUntil(async () => (await pull(user)).status === 200);
});

test('errors have the status of the table', async () => {
  const user = newUser();
  const cases = [
    [() => push(user, {}, { token: 'nonsense' }), 401, 'unauthorized'],
    [() => push(null, {}), 401, 'unauthorized'],
    [() => pull(user, '', { token: userToken(s.stack.secret, user, -60) }), 401, 'unauthorized'],
    [() => pull(user, '', { token: sign('other secret of thirty-two bytes', { sub: user, exp: 4e9 }) }), 401, 'unauthorized'],
    [() => pull(user, '', { token: 'x'.repeat(9000) }), 401, 'unauthorized'],
    [() => pull(user, '?feed=other'), 403, 'forbidden'],
    [() => pull(user, '', { method: 'POST', body: {} }), 405, 'method_not_allowed'],
    [() => api(s.relay, user, '/sync/push'), 405, 'method_not_allowed'],
    [() => api(s.relay, user, '/sync/push', { body: '{', raw: true }), 400, 'bad_json'],
    [() => api(s.relay, user, '/sync/push', { body: { changes: [] } }), 400, 'bad_message'],
    [() => push(user, { type: 'push', changes: [] }), 400, 'bad_message'],
    [() => push(user, { changes: {} }), 400, 'bad_batch'],
    [() => push(user, { changes: [{ kind: 'put' }] }), 400, 'bad_batch'],
    [() => push(user, { changes: [], x: 'y'.repeat(70000) }), 413, 'too_large']];
  for (const [asked, status, code] of cases) {
    const { status: got, body } = await asked();
    assert.deepEqual([got, body.error.code], [status, code]);
  }
  const rejected = await api(s.relay, user, '/sync/push');
  assert.equal(rejected.headers.allow, 'POST, OPTIONS');
  assert.equal((await pull(user, '', { token: 'nonsense' })).headers['www-authenticate'], 'Bearer');
  const head = await talk(s.relay, [`HEAD /sync/status HTTP/1.1\r\n${auth(user)}\r\n`]);
  assert.match(head, /^HTTP\/1\.1 405 [^]*Allow: GET, OPTIONS\r\n[^]*\r\n\r\n$/, 'a head and no body');
  for (const query of ['?after=x', '?after=-1', '?after=1.5', '?epoch=9999999', '?max=0', '?max=1001', '?wait=61',
    '?after=1&after=2', '?feed=%zz', '?feed=%00', '?feed=%', '?feed=%4', '?feed=%ff', '?after=99999999999999999999999'])
    assert.equal((await pull(user, query)).status, 400, query);
  const reasonOf = async (query) => (await pull(user, query)).body.error.reason;
  assert.equal(await reasonOf('?max=0'), 'max must be an integer from 1 to 1000, and stand once');
  assert.equal(await reasonOf('?wait=1&wait=1'), 'wait must be an integer from 0 to 60, and stand once');
  assert.match(await reasonOf('?feed=%ff'), /^feed must be/);
  assert.equal((await pull(user, `?feed=${encodeURIComponent(user)}&after=`)).status, 200);
});

test('requests count against the rates of their user', async () => {
  const relay = await s.stack.addRelay({
    metrics_port: await freePort(), user_messages_per_second: 1, user_bytes_per_second: '1kB', rate_burst: '1s',
  });
  const [user, other] = [newUser(), newUser()];
  const refused = async (bound) => (await metrics(relay))(`requests_refused_total{bound="${bound}"}`);
  let answer;
  for (let i = 0; i < 20 && answer?.status !== 429; i++)
    answer = await api(relay, user, '/sync/status');
  assert.deepEqual([answer.status, answer.body.error.code, answer.body.error.retry], [429, 'too_many', true]);
  assert.ok(answer.body.error.after_ms >= 1000 && answer.body.error.after_ms <= 4000);
  assert.ok(Number(answer.headers['retry-after']) * 1000 >= answer.body.error.after_ms);
  assert.equal(await refused('user_messages_per_second'), 1);
  /* For a ticket as well, and nobody else is concerned. */
  let ticket = {};
  for (let i = 0; i < 20 && ticket.status !== 429; i++)
    ticket = await http(relay, '/sync/ticket', { method: 'POST',
      headers: { authorization: `Bearer ${userToken(s.stack.secret, user)}` } });
  assert.deepEqual([ticket.status, ticket.json], [429, { error: 'Too many requests' }]);
  assert.equal((await push(other, { changes: [], x: 'y'.repeat(30000) }, { relay })).status, 200);
  /* What a body has used up of the user's bytes it takes half a minute to earn. */
  answer = await push(other, { changes: [change(1)] }, { relay });
  assert.equal(answer.status, 429);
  assert.ok(answer.body.error.after_ms > 20000 && answer.body.error.after_ms < 32000);
  assert.equal(await refused('user_bytes_per_second'), 1);
  /* It is the user's, whichever way it was spent. */
  const third = newUser();
  const device = await n.live(third, { relay });
  await device.push([change(1, { fields: { text: 'x'.repeat(20000) } })]);
  assert.equal((await api(relay, third, '/sync/status')).status, 429);
  assert.equal((await push(user, { changes: [change(1)] })).status, 200, 'at another relay, which counts by itself');
  await relay.stop();
});

test('requests in pieces, and requests that are none', async () => {
  const user = newUser();
  const body = JSON.stringify({ device: 'd', changes: [change(1)] });
  const head = `POST /sync/push HTTP/1.1\r\nHost: x\r\n${auth(user)}Content-Length: ${body.length}\r\n\r\n`;
  const whole = head + body;
  const pieces = [whole.slice(0, 3), whole.slice(3, 11), whole.slice(11, 13), whole.slice(13, 60),
    whole.slice(60, head.length), whole.slice(head.length, -5), whole.slice(-5)];
  assert.equal(statusOf(await talk(s.relay, pieces)), 200);
  /* What follows a request is no second one. */
  const twice = await talk(s.relay, [whole + whole]);
  assert.equal(twice.match(/HTTP\/1\.1 /g).length, 1);
  assert.match(twice, /"replay": ?true/);
  /* One that waits for leave to send its body gets it. */
  const expects = head.replace('Host: x', 'Host: x\r\nExpect: 100-continue');
  assert.match(await talk(s.relay, [expects, body]), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);

  const length = (value) => head.replace(/Content-Length: \d+/, `Content-Length: ${value}`);
  for (const [text, status] of [
    [head.replace(/Content-Length: \d+\r\n/, ''), 411],
    [head.replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked'), 411],
    [length('-1'), 400], [length('1e3'), 400], [length('+5'), 400], [length(''), 400], [length('999999999'), 413],
    [length(`5\r\nContent-Length: ${body.length}`), 400],
    [head.replace('Host: x', 'Host : x'), 400], [head.replace('Host: x', 'Host'), 400],
    [head.replace('Host: x', 'Host: x\r\n folded'), 400], [head.replace('Host: x', 'Host: x\n'), 400],
    [head.replace('Host: x', 'Host: x\0'), 400], [head.replace('HTTP/1.1', 'HTTP/2.0'), 400],
    [head.replace('Host: x', auth(user).trim()), 400],
    [`GET /sync/pull HTTP/1.1\r\n${'X: y\r\n'.repeat(4000)}\r\n`, 400]])
    assert.equal(statusOf(await talk(s.relay, [text + body])), status, text.slice(0, 80));

  /* Paths that only begin like ours, and half ones, are the others'. */
  assert.equal((await http(s.relay, '/sync/pushy')).status, 404);
  assert.equal((await http(s.relay, '/sync/pul')).status, 404);
  assert.equal(statusOf(await talk(s.relay, ['GET /sy', 'nc/pu', ' HTTP/1.1\r\nHost: x\r\n\r\n'])), 404);
  assert.equal(statusOf(await talk(s.relay, ['G', 'E', 'T', ' /health HTTP/1.1\r\n\r\n'])), 200);
});

test('who begins a request and does not go on is dropped, and costs no time', async () => {
  const start = Date.now();
  const before = cpu(s.relay.pid);
  await Promise.all(['', 'GET /sync/p', 'POST', 'POST /sync/push HTTP/1.1\r\n',
    `POST /sync/push HTTP/1.1\r\nContent-Length: 50\r\n\r\n{`].map(async (text) => {
    assert.equal(await talk(s.relay, [text]).catch(() => ''), '');
  }));
  assert.ok(Date.now() - start > 1500);
  assert.ok(cpu(s.relay.pid) - before < 50, 'the relay did not spin');
});

test('is closed after a while, with a goodbye', async () => {
  const closed = await silent.waiting(() => silent.closed ?? undefined, 'its end', 20000);
  assert.equal(closed.code, 4408);
  assert.deepEqual(silent.messages.map((m) => [m.type, m.code]), [['goodbye', 4408]]);
});

test('a relay that stops ends the waiting, with an answer', async () => {
  const user = newUser();
  const relay = s.relays[1];
  const waiting = pull(user, '?wait=60', { relay });
  await sleep(200);
  const stopped = relay.stop();
  assert.deepEqual((await waiting).body.changes, []);
  await stopped;
  await relay.start();
});

/* cpu is the time that a process has used, in hundredths of a second. */
function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
