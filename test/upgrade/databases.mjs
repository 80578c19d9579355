/*
 * databases.mjs
 *     A private server with databases that tests fill, dump and compare.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Stack, stopAll, stopOnSignals } from '../../tools/stack.mjs';

const run = promisify(execFile);

/* The tables that sync reads and writes, with what must be alike in copies. */
const TABLES = ['feed', 'record', 'change_log', 'verdict', 'device', 'document', 'collection',
  'attached', 'field', 'event_collection', 'event_type'];

export const file = (name) => fileURLToPath(new URL(name, import.meta.url));

/*
 * useDatabases gives the tests of a file a server with the two roles, and
 * calls prepare once it runs.
 */
export function useDatabases(prepare = async () => {}) {
  const d = {};

  before(async () => {
    stopOnSignals();
    d.stack = await Stack.start({ postgresOnly: true });
    d.dir = await mkdtemp(join(tmpdir(), 'mirusync-dump-'));
    await d.query('postgres', 'CREATE ROLE upgrade_app; CREATE ROLE upgrade_relay');
    await prepare(d);
  });
  after(async () => {
    await stopAll();
    await rm(d.dir, { recursive: true, force: true });
  });

  /* program runs one of Postgres' programs; with "fails" its error is returned. */
  d.program = async (name, args, { fails = false } = {}) => {
    const result = await run(join(d.stack.bindir, name), args,
      { env: { ...process.env, ...d.stack.pgEnv }, maxBuffer: 1 << 26 })
      .catch((error) => {
        if (!fails)
          throw new Error(`${name} ${args.join(' ')}\n${error.stderr}`);
        return error;
      });
    return fails ? result.stderr : result.stdout.trimEnd();
  };

  const psql = (database, args, options) => d.program('psql',
    ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', database, ...args], options);

  d.query = (database, sql) => psql(database, ['-c', sql]);
  d.error = (database, sql) => psql(database, ['-v', 'VERBOSITY=verbose', '-c', sql], { fails: true });
  d.script = (database, name) => psql(database, ['-f', name]);
  d.create = async (database) => {
    await d.query('postgres', `CREATE DATABASE ${database} TEMPLATE template0`);
    return database;
  };

  /* old makes a database of version 0.1.0 with content. */
  d.old = async (database) => {
    await d.create(database);
    await d.script(database, file('data-0.1.0.sql'));
    return database;
  };
  d.updated = async (database) => {
    await d.old(database);
    await d.query(database, 'ALTER EXTENSION mirusync UPDATE');
    /* Of some functions the signature changed; what had been granted on them went with it. */
    await d.query(database, `SELECT mirusync.grant_relay('upgrade_relay');
      GRANT EXECUTE ON FUNCTION mirusync.attach TO upgrade_app`);
    return database;
  };
  /* fresh makes one of the current version, with the same content. */
  d.fresh = async (database) => {
    await d.create(database);
    await d.script(database, file('content.sql'));
    return database;
  };

  /* fingerprint lists what makes up the extension, see fingerprint.sql. */
  d.fingerprint = async (database) =>
    (await d.script(database, file('fingerprint.sql'))).split('\n');

  /*
   * rows gives all rows of our tables as text.  A field's bound_to names the
   * database that it is in, and is written again there.
   */
  d.rows = async (database, columns = null) => {
    const result = {};
    for (const table of TABLES) {
      const names = columns?.[table] ?? (await d.query(database, `SELECT string_agg(quote_ident(attname), ',')
        FROM pg_attribute WHERE attrelid = 'mirusync.${table}'::regclass AND attnum > 0
          AND NOT attisdropped AND attname <> 'bound_to'`));
      result[table] = await d.query(database, `SELECT t FROM (SELECT ${names} FROM mirusync.${table}) t
        ORDER BY t::text COLLATE "C"`);
    }
    return result;
  };
  d.columns = async (database) => Object.fromEntries(await Promise.all(TABLES.map(async (table) =>
    [table, await d.query(database, `SELECT string_agg(quote_ident(attname), ',')
      FROM pg_attribute WHERE attrelid = 'mirusync.${table}'::regclass AND attnum > 0
        AND NOT attisdropped AND attname <> 'bound_to'`)])));

  /* heads gives the number of the latest change of each feed. */
  d.heads = async (database) => Object.fromEntries((await d.query(database,
    'SELECT feed, head FROM mirusync.feed')).split('\n').map((line) => line.split('|'))
    .map(([feed, head]) => [feed, Number(head)]));
  return d;
}
