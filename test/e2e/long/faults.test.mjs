/*
 * faults.test.mjs
 *     The database, the network and the relay fail under a running load: in the
 *     end nothing that was acknowledged is lost, nothing counted twice, and
 *     every device has what the database has (load.mjs proves it).
 *
 * MIRUSYNC_SEED repeats the choices of a run, not its timing.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { sleep, useStack, waitUntil } from '../harness.mjs';
import { Load, prepareLoad, SEED } from './load.mjs';
import { RelayProxy } from './proxy.mjs';

const run = promisify(execFile);

const s = useStack({
  relays: 2,
  relay: {
    heads_poll_interval: '500ms', push_wait_max: '2s', reconnect_wait_max: '300ms', connections_per_user: 100,
    slow_lock_timeout: '2s',
  },
  postgres: { shared_preload_libraries: 'mirusync', max_connections: 40, superuser_reserved_connections: 3 },
});

let prepared;

/* fault runs a load, does it harm in its midst, and lets it come to an end. */
function fault(name, harm, options = {}) {
  s.test(`${name} (seed ${SEED})`, async (t) => {
    await (prepared ??= prepareLoad(s));
    const load = new Load(s, options.load?.() ?? {});
    try {
      await load.start();
      await harm(load, t);
      await load.progress();
      await load.finish();
    } finally {
      load.abandon();
      t.diagnostic(`seen: ${JSON.stringify(load.errors)}`);
    }
  }, { timeout: 180000 });
}

/* Processes of the server: the postmaster, and all its children. */
async function serverPids() {
  const { pid } = s.stack.postgres;
  const { stdout } = await run('pgrep', ['-P', String(pid)]);
  return [pid, ...stdout.trim().split('\n').map(Number)];
}

const backends = (application) => s.query(
  'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1', [application]);

const gone = async (pids) => {
  await waitUntil(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), { what: 'the server to be gone', timeout: 30000 });
};

fault('PostgreSQL is killed', async (load) => {
  for (let i = 0; i < 2; i++) {
    const pids = await serverPids();
    process.kill(pids[0], 'SIGKILL');
    await gone(pids);
    await s.stack.startPostgres();
    await load.progress(3);
  }
});

for (const [how, signal] of [['fast', 'SIGINT'], ['immediately', 'SIGQUIT']])
  fault(`PostgreSQL is restarted, ${how}`, async (load) => {
    for (let i = 0; i < 2; i++) {
      await s.stack.stopPostgres(signal);
      await s.stack.startPostgres();
      await load.progress(3);
    }
  });

fault('PostgreSQL is away for longer than a push waits', async (load) => {
  await s.stack.stopPostgres();
  await load.trouble(/unavailable/);
  await s.stack.startPostgres();
});

fault('PostgreSQL is paused', async (load) => {
  const pids = await serverPids();
  for (const pid of pids)
    process.kill(pid, 'SIGSTOP');
  try {
    await load.trouble(/unavailable|silence/);
  } finally {
    for (const pid of pids)
      process.kill(pid, 'SIGCONT');
  }
});

fault('one backend is killed, so that the server starts anew', async (load) => {
  const [{ pid }] = await s.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'mirusync relay writer-0' LIMIT 1");
  process.kill(pid, 'SIGKILL');
  await load.progress(3);
});

fault('there are no connections left', async (load) => {
  /* As somebody who may not use the reserved ones. */
  await s.query("DO $$ BEGIN CREATE ROLE hog LOGIN; EXCEPTION WHEN duplicate_object THEN END $$");
  const hogs = [];
  let full = false;
  const taking = (async () => {
    while (!full) {
      /* The relays' connections are cut, and taken before they are back. */
      await backends('mirusync relay%');
      for (;;)
        try {
          hogs.push(await s.client({ user: 'hog' }));
        } catch {
          break;
        }
      await sleep(20);
    }
  })();
  await load.trouble(/unavailable/);
  full = true;
  await taking;
  await Promise.all(hogs.map((hog) => hog.end()));
});

fault('the database becomes read-only for a while', async (load) => {
  await s.query('ALTER SYSTEM SET default_transaction_read_only = on');
  await s.query('SELECT pg_reload_conf()');
  await load.trouble(/unavailable/);
  await s.query('ALTER SYSTEM RESET default_transaction_read_only');
  await s.query('SELECT pg_reload_conf()');
});

fault('the connection that listens is cut, again and again', async (load) => {
  for (let i = 0; i < 10; i++) {
    await backends('mirusync relay listener');
    await load.progress(1);
  }
});

fault('the worker is ended, again and again', async (load) => {
  for (let i = 0; i < 5; i++) {
    await s.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'mirusync%'");
    await load.progress(1);
  }
});

fault('relays are killed, with pushes in flight', async (load) => {
  for (let i = 0; i < 6; i++) {
    const relay = s.relays[i % 2];
    await relay.kill();
    await load.progress(1);
    await relay.start();
    await load.progress(1);
  }
});

fault('both relays are killed at once', async () => {
  await Promise.all(s.relays.map((relay) => relay.kill()));
  await Promise.all(s.relays.map((relay) => relay.start()));
});

fault('relays stop in order, one after the other', async (load) => {
  for (const relay of s.relays) {
    await relay.stop();
    await load.progress(1);
    await relay.start();
  }
});

fault('the network is cut in the midst of messages', async (load) => {
  await load.trouble(/closed 1006/);
  await load.progress(20);
  for (const proxy of proxies)
    proxy.heal();
}, {
  load: () => {
    proxies = s.relays.map((relay) => new RelayProxy(relay, SEED));
    return { relays: () => proxies };
  },
});
let proxies = [];

fault('clocks of devices are wrong, by hours and days', (load) => load.progress(20),
  { load: () => ({ skews: [-3600000, 86400000, -30 * 86400000] }) });
