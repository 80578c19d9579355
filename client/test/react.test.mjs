/*
 * react.test.mjs
 *     The hooks, under a React that is real but draws nothing: its own server
 *     renderer for the first look, and useSyncExternalStore's contract for the
 *     rest.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { createClient } from '../src/index.js';
import { ConflictPanel, DebugPanel, SyncIndicator, useCollection, useRecord, useSync } from '../src/react.js';

test('components show collections, records and the status', async () => {
  const client = createClient({ url: 'http://relay', token: 'token', storage: 'memory', WebSocket: class {} });
  await client.ready;
  const notes = client.collection('note');
  notes.put('a', { title: 'Milk', done: false });
  notes.put('b', { title: 'Bread', done: true });
  const App = () => {
    const open = useCollection(client, 'note', { where: { done: false }, order: 'title' });
    const all = useCollection(client, 'note');
    const one = useRecord(client, 'note', 'b');
    const { state, unsent } = useSync(client);
    return createElement('p', null, [open.map((n) => n.title).join(), all.length, one?.title, state, unsent].join(' '));
  };
  assert.equal(renderToString(createElement(App)), '<p>Milk 2 Bread disconnected 2</p>');
  notes.put('c', { title: 'Apple', done: false });
  assert.equal(renderToString(createElement(App)), '<p>Apple,Milk 3 Bread disconnected 3</p>');
  await client.close();
});

test('on a server the components are their elements, with attributes only', () => {
  const client = { secret: 'not to be written' };
  const draw = (type, props) => renderToString(createElement(type, { client, ...props }));
  assert.equal(draw(SyncIndicator, { form: 'detailed', className: 'x', hidden: false }), '<mirusync-indicator form="detailed" class="x"></mirusync-indicator>');
  assert.equal(draw(ConflictPanel, { collection: 'note', record: 'n1', openOnly: true, label: () => 'x', onResolved: () => {} }),
    '<mirusync-conflicts collection="note" record="n1" open-only=""></mirusync-conflicts>');
  assert.equal(draw(DebugPanel, {}), '<mirusync-debug></mirusync-debug>');
});
