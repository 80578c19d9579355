/*
 * client_browser.test.mjs
 *     The JavaScript client in a real browser: tabs that lead and follow, tabs
 *     that crash, the service worker, a full disk.
 *
 * The relay serves the page (static_dir), so all is of one origin.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { createClients } from './client.mjs';
import { newUser, userToken, useStack, waitUntil } from './harness.mjs';

const { build } = createRequire(new URL('../../client/package.json', import.meta.url))('esbuild');
const SOURCE = fileURLToPath(new URL('../../client/src/', import.meta.url));

const s = useStack({ relays: 0 });
const c = createClients(s);
/* The worker's user; a page names its own in the query. */
const WORKER = newUser('worker');

const PAGE = `
  import { createClient } from '${SOURCE}index.js';
  import { request } from '${SOURCE}worker.js';
  window.open_ = async (token, options = {}) => {
    window.client = createClient({ token, ...options });
    window.notes = client.collection('note');
    window.rejected = [];
    client.on('rejected', ({ code }) => rejected.push(code));
    await client.ready;
  };
  window.withWorker = async () => {
    await navigator.serviceWorker.register('/worker.js');
    await navigator.serviceWorker.ready;
    request(client);
  };
`;
const WORKER_CODE = `
  import { serve } from '${SOURCE}worker.js';
  serve({ token: async () => (await (await fetch('/token.json')).json()).token });
  self.addEventListener('install', () => self.skipWaiting());
  self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
`;

let browser;
let profile;
let dir;

/* setUp needs the stack, so it runs with the first test. */
let ready;
async function setUp() {
  dir = await mkdtemp(join(tmpdir(), 'mirusync-page-'));
  await chmod(dir, 0o755);
  const bundle = async (contents, name) => {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: SOURCE }, bundle: true, format: 'iife', target: 'es2022', write: false,
    });
    await writeFile(join(dir, name), outputFiles[0].contents);
  };
  await bundle(PAGE, 'page.js');
  await bundle(WORKER_CODE, 'worker.js');
  await writeFile(join(dir, 'index.html'), '<!doctype html><meta charset="utf-8"><title>client</title><script src="/page.js"></script>');
  await writeFile(join(dir, 'token.json'), JSON.stringify({ token: userToken(s.stack.secret, WORKER) }));
  s.relay = await s.stack.addRelay({ static_dir: dir });
  await c.prepare();
  profile = await mkdtemp(join(tmpdir(), 'mirusync-browser-'));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

after(async () => {
  await browser?.close();
  for (const path of [profile, dir])
    if (path)
      await rm(path, { recursive: true, force: true, maxRetries: 5 });
});

/* open opens a tab with a client of its own database, connected if asked. */
async function open(user, { name = user, connect = true, ...options } = {}) {
  const page = await browser.newPage();
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(error));
  await page.goto(`${s.relay.url}/`);
  await page.evaluate(([token, more]) => window.open_(token, more), [userToken(s.stack.secret, user), { name, ...options }]);
  if (connect) {
    await page.evaluate(() => client.connect());
    await status(page, (now) => now.caughtUp);
  }
  return page;
}

/* status waits until the status of a page is so. */
async function status(page, check) {
  return waitUntil(async () => {
    const now = await page.evaluate(() => client.status);
    return check(now) && now;
  }, { what: 'the status of a page' });
}

const see = (page) => page.evaluate(() => notes.list({ order: 'id' }).map(({ id, ...rest }) => [id, rest.title]));
const seen = (page, expected) => waitUntil(async () => JSON.stringify(await see(page)) === JSON.stringify(expected), { what: JSON.stringify(expected) });
const titles = async (user) => (await s.query("SELECT id, data->>'title' AS title FROM mirusync.document WHERE feed = $1 ORDER BY id", [user]))
  .map(({ id, title }) => [id, title]);

const test = (name, body) => s.test(name, async () => {
  await (ready ??= setUp());
  try {
    await body();
    for (const page of browser.pages())
      assert.deepEqual(page.problems ?? [], []);
  } finally {
    const [blank, ...pages] = browser.pages();
    for (const page of pages)
      await page.close().catch(() => {});
    assert.ok(blank);
    await c.closeAll();
  }
});

test('one of two tabs leads, both see and write, and the lead passes on', async () => {
  const user = newUser();
  const a = await open(user);
  const b = await open(user);
  assert.equal((await status(a, () => true)).leading, true);
  assert.equal((await status(b, () => true)).leading, false);
  assert.equal((await status(b, () => true)).lasting, true);
  const sessions = await s.relay.log.split('\n').filter((line) => line.includes(user) && /session opened|opened/.test(line)).length;
  assert.ok(sessions <= 1, 'one socket for both');
  await b.evaluate(async () => { await notes.put('n1', { title: 'by the follower' }).verdict; });
  await seen(a, [['n1', 'by the follower']]);
  assert.deepEqual(await titles(user), [['n1', 'by the follower']]);
  const other = await c.connected(user);
  other.note.put('n2', { title: 'from elsewhere' });
  for (const page of [a, b])
    await seen(page, [['n1', 'by the follower'], ['n2', 'from elsewhere']]);
  await a.close();
  await status(b, (now) => now.leading && now.state === 'connected');
  other.note.delete('n1');
  await seen(b, [['n2', 'from elsewhere']]);
});

test('what a tab wrote before it crashed is there, and is sent by the next', async () => {
  const user = newUser();
  const a = await open(user);
  await a.evaluate(async () => {
    client.disconnect();
    await Promise.all([notes.put('n1', { title: 'one' }).saved, notes.put('n2', { title: 'two' }).saved]);
  });
  const devtools = await browser.newCDPSession(a);
  const crashed = a.waitForEvent('crash');
  devtools.send('Page.crash').catch(() => {});
  await crashed;
  assert.deepEqual(await titles(user), []);
  const b = await open(user, { connect: false });
  assert.deepEqual(await see(b), [['n1', 'one'], ['n2', 'two']]);
  assert.equal((await status(b, () => true)).unsent, 2);
  await b.evaluate(() => client.connect());
  await status(b, (now) => now.unsent === 0);
  assert.deepEqual(await titles(user), [['n1', 'one'], ['n2', 'two']]);
});

test('the leading tab crashes while others write', async () => {
  const user = newUser();
  const a = await open(user);
  const b = await open(user);
  await b.evaluate(() => notes.put('n1', { title: 'one' }).saved);
  const devtools = await browser.newCDPSession(a);
  const crashed = a.waitForEvent('crash');
  devtools.send('Page.crash').catch(() => {});
  await b.evaluate(() => { notes.put('n2', { title: 'two' }); });
  await crashed;
  await b.evaluate(() => { notes.put('n3', { title: 'three' }); });
  await status(b, (now) => now.leading && now.state === 'connected' && now.unsent === 0);
  await waitUntil(async () => (await titles(user)).length === 3);
  assert.equal(await s.head(user), 3, 'each once');
});

test('offline and back', async () => {
  const user = newUser();
  const a = await open(user);
  await s.relay.stop();
  await status(a, (now) => now.state === 'reconnecting');
  await a.evaluate(() => notes.put('n1', { title: 'offline' }).saved);
  await s.relay.start();
  await a.evaluate(() => window.dispatchEvent(new Event('online')));
  await status(a, (now) => now.unsent === 0 && now.state === 'connected');
  assert.deepEqual(await titles(user), [['n1', 'offline']]);
});

test('the service worker sends what is unsent when no page is open', async () => {
  const a = await open(WORKER, { name: 'default', connect: false });
  await a.evaluate(async () => {
    await withWorker();
    await notes.put('n1', { title: 'by the worker' }).saved;
  });
  const blank = browser.pages()[0];
  await blank.goto(`${s.relay.url}/token.json`);
  const devtools = await browser.newCDPSession(blank);
  const registered = new Promise((resolve) => {
    devtools.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
      for (const { registrationId, isDeleted } of registrations)
        if (!isDeleted)
          resolve(registrationId);
    });
  });
  await devtools.send('ServiceWorker.enable');
  const registrationId = await registered;
  await a.close();
  await devtools.send('ServiceWorker.dispatchSyncEvent', { origin: s.relay.url, registrationId, tag: 'mirusync', lastChance: true });
  await waitUntil(async () => (await titles(WORKER)).length === 1, { what: 'the worker' });
  const b = await open(WORKER, { name: 'default', connect: false });
  assert.deepEqual(await see(b), [['n1', 'by the worker']]);
  await status(b, (now) => now.unsent === 0);
  await blank.goto('about:blank');
});

test('another user finds nothing of the former one', async () => {
  const [anna, bert] = [newUser('anna'), newUser('bert')];
  const a = await open(anna, { name: 'shared' });
  await a.evaluate(async () => { await notes.put('n1', { title: 'of anna' }).verdict; });
  await a.close();
  const b = await open(bert, { name: 'shared', user: bert });
  assert.deepEqual(await see(b), []);
  assert.equal((await status(b, () => true)).user, bert);
});

/* Chromium's own quota cannot be made small for a test; so its error is thrown where it would be. */
test('a full disk refuses the write, says so, and takes later ones when there is room', async () => {
  const user = newUser();
  const a = await open(user);
  await a.evaluate(async () => { await notes.put('n0', { title: 'kept' }).verdict; });
  const [codes, refused] = await a.evaluate(async () => {
    const heard = [];
    client.on('error', ({ code }) => heard.push(code));
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function (...all) {
      if (this.name === 'outbox')
        throw new DOMException('no room', 'QuotaExceededError');
      return put.apply(this, all);
    };
    const code = await notes.put('n1', { title: 'too much' }).saved.catch((error) => error.code);
    IDBObjectStore.prototype.put = put;
    return [heard, code];
  });
  assert.deepEqual([codes, refused], [['storage_full'], 'storage_full']);
  await seen(a, [['n0', 'kept']]);
  await a.evaluate(async () => { await notes.put('n2', { title: 'room again' }).verdict; });
  assert.deepEqual(await titles(user), [['n0', 'kept'], ['n2', 'room again']]);
});
