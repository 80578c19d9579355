/*
 * pg_upgrade.test.mjs
 *     pg_upgrade takes a database with mirusync along, and devices go on.
 *
 * From the server that there is to the same one, which pg_upgrade allows: all
 * that may differ between majors is not seen, but what it refuses, and what it
 * leaves behind, is.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, constants, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { freePort } from '../../tools/stack.mjs';
import { useDatabases } from './databases.mjs';
import { checkSynced } from './synced.mjs';

const run = promisify(execFile);
const d = useDatabases();

/* run as the owner of the servers, who is not root. */
const asOwner = (cwd, program, args) => {
  const user = process.env.MIRUSYNC_RUN_AS || 'postgres';
  const drop = ['setpriv', [`--reuid=${user}`, `--regid=${user}`, '--init-groups', '--', program, ...args]];
  return run(...(process.getuid() === 0 ? drop : [program, args]), { cwd, maxBuffer: 1 << 26 })
    .catch((error) => { throw new Error(`${program}\n${error.stdout}${error.stderr}`); });
};

/* copyPrograms puts the programs beside our copy of the server, which they look for there. */
async function copyPrograms() {
  const to = join(d.stack.stage, d.stack.bindir);
  for (const name of await readdir(d.stack.bindir)) {
    await copyFile(join(d.stack.bindir, name), join(to, name), constants.COPYFILE_EXCL)
      .catch((error) => { if (error.code !== 'EEXIST') throw error; });
    await chmod(join(to, name), 0o755);
  }
  return to;
}

test('pg_upgrade', async () => {
  const programs = await copyPrograms();
  await d.updated('app');
  const rows = await d.rows('app');
  const objects = await d.fingerprint('app');

  await d.stack.stopPostgres();
  /* Short, since it makes a socket there; and its owner's. */
  const place = await mkdtemp(join(tmpdir(), 'mirusync-up-'));
  try {
    if (process.getuid() === 0)
      await run('chown', [process.env.MIRUSYNC_RUN_AS || 'postgres', place]);
    const dataDir = join(place, 'data');
    await asOwner(place, join(programs, 'initdb'), ['-D', dataDir, '-U', d.stack.user, '-E', 'UTF8',
      '--locale=C', '--auth=trust', '--no-sync', '--no-instructions']);
    await asOwner(place, join(programs, 'pg_upgrade'), ['-U', d.stack.user, '-b', programs, '-B', programs,
      '-d', d.stack.dataDir, '-D', dataDir, '-s', place,
      '-p', String(await freePort()), '-P', String(await freePort())]);
    await copyFile(join(d.stack.dataDir, 'postgresql.conf'), join(dataDir, 'postgresql.conf'));
    d.stack.dataDir = dataDir;
    await d.stack.startPostgres();
    assert.deepEqual(await d.rows('app'), rows);
    /* An expression that was written out and read again may have fewer parentheses. */
    const plain = (lines) => lines.map((line) => line.replace(/[()]/g, ''));
    assert.deepEqual(plain(await d.fingerprint('app')), plain(objects));
    await checkSynced(d, 'app');
    await d.stack.stopPostgres();
  } finally {
    await rm(place, { recursive: true, force: true });
  }
});
