/*
 * idle.mjs
 *     What a relay costs that nobody uses, or hardly anybody: processor,
 *     wake-ups, memory and backends, hibernating, with nobody but awake, with
 *     idle sessions, and with some that are busy.
 *
 * usage: node test/bench/idle.mjs [sessions] [seconds]      (1000, 10)
 *
 * Prints a table; figures of one run are to be compared with one another only.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { readFileSync } from 'node:fs';
import { freePort, sleep, Stack, stopOnSignals, waitUntil } from '../../tools/stack.mjs';
import { Device, created, entry } from '../e2e/harness.mjs';

const SESSIONS = Number(process.argv[2] ?? 1000);
const SECONDS = Number(process.argv[3] ?? 10);

const status = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm')
  .exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

/* schedstat has nanoseconds: ticks are too coarse for what hardly runs. */
const cpuMs = (pid) => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;

/* private memory of a process, which it shares with nobody, in kB */
const ownKb = (pid) => readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').split('\n')
  .filter((line) => /^Private/.test(line)).reduce((sum, line) => sum + Number(/(\d+)/.exec(line)[1]), 0);

async function main() {
  stopOnSignals();
  const stack = await Stack.start({
    relays: 0, postgres: { max_connections: 50, log_checkpoints: 'off', autovacuum: 'off' },
  });
  const rows = [];
  const measure = async (name, relay) => {
    const backends = (await stack.psql(`SELECT string_agg(pid::text, ' ') FROM pg_stat_activity
      WHERE usename = 'mirusync_relay'`)).split(' ').filter(Boolean);
    const sum = (read) => backends.reduce((total, pid) => total + read(pid), 0);
    const before = [cpuMs(relay.pid), sum(cpuMs), status(relay.pid, 'voluntary_ctxt_switches')];
    await sleep(SECONDS * 1000);
    const after = [cpuMs(relay.pid), sum(cpuMs), status(relay.pid, 'voluntary_ctxt_switches')];
    const rate = (i) => (after[i] - before[i]) / SECONDS;
    rows.push({
      state: name,
      'relay CPU ms/s': rate(0).toFixed(2),
      'wake-ups/s': rate(2).toFixed(1),
      'relay MB': (status(relay.pid, 'VmRSS') / 1024).toFixed(1),
      backends: backends.length,
      'their CPU ms/s': rate(1).toFixed(2),
      'their MB': (sum(ownKb) / 1024).toFixed(1),
    });
  };
  try {
    const metrics_port = await freePort();
    const relay = await stack.addRelay({ hibernate_after: '1s', metrics_port });
    const gauge = async (name) => Number(new RegExp(`^mirusync_relay_${name} (\\d+)$`, 'm')
      .exec(await (await fetch(`${relay.probes}/metrics`)).text())[1]);
    const hibernates = () => waitUntil(async () => await gauge('hibernating') === 1, { timeout: 30000 });
    await hibernates();
    await sleep(1500);
    await measure('hibernating', relay);

    const awake = await stack.addRelay({ hibernate_after: '0ms' });
    await relay.stop();
    await sleep(3000);
    await measure('awake, no session', awake);
    await awake.stop();

    await relay.start();
    const devices = [];
    for (let i = 0; i < SESSIONS; i++)
      devices.push(await Device.live(relay, `idle-${i}`));
    await sleep(3000);
    await measure(`${SESSIONS} idle sessions`, relay);

    let stop = false;
    const busy = devices.slice(0, Math.max(1, SESSIONS / 20)).map(async (device) => {
      while (!stop) {
        await device.push(created(entry()), 30000);
        await sleep(1000);
      }
    });
    await sleep(1000);
    await measure(`5 % of them push once a second`, relay);
    stop = true;
    await Promise.all(busy);
    for (const device of devices)
      device.terminate();
    await hibernates();
    await sleep(1500);
    await measure('hibernating again', relay);

    const times = [];
    const awakeTimes = [];
    for (let i = 0; i < 5; i++) {
      const start = performance.now();
      const device = await Device.open(relay, 'waker');
      times.push(performance.now() - start);
      await device.close();
      const next = performance.now();
      await (await Device.open(relay, 'waker')).close();
      awakeTimes.push(performance.now() - next);
      await hibernates();
    }
    const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
    console.table(rows);
    console.log(`first session: ${median(times).toFixed(0)} ms while it hibernates,`
      + ` ${median(awakeTimes).toFixed(0)} ms awake (medians of 5)`);
  } finally {
    await stack.stop();
  }
}

await main();
process.exit();
