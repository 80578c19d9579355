#!/usr/bin/env node
/*
 * demo.mjs
 *     What `make demo` runs: a private stack, the demo page, one line to say
 *     where everything is, until Ctrl-C or SIGTERM.
 *
 * usage: [PORT=8787] [JWT_SECRET=...] node tools/demo.mjs
 *
 * Standard output gets exactly one line, when all is up:
 *
 *   ready url=... ws=... conninfo="..." secret=... log=... pid=...
 *
 * The page cannot sign tokens, so it reads two from demo-config.json, beside
 * it.  That is JSON and no script, so that a page of another site cannot read
 * it; but whoever reaches the port can, other users of the machine among them,
 * and gets at the entries of the demo's user.  Therefore nothing else stands
 * in it: the superuser's password goes to the terminal only.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { chmod, chown, copyFile, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, ROOT, Stack, stopAll, stopOnSignals } from './stack.mjs';
import { userToken } from './token.mjs';

const USER = 'demo';
const DAY = 86400;

const say = (text) => process.stderr.write(`demo: ${text}\n`);

/* seed gives the first visitor something to look at, by plain SQL. */
const SEED = `
  INSERT INTO mirusync.document (feed, collection, id, data)
  SELECT '${USER}', 'logbook_entry', id, jsonb_build_object('id', id,
    'timestamp', (extract(epoch FROM now()) * 1000)::bigint - hours * 3600000,
    'duration', minutes * 60, 'type', 'practice', 'instrument', instrument,
    'notes', notes, 'mood', mood)
  FROM (VALUES
    ('welcome-1', 2, 45, 'piano', 'Invention 8, hands separately', 'satisfied'),
    ('welcome-2', 26, 20, 'violin', 'Scales in thirds', 'neutral'),
    ('welcome-3', 50, 60, 'piano', 'Sight-reading duets', 'excited')
  ) AS v (id, hours, minutes, instrument, notes, mood)`;

const quote = (text) => (/^[\w./:@+-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`);

async function main() {
  const port = Number(process.env.PORT || 8787);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new Error(`PORT=${process.env.PORT} is no port`);
  if (port)
    await freePort(port).catch((error) => {
      throw new Error(`${error.message}; choose another: make demo PORT=0`);
    });

  say('starting a private PostgreSQL and a relay');
  const stack = await Stack.start({
    relays: 0,
    secret: process.env.JWT_SECRET || undefined,
    postgres: { shared_preload_libraries: 'mirusync' },
  });
  const page = join(stack.dir, 'page');
  const { uid, gid } = await stat(stack.dataDir);
  await mkdir(page, { mode: 0o700 });
  for (const name of await readdir(join(ROOT, 'demo'))) {
    await copyFile(join(ROOT, 'demo', name), join(page, name));
    await chmod(join(page, name), 0o644);
  }
  const config = join(page, 'demo-config.json');
  await writeFile(config, JSON.stringify({
    user: USER,
    devices: [
      { name: 'Phone', token: userToken(stack.secret, USER, DAY) },
      { name: 'Laptop', token: userToken(stack.secret, USER, DAY) },
    ],
  }), { mode: 0o600 });
  await chown(config, uid, gid);
  await chown(page, uid, gid);
  await stack.psql(SEED);
  const relay = await stack.addRelay({ listen_port: port, static_dir: page, environment: 'demo' });

  if (endStartUp())
    return end();
  process.stdout.write(`ready url=${relay.url}/ ws=${relay.ws}/sync/ws conninfo="${stack.conninfo}"`
    + ` secret=${quote(stack.secret)} log=${relay.logPath} pid=${relay.pid}\n`);
  say('Ctrl-C ends it and removes everything');

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
