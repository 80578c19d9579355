/*
 * faults.mjs
 *     What befalls the soak: two lanes of faults, of processes and of the
 *     network, each one fault after another, as the seed has it.
 *
 * The first relay is never ended, so that its memory can be watched over the whole
 * run; all else may happen to it too.  heal() ends what goes on, and starts what is not there.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { sleep } from '../e2e/harness.mjs';
import { chanceOf } from '../e2e/replica.mjs';

const run = promisify(execFile);
const CALM = Number(process.env.SOAK_CALM || 4000); /* at most between two faults of a lane */
const WEARY = 15; /* faults that are told with a failure */

/* Processes of the server: the postmaster, and all its children. */
async function serverPids({ postgres }) {
  const { stdout } = await run('pgrep', ['-P', String(postgres.pid)]).catch(() => ({ stdout: '' }));
  return [postgres.pid, ...stdout.trim().split('\n').filter(Boolean).map(Number)];
}

/* kill sends a signal to those that are still there. */
function kill(pids, signal) {
  for (const pid of pids)
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH')
        throw error;
    }
}

async function paused(soak, pids, ms) {
  kill(pids, 'SIGSTOP');
  try {
    await soak.rest(ms);
  } finally {
    kill(pids, 'SIGCONT');
  }
}

const terminate = (soak, which) => soak.s.query(
  `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND ${which}`).catch(() => {});

async function restartRelay(soak, below, end) {
  const relay = soak.s.relays[1 + below(soak.s.relays.length - 1)];
  const away = below(3000);
  await relay[end]();
  await soak.rest(away);
  await relay.start();
}

/* Each takes what it does from below before anything happens. */
const PROCESSES = {
  'relay killed': (soak, below) => restartRelay(soak, below, 'kill'),
  'relay stopped': (soak, below) => restartRelay(soak, below, 'stop'),
  'all relays but one killed': async (soak) => {
    const relays = soak.s.relays.slice(1);
    await Promise.all(relays.map((relay) => relay.kill()));
    await Promise.all(relays.map((relay) => relay.start()));
  },
  'another relay comes and goes': async (soak, below) => {
    const how = ['kill', 'stop'][below(2)];
    const stay = 500 + below(5000);
    const { relay } = await soak.addRelay();
    await soak.rest(stay);
    await relay[how]();
    await soak.removeRelay(relay);
  },
  'PostgreSQL restarted, fast': async (soak, below) => {
    const away = below(2500);
    await soak.s.stack.stopPostgres('SIGINT');
    await soak.rest(away);
    await soak.s.stack.startPostgres();
  },
  'PostgreSQL restarted, immediate': async (soak) => {
    await soak.s.stack.stopPostgres('SIGQUIT');
    await soak.s.stack.startPostgres();
  },
  'a backend is killed, so that all end': async (soak) => {
    const [row] = await soak.s.query("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'mirusync relay%' LIMIT 1").catch(() => []);
    if (row)
      kill([row.pid], 'SIGKILL');
  },
  'backends of relays ended': (soak, below) => terminate(soak,
    below(2) ? "application_name LIKE 'mirusync relay%'" : "application_name LIKE 'mirusync relay writer%'"),
  'listeners ended': (soak) => terminate(soak, "application_name = 'mirusync relay listener'"),
  'worker ended': (soak) => terminate(soak, "backend_type LIKE 'mirusync%'"),
  'all client backends ended': (soak) => terminate(soak, "backend_type = 'client backend'"),
};

/* withNetwork lets harm be done to some of the links, and heals them. */
const withNetwork = (kind, harm) => async (soak, below) => {
  const all = [...soak[kind].values()];
  const proxies = below(3) ? [all[below(all.length)]] : all;
  try {
    await harm(soak, below, proxies);
  } finally {
    for (const proxy of proxies)
      proxy.heal();
  }
};

const NETWORK = {
  'devices cut': withNetwork('proxies', async (soak, below, proxies) => proxies.forEach((p) => p.cut())),
  'devices cut in mid-message': withNetwork('proxies', async (soak, below, proxies) => {
    const ms = 500 + below(4000);
    for (const proxy of proxies)
      proxy.sick = true;
    await soak.rest(ms);
  }),
  'devices delayed': withNetwork('proxies', async (soak, below, proxies) => {
    const [delay, ms] = [20 + below(400), 500 + below(4000)];
    for (const proxy of proxies)
      proxy.delay = delay;
    await soak.rest(ms);
  }),
  'devices held up, and cut': withNetwork('proxies', async (soak, below, proxies) => {
    const [ms, cut] = [500 + below(5000), below(2)];
    for (const proxy of proxies)
      proxy.hold();
    await soak.rest(ms);
    for (const proxy of cut ? proxies : [])
      proxy.cut();
  }),
  'database links cut': withNetwork('links', async (soak, below, links) => links.forEach((p) => p.cut())),
  'database links cut in mid-message': withNetwork('links', async (soak, below, links) => {
    const ms = 500 + below(3000);
    for (const link of links)
      link.sick = true;
    await soak.rest(ms);
  }),
  'database links delayed': withNetwork('links', async (soak, below, links) => {
    const [delay, ms] = [10 + below(200), 500 + below(4000)];
    for (const link of links)
      link.delay = delay;
    await soak.rest(ms);
  }),
  'database links held up, and cut': withNetwork('links', async (soak, below, links) => {
    const ms = 500 + below(4000);
    for (const link of links)
      link.hold();
    await soak.rest(ms);
    links.forEach((link) => link.cut());
  }),
  'relay paused': async (soak, below) => {
    const [i, ms] = [below(soak.s.relays.length), 300 + below(4000)];
    await paused(soak, [soak.s.relays[i]?.pid].filter(Boolean), ms);
  },
  'PostgreSQL paused': async (soak, below) => {
    const ms = 300 + below(3000);
    await paused(soak, await serverPids(soak.s.stack), ms);
  },
  'a backend paused': async (soak, below) => {
    const [i, ms] = [below(100), 300 + below(3000)];
    const pids = await serverPids(soak.s.stack);
    await paused(soak, [pids[1 + i % (pids.length - 1)]].filter(Boolean), ms);
  },
};

export class Faults {
  constructor(soak) {
    this.soak = soak;
    this.told = [];
    this.lanes = [['process', PROCESSES], ['network', NETWORK]].map(([name, faults]) => ({
      name, faults, below: chanceOf(`${soak.seed} faults ${name}`),
    }));
    this.counts = {};
  }

  go() {
    this.stopping = false;
    this.running = this.lanes.map((lane) => this.run(lane));
  }

  async run({ faults, below, name }) {
    const names = Object.keys(faults);
    while (!this.stopping && !this.soak.failure) {
      /* Drawn at once, so that the next fault does not depend on this one's end. */
      const [calm, fault, own] = [below(CALM), names[below(names.length)], below(1e9)];
      await this.soak.rest(calm);
      if (this.stopping)
        break;
      this.told.push(`${((Date.now() - this.soak.began) / 1000).toFixed(1)} s ${fault}`);
      this.told = this.told.slice(-WEARY);
      this.counts[fault] = (this.counts[fault] ?? 0) + 1;
      try {
        await faults[fault](this.soak, chanceOf(`${this.soak.seed} ${name} ${own}`));
      } catch (error) {
        this.soak.failure ??= new Error(`${fault}: ${error.message}`, { cause: error });
      }
    }
  }

  /* heal ends all of it; afterwards everything runs. */
  async heal() {
    this.stopping = true;
    await Promise.all(this.running ?? []);
    await sleep(0);
  }
}
