/*
 * ask.test.mjs
 *     What a user asks of his history over HTTP: changes of a record,
 *     conflicts, and deciding them; and what nobody else may ask.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { newUser, userToken, useStack } from './harness.mjs';
import { api, check, useNative } from './native.mjs';

const s = useStack({ relays: 2, relay: { allowed_origins: 'https://app.example' } });
const n = useNative(s);

const test = (name, body) => s.test(name, async (t) => {
  await s.query(`CREATE TABLE IF NOT EXISTS memo (id text PRIMARY KEY, owner text NOT NULL, title text CHECK (title <> 'bad'),
    note text, written_by text DEFAULT mirusync.user_id())`);
  await s.query(`SELECT mirusync.attach('memo', feed => 'owner')
    WHERE NOT EXISTS (SELECT FROM mirusync.collections WHERE name = 'memo')`);
  await body(t);
  for (const device of s.devices)
    device.sound?.();
});

let last = 0;
const memo = () => `m${++last}`;
const query = (all) => new URLSearchParams(all).toString();
const history = (user, all, options) => api(s.relay, user, `/sync/history?${query(all)}`, options);
const conflicts = (user, all = {}, options = {}) => api(s.relay, user, `/sync/conflicts?${query(all)}`, options);
const resolve = (user, body, options = {}) => {
  if (!options.wrong)
    check('http_resolve', body);
  return api(options.relay ?? s.relay, user, '/sync/resolve', { body, ...options });
};
const push = (user, device, ...changes) => api(s.relay, user, '/sync/push', { body: { device, changes } });
const put = (number, id, fields, clock) => ({ number, kind: 'put', collection: 'memo', id, fields, clock });
const patch = (number, id, fields, more) => ({ number, kind: 'patch', collection: 'memo', id, fields, ...more });
const clock = (minute) => `2026-01-01T09:${minute}:00.000Z/0000`;

/* A record whose title two devices wrote at once: phone's stands, desk's lost. */
async function conflicting(user, id = memo()) {
  await push(user, 'desk', put(1, id, { title: 'Tea' }, clock('00')));
  await push(user, 'phone', patch(1, id, { title: 'Black' }, { base: 1, clock: clock('20') }));
  await push(user, 'desk', patch(2, id, { title: 'Green' }, { base: 1, clock: clock('10') }));
  return id;
}

test('the history of a record', async () => {
  const user = newUser();
  const id = await conflicting(user);
  await s.query('UPDATE memo SET note = NULL, title = $2 WHERE id = $1', [id, 'by SQL']);
  const { body, headers } = await history(user, { collection: 'memo', id });
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(body.complete, true);
  assert.deepEqual(body.changes.map((c) => [c.seq, c.kind, c.origin, c.device, c.changes.title]), [
    [1, 'put', 'push', 'desk', { to: 'Tea' }],
    [2, 'patch', 'push', 'phone', { from: 'Tea', to: 'Black' }],
    [3, 'patch', 'sql', undefined, { from: 'Black', to: 'by SQL' }]]);
  assert.ok(!/role|application|xid|postgres/.test(JSON.stringify(body)), 'who runs the database is not told');
  /* Page by page, from the latest. */
  const pages = [];
  for (let before; pages.length < 5;) {
    const page = await history(user, { collection: 'memo', id, limit: 2, ...(before ? { before } : {}) });
    pages.unshift(...page.body.changes);
    before = page.body.changes[0].seq;
    if (page.body.complete)
      break;
  }
  assert.deepEqual(pages, body.changes);
});

test('conflicts, and deciding them on every device at once', async () => {
  const user = newUser();
  const own = await n.live(user);
  const other = await n.live(user, { device: 'tablet', relay: s.relays[1] });
  const id = await conflicting(user);
  await push(user, 'desk', put(3, 'other', { title: 'x' }, clock('00')));
  const [conflict, ...more] = (await conflicts(user)).body.conflicts;
  assert.deepEqual(more, []);
  assert.deepEqual([conflict.collection, conflict.record, conflict.field, conflict.stored, conflict.incoming, conflict.outcome,
    conflict.stored_device, conflict.incoming_device], ['memo', id, 'title', 'Black', 'Green', 'stored', 'phone', 'desk']);
  for (const [of, count] of [[{ collection: 'memo' }, 1], [{ collection: 'memo', id }, 1], [{ collection: 'memo', id: 'other' }, 0],
    [{ collection: 'note' }, 0], [{ before: conflict.id }, 0], [{ before: conflict.id + 1, limit: 1 }, 1]])
    assert.equal((await conflicts(user, of)).body.conflicts.length, count, JSON.stringify(of));

  const { status, body } = await resolve(user, { conflict: conflict.id, choose: 'incoming' });
  assert.deepEqual([status, body.epoch], [200, 0]);
  for (const device of [own, other]) {
    await device.caughtUp(body.seq);
    assert.equal(device.state.get(`memo/${id}`).title, 'Green');
  }
  assert.deepEqual((await conflicts(user)).body.conflicts, []);
  const { changes } = (await history(user, { collection: 'memo', id })).body;
  assert.deepEqual([changes.at(-1).seq, changes.at(-1).origin, changes.at(-1).changes],
    [body.seq, 'resolve', { title: { from: 'Black', to: 'Green' } }]);
  /* Once. */
  const again = await resolve(user, { conflict: conflict.id, choose: 'stored' });
  assert.deepEqual([again.status, again.body.error.code, again.body.error.sqlstate], [422, 'refused', '55000']);
});

test('a value of one\'s own, by the other relay, and what the table refuses', async () => {
  const user = newUser();
  const id = await conflicting(user);
  const [conflict] = (await conflicts(user)).body.conflicts;
  const bad = await resolve(user, { conflict: conflict.id, value: 'bad' });
  assert.deepEqual([bad.status, bad.body.error.code, bad.body.error.sqlstate, bad.body.error.retry], [422, 'refused', '23514', false]);
  assert.match(bad.body.error.reason, /memo_title_check/);
  assert.equal((await conflicts(user)).body.conflicts.length, 1, 'it is still open');
  const { body } = await resolve(user, { conflict: conflict.id, value: 'White "quoted" \u00e9' }, { relay: s.relays[1] });
  const rows = await s.query('SELECT title, mirusync.user_id() AS nobody FROM memo WHERE id = $1', [id]);
  assert.deepEqual(rows, [{ title: 'White "quoted" \u00e9', nobody: null }]);
  assert.equal(body.seq, 3);
});

test('a user never sees another user\'s history, nor decides for him', async () => {
  const [anna, bob] = [newUser('anna'), newUser('bob')];
  const id = await conflicting(anna);
  await s.query("SELECT mirusync.create_collection('ask_note')");
  await s.query("SELECT mirusync.put($1, 'ask_note', 'same', $2)", [anna, { of: 'anna' }]);
  await s.query("SELECT mirusync.put($1, 'ask_note', 'same', $2)", [bob, { of: 'bob' }]);
  const [conflict] = (await conflicts(anna)).body.conflicts;
  const nothing = { complete: true, changes: [] };
  const seen = [];
  const look = async (path) => {
    const { status, body } = await api(s.relay, bob, path);
    seen.push(JSON.stringify(body));
    return { status, body };
  };
  /* Every way to name what is anna's. */
  for (const more of ['', `&feed=${anna}`, `&user=${anna}`, `&user_id=${anna}`, `&userId=${anna}`])
    assert.deepEqual(await look(`/sync/history?collection=memo&id=${id}${more}`), { status: 200, body: nothing });
  for (const more of ['', `?feed=${anna}`, `?user_id=${anna}`, `?collection=memo&id=${id}`, `?collection=memo&userId=${anna}`])
    assert.deepEqual((await look(`/sync/conflicts${more}`)).body, { complete: true, conflicts: [] });
  /* What there is looks like what there is not. */
  assert.deepEqual((await look('/sync/history?collection=memo&id=nothing')).body, nothing);
  assert.deepEqual((await look('/sync/history?collection=nothing&id=nothing')).body, nothing);
  /* One id of both is two records. */
  assert.deepEqual((await look('/sync/history?collection=ask_note&id=same')).body.changes.map((c) => c.changes.of), [{ to: 'bob' }]);
  for (const body of [{ choose: 'incoming' }, { value: 'mine' }]) {
    const theirs = await resolve(bob, { conflict: conflict.id, ...body });
    const none = await resolve(bob, { conflict: 987654321, ...body });
    assert.deepEqual([theirs.status, theirs.body.error.sqlstate], [422, '42704']);
    const plain = ({ after_ms, ...error }) => ({ ...error, reason: error.reason.replace(/\d+ of/, 'N of') });
    assert.deepEqual(plain(theirs.body.error), plain(none.body.error));
    seen.push(JSON.stringify(theirs.body));
  }
  const forged = await resolve(bob, { conflict: conflict.id, choose: 'incoming', user: anna, feed: anna, user_id: anna }, { wrong: true });
  assert.equal(forged.body.error.sqlstate, '42704');
  assert.ok(!seen.some((text) => text.includes(anna) || text.includes('Tea') || text.includes('Black')));
  assert.equal((await conflicts(anna)).body.conflicts.length, 1);
  assert.equal((await s.query('SELECT title FROM memo WHERE id = $1', [id]))[0].title, 'Black');
});

test('errors have the status of the table', async () => {
  const user = newUser();
  const id = await conflicting(user);
  const of = { collection: 'memo', id };
  const origin = { headers: { origin: 'https://app.example' } };
  assert.equal((await history(user, of, origin)).headers['access-control-allow-origin'], 'https://app.example');
  assert.equal((await resolve(user, { conflict: 1e9, choose: 'stored' }, origin)).headers['access-control-allow-origin'], 'https://app.example');
  const ways = { '/sync/history': 'GET', '/sync/conflicts': 'GET', '/sync/resolve': 'POST' };
  for (const [path, method] of Object.entries(ways)) {
    const wrong = method === 'GET' ? { method: 'POST', body: {} } : {};
    const refused = await api(s.relay, user, path, wrong);
    assert.deepEqual([refused.status, refused.headers.allow], [405, `${method}, OPTIONS`], path);
    const right = method === 'GET' ? {} : { body: {} };
    assert.equal((await api(s.relay, null, path, right)).status, 401, path);
    assert.equal((await api(s.relay, user, path, { ...right, token: userToken(s.stack.secret, user, -60) })).status, 401, path);
    assert.equal((await api(s.relay, user, path, { ...right, headers: { origin: 'https://evil.example' } })).status, 403, path);
  }
  /* Ids and names as bad as they come; what is no argument is refused. */
  for (const odd of ['\'; DROP TABLE memo; --', '"', '\u0001\n\t\u007f', '%s', '\\', '\u{1f600}', 'x'.repeat(1024), ' '])
    for (const all of [{ ...of, id: odd }, { ...of, collection: odd }]) {
      assert.deepEqual((await history(user, all)).body.changes, [], odd);
      assert.deepEqual((await conflicts(user, all)).body.conflicts, [], odd);
    }
  for (const text of ['', 'collection=memo', `id=${id}`, `collection=memo&id=${'x'.repeat(10000)}`, 'collection=memo&id=%00', 'collection=memo&id=%ff',
    ...['limit=0', 'limit=1001', 'limit=x', 'limit=-1', 'before=x', 'before=1.5', 'before=-1', 'before=99999999999999999999', `id=${id}`]
      .map((more) => `collection=memo&id=${id}&${more}`)]) {
    const { status, body } = await api(s.relay, user, `/sync/history?${text}`);
    assert.deepEqual([status, body.error.code], [400, 'bad_message'], text);
  }
  for (const text of [`id=${id}`, 'limit=0', 'limit=1001', 'before=x', 'collection=%zz'])
    assert.equal((await api(s.relay, user, `/sync/conflicts?${text}`)).status, 400, text);
  const [{ id: conflict }] = (await conflicts(user)).body.conflicts;
  for (const [body, status, code, sqlstate] of [
    ['{', 400, 'bad_json'], ['', 400, 'bad_json'], ['[]', 400, 'bad_message'], ['1', 400, 'bad_message'],
    [`{"conflict": ${conflict}, "value": "\\u0000"}`, 400, 'bad_json'],
    [`{"conflict": ${conflict}, "choose": "stored"}, "type": "push"`, 400, 'bad_json'],
    [`{"conflict": ${conflict}, "choose": "stored"}}, {`, 400, 'bad_json'],
    [`{"type": "push", "conflict": ${conflict}}`, 400, 'bad_message'],
    [`{"conflict": ${conflict}, "value": "${'x'.repeat(70000)}"}`, 413, 'too_large'],
    ['{}', 422, 'refused', '22023'], [`{"conflict": "${conflict}", "choose": "stored"}`, 422, 'refused', '22023'],
    [`{"conflict": ${conflict}}`, 422, 'refused', '22023'], [`{"conflict": ${conflict}, "choose": "mine"}`, 422, 'refused', '22023'],
    [`{"conflict": ${conflict}, "choose": "stored", "value": 1}`, 422, 'refused', '22023'],
    ['{"conflict": 99999999999999999999, "choose": "stored"}', 422, 'refused', '22023']]) {
    const { status: got, body: answer } = await resolve(user, body, { wrong: true, raw: true });
    assert.deepEqual([got, answer.error.code, answer.error.sqlstate], [status, code, sqlstate], body.slice(0, 80));
  }
  assert.equal((await conflicts(user)).body.conflicts.length, 1);
  /* Somebody who was turned out asks nothing. */
  await s.query('SELECT mirusync.revoke($1)', [user]);
  assert.equal((await history(user, of)).status, 401);
  assert.equal((await resolve(user, { conflict, choose: 'incoming' })).status, 401);
});
