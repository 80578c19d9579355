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
 * it.  That is JSON and no script, so that no other site's page can load it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { chmod, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
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
    await freePort(port);

  const stack = await Stack.start({ relays: 0, secret: process.env.JWT_SECRET || undefined });
  const page = join(stack.dir, 'page');
  await mkdir(page, { mode: 0o755 });
  for (const name of await readdir(join(ROOT, 'demo'))) {
    await copyFile(join(ROOT, 'demo', name), join(page, name));
    await chmod(join(page, name), 0o644);
  }
  await writeFile(join(page, 'demo-config.json'), JSON.stringify({
    user: USER,
    conninfo: stack.conninfo,
    devices: [
      { name: 'Phone', token: userToken(stack.secret, USER, DAY) },
      { name: 'Laptop', token: userToken(stack.secret, USER, DAY) },
    ],
  }), { mode: 0o644 });
  await stack.psql(SEED);
  const relay = await stack.addRelay({ listen_port: port, static_dir: page, environment: 'demo' });

  process.stdout.write(`ready url=${relay.url}/ ws=${relay.ws}/sync/ws conninfo="${stack.conninfo}"`
    + ` secret=${quote(stack.secret)} log=${relay.logPath} pid=${relay.pid}\n`);
  say('Ctrl-C ends it and removes everything');

  const ended = await Promise.race([
    relay.child.ended.then((end) => [relay.name, end, relay.logPath]),
    stack.postgres.ended.then((end) => ['postgres', end, stack.pgLogPath]),
  ]);
  /* On our own way out they end because we ended them. */
  if (stack.stopping)
    await new Promise(() => {});
  throw new Error(`${ended[0]} ended by itself (code ${ended[1].code}, signal ${ended[1].signal})\n`
    + await stack.logs());
}

stopOnSignals(() => 0);
say('starting a private PostgreSQL and a relay');
main().catch(async (error) => {
  say(error.message);
  await stopAll();
  process.exit(1);
});
