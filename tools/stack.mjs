#!/usr/bin/env node
/*
 * stack.mjs
 *     A private PostgreSQL with mirusync, and relays in front of it, that
 *     leave nothing behind.  The demo, the tests and the bench all use this.
 *
 * usage: node tools/stack.mjs [--relays N] [--set key=value]... [--pg key=value]...
 *                             [--postgres-only] -- command [argument]...
 *
 * The command finds the stack in its environment: PGHOST, PGPORT, PGUSER,
 * PGPASSWORD, PGDATABASE, and MIRUSYNC_URL, MIRUSYNC_WS, MIRUSYNC_SECRET,
 * MIRUSYNC_CONNINFO, MIRUSYNC_RELAY_PID (of the first relay).
 *
 * How the extension gets into a server without touching the installed one:
 * `make install DESTDIR=stage` puts our files below a temporary directory at
 * their usual paths, a copy of the postgres binary goes beside them, and the
 * rest of the installation is linked in.  PostgreSQL finds its files relative
 * to its own binary, so that copy sees an installation with mirusync in it.
 * No root is needed, and runs side by side do not disturb each other.
 * MIRUSYNC_STAGE names a stage to use again, MIRUSYNC_RELAY another relay
 * binary (one built with a sanitizer, say), MIRUSYNC_POSTGRES_UNDER and
 * MIRUSYNC_RELAY_UNDER commands that run them, such as valgrind (tools/valgrind.sh).
 *
 * PostgreSQL refuses to run as root: started by root, server and relay run as
 * the user in MIRUSYNC_RUN_AS, by default postgres.  Every process we start
 * gets a signal from the kernel when we die, so even after a SIGKILL nothing
 * runs on; only the temporary directory would stay.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, readFileSync, rmSync } from 'node:fs';
import {
  access, appendFile, chmod, copyFile, chown, mkdir, mkdtemp, readdir, readFile, rm, stat,
  symlink, writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { constants as osConstants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const PG_CONFIG = process.env.PG_CONFIG || 'pg_config';
const words = (text) => (text || '').split(' ').filter(Boolean);
const POSTGRES_UNDER = words(process.env.MIRUSYNC_POSTGRES_UNDER);
const RELAY_UNDER = words(process.env.MIRUSYNC_RELAY_UNDER);
const AS_ROOT = process.getuid() === 0;
const RUN_AS = process.env.MIRUSYNC_RUN_AS || 'postgres';

/* A sub-make must not take the goals and variables of the make that ran us. */
const ENV = { ...process.env };
for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES', 'GNUMAKEFLAGS'])
  delete ENV[name];
/* Nor may what we start follow the caller's PGHOST or a relay's settings. */
for (const name of Object.keys(ENV))
  if (/^PG[A-Z]+$|^MIRUSYNC_/.test(name))
    delete ENV[name];

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* waitUntil calls check until it gives something truthy, and returns that. */
export async function waitUntil(check, { timeout = 10000, every = 10, what = 'condition' } = {}) {
  const end = Date.now() + timeout;
  for (;;) {
    const result = await check();
    if (result)
      return result;
    if (Date.now() > end)
      throw new Error(`timed out after ${timeout} ms waiting for ${what}`);
    await sleep(every);
  }
}

/*
 * freePort finds a port of the loopback that nobody listens on just now; a
 * given one is checked.  (Relays share a port on purpose, so starting one
 * would not tell.)
 */
export async function freePort(wanted = 0) {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once('error', (error) => reject(error.code === 'EADDRINUSE'
      ? new Error(`port ${wanted} is in use`) : error));
    server.listen(wanted, '127.0.0.1', resolve);
  });
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function exists(path) {
  return access(path).then(() => true, () => false);
}

async function tail(path, lines = 30) {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

/*
 * Running as somebody else, and dying with us
 */
let runAsIds;
async function ownerIds() {
  if (!AS_ROOT)
    return null;
  if (!runAsIds) {
    const id = async (flag) => Number((await run('id', [flag, RUN_AS]).catch(() => {
      throw new Error(`PostgreSQL does not run as root, and there is no user "${RUN_AS}"`
        + ' (MIRUSYNC_RUN_AS names another)');
    })).stdout);
    runAsIds = { uid: await id('-u'), gid: await id('-g') };
  }
  return runAsIds;
}

async function give(path) {
  const ids = await ownerIds();
  if (ids)
    await chown(path, ids.uid, ids.gid);
}

/* spawnOwned starts a process as the stack's user; it gets signal when we die. */
function spawnOwned(command, args, { signal = 'TERM', log, env = ENV } = {}) {
  const drop = AS_ROOT ? [`--reuid=${RUN_AS}`, `--regid=${RUN_AS}`, '--init-groups'] : [];
  const fd = log ? openSync(log, 'a') : 'ignore';
  const child = spawn('setpriv', [...drop, `--pdeathsig=${signal}`, '--', command, ...args], {
    stdio: ['ignore', fd, fd],
    /* A group of its own: Ctrl-C is ours to handle, in our order. */
    detached: true,
    cwd: '/',
    env,
  });
  if (log)
    closeSync(fd);
  child.ended = new Promise((resolve) => {
    child.once('exit', (code, sig) => resolve({ code, signal: sig }));
    child.once('error', (error) => resolve({ code: 127, signal: null, error }));
  });
  child.running = true;
  child.ended.then(() => { child.running = false; });
  return child;
}

/*
 * The stage
 */
let config;
async function pgConfig() {
  if (!config) {
    const { stdout } = await run(PG_CONFIG, ['--bindir', '--sharedir', '--pkglibdir'])
      .catch((error) => { throw new Error(`${PG_CONFIG} does not run: ${error.message}`); });
    const [bindir, sharedir, pkglibdir] = stdout.trim().split('\n');
    config = { bindir, sharedir, pkglibdir };
  }
  return config;
}

/* linkMissing makes to show everything that from has, but for what it has already. */
async function linkMissing(from, to) {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    /* Another mirusync, installed in the system, is not ours to load. */
    if (entry.name.startsWith('mirusync'))
      continue;
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (!await exists(target))
      await symlink(source, target);
    else if (entry.isDirectory())
      await linkMissing(source, target);
  }
}

/* makeStage installs mirusync below dir, beside a PostgreSQL to run it. */
export async function makeStage(dir) {
  const { bindir, sharedir, pkglibdir } = await pgConfig();
  await run('make', ['-s', '--no-print-directory', '-C', ROOT, 'install', `DESTDIR=${dir}`,
    `PG_CONFIG=${PG_CONFIG}`], { env: ENV, maxBuffer: 1 << 26 })
    .catch((error) => { throw new Error(`make install failed\n${error.stdout}${error.stderr}`); });
  await mkdir(join(dir, bindir), { recursive: true });
  await copyFile(join(bindir, 'postgres'), join(dir, bindir, 'postgres'),
    constants.COPYFILE_FICLONE);
  await chmod(join(dir, bindir, 'postgres'), 0o755);
  await linkMissing(sharedir, join(dir, sharedir));
  await linkMissing(pkglibdir, join(dir, pkglibdir));
  return dir;
}

/*
 * Relay: one relay process of a stack
 */
export class Relay {
  constructor(stack, name, settings) {
    this.stack = stack;
    this.name = name;
    this.settings = settings;
    this.logPath = join(stack.dir, `${name}.log`);
    this.configPath = join(stack.dir, `${name}.conf`);
    this.port = 0;
  }

  get pid() { return this.child?.pid; }
  get tls() { return Boolean(this.settings.tls_certificate_file); }
  get url() { return `http${this.tls ? 's' : ''}://127.0.0.1:${this.port}`; }
  get ws() { return `ws${this.tls ? 's' : ''}://127.0.0.1:${this.port}`; }
  /* Where probes are answered without TLS, if there is such a place. */
  get probes() {
    return this.settings.metrics_port ? `http://127.0.0.1:${this.settings.metrics_port}` : this.url;
  }
  get running() { return Boolean(this.child?.running); }
  get log() { return readFileSync(this.logPath, 'utf8'); }

  async writeConfig(overrides = {}) {
    const settings = {
      listen_address: '127.0.0.1',
      listen_port: this.port,
      database: this.stack.relayConninfo,
      jwt_secret_file: join(this.stack.dir, 'secret'),
      /* Nobody here is served by another relay meanwhile. */
      drain_spread: '100ms',
      ...this.settings,
      ...overrides,
    };
    const text = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`).join('');
    await writeFile(this.configPath, text, { mode: 0o600 });
    await give(this.configPath);
  }

  /* start runs the relay and waits until it is ready; again on the same port. */
  async start({ ready = true } = {}) {
    await this.writeConfig();
    const before = await stat(this.logPath).then((s) => s.size, () => 0);
    const [command, ...args] = [...RELAY_UNDER, this.stack.relayBinary, '--config', this.configPath];
    this.child = spawnOwned(command, args, { log: this.logPath });
    const failed = async () => {
      if (this.running)
        return;
      const end = await this.child.ended;
      throw new Error(`relay ended (code ${end.code}, signal ${end.signal})\n`
        + await tail(this.logPath));
    };
    try {
      this.port = await waitUntil(async () => {
        await failed();
        const text = (await readFile(this.logPath)).subarray(before).toString();
        const found = /\blistening\b.*\bport=(\d+)/.exec(text);
        return found && Number(found[1]);
      }, { what: 'the relay to listen' });
      if (ready) {
        await waitUntil(async () => {
          await failed();
          /* A relay without /ready answers 404: then listening must do. */
          const answer = await fetch(`${this.probes}/ready`).catch(() => null);
          return answer && (answer.ok || answer.status === 404);
        }, { what: 'the relay to be ready', timeout: 20000 });
      }
    } catch (error) {
      error.message += `\n${await tail(this.logPath)}`;
      await this.kill();
      throw error;
    }
    return this;
  }

  signal(signal) {
    if (this.running)
      this.child.kill(signal);
  }

  /* stop ends the relay and returns {code, signal}; after a while by force. */
  async stop(signal = 'SIGTERM', timeout = 15000) {
    if (!this.child)
      return null;
    this.signal(signal);
    const force = setTimeout(() => this.signal('SIGKILL'), timeout);
    const end = await this.child.ended;
    clearTimeout(force);
    return end;
  }

  async kill() { return this.stop('SIGKILL'); }
}

/*
 * Stack: a server, its database, and relays
 */
const live = new Set();

export class Stack {
  /*
   * Stack.start gives a running stack.  Options: relays (how many, 1), relay
   * (settings of each), postgres (settings), port (of the first relay), secret,
   * postgresOnly (no database of ours, no relay), standbyOf (a running stack:
   * this one is a standby of its server, and has no relay; stop it first).
   */
  static async start(options = {}) {
    const stack = new Stack(options);
    try {
      await stack.prepare();
      await stack.startPostgres();
      if (!options.postgresOnly && !options.standbyOf) {
        await stack.createDatabase();
        for (let i = 0; i < (options.relays ?? 1); i++)
          await stack.addRelay(i === 0 && options.port ? { listen_port: options.port } : {});
      }
    } catch (error) {
      await stack.stop();
      throw error;
    }
    return stack;
  }

  constructor(options) {
    this.options = options;
    this.relays = [];
    this.database = 'mirusync';
    this.user = 'postgres';
    this.password = options.standbyOf?.password ?? randomBytes(12).toString('hex');
    this.secret = options.standbyOf?.secret ?? (options.secret || randomBytes(32).toString('hex'));
  }

  get relay() { return this.relays[0]; }

  /* conninfo reaches the database as its owner, from any program of this host. */
  get conninfo() {
    return `host=127.0.0.1 port=${this.pgPort} user=${this.user} password=${this.password}`
      + ` dbname=${this.database}`;
  }

  get relayConninfo() {
    return `host=${this.socketDir} port=${this.pgPort} user=mirusync_relay`
      + ` dbname=${this.database}`;
  }

  /* pgEnv is what libpq's programs and pg_regress need. */
  get pgEnv() {
    return {
      PGHOST: this.socketDir,
      PGPORT: String(this.pgPort),
      PGUSER: this.user,
      PGPASSWORD: this.password,
      PGDATABASE: this.options.postgresOnly ? 'postgres' : this.database,
    };
  }

  get relayBinary() {
    return process.env.MIRUSYNC_RELAY || join(this.stage, this.bindir, 'mirusync-relay');
  }

  async prepare() {
    live.add(this);
    /* Long paths do not fit into a socket's address (107 bytes). */
    const base = tmpdir().length < 60 ? tmpdir() : '/tmp';
    this.dir = await mkdtemp(join(base, 'mirusync-'));
    await chmod(this.dir, 0o755);
    this.dataDir = join(this.dir, 'data');
    this.socketDir = join(this.dir, 'socket');
    this.pgLogPath = join(this.dir, 'postgres.log');
    this.bindir = (await pgConfig()).bindir;
    for (const path of [this.dataDir, this.socketDir]) {
      await mkdir(path, { mode: 0o700 });
      await give(path);
    }
    await writeFile(join(this.dir, 'secret'), this.secret, { mode: 0o600 });
    await give(join(this.dir, 'secret'));
    this.stage = this.options.standbyOf?.stage
      || process.env.MIRUSYNC_STAGE || await makeStage(join(this.dir, 'stage'));
    await (this.options.standbyOf ? this.copyServer(this.options.standbyOf) : this.makeServer());
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.socketDir,
      log_line_prefix: '%m [%p] %q%u@%d %a ',
      timezone: 'UTC',
      ...this.options.postgres,
    };
    await appendFile(join(this.dataDir, 'postgresql.conf'),
      Object.entries(settings).map(([key, value]) => `${key} = '${value}'\n`).join(''));
  }

  async makeServer() {
    const passwordFile = join(this.dir, 'password');
    await writeFile(passwordFile, this.password, { mode: 0o600 });
    await give(passwordFile);
    const log = join(this.dir, 'initdb.log');
    const initdb = spawnOwned(join(this.bindir, 'initdb'), ['-D', this.dataDir, '-U', this.user,
      '-E', 'UTF8', '--locale=C', '--auth-local=trust', '--auth-host=scram-sha-256',
      `--pwfile=${passwordFile}`, '--no-sync', '--no-instructions'], { log });
    if ((await initdb.ended).code !== 0)
      throw new Error(`initdb failed\n${await tail(log)}`);
    await rm(passwordFile);
  }

  /* copyServer makes the files of a standby. */
  async copyServer(primary) {
    const log = join(this.dir, 'basebackup.log');
    const copy = spawnOwned(join(this.bindir, 'pg_basebackup'), ['-D', this.dataDir,
      '-h', primary.socketDir, '-p', String(primary.pgPort), '-U', primary.user,
      '--write-recovery-conf', '--wal-method=stream', '--checkpoint=fast', '--no-sync'], { log });
    if ((await copy.ended).code !== 0)
      throw new Error(`pg_basebackup failed\n${await tail(log)}`);
  }

  /* startPostgres starts the server and waits until it takes queries. */
  async startPostgres() {
    for (let attempt = 1; ; attempt++) {
      this.pgPort ??= await freePort();
      const [command, ...args] = [...POSTGRES_UNDER, join(this.stage, this.bindir, 'postgres'),
        '-D', this.dataDir, '-p', String(this.pgPort)];
      this.postgres = spawnOwned(command, args, { signal: 'INT', log: this.pgLogPath });
      try {
        await waitUntil(async () => {
          if (!this.postgres.running)
            throw new Error(`postgres did not start\n${await tail(this.pgLogPath)}`);
          const lines = (await readFile(join(this.dataDir, 'postmaster.pid'), 'utf8')
            .catch(() => '')).split('\n');
          return Number(lines[0]) === this.postgres.pid && /^(ready|standby)$/.test(lines[7]?.trim());
        }, { what: 'postgres to start', timeout: 60000 });
        return;
      } catch (error) {
        await this.stopPostgres('SIGQUIT');
        /* Somebody may have taken the port since we looked. */
        if (attempt === 5 || !/in use/.test(error.message))
          throw error;
        this.pgPort = undefined;
      }
    }
  }

  /* stopPostgres: SIGINT is a fast shutdown, SIGQUIT an immediate one (a crash). */
  async stopPostgres(signal = 'SIGINT') {
    if (!this.postgres)
      return;
    if (this.postgres.running)
      this.postgres.kill(signal);
    const force = setTimeout(() => this.postgres.kill('SIGQUIT'), 20000);
    await this.postgres.ended;
    clearTimeout(force);
  }

  /* psql runs statements and returns the unaligned output. */
  async psql(sql, { database = this.database } = {}) {
    const { stdout } = await run(join(this.bindir, 'psql'),
      ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', sql],
      { env: { ...ENV, ...this.pgEnv }, maxBuffer: 1 << 26 });
    return stdout.trimEnd();
  }

  /* tool runs one of PostgreSQL's programs (pg_dump, pg_restore) against the server. */
  async tool(name, args) {
    const { stdout } = await run(join(this.bindir, name), args,
      { env: { ...ENV, ...this.pgEnv }, maxBuffer: 1 << 26 });
    return stdout;
  }

  async createDatabase() {
    await this.psql(`CREATE DATABASE ${this.database}`, { database: 'postgres' });
    await this.psql(`CREATE EXTENSION mirusync;
      SELECT mirusync.create_practice_log();
      CREATE ROLE mirusync_relay LOGIN;
      SELECT mirusync.grant_relay('mirusync_relay')`);
  }

  /* addRelay starts one more relay, with the stack's settings and these. */
  async addRelay(settings = {}, options = {}) {
    const relay = new Relay(this, `relay-${this.relays.length + 1}`,
      { ...this.options.relay, ...settings });
    await relay.start(options);
    this.relays.push(relay);
    return relay;
  }

  /* stop ends everything and removes it. */
  async stop() {
    this.stopping ??= this.stopNow();
    return this.stopping;
  }

  async stopNow() {
    await Promise.all(this.relays.map((relay) => relay.stop()));
    await this.stopPostgres();
    if (this.dir)
      await rm(this.dir, { recursive: true, force: true, maxRetries: 3 });
    live.delete(this);
  }

  /* logs is for the reader of a failure. */
  async logs() {
    const parts = [`--- postgres\n${await tail(this.pgLogPath)}`];
    for (const relay of this.relays)
      parts.push(`--- ${relay.name}\n${await tail(relay.logPath)}`);
    return parts.join('\n');
  }
}

/* stopAll ends every stack of this process. */
export async function stopAll() {
  await Promise.allSettled([...live].map((stack) => stack.stop()));
}

/* What else is to end, before the stacks do. */
const beforeStop = [];

/*
 * endChild ends a command that we ran.  After Ctrl-C it has had the signal from the
 * terminal; a signal to us alone it has not heard of.  One that stays is killed.
 */
async function endChild(child, timeout = 5000) {
  const running = () => child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  if (!running())
    return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), timeout);
  await ended;
  clearTimeout(force);
}

/*
 * stopOnSignals makes SIGINT, SIGTERM and SIGHUP end every stack first, and
 * also the death of the process that started us, which could not tell us.
 */
export function stopOnSignals(exitCode = (signal) => 128 + osConstants.signals[signal]) {
  let stopping = false;
  const stop = async (signal) => {
    if (stopping)
      return;
    stopping = true;
    await Promise.all(beforeStop.map((end) => end()));
    await stopAll();
    process.exit(exitCode(signal));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => stop(signal));
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent)
      stop('SIGHUP');
  }, 500).unref();
}

/* The last resort: an exit that nobody announced. */
process.on('exit', () => {
  for (const stack of live) {
    for (const relay of stack.relays)
      relay.signal('SIGKILL');
    if (stack.postgres?.running)
      stack.postgres.kill('SIGQUIT');
    if (stack.dir)
      rmSync(stack.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
});

/*
 * As a program
 */
async function main(argv) {
  const options = { relay: {}, postgres: {} };
  const put = (target, text) => {
    const at = text.indexOf('=');
    target[text.slice(0, at)] = text.slice(at + 1);
  };
  let i = 0;
  for (; i < argv.length && argv[i] !== '--'; i++) {
    if (argv[i] === '--relays')
      options.relays = Number(argv[++i]);
    else if (argv[i] === '--set')
      put(options.relay, argv[++i]);
    else if (argv[i] === '--pg')
      put(options.postgres, argv[++i]);
    else if (argv[i] === '--postgres-only')
      options.postgresOnly = true;
    else
      break;
  }
  const command = argv.slice(i + 1);
  if (argv[i] !== '--' || !command.length) {
    console.error('usage: node tools/stack.mjs [--relays N] [--set key=value]...'
      + ' [--pg key=value]... [--postgres-only] -- command [argument]...');
    return 2;
  }

  stopOnSignals();
  const stack = await Stack.start(options);
  const env = { ...process.env, ...stack.pgEnv };
  if (stack.relay)
    Object.assign(env, {
      MIRUSYNC_URL: stack.relay.url,
      MIRUSYNC_WS: stack.relay.ws,
      MIRUSYNC_SECRET: stack.secret,
      MIRUSYNC_CONNINFO: stack.conninfo,
      MIRUSYNC_RELAY_PID: String(stack.relay.pid),
    });
  const child = spawn(command[0], command.slice(1), { stdio: 'inherit', env });
  beforeStop.push(() => endChild(child));
  const code = await new Promise((resolve) => {
    child.once('error', (error) => { console.error(error.message); resolve(127); });
    child.once('exit', (status, signal) =>
      resolve(status ?? 128 + osConstants.signals[signal]));
  });
  if (code !== 0 && process.env.MIRUSYNC_LOGS)
    console.error(await stack.logs());
  await stack.stop();
  return code;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2)).catch((error) => {
    console.error(`stack: ${error.message}`);
    return 1;
  });
}
