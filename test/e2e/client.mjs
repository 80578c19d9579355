/*
 * client.mjs
 *     Clients of client/ for end-to-end tests, whose every message is held
 *     against the schemas, and whose connection can be cut.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { createRequire } from 'node:module';
import { createClient, indexedDbStorage } from '../../client/src/index.js';
import { userToken, waitUntil, WebSocket } from './harness.mjs';
import { bodies, check } from './native.mjs';

/* It sets what a browser has: indexedDB, and the classes of what that gives. */
createRequire(new URL('../../client/package.json', import.meta.url))('fake-indexeddb/auto');

/*
 * createClients adds to a stack: prepare() makes the collections, open(user,
 * options) and connected(user, options) make clients with a collection note
 * and a table task at hand; sound() tells if a message was wrong.
 */
export function createClients(s) {
  const self = { all: [], faults: [] };

  const held = (name, message) => {
    try {
      check(name, message);
    } catch (error) {
      self.faults.push(error);
    }
  };

  self.sound = () => {
    if (self.faults.length)
      throw self.faults[0];
  };

  self.prepare = async () => {
    await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
    await s.query(`CREATE TABLE IF NOT EXISTS task (id text PRIMARY KEY, owner text NOT NULL,
      title text NOT NULL CHECK (title <> ''), done boolean NOT NULL DEFAULT false)`);
    await s.query(`SELECT mirusync.attach('task', feed => 'owner')
      WHERE NOT EXISTS (SELECT FROM mirusync.collections WHERE name = 'task')`);
  };

  /* open makes a client; net.down makes its relay unreachable. */
  self.open = async (user, { relay = s.relay, ...options } = {}) => {
    const net = { down: false, sockets: new Set(), requests: 0, sent: [] };

    class CheckedSocket extends WebSocket {
      constructor(url, protocols) {
        super(net.down || net.blocked ? 'ws://127.0.0.1:1/' : url, protocols, { perMessageDeflate: false });
        net.sockets.add(this);
        this.on('close', () => net.sockets.delete(this));
        this.on('message', (data) => held('relay_message', JSON.parse(data)));
      }

      send(text) {
        held('device_message', JSON.parse(text));
        net.sent.push(JSON.parse(text));
        net.beforeSend?.(JSON.parse(text));
        super.send(text);
      }
    }

    const checkedFetch = async (url, request) => {
      net.requests++;
      if (net.down)
        throw new TypeError('no network');
      const path = new URL(url).pathname.split('/').at(-1);
      if (request.body)
        held(`http_${path}`, JSON.parse(request.body));
      const response = await fetch(url, request);
      const body = await response.clone().json();
      held(response.ok ? bodies[path] : 'http_error', body);
      return response;
    };

    const client = createClient({
      url: relay.url,
      token: () => userToken(s.stack.secret, user),
      storage: 'memory',
      WebSocket: CheckedSocket,
      fetch: checkedFetch,
      ...options,
    });
    client.net = net;
    net.cut = () => {
      net.down = true;
      for (const socket of net.sockets)
        socket.terminate();
    };
    net.mend = () => {
      net.down = false;
    };
    client.note = client.collection('note');
    client.task = client.collection('task');
    client.rejected = [];
    client.on('rejected', (event) => client.rejected.push(event));
    self.all.push(client);
    await client.ready;
    return client;
  };

  self.connected = async (user, options) => {
    const client = await self.open(user, options);
    client.connect();
    await waitUntil(() => client.status.caughtUp, { what: 'the client to catch up' });
    return client;
  };

  self.closeAll = async () => {
    await Promise.all(self.all.splice(0).map((client) => client.close()));
  };

  return self;
}

/*
 * lastingStorage is a database that outlives its clients, as a browser's does:
 * each call of the function opens it again, the way the next page load does.
 */
export function lastingStorage() {
  const factory = new IDBFactory();
  return () => {
    globalThis.indexedDB = factory;
    return indexedDbStorage('test');
  };
}
