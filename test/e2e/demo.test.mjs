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
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { chromium } from 'playwright-core';
import { created, Device, entry, sleep, waitUntil } from './harness.mjs';

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
    const pageDir = join(dirname(demo.fields.log), 'page');
    assert.equal((await stat(pageDir)).mode & 0o777, 0o700);
    assert.equal((await stat(join(pageDir, 'demo-config.json'))).mode & 0o777, 0o600);
    const client = await connect(demo.fields.conninfo);
    const { rows } = await client.query(`SELECT count(*)::int AS n FROM mirusync.document
      WHERE feed = 'demo'`);
    await client.end();
    assert.equal(rows[0].n, 3, 'the visitor finds something');
  });

  test('who reaches the port gets tokens of the demo\'s user, and no way to the database', async () => {
    const config = await (await fetch(`${demo.fields.url}demo-config.json`)).json();
    assert.deepEqual(Object.keys(config).sort(), ['devices', 'user']);
    assert.ok(!JSON.stringify(config).includes(demo.fields.conninfo.match(/password=(\S+)/)[1]));
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

  /* notesOf is the field that shows a text; edit types another and leaves it. */
  const notesOf = async (side, note) =>
    page.locator(`#${side} .entries .notes`).nth((await texts(side)).indexOf(note));
  const edit = async (side, from, to) => {
    const field = await notesOf(side, from);
    await field.fill(to);
    await field.press('Enter');
  };
  const remove = async (side, note) => page.locator(`#${side} .entries .delete`)
    .nth((await texts(side)).indexOf(note)).click();
  const takeOff = async (side) => {
    await page.click(`#${side} .switch`);
    await page.locator(`#${side} .offline`).waitFor();
  };
  const takeOn = async (side) => {
    await page.click(`#${side} .switch`);
    await waitUntil(async () => await page.locator(`#${side} .state`).textContent() === 'connected',
      { what: `the ${side} to have sent everything`, every: 20 });
  };
  const stored = async () => {
    const client = await connect(demo.fields.conninfo);
    const { rows } = await client.query(`SELECT data->>'notes' AS note FROM mirusync.document
      WHERE feed = 'demo'`);
    await client.end();
    return rows.map(({ note }) => note);
  };
  /* same waits until both devices and the database have the same. */
  const same = () => waitUntil(async () => {
    const sets = [(await texts('left')).sort(), (await texts('right')).sort(), (await stored()).sort()]
      .map((set) => JSON.stringify(set));
    return new Set(sets).size === 1;
  }, { what: 'both devices and the database to have the same', every: 50 });

  for (const [what, meanwhile] of [
    ['edit', () => edit('right', 'contested by edit', 'the laptop was earlier')],
    ['delete', () => remove('right', 'contested by delete')],
  ])
    test(`the later edit was made offline, after the other's ${what}`, async () => {
      const note = `contested by ${what}`;
      const won = `the phone was later than the ${what}`;
      await add('left', note);
      await shows('right', note);
      await takeOff('left');
      await meanwhile();
      await lacks('right', note);
      await edit('left', note, won);
      /* Everything the phone ever shows for the entry, to see that nothing flickers. */
      const field = await (await notesOf('left', won)).elementHandle();
      await field.evaluate((input) => {
        const seen = new Set();
        const look = () => {
          seen.add(input.isConnected ? input.value : 'gone');
          input.looking = requestAnimationFrame(look);
        };
        input.seen = seen;
        look();
      });
      await takeOn('left');
      await shows('right', won);
      await same();
      assert.ok((await texts('left')).includes(won));
      assert.ok(!(await texts('left')).includes('the laptop was earlier'));
      assert.deepEqual(await field.evaluate((input) => {
        cancelAnimationFrame(input.looking);
        return [...input.seen];
      }), [won]);
      await remove('left', won);
      await lacks('right', won);
    });

  test('the earlier edit was made offline: the later one stands', async () => {
    await add('left', 'contested early');
    await shows('right', 'contested early');
    await takeOff('left');
    await edit('left', 'contested early', 'the phone was earlier');
    await edit('right', 'contested early', 'the laptop was later');
    await takeOn('left');
    await shows('left', 'the laptop was later');
    await same();
    assert.ok(!(await texts('left')).includes('the phone was earlier'));
    await remove('left', 'the laptop was later');
    await lacks('right', 'the laptop was later');
  });

  test('what comes while a field has the focus is shown when it is left', async () => {
    await add('left', 'focused');
    await shows('right', 'focused');
    const field = await (await notesOf('left', 'focused')).elementHandle();
    await field.focus();
    await edit('right', 'focused', 'changed under the cursor');
    await page.locator('#messages li', { hasText: 'Phone ← relay' })
      .filter({ hasText: 'changed under the cursor' }).waitFor();
    /* The edit on the right took the focus away. */
    await shows('left', 'changed under the cursor');

    await field.focus();
    const client = await connect(demo.fields.conninfo);
    const write = (note) => client.query(`UPDATE mirusync.document
      SET data = data || jsonb_build_object('notes', $1::text)
      WHERE feed = 'demo' AND data->>'timestamp' =
        (SELECT max(data->>'timestamp') FROM mirusync.document WHERE feed = 'demo')`, [note]);
    await write('by SQL, under the cursor');
    await shows('right', 'by SQL, under the cursor');
    assert.equal(await field.inputValue(), 'changed under the cursor');
    await field.evaluate((input) => input.blur());
    assert.equal(await field.inputValue(), 'by SQL, under the cursor');

    /* What was typed counts. */
    await field.focus();
    await page.keyboard.type(', and typed');
    await write('by SQL again');
    await shows('right', 'by SQL again');
    const typed = await field.inputValue();
    await page.keyboard.press('Enter');
    await shows('right', typed);
    await client.end();
    await same();
    await remove('left', typed);
    await lacks('right', typed);
  });

  test('blank notes and missing minutes are refused', async () => {
    const before = await texts('left');
    await add('left', '   ');
    await page.fill('#left [name=minutes]', '');
    await add('left', 'no minutes');
    await page.fill('#left [name=minutes]', '30');
    await page.fill('#left [name=notes]', '');
    await edit('left', before[0], '  ');
    assert.deepEqual(await texts('left'), before);
    assert.deepEqual((await stored()).sort(), before.sort());
    assert.ok(!(await page.locator('.badge').allTextContents()).includes('NaN'));
  });

  test('what the database refuses is taken back, with its reason', async () => {
    await add('left', 'acceptable');
    await shows('right', 'acceptable');
    const client = await connect(demo.fields.conninfo);
    await client.query(`ALTER TABLE mirusync.document ADD CONSTRAINT demo_test
      CHECK (data->>'notes' IS DISTINCT FROM 'unacceptable')`);
    await edit('left', 'acceptable', 'unacceptable');
    await lacks('left', 'unacceptable');
    await shows('left', 'acceptable');
    assert.equal(await page.locator('#left .refused').count(), 1);
    await page.locator('#messages li', { hasText: 'ERROR' })
      .filter({ hasText: 'demo_test' }).waitFor();
    await client.query('ALTER TABLE mirusync.document DROP CONSTRAINT demo_test');
    await client.end();
    await same();
    await remove('left', 'acceptable');
    await lacks('right', 'acceptable');
  });

  test('only what the other device could see at once counts as latency', async () => {
    const latency = () => page.locator('#left .reached').textContent();
    const before = await latency();
    await takeOff('right');
    await add('left', 'nobody there');
    await waitUntil(async () => (await stored()).includes('nobody there'), { what: 'the entry' });
    await remove('left', 'nobody there');
    await waitUntil(async () => !(await stored()).includes('nobody there'), { what: 'its end' });
    await takeOn('right');
    await same();
    assert.equal(await latency(), before);
  });

  test('SQL reaches both, by the statements that the page shows', async () => {
    const client = await connect(demo.fields.conninfo);
    const statements = await page.locator('#statements pre').allTextContents();
    assert.match(statements[0], /^psql /);
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
    await assert.rejects(startDemo(new URL(demo.fields.url).port), (error) => {
      assert.match(error.message, /port \d+ is in use; choose another: make demo PORT=0/);
      assert.doesNotMatch(error.message, /starting/);
      return true;
    });
  });

  test('SIGTERM during the start-up leaves nothing behind', async () => {
    const temp = await mkdtemp(join(tmpdir(), 'mirusync-t-'));
    await chmod(temp, 0o755);
    const env = { ...process.env, TMPDIR: temp, PORT: '0' };
    delete env.MIRUSYNC_STAGE;
    try {
      for (const ms of [0, 100, 400, 1200]) {
        const child = spawn('node', ['tools/demo.mjs'],
          { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
        let stderr = '';
        child.stderr.on('data', (data) => { stderr += data; });
        const ended = new Promise((resolve) => child.once('close', resolve));
        await waitUntil(async () => (await readdir(temp)).length, { what: 'its directory' });
        await sleep(ms);
        child.kill('SIGTERM');
        assert.equal(await ended, 0, stderr);
        assert.deepEqual(await readdir(temp), []);
      }
    } finally {
      await rm(temp, { recursive: true, force: true });
    }
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
