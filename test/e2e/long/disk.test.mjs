/*
 * disk.test.mjs
 *     The disk fills up under a running load.  The server's data stand in a
 *     small file system of their own, for which one must be root.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmdirSync } from 'node:fs';
import { open, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { useStack, waitUntil } from '../harness.mjs';
import { Load, prepareLoad, SEED } from './load.mjs';

const home = mkdtempSync(`${tmpdir()}/mirusync-disk-`);
const mounted = (() => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400m', 'mirusync', home], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
if (mounted) {
  chmodSync(home, 0o755);
  process.env.TMPDIR = home;
}

/* fill leaves a little room on the disk. */
async function fill(file) {
  const handle = await open(file, 'w');
  const { bavail, bsize } = await statfs(home);
  await handle.write(Buffer.alloc(1));
  try {
    for (let left = bavail * bsize - (1 << 20); left > 0; left -= 1 << 20)
      await handle.appendFile(Buffer.alloc(Math.min(left, 1 << 20)));
  } catch (error) {
    if (error.code !== 'ENOSPC')
      throw error;
  }
  await handle.close();
}

if (mounted) {
  const s = useStack({
    relays: 2,
    relay: { heads_poll_interval: '500ms', push_wait_max: '2s', reconnect_wait_max: '300ms', connections_per_user: 100 },
    postgres: { min_wal_size: '32MB', max_wal_size: '64MB', wal_recycle: 'off' },
  });
  s.test(`there is no room on the disk (seed ${SEED})`, async (t) => {
    await prepareLoad(s);
    const load = new Load(s);
    const ballast = `${home}/ballast`;
    try {
      await load.start();
      for (let i = 0; i < 2; i++) {
        await fill(ballast);
        /* Large rows of somebody else take what is left. */
        const eat = setInterval(() => s.query(`INSERT INTO mirusync.document SELECT 'nobody-' || gen_random_uuid(), 'note', 'x',
          jsonb_build_object('x', string_agg(gen_random_uuid()::text, '')) FROM generate_series(1, 20000)`).catch(() => {}), 100);
        await load.trouble(/unavailable/).finally(() => clearInterval(eat));
        await rm(ballast);
        /* A log that could not be written makes the server give up. */
        await waitUntil(async () => {
          if (!s.stack.postgres.running)
            await s.stack.startPostgres();
          return s.query('SELECT 1').then(() => true, () => false);
        }, { what: 'the server', timeout: 60000 });
        await load.progress(3);
      }
      await load.progress();
      await load.finish();
    } finally {
      load.abandon();
      t.diagnostic(`seen: ${JSON.stringify(load.errors)}`);
    }
  }, { timeout: 180000 });
} else
  test('there is no room on the disk', { skip: 'only root may make a small disk' }, () => {});

after(() => {
  if (mounted)
    execFileSync('umount', ['-l', home]);
  rmdirSync(home);
});
