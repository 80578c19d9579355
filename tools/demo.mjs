#!/usr/bin/env node
/*
 * demo.mjs
 *     What `make demo` runs: a private stack, the demo's page, one line to say
 *     where everything is, until Ctrl-C or SIGTERM.
 *
 * usage: [PORT=8787] [JWT_SECRET=...] node tools/demo.mjs
 *
 * Standard output gets exactly one line, when all is up:
 *
 *   ready url=... ws=... conninfo="..." secret=... log=... pid=...
 *
 * What is for people goes to standard error.  The address that stands there
 * has a key behind #, with which the page may run SQL, as the role demo_sql
 * (demo/schema.sql).  The superuser's password goes to the terminal only.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { filesOf, startServer } from './demo_server.mjs';
import { freePort, ROOT, Stack, stopAll, stopOnSignals } from './stack.mjs';
import { userToken } from './token.mjs';

const USER = 'demo';
const DAY = 86400;

/* The server ends a statement after 3 s; this is for when it does not. */
const PATIENCE_MS = 6000;

const say = (text) => process.stderr.write(`demo: ${text}\n`);

const quote = (text) => (/^[\w./:@+-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`);

/*
 * sqlLine gives a function that runs a statement.  psql reads no more than our
 * own line: the statement is the value of a variable, and so no backslash in it
 * is a command of psql's.
 */
function sqlLine(stack) {
  const { PGHOST, PGPORT, PGDATABASE } = stack.pgEnv;
  const env = { PATH: process.env.PATH, PGHOST, PGPORT, PGDATABASE, PGUSER: 'demo_sql', PGAPPNAME: 'SQL line' };
  return async (statement) => {
    const began = process.hrtime.bigint();
    const running = promisify(execFile)(join(stack.bindir, 'psql'),
      ['-XAtqw', '-v', 'ON_ERROR_STOP=1', '-v', `statement=${statement}`, '-f', '-'],
      { env, timeout: PATIENCE_MS, maxBuffer: 1 << 22 });
    running.child.stdin.on('error', () => {}).end("SELECT public.demo_run(:'statement')");
    try {
      const result = JSON.parse((await running).stdout);
      return { ...result, ms: Number(process.hrtime.bigint() - began) / 1e6 };
    } catch (error) {
      const [, said] = /ERROR: +(.*)/.exec(error.stderr ?? '') ?? [];
      return { error: said ?? 'the statement could not be run' };
    }
  };
}

/* banner is for who sits at the terminal. */
const banner = ({ url, key, conninfo }) => `
  The practice log is at    ${url}#sql=${key}

  Try   1. log some practice on the Phone, and see it on the Laptop; take one offline, and back
        2. change a row in the SQL line of the page, or here:  psql "${conninfo}"
        3. press "Make a conflict", and decide it

  Stop  Ctrl-C; nothing is left behind

`;

async function main() {
  const port = Number(process.env.PORT || 8787);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new Error(`PORT=${process.env.PORT} is no port`);
  if (port)
    await freePort(port).catch((error) => {
      throw new Error(`${error.message}; choose another: make demo PORT=0`);
    });

  say('starting a private PostgreSQL and a relay');
  const files = await filesOf({
    '': join(ROOT, 'demo'),
    '/client': join(ROOT, 'client/src'),
    '/idb': join(ROOT, 'client/node_modules/idb/build'),
  });
  const stack = await Stack.start({
    relays: 0,
    secret: process.env.JWT_SECRET || undefined,
    postgres: { shared_preload_libraries: 'mirusync' },
  });
  await stack.psql(await readFile(join(ROOT, 'demo/schema.sql'), 'utf8'));
  const relay = await stack.addRelay({ environment: 'demo' });
  const key = randomBytes(16).toString('base64url');
  const served = await startServer({
    port,
    relay: relay.port,
    files,
    /* Another run has another database, which no replica of this one's may meet. */
    config: { user: USER, run: randomBytes(6).toString('hex') },
    key,
    token: () => userToken(stack.secret, USER, DAY),
    run: sqlLine(stack),
  });
  const url = `http://127.0.0.1:${served}/`;

  if (endStartUp())
    return end();
  process.stdout.write(`ready url=${url} ws=ws://127.0.0.1:${served}/sync/ws conninfo="${stack.conninfo}"`
    + ` secret=${quote(stack.secret)} log=${relay.logPath} pid=${relay.pid}\n`);
  process.stderr.write(banner({ url, key, conninfo: stack.conninfo }));

  const gone = await Promise.race([
    relay.child.ended.then((end) => [relay.name, end, relay.logPath]),
    stack.postgres.ended.then((end) => ['postgres', end, stack.pgLogPath]),
  ]);
  /* On our own way out they end because we ended them. */
  if (stack.stopping)
    await new Promise(() => {});
  throw new Error(`${gone[0]} ended by itself (code ${gone[1].code}, signal ${gone[1].signal})\n`
    + await stack.logs());
}

async function end(code = 0) {
  await stopAll();
  process.exit(code);
}

/*
 * A signal during the start-up waits for its end: `make install` and initdb
 * must not write into a directory that is being removed.
 */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const parent = process.ppid;
let asked = false;
const note = () => {
  if (!asked)
    say('ending, as soon as the start-up is over');
  asked = true;
};
for (const signal of SIGNALS)
  process.on(signal, note);

/* endStartUp gives whether somebody wants us to end. */
function endStartUp() {
  stopOnSignals(() => 0);
  for (const signal of SIGNALS)
    process.off(signal, note);
  return asked || process.ppid !== parent;
}

main().catch((error) => {
  /* Ctrl-C ends what we were waiting for, too. */
  if (!asked)
    say(error.message);
  return end(asked ? 0 : 1);
});
