/*
 * demo.test.mjs
 *     `make demo` as a user meets it: one line on standard output, a page in a
 *     real browser, and nothing left behind.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { chromium } from 'playwright-core';
import { created, Device, entry, waitUntil } from './harness.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SECRET = 'a secret of the demo test, long enough';

/* startDemo runs `make -s demo` and gives {line, fields, stop()} when it is ready. */
async function startDemo(port = 0) {
  const clean = { ...process.env };
  for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MIRUSYNC_STAGE'])
    delete clean[name];
  const child = spawn('make', ['-s', 'demo', `PORT=${port}`, `JWT_SECRET=${SECRET}`],
    { cwd: ROOT, env: clean, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const demo = { child, stdout: '', stderr: '' };
  child.stdout.on('data', (data) => { demo.stdout += data; });
  child.stderr.on('data', (data) => { demo.stderr += data; });
  demo.ended = new Promise((resolve) => child.once('close', (code, signal) => {
    demo.over = true;
    resolve({ code, signal });
  }));
  /* SIGTERM to make alone, as a supervisor would do it. */
  demo.stop = async (signal = 'SIGTERM') => {
    if (!demo.over)
      child.kill(signal);
    const force = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), 20000);
    const end = await demo.ended;
    clearTimeout(force);
    return end;
  };
  await waitUntil(() => demo.stdout.includes('\n') || demo.over,
    { what: 'the ready line', timeout: 120000 });
  assert.ok(!demo.over, `make demo ended:\n${demo.stdout}${demo.stderr}`);
  const [line] = demo.stdout.split('\n');
  demo.fields = Object.fromEntries([...line.matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|\S+)/g)]
    .map(([, key, value]) => [key, value.startsWith('"') ? value.slice(1, -1) : value]));
  demo.line = line;
  return demo;
}

const connect = async (conninfo) => {
  const option = Object.fromEntries(conninfo.split(' ').map((pair) => pair.split('=')));
  const client = new pg.Client({ ...option, database: option.dbname });
  await client.connect();
  return client;
};

describe('the demo', () => {
  let demo, browser, page, profile, problems;

  before(async () => {
    demo = await startDemo();
    profile = await mkdtemp(join(tmpdir(), 'mirusync-browser-'));
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      headless: true,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
    page = browser.pages()[0];
    page.setDefaultTimeout(15000);
    problems = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('request', (request) => {
      if (!request.url().startsWith(demo.fields.url))
        problems.push(`request to ${request.url()}`);
    });
    await page.goto(demo.fields.url);
    await page.locator('#left.place .connected').waitFor();
    await page.locator('#right.place .connected').waitFor();
  }, { timeout: 180000 });

  after(async () => {
    await browser?.close();
    await demo?.stop();
    if (profile)
      await rm(profile, { recursive: true, force: true });
  }, { timeout: 60000 });

  /* texts reads the notes that a device shows, from top to bottom. */
  const texts = (side) => page.locator(`#${side} .entries .notes`)
    .evaluateAll((inputs) => inputs.map((input) => input.value));
  const shows = (side, note) => waitUntil(async () => (await texts(side)).includes(note),
    { what: `"${note}" on the ${side}`, every: 50 });
  const lacks = (side, note) => waitUntil(async () => !(await texts(side)).includes(note),
    { what: `"${note}" gone from the ${side}`, every: 50 });
  const add = async (side, note) => {
    await page.fill(`#${side} [name=notes]`, note);
    await page.click(`#${side} form button`);
  };

  test('prints one line, with everything a visitor needs', async () => {
    assert.match(demo.line, /^ready url=http:\/\/\S+ ws=ws:\/\/\S+ conninfo="[^"]+" secret=.+ log=\S+ pid=\d+$/);
    assert.equal(demo.stdout.trimEnd().split('\n').length, 1);
    assert.equal(demo.fields.secret, SECRET);
    assert.ok(existsSync(demo.fields.log));
    assert.ok(existsSync(`/proc/${demo.fields.pid}`));
    const client = await connect(demo.fields.conninfo);
    const { rows } = await client.query(`SELECT count(*)::int AS n FROM mirusync.document
      WHERE feed = 'demo'`);
    await client.end();
    assert.equal(rows[0].n, 3, 'the visitor finds something');
  });

  test('its relay takes any user\'s token made with the secret', async () => {
    const { origin } = new URL(demo.fields.ws);
    const relay = { ws: origin.replace(/^http/, 'ws'), stack: { secret: SECRET } };
    const device = await Device.live(relay, 'somebody-else');
    assert.equal(await device.push(created(entry())), 1);
    await device.close();
  });

  test('what one device adds, the other shows, with the latency', async () => {
    assert.equal((await texts('left')).length, 3);
    await add('left', 'from the phone');
    await shows('right', 'from the phone');
    await add('right', 'from the laptop');
    await shows('left', 'from the laptop');
    for (const figure of ['durable', 'reached'])
      assert.match(await page.locator(`#left .${figure}`).textContent(), /^[\d.]+ ms$/);
  });

  test('edits and deletes travel as well', async () => {
    const notes = page.locator('#left .entries .notes').first();
    await notes.fill('edited');
    await notes.press('Enter');
    await shows('right', 'edited');
    const before = (await texts('right')).length;
    await page.locator('#right .entries li', { has: page.locator('.notes') }).first()
      .locator('.delete').click();
    await lacks('left', 'edited');
    assert.equal((await texts('left')).length, before - 1);
  });

  test('a device that is offline queues, and catches up', async () => {
    await page.click('#right .switch');
    await page.locator('#right .offline').waitFor();
    await add('right', 'written offline');
    await add('left', 'written meanwhile');
    await shows('right', 'written offline');
    assert.ok(!(await texts('left')).includes('written offline'));
    assert.ok(!(await texts('right')).includes('written meanwhile'));
    assert.match(await page.locator('#right .state').textContent(), /1 to send/);
    await page.click('#right .switch');
    await shows('left', 'written offline');
    await shows('right', 'written meanwhile');
    await waitUntil(async () => await page.locator('#right .state').textContent() === 'connected',
      { what: 'nothing left to send' });
  });

  test('SQL reaches both, by the statements that the page shows', async () => {
    const client = await connect(demo.fields.conninfo);
    const statements = await page.locator('#statements pre').allTextContents();
    assert.ok(statements[0].includes(demo.fields.conninfo));
    for (const statement of statements.slice(1))
      await client.query(statement);
    for (const side of ['left', 'right'])
      await waitUntil(async () => {
        const shown = await texts(side);
        return shown.length > 0 && shown.every((note) => note === 'from SQL');
      }, { what: `"from SQL" on the ${side}`, every: 50 });
    const { rows } = await client.query(`SELECT count(*)::int AS n FROM mirusync.document
      WHERE feed = 'demo'`);
    await client.end();
    assert.equal((await texts('left')).length, rows[0].n);
  });

  test('a page that is loaded again has the same', async () => {
    const seen = (await texts('left')).sort();
    await page.reload();
    await waitUntil(async () => (await texts('left')).length === seen.length,
      { what: 'the entries', every: 50 });
    assert.deepEqual((await texts('left')).sort(), seen);
  });

  test('nothing came from elsewhere, nothing failed', () => {
    assert.deepEqual(problems, []);
  });

  test('a port that is taken is said to be', async () => {
    await assert.rejects(startDemo(new URL(demo.fields.url).port), /port \d+ is in use/);
  });

  test('SIGTERM ends it and removes what it made, and it starts again', async () => {
    await browser.close();
    const { log, pid } = demo.fields;
    await demo.stop('SIGTERM');
    assert.ok(!existsSync(`/proc/${pid}`), 'the relay is gone');
    assert.ok(!existsSync(dirname(log)), 'the directory is gone');
    assert.equal(demo.stdout.trimEnd().split('\n').length, 1);
    demo = await startDemo();
    assert.notEqual(demo.fields.pid, pid);
  });
});
