/*
 * demo.test.mjs
 *     `make demo` as a user meets it: one line on standard output, the practice
 *     log in a real browser, and nothing left behind.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { created, Device, entry, sleep, waitUntil } from './harness.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SECRET = 'a secret of the demo test, long enough';

/* startDemo runs `make -s demo` and gives {fields, banner, url, key, stop()} when it is ready. */
async function startDemo(port = 0) {
  const clean = { ...process.env };
  for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL'])
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
  await waitUntil(() => (demo.stdout.includes('\n') && demo.stderr.includes('Stop')) || demo.over,
    { what: 'the ready line', timeout: 120000 });
  assert.ok(!demo.over, `make demo ended:\n${demo.stdout}${demo.stderr}`);
  const [line] = demo.stdout.split('\n');
  demo.fields = Object.fromEntries([...line.matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|\S+)/g)]
    .map(([, key, value]) => [key, value.startsWith('"') ? value.slice(1, -1) : value]));
  demo.line = line;
  [demo.url, demo.key] = /http:\S+#sql=(\S+)/.exec(demo.stderr) ?? [];
  return demo;
}

describe('the demo', () => {
  let demo, browser, page, profile, problems, phone, laptop, axe;

  /* open shows the page with both devices. */
  async function open() {
    await page.goto(demo.url);
    phone = page.frameLocator('iframe.phone');
    laptop = page.frameLocator('iframe.laptop');
    for (const name of ['Phone', 'Laptop'])
      await synced(name);
  }

  const frame = (name) => page.frames().find((one) => one.url().includes(`device=${name}`));
  const status = (name) => frame(name).evaluate(() => window.device?.client.status);
  const synced = (name) => waitUntil(async () => {
    const now = await status(name);
    return now?.caughtUp && !now.unsent;
  }, { what: `${name} to be up to date`, every: 30 });
  const go = (device, section) => device.locator(`nav [data-section=${section}]`).click();
  const online = (device) => device.getByRole('switch', { name: 'Online' });
  const sql = async (statement) => {
    await page.fill('#statement', statement);
    await page.press('#statement', 'Enter');
  };

  before(async () => {
    demo = await startDemo();
    axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    profile = await mkdtemp(join(tmpdir(), 'mirusync-browser-'));
    browser = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      headless: true,
      viewport: { width: 1300, height: 850 },
      reducedMotion: 'reduce',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
    page = browser.pages()[0];
    browser.setDefaultTimeout(8000);
    problems = [];
    const watch = (one) => {
      one.on('pageerror', (error) => problems.push(error.stack));
      one.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
      one.on('request', (asked) => {
        if (!asked.url().startsWith(demo.fields.url))
          problems.push(`request to ${asked.url()}`);
      });
    };
    watch(page);
    browser.on('page', watch);
    await open();
  }, { timeout: 180000 });

  after(async () => {
    await browser?.close();
    await demo?.stop();
    if (profile)
      await rm(profile, { recursive: true, force: true });
  }, { timeout: 60000 });

  test('prints one line, with everything a program needs, and what people need beside it', async () => {
    assert.match(demo.line, /^ready url=http:\/\/\S+ ws=ws:\/\/\S+ conninfo="[^"]+" secret=.+ log=\S+ pid=\d+$/);
    assert.equal(demo.stdout.trimEnd().split('\n').length, 1);
    assert.equal(demo.fields.secret, SECRET);
    assert.ok(existsSync(demo.fields.log));
    assert.ok(existsSync(`/proc/${demo.fields.pid}`));
    assert.equal(demo.url, `${demo.fields.url}#sql=${demo.key}`);
    assert.match(demo.stderr, /Try +1\. .*\n +2\. .*psql "host=.*\n +3\. .*\n\n +Stop +Ctrl-C/);
  });

  test('its relay takes events of the practice log, by any user\'s token made with the secret', async () => {
    const { origin } = new URL(demo.fields.ws);
    const relay = { ws: origin.replace(/^http/, 'ws'), stack: { secret: SECRET } };
    const device = await Device.live(relay, 'somebody-else');
    assert.equal(await device.push(created(entry())), 1);
    await device.close();
    assert.equal((await fetch(`${demo.fields.url}ready`)).status, 200);
  });

  /* ask is a request with any headers, also those that fetch() does not let one choose. */
  const ask = (path, { method = 'GET', headers = {}, body } = {}) => new Promise((resolve, reject) => {
    const { hostname, port } = new URL(demo.fields.url);
    const asked = request({ hostname, port, path, method, headers }, async (answer) => {
      let text = '';
      for await (const part of answer)
        text += part;
      resolve({ status: answer.statusCode, headers: answer.headers, text });
    });
    asked.on('error', reject);
    asked.end(body);
  });
  const statement = (text, headers = {}) => ask('/demo/sql', {
    method: 'POST', headers: { Authorization: `Bearer ${demo.key}`, ...headers }, body: JSON.stringify({ statement: text }),
  });

  test('who reaches the port gets no way to the database; other sites get nothing', async () => {
    const { host } = new URL(demo.fields.url);
    for (const [status, headers] of [[401, { Authorization: '' }], [401, { Authorization: `Bearer ${'x'.repeat(demo.key.length)}` }],
      [403, { Origin: 'http://evil.example' }], [403, { Origin: 'null' }], [421, { Host: `evil.example:${new URL(demo.fields.url).port}` }]])
      assert.equal((await statement('SELECT 1', headers)).status, status, JSON.stringify(headers));
    assert.equal((await statement('SELECT 1', { Origin: `http://${host}` })).status, 200);
    assert.equal((await ask('/demo/sql')).status, 405);
    for (const path of ['/', '/demo/config', '/demo/token', '/device.js']) {
      assert.equal((await ask(path, { headers: { Host: 'evil.example' } })).status, 421, path);
      const { status, headers, text } = await ask(path, { headers: { Origin: 'http://evil.example' } });
      assert.equal(status, 200);
      assert.equal(headers['access-control-allow-origin'], undefined);
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
      assert.ok(!text.includes(demo.key) && !text.includes(/password=(\S+)/.exec(demo.fields.conninfo)[1]));
    }
    for (const path of ['/schema.sql', '/../tools/demo.mjs', '/%2e%2e/README.md', '/client/../../Makefile', '/nothing'])
      assert.equal((await ask(path)).status, 404, path);
  });

  test('the SQL line runs one statement, as a role that has the demo\'s rows and nothing else', async () => {
    const refused = async (text, reason) => assert.match(JSON.parse((await statement(text)).text).error ?? 'it ran', reason, text);
    await refused("INSERT INTO entry (owner, minutes) VALUES ('anna', 5)", /row-level security/);
    await refused('SELECT * FROM mirusync.change_log', /permission denied/);
    await refused('DELETE FROM device', /permission denied/);
    await refused('CREATE TEMP TABLE t (i int)', /only one SELECT/);
    await refused("ALTER ROLE demo_sql PASSWORD 'x'", /only one SELECT/);
    await refused('SET ROLE postgres', /only one SELECT/);
    await refused('SELECT 1; SELECT 2', /only one SELECT/);
    await refused('\\! id', /syntax error/);
    await refused("SELECT '\\'\\! id'", /syntax error/);
    await refused('SELECT pg_read_file(\'/etc/passwd\')', /permission denied/);
    const { count, rows } = JSON.parse((await statement('SELECT current_user, :\'statement\' IS NULL AS "x y"').then(({ text }) => text).catch(() => '{}')));
    assert.equal(count, undefined);
    assert.equal(rows, undefined);
    assert.deepEqual(JSON.parse((await statement('SELECT current_user AS who, 1 AS "a b"')).text).rows, [{ who: 'demo_sql', 'a b': 1 }]);
    assert.equal(JSON.parse((await statement('SELECT * FROM generate_series(1, 200)')).text).rows.length, 50);
  });

  test('what one device logs, the other shows, for a moment in another colour', async () => {
    await go(laptop, 'log');
    await phone.getByRole('textbox', { name: 'What did you practise?' }).fill('from the phone');
    await phone.getByRole('button', { name: 'Log', exact: true }).click();
    await phone.locator('.row', { hasText: 'from the phone' }).waitFor();
    await laptop.locator('.row.changed', { hasText: 'from the phone' }).waitFor();
    assert.equal(await phone.locator('.row.changed').count(), 0, 'an own change is no news');
    await laptop.locator('.row', { hasText: 'from the phone' }).getByRole('button').click();
    await laptop.getByLabel('Minutes', { exact: true }).last().fill('55');
    await laptop.getByLabel('Minutes', { exact: true }).last().press('Enter');
    await phone.locator('.row', { hasText: 'from the phone' }).locator('.badge', { hasText: '55' }).waitFor();
  });

  test('a delete can be undone', async () => {
    await laptop.getByRole('button', { name: 'Delete' }).click();
    await phone.locator('.row', { hasText: 'from the phone' }).waitFor({ state: 'detached' });
    await laptop.getByRole('button', { name: 'Undo' }).click();
    await phone.locator('.row', { hasText: 'from the phone' }).locator('.badge', { hasText: '55' }).waitFor();
  });

  test('a device that is offline goes on, and both have everything afterwards; counts and tags add up', async () => {
    for (const device of [phone, laptop]) {
      await go(device, 'repertoire');
      await device.locator('.row', { hasText: 'Waltz in A minor' }).getByRole('button').click();
      await device.locator('output', { hasText: '31 ×' }).waitFor();
      await online(device).click({ force: true });
      await device.locator('mirusync-indicator').getByText('Offline').first().waitFor();
      await device.getByRole('button', { name: 'Played: one more' }).click();
      await device.locator('output', { hasText: '32 ×' }).waitFor();
      await device.locator('.row[data-key="piece/waltz"] .unsent').waitFor({ state: 'attached' });
      await device.getByLabel('Add a tag').fill(device === phone ? 'phone' : 'laptop');
      await device.getByLabel('Add a tag').press('Enter');
    }
    await phone.locator('.timeline .waiting', { hasText: 'not sent yet' }).first().waitFor();
    for (const device of [phone, laptop])
      await online(device).click({ force: true });
    for (const device of [phone, laptop]) {
      await device.locator('output', { hasText: '33 ×' }).waitFor();
      await waitUntil(async () => (await device.locator('.chips li').allTextContents()).join() === 'laptop,memory,phone,recital', { what: 'all tags' });
      await device.locator('.unsent').waitFor({ state: 'detached' });
    }
  });

  test('SQL changes a row, and it changes on both; the history says who did what', async () => {
    await sql("UPDATE piece SET tempo = 120 WHERE id = 'waltz'");
    for (const device of [phone, laptop]) {
      await device.locator('[data-field=tempo].changed').waitFor();
      assert.equal(await device.getByLabel('Tempo').inputValue(), '120');
      const latest = device.locator('.timeline > li').first();
      await latest.filter({ hasText: 'SQL changed' }).filter({ hasText: /Tempo138→120/ }).waitFor();
    }
    assert.match(await page.locator('#said').textContent(), /^UPDATE 1, \d+ ms$/);
    const history = await laptop.locator('.timeline > li').allTextContents();
    assert.match(history.find((text) => text.includes('32→33')), /(Phone|Laptop) changed.*adds up/);
    assert.ok(history.some((text) => text.startsWith('Phone changed')) && history.some((text) => text.startsWith('Laptop changed')), String(history));
    assert.match(history.at(-1), /^SQL added it/);

    await page.getByRole('button', { name: 'Look' }).click();
    await page.press('#statement', 'Enter');
    await page.locator('.result td', { hasText: 'Waltz in A minor' }).waitFor();
    await sql("UPDATE piece SET tempo = 1000 WHERE id = 'waltz'");
    await page.locator('#said .refused', { hasText: 'piece_tempo_check' }).waitFor();
    await page.press('#statement', 'ArrowUp');
    await page.press('#statement', 'ArrowUp');
    assert.match(await page.inputValue('#statement'), /^SELECT title/);
  });

  test('what the table refuses is taken back, with its reason', async () => {
    await laptop.getByLabel('Tempo').evaluate((input) => { input.max = ''; });
    await laptop.getByLabel('Tempo').fill('999');
    await laptop.getByLabel('Tempo').press('Enter');
    await laptop.locator('.toast', { hasText: 'piece_tempo_check' }).waitFor();
    await waitUntil(async () => await laptop.getByLabel('Tempo').inputValue() === '120', { what: 'the former tempo' });
  });

  test('what comes while a field has the focus is not taken away from who types', async () => {
    const notes = laptop.getByLabel('Notes');
    await notes.fill('typed, not yet left');
    await statement("UPDATE piece SET tempo = 121 WHERE id = 'waltz'");
    await waitUntil(async () => await laptop.getByLabel('Tempo').inputValue() === '121', { what: 'the tempo' });
    assert.equal(await notes.inputValue(), 'typed, not yet left');
    await notes.blur();
    await waitUntil(async () => await phone.getByLabel('Notes').inputValue() === 'typed, not yet left', { what: 'the note' });
  });

  /* violations are what axe finds in a document; the scheme matters to the contrast only. */
  const ALL = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const violations = async (one, runOnly = ALL) => {
    if (!await one.evaluate(() => Boolean(window.axe)))
      await one.evaluate(axe);
    const found = await one.evaluate((rules) => window.axe.run(document, { iframes: false, runOnly: rules }), runOnly);
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`).join('\n')}`);
  };

  test('a conflict is made, and decided on one device for both', async () => {
    await page.getByRole('button', { name: 'Make a conflict' }).click();
    await page.locator('#guide li[aria-current]', { hasText: 'You decide' }).waitFor();
    for (const device of [phone, laptop])
      await device.locator('mirusync-conflicts').getByText('Waits for you').waitFor();
    await phone.locator('nav .count', { hasText: '1' }).waitFor();
    const first = await phone.getByLabel('Notes', { exact: true }).last().inputValue();
    for (const [colorScheme, rules] of [['light', ALL], ['dark', ['color-contrast']]]) {
      await page.emulateMedia({ colorScheme });
      for (const one of [page.mainFrame(), frame('Phone'), frame('Laptop')])
        assert.deepEqual(await violations(one, rules), [], `${colorScheme} ${one.url()}`);
    }
    const mine = laptop.locator('mirusync-conflicts').getByRole('radio', { name: /This device/ });
    await mine.focus();
    await page.keyboard.press('Space');
    await laptop.getByRole('button', { name: 'Keep the chosen value' }).click();
    await page.locator('#guide', { hasText: 'Decided' }).waitFor();
    const kept = await laptop.getByLabel('Notes', { exact: true }).last().inputValue();
    assert.notEqual(kept, first);
    for (const device of [phone, laptop]) {
      await waitUntil(async () => await device.getByLabel('Notes', { exact: true }).last().inputValue() === kept, { what: 'what was chosen' });
      await device.locator('.timeline > li').first().filter({ hasText: 'You decided a conflict' }).waitFor();
      await device.locator('mirusync-conflicts').waitFor({ state: 'hidden' });
    }
  });

  test('at no width something of the log lies upon something else, or is cut', async () => {
    await page.evaluate(() => document.querySelector('nav [data-show=phone]').click());
    for (const width of [1400, 1300, 800, 360]) {
      await page.setViewportSize({ width, height: 850 });
      await frame('Phone').evaluate(() => window.device.app.go('log', null));
      const { notes, button, figures, first } = await frame('Phone').evaluate(() => {
        const box = (selector) => document.querySelector(selector).getBoundingClientRect().toJSON();
        return { notes: box('.compose [name=notes]'), button: box('.compose button'), figures: box('.figure + .figure'), first: box('.bars span') };
      });
      assert.ok(notes.width > 140, `${width}: one can read what to write`);
      assert.ok(button.top < notes.bottom && button.left >= notes.right, `${width}: the button is beside it`);
      assert.ok(first.left >= figures.right || first.top >= figures.bottom, `${width}: the week is beside the figures, or below`);
    }
  });

  test('the other views are accessible too, and nothing is wider than 360 px', async () => {
    await page.setViewportSize({ width: 360, height: 700 });
    await page.getByRole('button', { name: 'Phone', exact: true }).click();
    for (const section of ['log', 'plans', 'repertoire'])
      for (const id of [null, ...{ log: ['entry-1'], plans: ['recital'], repertoire: ['invention'] }[section]]) {
        await frame('Phone').evaluate(([name, record]) => window.device.app.go(name, record), [section, id]);
        for (const one of [page.mainFrame(), frame('Phone')])
          assert.ok(await one.evaluate(() => document.documentElement.scrollWidth <= innerWidth
            && [...document.querySelectorAll('#list, #detail')].every((part) => part.scrollWidth <= part.clientWidth)), `${section} ${id}`);
        if (!id === (section === 'log'))
          assert.deepEqual(await violations(frame('Phone')), [], `${section} ${id}`);
      }
    await frame('Phone').evaluate(() => window.device.app.go('log', null));
    await page.getByRole('button', { name: 'SQL', exact: true }).click();
    assert.deepEqual(await violations(page.mainFrame()), []);
    await page.getByRole('button', { name: 'Phone', exact: true }).click();
  });

  test('a plan is made, and its days are ticked', async () => {
    await go(phone, 'plans');
    await phone.getByLabel('What the new plan is about').fill('Sight-reading');
    await phone.getByRole('button', { name: 'Plan', exact: true }).click();
    await phone.getByRole('button', { name: 'Sight-reading, Today' }).last().click();
    await phone.locator('.toast', { hasText: 'Sight-reading: done.' }).getByRole('button', { name: 'Log 20 min' }).click();
    await page.setViewportSize({ width: 1300, height: 850 });
    await go(laptop, 'plans');
    await laptop.locator('.row', { hasText: 'Sight-reading' }).filter({ hasText: /1 of \d+ done/ }).waitFor();
    await go(laptop, 'log');
    await laptop.locator('.row', { hasText: 'Sight-reading' }).waitFor();
  });

  test('a device has windows of its own, which share what it has', async () => {
    const other = await browser.newPage();
    await other.goto(`${demo.fields.url}?device=Phone#repertoire/waltz`);
    await waitUntil(async () => (await other.evaluate(() => window.device?.client.status))?.caughtUp, { what: 'the window' });
    const now = await other.evaluate(() => window.device.client.status);
    assert.equal(now.device, (await status('Phone')).device);
    assert.equal(now.leading, false);
    await other.getByRole('button', { name: 'Debug panel' }).click();
    await other.locator('mirusync-debug').getByRole('button', { name: 'Go offline' }).waitFor();
    await online(phone).click({ force: true });
    await waitUntil(async () => !await other.locator('#online').isChecked(), { what: 'the switch of the other window' });
    await online(phone).click({ force: true });
    await other.close();
  });

  test('without the key the SQL line says so; a page that is loaded again still has it, and all records', async () => {
    await page.reload();
    await synced('Phone');
    await phone.locator('.row', { hasText: 'from the phone' }).waitFor();
    await sql('SELECT 1 AS one');
    await page.locator('#said .done', { hasText: '1 row' }).waitFor();
    const stranger = await browser.newPage();
    await stranger.goto(demo.fields.url);
    await stranger.locator('#said .refused', { hasText: 'no key' }).waitFor();
    await stranger.close();
  });

  test('empty lists say what to do', async () => {
    await sql('DELETE FROM plan');
    await go(phone, 'plans');
    await phone.getByText('No plans yet').waitFor();
    await sql('DELETE FROM entry');
    await go(laptop, 'log');
    await laptop.getByText('Nothing logged yet').waitFor();
    assert.equal(await laptop.locator('.detail').count(), 0);
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
    try {
      for (const ms of [300]) {
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

  test('SIGTERM ends it and removes what it made', async () => {
    await browser.close();
    const { log, pid } = demo.fields;
    await demo.stop('SIGTERM');
    assert.ok(!existsSync(`/proc/${pid}`), 'the relay is gone');
    assert.ok(!existsSync(dirname(log)), 'the directory is gone');
    assert.equal(demo.stdout.trimEnd().split('\n').length, 1);
  });
});
