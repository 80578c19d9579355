/*
 * elements.test.mjs
 *     The web components in a real browser, with a real relay: what they show,
 *     what they let a person do, by mouse and by keyboard, and whether everybody
 *     can use them (axe).
 *
 * The page has the strictest policy that there is (CSP without inline styles,
 * trusted types), so a component that makes markup of data fails everywhere.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { createClients } from './client.mjs';
import { newUser, userToken, useStack, waitUntil } from './harness.mjs';

const require = createRequire(import.meta.url);
const { build } = createRequire(new URL('../../client/package.json', import.meta.url))('esbuild');
const SOURCE = fileURLToPath(new URL('../../client/src/', import.meta.url));

const s = useStack({ relays: 0 });
const c = createClients(s);

const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self' ws:; require-trusted-types-for 'script'";
const html = (scripts) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="${POLICY}"><title>Elements</title>${scripts.map((name) => `<script src="/${name}" defer></script>`).join('')}</head>
<body><main><h1>Elements</h1></main></body></html>`;

/* Elements are made before they are defined, as a page does whose scripts come later. */
const PAGE = `
  import { createClient } from '${SOURCE}index.js';
  window.add = (tag, properties = {}, attributes = {}) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
      element.setAttribute(name, value);
    Object.assign(element, { client: window.client, ...properties });
    document.querySelector('main').append(element);
    return element;
  };
  /* Whose relay cannot be reached while the page is down. */
  class Socket extends WebSocket {
    constructor(...all) {
      if (window.down)
        throw new Error('no network');
      super(...all);
      window.socket = this;
    }
  }
  const request = (...all) => (window.down ? Promise.reject(new TypeError('no network')) : fetch(...all));
  window.open_ = async (token, options = {}) => {
    Object.assign(window, { signedIn: true, token });
    window.client = createClient({ token: () => (window.signedIn ? token : null), WebSocket: Socket, fetch: request, ...options });
    window.notes = client.collection('note');
    await client.ready;
  };
  window.load = () => Promise.all([import('${SOURCE}elements/indicator.js'), import('${SOURCE}elements/conflicts.js'), import('${SOURCE}elements/debug.js')]);
  /* How many listen to the client. */
  window.listening = () => [...client.events.listeners.values()].reduce((sum, all) => sum + all.size, 0);
  window.violations = [];
  document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => violations.push(violatedDirective + ' ' + blockedURI));
`;

/* The same by React; the page's client belongs to the other script. */
const REACT = `
  import { createElement, useState } from 'react';
  import { createRoot } from 'react-dom/client';
  import { ConflictPanel, SyncIndicator } from '${SOURCE}react.js';
  window.retried = [];
  window.draw = () => {
    const root = createRoot(document.querySelector('main'));
    root.render(createElement(() => {
      const [count, setCount] = useState(-1);
      return [createElement('h1', { key: 1 }, 'Conflicts: ' + count),
        createElement(SyncIndicator, { key: 2, client, form: 'detailed', onRetry: (event) => { event.preventDefault(); retried.push([event.detail.action, count]); } }),
        createElement(ConflictPanel, { key: 3, client, collection: 'note', label: ({ field }) => (field ? 'The field' : 'The record'), onConflicts: ({ detail }) => setCount(detail.count) })];
    }));
    return root;
  };
`;

/* exampleOf gives the example of a document that is about elements, to be called in the page. */
async function exampleOf(document) {
  const text = await readFile(new URL(`../../${document}`, import.meta.url), 'utf8');
  const { code } = [...text.matchAll(/^ *```js\n(?<code>[^]*?)^ *```$/gm)].map(({ groups }) => groups).find((block) => block.code.includes("'mirusync/indicator'"));
  const lines = code.split('\n').map((line) => line.trim());
  const imports = lines.filter((line) => line.startsWith('import '));
  return `${imports.join('\n')}\nwindow.example = () => {\n${lines.filter((line) => !imports.includes(line)).join('\n')}\n};`;
}

let browser;
let context;
let dir;
let axe;
let ready;

async function setUp() {
  dir = await mkdtemp(join(tmpdir(), 'mirusync-elements-'));
  await chmod(dir, 0o755);
  const scripts = { 'page.js': PAGE, 'react.js': REACT, 'readme.js': await exampleOf('client/README.md'), 'guide.js': await exampleOf('docs/client.md') };
  for (const [name, contents] of Object.entries(scripts))
    await build({
      stdin: { contents, resolveDir: SOURCE }, bundle: true, format: 'iife', target: 'es2022', outfile: join(dir, name),
      alias: Object.fromEntries(['indicator', 'conflicts'].map((element) => [`mirusync/${element}`, `${SOURCE}elements/${element}.js`])),
      define: { 'process.env.NODE_ENV': '"production"' },
    });
  for (const [name, more] of [['index', []], ['react', ['react.js']], ['readme', ['readme.js']], ['guide', ['guide.js']]])
    await writeFile(join(dir, `${name}.html`), html(['page.js', ...more]));
  axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
  s.relay = await s.stack.addRelay({ static_dir: dir });
  await c.prepare();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  context = await browser.newContext({ viewport: { width: 900, height: 900 }, reducedMotion: 'reduce' });
}

after(async () => {
  await browser?.close();
  if (dir)
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
});

const pages = [];

/* open opens a page with a client, which is connected and caught up unless told otherwise. */
async function open(user, { connect = true, define = true, options = {}, path = '' } = {}) {
  const page = await context.newPage();
  pages.push(page);
  page.setDefaultTimeout(10000);
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(error));
  await page.goto(`${s.relay.url}/${path}`);
  await page.evaluate(([token, more]) => window.open_(token, more), [userToken(s.stack.secret, user), { storage: 'memory', ...options }]);
  if (define)
    await page.evaluate(() => load());
  if (connect) {
    await page.evaluate(() => client.connect());
    await page.waitForFunction(() => client.status.caughtUp);
  }
  return page;
}

const test = (name, body) => s.test(name, async () => {
  await (ready ??= setUp());
  try {
    await body();
    for (const page of pages) {
      assert.deepEqual(page.problems, []);
      assert.deepEqual(await page.evaluate(() => violations), []);
    }
  } finally {
    for (const page of pages.splice(0))
      await page.close().catch(() => {});
    await c.closeAll();
  }
});

/* Texts of an element's shadow root are found through it; says waits for one. */
const says = (page, selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor({ state: 'attached' });
const state = (page, selector, value) => page.locator(`${selector}[data-state="${value}"]`).first().waitFor({ state: 'attached' });

/* disagree has the page and another device write the same field, neither knowing of the other. */
async function disagree(page, other, id, field, mine, theirs) {
  await page.evaluate(() => client.disconnect());
  const theirWrite = other.note.patch(id, { [field]: theirs }).verdict;
  await theirWrite;
  await page.evaluate(([key, fields]) => notes.patch(key, fields).saved, [id, { [field]: mine }]);
  await page.evaluate(() => client.connect());
  await page.waitForFunction(() => client.status.caughtUp && !client.status.unsent);
}

/* shared gives a record that the page and another device have. */
async function shared(page, other, id, fields) {
  await other.note.put(id, fields).verdict;
  await page.waitForFunction((key) => notes.get(key), id);
}

test('the indicator tells what is so, counts what is unsent, and tries again; little of it is read aloud', async () => {
  const page = await open(newUser(), { define: false });
  await page.evaluate(() => { add('mirusync-indicator'); add('mirusync-indicator', {}, { form: 'detailed', id: 'card' }); });
  await page.evaluate(() => load());
  await page.evaluate(() => {
    const region = document.querySelector('#card').shadowRoot.querySelector('[role=status]');
    window.spoken = [];
    new MutationObserver(() => spoken.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true });
  });
  await state(page, 'mirusync-indicator', 'synced');
  await says(page, '#card [part~=unsent]', 'Nothing');
  await page.evaluate(() => { down = true; socket.close(); });
  await state(page, '#card', 'offline');
  for (const id of ['n1', 'n2'])
    await page.evaluate((key) => notes.put(key, { title: 'x' }).saved, id);
  await says(page, '#card [part~=unsent]', '2 changes, the oldest just now');
  await says(page, 'mirusync-indicator [part~=count]', '2 unsent');
  await says(page, '#card [part~=synced]', 'just now');
  await says(page, '#card [role=status]', 'Offline. 2 unsent. Keep this page open');
  await page.evaluate(() => notes.put('n3', { title: 'x' }).saved);
  await says(page, 'mirusync-indicator [part~=count]', '3 unsent');
  /* To hear that nothing is said of it. */
  await page.waitForTimeout(700);
  /* In one step: it also tries by itself. */
  await page.evaluate(() => {
    down = false;
    document.querySelector('#card').shadowRoot.querySelector('[part~=button]').click();
  });
  await state(page, 'mirusync-indicator:not(#card)', 'synced');
  await says(page, '#card [role=status]', 'Up to date');
  const spoken = await page.evaluate(() => spoken);
  assert.ok(spoken.length <= 3 && spoken.every((text) => /^(Up to date|Offline\. 2 unsent.*|Saving…)$/.test(text)), JSON.stringify(spoken));
  await page.evaluate(() => { signedIn = false; client.disconnect(); client.connect(); });
  await state(page, '#card', 'signed-out');
  const asked = await page.evaluate(() => new Promise((resolve) => {
    document.addEventListener('retry', (event) => { event.preventDefault(); resolve(event.detail.action); }, { once: true });
    document.querySelector('#card').shadowRoot.querySelector('[part~=button]').click();
  }));
  assert.equal(asked, 'sign-in');
  await page.evaluate(() => { signedIn = true; });
  await page.locator('#card').getByRole('button', { name: 'Sign in' }).click();
  await state(page, '#card', 'synced');
});

test('the examples of the documents', async () => {
  for (const path of ['readme', 'guide']) {
    const page = await open(newUser(), { path: `${path}.html`, define: false });
    await page.evaluate(() => {
      document.querySelector('main').append(...['indicator', 'conflicts'].map((name) => document.createElement(`mirusync-${name}`)));
      example();
    });
    await state(page, 'mirusync-indicator', 'synced');
    if (path === 'readme')
      await state(page, 'mirusync-conflicts', 'none');
  }
});

test('elements let go of the client when they leave, and come back', async () => {
  const page = await open(newUser());
  const counts = await page.evaluate(() => {
    const before = listening();
    const all = ['mirusync-indicator', 'mirusync-indicator', 'mirusync-conflicts', 'mirusync-debug'].map((tag) => add(tag));
    const during = listening();
    for (const element of all)
      element.remove();
    const after_ = listening();
    for (const element of all)
      document.querySelector('main').append(element);
    const again = listening();
    for (const element of all)
      element.client = null;
    return [before, during, after_, again, listening()];
  });
  const [before, during, left, again, none] = counts;
  assert.ok(during > before + 4);
  /* The log of a client that was once tapped stays diverted. */
  assert.deepEqual([left, again, none], [before + 1, during, before + 1]);
});

test('of many conflicts a few are shown, and more by a button', async () => {
  const page = await open(newUser(), { connect: false });
  await page.evaluate(() => {
    const conflicts = Array.from({ length: 24 }, (_, id) => ({ id, collection: 'note', record: `r${id}`, field: 'title', rule: 'manual', outcome: 'open', stored: id, incoming: -id }));
    const { status, views } = client;
    add('mirusync-conflicts', { client: { status: { ...status, state: 'connected' }, views, on: () => () => {}, conflicts: async () => conflicts } });
  });
  const cards = page.locator('mirusync-conflicts [part=card]');
  await page.getByRole('button', { name: 'Show 10 more' }).click();
  assert.equal(await cards.count(), 20);
  assert.equal(await page.evaluate(() => document.querySelector('mirusync-conflicts').shadowRoot.activeElement.textContent), 'Note r10', 'the focus is at the first of them');
  await page.getByRole('button', { name: 'Show 4 more' }).click();
  assert.deepEqual([await cards.count(), await page.getByRole('button', { name: /more/ }).count()], [24, 0]);
});

test('a conflict of two devices is resolved by a click, live in both', async () => {
  const user = newUser();
  const page = await open(user);
  const other = await c.connected(user);
  await shared(page, other, 'n1', { title: 'Scales', place: 'home' });
  await page.evaluate(() => add('mirusync-conflicts', { deviceName: () => 'Tablet' }));
  await state(page, 'mirusync-conflicts', 'none');
  await disagree(page, other, 'n1', 'title', 'Scales, slowly', 'Scales and arpeggios');
  await state(page, 'mirusync-conflicts', 'some');
  await says(page, 'mirusync-conflicts legend', 'Title');
  const [mine, theirs] = ['This device', 'Tablet'].map((name) => page.locator('mirusync-conflicts label', { hasText: name }));
  await says(page, 'mirusync-conflicts [part~=mine]', 'Scales, slowly');
  await says(page, 'mirusync-conflicts [part~=theirs]', 'Scales and arpeggios');
  assert.equal(await mine.locator('[part=in-use]').isVisible(), true);
  const button = page.getByRole('button', { name: 'Keep the chosen value' });
  assert.equal(await button.getAttribute('aria-disabled'), 'true');
  await theirs.click();
  await button.click();
  await state(page, 'mirusync-conflicts', 'none');
  await says(page, 'mirusync-conflicts [role=status]', 'Resolved: Scales');
  await page.waitForFunction(() => notes.get('n1').title === 'Scales and arpeggios');
  await waitUntil(() => other.note.get('n1').title === 'Scales and arpeggios');
  assert.deepEqual(await other.conflicts(), []);
});

test('choices outlast being offline; one may write something else; the server may refuse', async () => {
  const user = newUser();
  const page = await open(user);
  const other = await c.connected(user);
  await other.task.put('t1', { title: 'Water the plants', done: false }).verdict;
  await page.waitForFunction(() => client.collection('task').get('t1'));
  await page.evaluate(() => client.disconnect());
  await other.task.patch('t1', { title: 'Water the roses' }).verdict;
  await page.evaluate(() => client.collection('task').patch('t1', { title: 'Water the ferns' }).saved);
  await page.evaluate(() => { add('mirusync-conflicts', {}, { collection: 'task', record: 't1' }); client.connect(); });
  await state(page, 'mirusync-conflicts', 'some');
  await page.getByRole('radio', { name: 'Something else' }).check();
  const editor = page.getByRole('textbox', { name: 'The value to keep' });
  await editor.fill('');
  await page.evaluate(() => client.disconnect());
  await state(page, 'mirusync-conflicts', 'offline');
  await says(page, 'mirusync-conflicts [part=banner]', 'You are offline');
  const button = page.getByRole('button', { name: 'Keep the chosen value' });
  assert.equal(await button.getAttribute('aria-disabled'), 'true');
  /* The page may put the element somewhere else meanwhile. */
  await page.evaluate(() => { document.querySelector('main').prepend(document.querySelector('mirusync-conflicts')); client.connect(); });
  await state(page, 'mirusync-conflicts', 'some');
  assert.equal(await editor.inputValue(), '');
  await button.click();
  await says(page, 'mirusync-conflicts [part=error]', 'task_title_check');
  await editor.fill('Water everything');
  await button.click();
  await state(page, 'mirusync-conflicts', 'none');
  await waitUntil(() => other.task.get('t1').title === 'Water everything');
});

test('what somebody else resolved meanwhile goes away, or says so if a choice was made', async () => {
  const user = newUser();
  const page = await open(user);
  const other = await c.connected(user);
  await shared(page, other, 'n1', { title: 'a', place: 'b' });
  await shared(page, other, 'n2', { title: 'c' });
  for (const [id, field] of [['n1', 'title'], ['n1', 'place'], ['n2', 'title']])
    await disagree(page, other, id, field, `my ${field} of ${id}`, `their ${field} of ${id}`);
  await page.evaluate(() => add('mirusync-conflicts'));
  await page.locator('mirusync-conflicts[data-count="3"]').waitFor();
  const first = page.locator('mirusync-conflicts [part=card]', { has: page.locator('legend', { hasText: 'Place' }) });
  await first.getByRole('button', { name: 'All from this device' }).click();
  assert.equal(await first.getByRole('radio', { checked: true }).count(), 2);
  for (const { id } of await other.conflicts())
    await other.resolve(id, { choose: 'stored' });
  await page.locator('mirusync-conflicts[data-count="0"]').waitFor();
  assert.equal(await page.locator('mirusync-conflicts [part=card]').count(), 1);
  await says(page, 'mirusync-conflicts [part=decision]', 'Resolved elsewhere');
  await first.getByRole('button', { name: 'Dismiss' }).click();
  await page.locator('mirusync-conflicts [part=empty]').waitFor();
  /* Decided for what is in use: no change tells of it, so it is found out by trying. */
  await disagree(page, other, 'n2', 'title', 'mine again', 'theirs again');
  await page.locator('mirusync-conflicts[data-count="1"]').waitFor();
  await other.resolve((await other.conflicts())[0].id, { choose: 'incoming' });
  await page.locator('mirusync-conflicts [part~=theirs]').click();
  await page.getByRole('button', { name: 'Keep the chosen value' }).click();
  await says(page, 'mirusync-conflicts [part=decision]', 'Resolved elsewhere');
  assert.equal(await page.evaluate(() => notes.get('n2').title), 'mine again');
});

/* What would do something if it were taken for markup. */
const HOSTILE = '<img src=x onerror="window.hurt = 1"><script>window.hurt = 1</script>"\'`{{7*7}}';

test('hostile values are text', async () => {
  const user = newUser();
  const page = await open(user);
  const other = await c.connected(user);
  await shared(page, other, HOSTILE, { [HOSTILE]: 'a' });
  await page.evaluate((text) => {
    add('mirusync-conflicts', { deviceName: () => text });
    add('mirusync-debug', {}, { collection: text });
    add('mirusync-indicator', { texts: { synced: text } });
  }, HOSTILE);
  await disagree(page, other, HOSTILE, HOSTILE, `${HOSTILE} mine`, { [HOSTILE]: [HOSTILE] });
  await state(page, 'mirusync-conflicts', 'some');
  await says(page, 'mirusync-conflicts legend', '<img src=x');
  await says(page, 'mirusync-conflicts [part=value]', 'onerror');
  await says(page, 'mirusync-debug [part=entry]', '<img src=x');
  assert.deepEqual(await page.evaluate(() => [window.hurt, ...[...document.querySelectorAll('main > *')]
    .map(({ shadowRoot }) => shadowRoot?.querySelectorAll('img, script').length ?? 0)]), [undefined, 0, 0, 0, 0]);
});

test('the debug panel: offline and online, cut, records, export, wipe, and no token', async () => {
  const user = newUser();
  const page = await open(user, { connect: false });
  await page.evaluate(() => {
    add('mirusync-debug', { sample: (n) => ({ title: `Sample ${n}` }) }, { collection: 'note' });
    document.addEventListener('export', (event) => { event.preventDefault(); window.exported = event.detail; });
  });
  const button = (name) => page.locator('mirusync-debug').getByRole('button', { name, exact: true });
  await button('Go online').click();
  await says(page, 'mirusync-debug [part=state]', 'connected');
  await says(page, 'mirusync-debug [part=entry]', 'welcome');
  await button('Cut connection').click();
  await says(page, 'mirusync-debug [part=entry]', '(cut)');
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await page.waitForFunction(() => client.status.state === 'connected');
  await button('Go offline').click();
  await page.waitForFunction(() => client.status.state === 'disconnected');
  await page.getByLabel('Number').fill('3');
  await button('Create').click();
  await page.waitForFunction(() => client.status.unsent === 3);
  await button('Export outbox').click();
  await page.waitForFunction(() => window.exported);
  assert.deepEqual(await page.evaluate(() => exported.changes.map(({ fields }) => fields.title)), ['Sample 1', 'Sample 2', 'Sample 3']);
  await page.locator('mirusync-debug').getByLabel('Filter').fill('welcome');
  await page.waitForFunction(() => [...document.querySelector('mirusync-debug').shadowRoot.querySelectorAll('[part=entry]')].every((row) => row.textContent.includes('welcome')));
  const told = await page.evaluate(() => {
    const { log, shadowRoot } = document.querySelector('mirusync-debug');
    const entries = JSON.stringify(log.entries);
    return [...token.split('.').slice(1).map((part) => entries.includes(part) || shadowRoot.textContent.includes(part)), entries.includes('•••')];
  });
  assert.deepEqual(told, [false, false, true]);
  await button('Wipe…').click();
  await says(page, 'mirusync-debug [role=alertdialog]', '3 unsent changes are lost');
  await page.keyboard.press('Escape');
  await page.getByRole('alertdialog').waitFor({ state: 'hidden' });
  assert.equal(await page.evaluate(() => client.status.unsent), 3);
  await button('Wipe…').click();
  await button('Wipe local data').click();
  await page.waitForFunction(() => client.status.unsent === 0 && !notes.getSnapshot().length);
  await button('Go online').click();
  await page.waitForFunction(() => client.status.caughtUp);
  assert.deepEqual(await s.query('SELECT id FROM mirusync.document WHERE feed = $1', [user]), []);
});

test('in a tab that follows, the debug panel says so and takes the lead', async () => {
  const user = newUser();
  const options = { storage: 'indexeddb', name: user };
  const first = await open(user, { options });
  const page = await open(user, { options, connect: false });
  await page.evaluate(() => { add('mirusync-debug'); client.connect(); });
  const lead = page.getByRole('button', { name: 'Take the lead' });
  await lead.waitFor();
  assert.equal(await page.getByRole('button', { name: 'Cut connection' }).isDisabled(), true);
  await lead.click();
  await says(page, 'mirusync-debug [part=entry]', 'welcome');
  assert.equal(await page.evaluate(() => client.status.leading), true);
  await first.waitForFunction(() => !client.status.leading);
});

/* Each kind of status, besides those of the page's own client. */
const STATUSES = [
  { state: 'connecting', reason: '' }, { unsent: 2, unsentSince: 0 }, { caughtUp: false }, { state: 'disconnected', reason: 'refused' },
  { state: 'needs-auth', reason: 'no_token' }, { state: 'disconnected', reason: 'switched_off' }, { state: 'reconnecting', reason: 'silent', unsent: 1, unsentSince: 0 },
];

test('the same by React: properties, listeners, and nothing left behind', async () => {
  const user = newUser();
  const page = await open(user, { path: 'react.html', define: false });
  const other = await c.connected(user);
  const before = await page.evaluate(() => { window.root = draw(); return listening(); });
  await shared(page, other, 'n1', { title: 'a' });
  await disagree(page, other, 'n1', 'title', 'mine', 'theirs');
  await page.getByRole('heading', { name: 'Conflicts: 1' }).waitFor();
  await says(page, 'mirusync-conflicts legend', 'The field');
  await says(page, 'mirusync-conflicts h3', 'The record');
  await page.evaluate(() => client.disconnect());
  await page.getByRole('button', { name: 'Connect' }).click();
  assert.deepEqual(await page.evaluate(() => [retried, client.wanted]), [[['connect', 1]], false]);
  assert.ok(await page.evaluate(() => listening()) > before);
  await page.evaluate(() => root.unmount());
  assert.equal(await page.evaluate(() => listening()), before);
});

test('everybody can use them: no violation by axe, in light and dark, wide and narrow', async () => {
  const user = newUser();
  const other = await c.connected(user);
  const page = await open(user);
  await shared(page, other, 'n1', { title: 'A long text that is compared word by word', tags: ['a'] });
  await disagree(page, other, 'n1', 'title', 'A long text that was compared word by word', 'A long text that is compared in another way');
  await disagree(page, other, 'n1', 'tags', ['a', 'mine'], { other: true });
  await page.evaluate((statuses) => {
    for (const form of ['compact', 'detailed'])
      add('mirusync-indicator', {}, { form });
    for (const status of statuses)
      add('mirusync-indicator', { client: { status: { ...client.status, ...status }, on: () => () => {} } }, { form: 'detailed' });
    add('mirusync-conflicts', { client: { ...client, status: { ...client.status, state: 'reconnecting' }, on: () => () => {} } });
    const { status, views } = client;
    add('mirusync-conflicts', { client: { status, views, on: () => () => {}, conflicts: async () => { throw new Error('busy'); } } });
    add('mirusync-conflicts', { client: { status, views, on: () => () => {}, conflicts: async () => [] } });
    add('mirusync-conflicts', {}, { id: 'real' });
    add('mirusync-debug', {}, { collection: 'note' });
    document.querySelector('mirusync-indicator').shadowRoot.querySelector('button').click();
  }, STATUSES);
  await page.locator('#real[data-count="2"]').waitFor();
  await page.getByRole('radio', { name: 'Something else' }).first().check();
  await page.locator('mirusync-debug').getByRole('button', { name: 'Wipe…' }).click();
  await page.evaluate(axe);
  for (const [colorScheme, width] of [['light', 900], ['dark', 360]]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 900 });
    const found = await page.evaluate(() => axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'],
    }));
    assert.deepEqual(found.violations.map(({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]), [], colorScheme);
    assert.ok(found.passes.some(({ id }) => id === 'color-contrast'));
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${width}: ${overflow} px too wide`);
  }
});

test('a conflict is found, decided and resolved by keyboard alone', async () => {
  const user = newUser();
  const page = await open(user);
  const other = await c.connected(user);
  await shared(page, other, 'n1', { title: 'a' });
  await page.evaluate(() => { add('mirusync-indicator'); add('mirusync-conflicts'); });
  await disagree(page, other, 'n1', 'title', 'mine', 'theirs');
  await state(page, 'mirusync-conflicts', 'some');
  const focused = () => page.evaluate(() => {
    const { activeElement } = document.activeElement?.shadowRoot ?? document;
    const { outlineStyle, outlineWidth } = getComputedStyle(activeElement.matches('[type=radio]') ? activeElement.closest('label') : activeElement);
    return { name: activeElement.value || activeElement.textContent, seen: outlineStyle !== 'none' && outlineWidth !== '0px' };
  });
  await page.keyboard.press('Tab');
  assert.match((await focused()).name, /Up to date/);
  assert.ok((await focused()).seen);
  await page.keyboard.press('Enter');
  await says(page, 'mirusync-indicator [part=facts]', 'Last synced');
  assert.equal(await page.locator('mirusync-indicator [part=card]').isVisible(), true);
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('mirusync-indicator [part=card]').isVisible(), false);
  await page.keyboard.press('Tab');
  assert.deepEqual(await focused(), { name: 'incoming', seen: true });
  await page.keyboard.press('Space');
  await page.keyboard.press('ArrowDown');
  assert.deepEqual(await focused(), { name: 'stored', seen: true });
  await page.keyboard.press('Tab');
  assert.deepEqual(await focused(), { name: 'Keep the chosen value', seen: true });
  await page.keyboard.press('Enter');
  await state(page, 'mirusync-conflicts', 'none');
  await page.waitForFunction(() => notes.get('n1').title === 'theirs');
  assert.equal((await focused()).name, 'Conflicts', 'the focus is where one can go on');
});
