/*
 * package.test.mjs
 *     The package as `npm pack` makes it, in an empty project: ES modules,
 *     types, the React hook, the web components.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CLIENT = fileURLToPath(new URL('..', import.meta.url));

const USER = `
import { type Conflict, createClient, type Decision, type HistoryChange, type Status, SyncError } from 'mirusync';
import { CONFLICTS_TEXTS, MirusyncConflicts } from 'mirusync/conflicts';
import { MirusyncDebug } from 'mirusync/debug';
import { type IndicatorTexts, MirusyncIndicator } from 'mirusync/indicator';
import { ConflictPanel, useCollection } from 'mirusync/react';
import { flush, serve } from 'mirusync/worker';

interface Note { id: string; title: string; done: boolean }
const client = createClient({ url: 'https://example.org', token: async () => 'token' });
const notes = client.collection<Note>('note');
const titles: string[] = notes.list({ where: { done: false }, order: (a, b) => a.title.localeCompare(b.title) }).map((note) => note.title);
const status: Status = client.status;
const state: 'connecting' | 'connected' | 'reconnecting' | 'disconnected' | 'needs-auth' = status.state;
const open: Note[] = useCollection<Note>(client, 'note', { where: (note) => !note.done });
notes.put('n1', { title: 'x' }).verdict.then(({ verdict }) => verdict === 'rejected');
const changes: Promise<HistoryChange[]> = client.history('note', 'n1', { limit: 5 });
const lost: Promise<unknown[]> = client.conflicts().then((all: Conflict[]) => all.map(({ stored }) => stored));
const decision: Decision = { choose: 'stored' };
client.resolve(5, decision).then(({ seq }: { seq: number }) => client.resolve(seq, { value: null }));
// @ts-expect-error: there is no such side
client.resolve(5, { choose: 'mine' });
// @ts-expect-error: of which record?
client.history('note');
// @ts-expect-error: the token is missing
createClient({ url: 'https://example.org' });
// @ts-expect-error: there is no such field
notes.get('n1')?.nothing;
const indicator = new MirusyncIndicator();
indicator.client = client;
const texts: Partial<IndicatorTexts> = { offline: 'Getrennt', changes: (count: number) => String(count) };
indicator.texts = texts;
const panel: MirusyncConflicts = new MirusyncConflicts();
panel.label = ({ collection, field }) => field ?? collection;
panel.texts = { title: CONFLICTS_TEXTS.title };
new MirusyncDebug().sample = (number) => ({ title: String(number) });
// @ts-expect-error: there is no such text
panel.texts = { nothing: 'x' };
export { changes, ConflictPanel, lost, titles, state, open, flush, serve, SyncError };
`;

const PROGRAM = `
import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { createClient } from 'mirusync';
import { SyncIndicator, useCollection, useSync } from 'mirusync/react';
import { MirusyncIndicator } from 'mirusync/indicator';
import * as worker from 'mirusync/worker';
const client = createClient({ url: 'http://relay', token: 'token', storage: 'memory', WebSocket: class {},
  fetch: async (url) => ({ ok: true, status: 200, json: async () => ({ changes: [url] }) }) });
await client.ready;
client.collection('note').put('n1', { title: 'x' });
const Notes = () => createElement('p', null, useSync(client).unsent, useCollection(client, 'note').map(({ title }) => title),
  createElement(SyncIndicator, { client }));
console.log(JSON.stringify([client.collection('note').getSnapshot(), renderToString(createElement(Notes)), Object.keys(worker).sort(),
  await client.history('note', 'n1'), typeof MirusyncIndicator]));
await client.close();
`;

test('packed and installed, it runs and its types hold', { timeout: 120000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'mirusync-pack-'));
  try {
    await run('npm', ['pack', '--silent', '--pack-destination', dir], { cwd: CLIENT });
    const [packed] = await readdir(dir);
    const modules = join(dir, 'node_modules');
    await mkdir(join(modules, 'mirusync'), { recursive: true });
    await run('tar', ['-xzf', join(dir, packed), '--strip-components=1', '-C', join(modules, 'mirusync')]);
    assert.deepEqual((await readdir(join(modules, 'mirusync'))).sort(), ['README.md', 'package.json', 'src', 'types']);
    await mkdir(join(modules, '@types'));
    for (const name of ['idb', 'react', 'react-dom', 'csstype', '@types/react'])
      await symlink(join(CLIENT, 'node_modules', name), join(modules, name));
    await writeFile(join(dir, 'package.json'), '{"type": "module"}');
    await writeFile(join(dir, 'user.ts'), USER);
    await writeFile(join(dir, 'program.mjs'), PROGRAM);
    const { stdout } = await run(process.execPath, ['program.mjs'], { cwd: dir });
    assert.deepEqual(JSON.parse(stdout), [[{ id: 'n1', title: 'x' }], '<p>1<!-- -->x<mirusync-indicator></mirusync-indicator></p>', ['flush', 'request', 'serve'],
      ['http://relay/sync/history?collection=note&id=n1'], 'function']);
    await run(join(CLIENT, 'node_modules/.bin/tsc'), ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext',
      '--moduleResolution', 'nodenext', '--lib', 'es2022,dom', '--types', 'react', 'user.ts'], { cwd: dir })
      .catch((error) => assert.fail(error.stdout));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
