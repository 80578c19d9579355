/*
 * stack.test.mjs
 *     tools/stack.mjs as a program: what it runs ends with it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitUntil } from './harness.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/* Prints where its server is, then waits; the second one does not heed signals. */
const COMMANDS = {
  'that ends when told': [],
  'that does not heed SIGTERM': ['process.on("SIGTERM", () => {});'],
};

for (const [what, setup] of Object.entries(COMMANDS)) {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    test(`${signal} to it alone ends a command ${what}, and removes the server`, async () => {
      const child = spawn('node', ['tools/stack.mjs', '--postgres-only', '--', 'node', '-e',
        `${setup.join('')} setInterval(() => {}, 1000); console.log(process.pid, process.env.PGHOST);`],
      { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      let text = '';
      child.stdout.on('data', (data) => { text += data; });
      await waitUntil(() => text.includes('\n'), { what: 'the command to run', timeout: 120000 });
      const [pid, directory] = text.trim().split(' ');
      assert.ok(existsSync(`/proc/${pid}`) && existsSync(directory));
      child.kill(signal);
      assert.equal(await ended, signal === 'SIGINT' ? 130 : 143);
      assert.ok(!existsSync(`/proc/${pid}`), 'the command has ended');
      assert.ok(!existsSync(directory), 'the server is gone');
    });
  }
}
