/*
 * all_at_once.test.mjs
 *     The soak of test/soak: two minutes of it with `make check`, an hour with
 *     `make soak`.  SEED repeats what happened.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { useStack } from './harness.mjs';
import { Soak } from '../soak/soak.mjs';

/*
 * What Node has left of connections that were cut while they were made can keep
 * its own cleanup turning for ever, when all is said and done.
 */
process.on('exit', () => process.exit());

const SEED = Number(process.env.SEED || Date.now() % 1e6);
const SECONDS = Number(process.env.SOAK_SECONDS || 120);

const s = useStack({
  relays: 0,
  relay: {
    heads_poll_interval: '500ms', push_wait_max: '2s', reconnect_wait_max: '300ms', connections_per_user: 100, connections_per_address: 1000,
    slow_lock_timeout: '2s',
  },
  postgres: { shared_preload_libraries: 'mirusync', max_connections: 60, fsync: 'on' },
});

s.test(`${SECONDS} s of everything at once lose nothing (SEED=${SEED})`, async (t) => {
  const soak = new Soak(s, SEED);
  try {
    await soak.run(SECONDS * 1000);
  } catch (error) {
    error.message = `${error.message}\n${await soak.story()}`;
    throw error;
  } finally {
    await soak.close();
    t.diagnostic(JSON.stringify(soak.summary()));
  }
}, { timeout: SECONDS * 2000 + 600000 });
