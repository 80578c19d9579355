/*
 * clock.test.mjs
 *     The clock of the machine is set, forwards and back, under a running load:
 *     that of the server and of the relays, by libfaketime.
 *
 * Clocks order values, numbers order changes: so nothing that is proved by
 * load.mjs depends on the time.  Tokens do, and have a wide leeway here.
 *
 * All times are before the true one: within an intercepted wait libfaketime
 * tells signal handlers the true time, so that of a server whose clock is ahead
 * of it no timeout would ever come (no fault of mirusync: a LOCK TABLE shows it).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { existsSync, mkdtempSync, chmodSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';

const LIBRARY = process.env.MIRUSYNC_FAKETIME || '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';

if (!existsSync(LIBRARY))
  test('the clock is set', { skip: 'libfaketime is not installed' }, () => {});
else {
  const dir = mkdtempSync(`${tmpdir()}/mirusync-clock-`);
  chmodSync(dir, 0o755);
  after(() => rmSync(dir, { recursive: true, force: true }));
  const file = `${dir}/time`;
  const set = (offset) => writeFileSync(file, `${offset}\n`);
  set('+0');
  /* Timeouts are measured by the monotonic clock, which nobody sets. */
  const fake = ['env', `LD_PRELOAD=${LIBRARY}`, `FAKETIME_TIMESTAMP_FILE=${file}`, 'FAKETIME_NO_CACHE=1', 'DONT_FAKE_MONOTONIC=1'];
  process.env.MIRUSYNC_POSTGRES_UNDER = fake.join(' ');
  process.env.MIRUSYNC_RELAY_UNDER = fake.join(' ');
  const { useStack } = await import('../harness.mjs');
  const { Load, prepareLoad, SEED } = await import('./load.mjs');
  const s = useStack({
    relays: 2,
    relay: { heads_poll_interval: '500ms', push_wait_max: '2s', reconnect_wait_max: '300ms', connections_per_user: 100, jwt_leeway: '1h' },
  });

  s.test(`the clock of the machine is set, forwards and back (seed ${SEED})`, async (t) => {
    await prepareLoad(s);
    const load = new Load(s);
    try {
      await load.start();
      for (const offset of ['-30m', '-5m', '-45m', '-20m', '+0']) {
        set(offset);
        await load.progress(10);
      }
      await load.finish();
    } finally {
      load.abandon();
      t.diagnostic(`seen: ${JSON.stringify(load.errors)}`);
    }
  }, { timeout: 180000 });
}
