/*
 * client_guide.test.mjs
 *     client/README.md and docs/client.md as their readers meet them: every
 *     example runs, from top to bottom, and gives what the page shows; and the
 *     move of a device from the practice-log client.  Those of the components
 *     need a page: elements.test.mjs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../../tools/stack.mjs';
import { created, deleted, entry, iso, newUser, updated, userToken, useStack, waitUntil, WebSocket } from './harness.mjs';

const s = useStack({ relays: 1 });
const clients = [];
const require = createRequire(join(ROOT, 'client/package.json'));
const { build, transform } = require('esbuild');
const COMPONENTS = 'mirusync/indicator';
const OLD_CLIENT = '## From the practice-log client';

after(() => Promise.all(clients.map((client) => client.close())));

/* blocks returns the examples of a text, by their language. */
function blocks(text, ...languages) {
  return [...text.matchAll(/^( *)```(\w+)\n([^]*?)^\1```$/gm)]
    .filter(([, , language]) => languages.includes(language))
    .map(([, indent, language, code]) => ({ language, code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), '') }));
}

/* A project in which "mirusync" is what a reader would have installed. */
async function project() {
  const modules = join(s.stack.dir, 'guide/node_modules');
  await mkdir(modules, { recursive: true });
  await symlink(join(ROOT, 'client'), join(modules, 'mirusync')).catch(() => {});
  for (const name of ['react', 'react-dom'])
    await symlink(join(ROOT, 'client/node_modules', name), join(modules, name)).catch(() => {});
  return join(s.stack.dir, 'guide');
}

/* shown waits until an expression gives what the page says. */
globalThis.shown = async (expression, value, text) => {
  let got;
  const equal = async () => {
    got = await expression();
    try {
      assert.deepEqual(got, value);
      return true;
    } catch {
      return false;
    }
  };
  await waitUntil(equal, { timeout: 5000 }).catch(() => assert.deepEqual(got, value, text));
};

/* run makes one module of examples and runs it as a page of the user would. */
async function run(name, user, examples) {
  const globals = {
    location: { origin: s.relay.url, hostname: 'app.example' },
    localStorage: new Storage(),
    indexedDB: new (require('fake-indexeddb').IDBFactory)(),
    WebSocket,
    fetch: async (url, request) => url === '/token'
      ? new Response(userToken(s.stack.secret, user)) : former.fetch(url, request),
  };
  const former = Object.fromEntries(Object.keys(globals).map((key) => [key, globalThis[key]]));
  const source = examples.map(({ code }) => code).join('\n')
    .replaceAll(/^(.*); \/\/ → (.*)$/gm, (_, expression, value) =>
      `await shown(async () => (${expression}), ${value}, ${JSON.stringify(`${expression} gives ${value}`)});`);
  const file = join(await project(), `${name}.mjs`);
  const { code } = await transform(source, { loader: 'jsx', jsx: 'automatic', format: 'esm', target: 'es2022', supported: { 'top-level-await': true } });
  await writeFile(file, code);
  Object.assign(globalThis, globals);
  try {
    return { file, ...await import(pathToFileURL(file)) };
  } finally {
    Object.assign(globalThis, former);
  }
}

class Storage extends Map {
  getItem(key) { return this.get(key) ?? null; }
  setItem(key, value) { this.set(key, String(value)); }
  removeItem(key) { this.delete(key); }
}

s.test('client/README.md: five minutes', async () => {
  const text = await readFile(join(ROOT, 'client/README.md'), 'utf8');
  const [{ code: sql }] = blocks(text, 'sql');
  assert.match(sql, /^CREATE EXTENSION mirusync;\n/);
  await s.query(sql.replace(/^.*\n/, ''));
  const examples = blocks(text, 'js', 'jsx').filter(({ code }) => !code.includes(COMPONENTS));
  assert.ok(examples.length >= 3);
  const drawn = { renders: 0, badges: new Set() };
  globalThis.render = (list) => { drawn.renders++; assert.ok(Array.isArray(list)); };
  globalThis.badge = (state) => drawn.badges.add(state);
  globalThis.tell = (what) => assert.fail(what);
  const user = newUser();
  const { state, html, history } = await run('readme', user, [...examples, { code: `
    import { renderToString } from 'react-dom/server';
    await shown(() => client.status.unsent === 0 && client.status.caughtUp, true);
    export const html = renderToString(<Notes />);
    export const state = client.status.state;
    export const history = await client.history('note', id);
    await client.close();` }]);
  assert.equal(state, 'connected');
  assert.match(html, /^<ul title="connected, 0 unsent"><\/ul>$/);
  assert.equal(history.at(-1)?.kind, 'delete');
  assert.ok(drawn.renders >= 3 && drawn.badges.has('connected'));
});

s.test('docs/client.md: every example gives what it shows', async () => {
  const [text] = (await readFile(join(ROOT, 'docs/client.md'), 'utf8')).split(OLD_CLIENT);
  const examples = blocks(text, 'js', 'jsx').filter(({ code }) => !code.includes('mirusync/worker') && !code.includes(COMPONENTS));
  assert.ok(examples.length >= 11, `${examples.length} examples`);
  assert.ok(examples.reduce((sum, { code }) => sum + code.split('; // → ').length - 1, 0) >= 16, 'most show what they give');
  const user = newUser();
  const change = (device, number, kind, title, clock, base) => s.query('SELECT mirusync.push($1, $2, $3)', [user, device, {
    changes: [{ number, kind, collection: 'note', id: 'n2', fields: { title }, clock: `2026-01-01T09:${clock}:00Z`, base }] }]);
  await change('desk', 1, 'put', 'Tea', '00');
  await change('phone', 1, 'patch', 'Black tea', '20', 1);
  await change('desk', 2, 'patch', 'Green tea', '10', 1);
  const jsx = examples.findIndex(({ language }) => language === 'jsx');
  examples.splice(jsx + 1, 0, { code: `
    import { renderToString } from 'react-dom/server';
    export const html = renderToString(<Notes />);` });
  const log = console.log;
  console.log = () => {};
  try {
    const { html } = await run('guide', user, examples);
    assert.match(html, /^<ul title="disconnected, 0 unsent, Eggs"><li>Green tea<\/li><li>Eggs<\/li><li>Bread<\/li><\/ul>$/);
  } finally {
    console.log = log;
  }
  const rows = await s.query('SELECT title, done FROM note WHERE owner = $1 ORDER BY title', [user]);
  assert.deepEqual(rows, [{ title: 'Bread', done: false }, { title: 'Eggs', done: false }, { title: 'Green tea', done: false }]);
});

s.test('docs/client.md: the service worker is bundled as it stands', async () => {
  const [{ code }] = blocks(await readFile(join(ROOT, 'docs/client.md'), 'utf8'), 'js').filter(({ code: c }) => c.includes('mirusync/worker'));
  const [worker, page] = code.split('// the page\n');
  const dir = await project();
  for (const [name, contents] of Object.entries({ worker, page: `const client = undefined;\n${page}` })) {
    const { outputFiles, warnings } = await build({ stdin: { contents, resolveDir: dir }, bundle: true, format: 'esm', write: false, logLevel: 'silent' });
    assert.deepEqual(warnings, [], name);
    assert.ok(outputFiles[0].contents.length > 100);
  }
});

s.test('a device moves from the practice-log client, and nothing is lost or doubled', async () => {
  const user = newUser();
  const phone = await s.live(user);
  const laptop = await s.live(user);
  const [e1, e2, e3] = [entry({ notes: 'one' }), entry({ notes: 'two' }), entry({ notes: 'three' })];
  for (const e of [e1, e2, e3])
    await phone.push(created(e));
  /* What it does without a network; e5 was stored, but its answer was lost. */
  const [e4, e5] = [entry({ notes: 'four' }), entry({ notes: 'five' })];
  const wrong = entry({ notes: 'wrong', duration: 'long' });
  const unsent = [
    updated({ ...e1, notes: 'old edit', updatedAt: iso(Date.now() + 1000) }), created(e5), updated({ ...e5, notes: 'five again', updatedAt: iso(Date.now() + 1000) }),
    created(wrong), created(e4), deleted(e3.id, { timestamp: iso(Date.now() + 1000) })];
  await phone.push(unsent[1]);
  phone.close();
  await laptop.push(updated({ ...e1, notes: 'newer edit', updatedAt: iso(Date.now() + 2000) }));
  await laptop.push(updated({ ...e2, notes: 'two of the laptop', updatedAt: iso(Date.now() + 2000) }));
  await laptop.quiet();

  const code = blocks((await readFile(join(ROOT, 'docs/client.md'), 'utf8')).split(OLD_CLIENT)[1], 'js');
  const { move } = await run('move', user, code);
  const heard = [];
  const moving = { url: s.relay.url, token: async () => userToken(s.stack.secret, user), unsent, options: { storage: 'memory', WebSocket } };
  /* The network goes while it moves: it is done again, with all of it. */
  let answers = 0;
  const broken = class extends WebSocket {
    constructor(...all) {
      super(...all);
      this.on('message', () => ++answers === 4 && this.terminate());
    }
  };
  const by = async (Socket, result) => {
    const former = globalThis.WebSocket;
    globalThis.WebSocket = Socket;
    return result().finally(() => { globalThis.WebSocket = former; });
  };
  await by(broken, () => assert.rejects(move(moving), /^Error: [345] events are unsent: try again$/));
  const { client, refused } = await by(WebSocket, () => move(moving));
  clients.push(client);
  client.on('*', (event) => heard.push(event));
  await waitUntil(() => client.status.caughtUp, { what: 'the new client to catch up' });
  assert.deepEqual(refused.map(({ event }) => event.entry.id), [wrong.id]);

  const entries = client.collection('logbook_entry');
  const notes = () => Object.fromEntries(entries.list().map(({ id, notes: text }) => [id, text]));
  assert.deepEqual(notes(), { [e1.id]: 'newer edit', [e2.id]: 'two of the laptop', [e4.id]: 'four', [e5.id]: 'five again' });
  const rows = await s.query("SELECT id, data ->> 'notes' AS notes FROM mirusync.document WHERE feed = $1", [user]);
  assert.deepEqual(Object.fromEntries(rows.map((row) => [row.id, row.notes])), notes(), 'as the database has it');
  const log = await s.query('SELECT id, kind, count(*)::int FROM mirusync.change_log WHERE feed = $1 GROUP BY 1, 2', [user]);
  const count = (id, kind) => log.find((row) => row.id === id && row.kind === kind)?.count ?? 0;
  assert.deepEqual([count(e4.id, 'put'), count(e5.id, 'put'), count(e5.id, 'patch'), count(e3.id, 'delete'), count(e1.id, 'patch')], [1, 1, 1, 1, 1]);

  /* The laptop stays with the old client; both go on. */
  await waitUntil(() => laptop.messages.some((m) => m.entryId === e3.id), { what: 'the delete at the laptop' });
  for (const e of [e4, e5])
    assert.equal(laptop.messages.filter((m) => m.type === 'ENTRY_CREATED' && m.entry.id === e.id).length, 1);
  const [e6, e7] = [entry({ notes: 'six' }), entry({ notes: 'seven' })];
  await laptop.push(created(e6));
  await waitUntil(() => entries.get(e6.id), { what: 'what the old client made' });
  assert.deepEqual(heard.filter(({ id }) => id === e6.id).map(({ type, record }) => [type, record.notes]), [['ENTRY_CREATED', 'six']]);
  assert.equal((await entries.put(e7.id, e7).verdict).verdict, 'applied');
  await waitUntil(() => laptop.messages.some((m) => m.type === 'ENTRY_CREATED' && m.entry.id === e7.id), { what: 'what the new one made' });
  await entries.patch(e2.id, { notes: 'two of the phone', updatedAt: iso(Date.now() + 3000) }).verdict;
  await waitUntil(() => laptop.messages.some((m) => m.type === 'ENTRY_UPDATED' && m.entry.notes === 'two of the phone'), { what: 'a patch of the new one' });
});
