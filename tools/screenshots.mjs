#!/usr/bin/env node
/*
 * screenshots.mjs
 *     Takes the pictures of the demo that README.md shows, into docs/images.
 *
 * usage: node tools/screenshots.mjs      (make screenshots)
 *
 * Needs Chromium, and playwright-core below test/.  Each picture is of a demo
 * that has just been started, so that they do not depend on one another; times
 * in them are those of the moment.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { spawn } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const IMAGES = join(ROOT, 'docs/images');
const { chromium } = createRequire(join(ROOT, 'test/package.json'))('playwright-core');

/* A page of this repository is not to be heavy. */
const BYTES_MAX = 200000;

const WIDE = { width: 1400, height: 900 };
const NARROW = { width: 360, height: 740 };

const deviceOf = (page, name) => page.frameLocator(`iframe.${name}`);

async function run(page, statement) {
  await page.fill('#statement', statement);
  await page.press('#statement', 'Enter');
  await page.locator('#said .done').waitFor();
}

/* record leaves something to see in the history of a piece. */
async function record(page) {
  const [phone, laptop] = ['phone', 'laptop'].map((name) => deviceOf(page, name));
  await laptop.locator('.row', { hasText: 'Invention' }).getByRole('button').click();
  await phone.locator('nav [data-section=repertoire]').click();
  await phone.locator('.row', { hasText: 'Invention' }).getByRole('button').click();
  await phone.getByRole('button', { name: 'Played: one more' }).click();
  await laptop.locator('output', { hasText: '15 ×' }).waitFor();
  await laptop.getByLabel('Add a tag').fill('concert');
  await laptop.getByLabel('Add a tag').press('Enter');
  await phone.locator('.chips', { hasText: 'concert' }).waitFor();
}

const SCENES = {
  'demo-light': { ...WIDE, async play(page) {
    await record(page);
    await deviceOf(page, 'phone').locator('nav [data-section=repertoire]').click();
    await run(page, "UPDATE piece SET tempo = 96 WHERE title LIKE 'Invention%'");
    await deviceOf(page, 'laptop').locator('.timeline li', { hasText: 'SQL changed' }).waitFor();
  } },
  'demo-dark': { ...WIDE, scheme: 'dark', async play(page) {
    await page.getByRole('button', { name: 'Make a conflict' }).click();
    for (const name of ['phone', 'laptop'])
      await deviceOf(page, name).locator('mirusync-conflicts').getByText('Waits for you').waitFor();
    await deviceOf(page, 'laptop').getByRole('radio').first().check();
  } },
  'demo-narrow-light': { ...NARROW, path: '?device=Phone' },
  'demo-narrow-history': { ...NARROW, path: '?device=Phone#repertoire/invention', async before(page) {
    await record(page);
    await run(page, "UPDATE piece SET tempo = 96 WHERE title LIKE 'Invention%'");
  }, async play(page) {
    await page.locator('.timeline li').nth(3).waitFor();
    await page.locator('#detail').evaluate((detail) => {
      const field = detail.querySelector('[data-field=plays]');
      detail.scrollTop += field.getBoundingClientRect().top - detail.querySelector('header').getBoundingClientRect().bottom - 8;
    });
  } },
  'demo-narrow-dark': { ...NARROW, scheme: 'dark', path: '?device=Phone#plans' },
};

/* startDemo gives {url, stop()}. */
async function startDemo() {
  const child = spawn('node', [join(ROOT, 'tools/demo.mjs')], {
    env: { ...process.env, PORT: '0' }, stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  let said = '';
  const url = await new Promise((resolve, reject) => {
    child.stderr.on('data', (data) => {
      said += data;
      const [found] = /http:\S+#sql=\S+(?=\s)/.exec(said) ?? [];
      if (found)
        resolve(found);
    });
    ended.then(() => reject(new Error(`the demo ended:\n${said}`)));
  });
  return {
    url,
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

async function take(browser, name, { width, height, scheme = 'light', path = '', before, play }) {
  const demo = await startDemo();
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale: 'en-GB' });
  context.setDefaultTimeout(15000);
  try {
    const page = await context.newPage();
    if (before) {
      await page.setViewportSize(WIDE);
      await page.goto(demo.url);
      await before(page);
      await page.setViewportSize({ width, height });
    }
    await page.goto(path ? new URL(path, demo.url).href : demo.url);
    for (const frame of path ? [page] : ['phone', 'laptop'].map((one) => deviceOf(page, one)))
      await frame.locator('mirusync-indicator').getByText('Up to date').first().waitFor();
    await play?.(page);
    /* What fades in is there by then, and what flashes is still to be seen. */
    await page.waitForTimeout(350);
    const file = join(IMAGES, `${name}.png`);
    await page.screenshot({ path: file });
    const { size } = await stat(file);
    console.log(`${name}.png ${size} bytes`);
    if (size > BYTES_MAX)
      throw new Error(`${name}.png is larger than ${BYTES_MAX} bytes`);
  } finally {
    await context.close();
    await demo.stop();
  }
}

await mkdir(IMAGES, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'],
});
try {
  for (const [name, scene] of Object.entries(SCENES))
    if (process.argv.length < 3 || process.argv.includes(name))
      await take(browser, name, scene);
} finally {
  await browser.close();
}
