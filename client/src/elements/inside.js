/*
 * inside.js
 *     What the components need of a client and applications do not: to try
 *     again at once, and, for the debug panel, to see every message, cut the
 *     connection, take the lead, and wipe what is stored.
 *
 * It reaches into the client, so that the core, which every page loads, does
 * not have to carry it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** @typedef {import('../client.js').Client} Client */
/** @typedef {(...what: any[]) => void} Log */

/**
 * retry connects now, however long the wait was to be: a person wants it,
 * where the browser's own signs of life are only heeded once a second.
 * @param {Client} client
 */
export function retry(client) {
  if (client.closed)
    return;
  client.connect();
  if (client.leader)
    client.leader.connection.happen('wake');
  else
    client.role.call('awake').catch(() => {});
}

/** Who listens to a client's log. @type {WeakMap<Client, Set<Log>>} */
const taps = new WeakMap();

/**
 * tap hears what the client logs in this tab: its steps and every message, by
 * socket and by HTTP.  Gives a function that ends it.
 * @param {Client} client
 * @param {Log} listener
 */
export function tap(client, listener) {
  let listeners = taps.get(client);
  if (!listeners)
    taps.set(client, listeners = divert(client));
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** divert has all that a client logs heard, whichever leader it has. @param {Client} client @returns {Set<Log>} */
function divert(client) {
  /** @type {Set<Log>} */
  const listeners = new Set();
  /** @type {Log} */
  const log = (...what) => {
    client.world.log(...what);
    for (const listener of [...listeners])
      listener(...what);
  };
  /** @type {import('../leader.js').Leader | undefined} */
  let leader;
  const attach = () => {
    if (!client.leader || client.leader === leader)
      return;
    leader = client.leader;
    leader.connection.log = log;
    const { http } = leader;
    let heard = false;
    leader.http = leader.connection.http = async () => {
      const way = await http();
      if (!heard)
        overhear(way, log);
      heard = true;
      return way;
    };
  };
  /* A tab that comes to lead tells its status before it connects. */
  client.on('status', attach);
  attach();
  return listeners;
}

/** overhear has the way over HTTP log what it asks. @param {any} way @param {Log} log */
function overhear(way, log) {
  const ask = way.ask.bind(way);
  way.ask = async (/** @type {string} */ path, /** @type {object | undefined} */ body) => {
    log('http', body ? 'POST' : 'GET', path, ...(body ? [body] : []));
    try {
      const answer = await ask(path, body);
      log('http', 'answer', path.split('?')[0], answer);
      return answer;
    } catch (error) {
      log('http', 'failed', path.split('?')[0], `${error}`);
      throw error;
    }
  };
}

/** cut drops the connection as if it had been lost; false where another tab has it. @param {Client} client */
export function cut(client) {
  if (!client.leader)
    return false;
  client.leader.connection.lose('cut');
  return true;
}

/** takeLead makes this tab the one with the connection. @param {Client} client */
export function takeLead(client) {
  client.tabs?.steal();
}

/**
 * wipe forgets all that is stored here, the unsent changes too.  The device
 * comes back under a new id, and gets everything anew when it connects.
 * @param {Client} client
 */
export async function wipe(client) {
  await client.ready;
  if (!client.leader)
    return false;
  const { device, connection } = client.leader;
  const again = client.wanted;
  connection.disconnect('wiped');
  device.wipe();
  await device.saver.done();
  client.leader.report();
  if (again)
    client.connect();
  return true;
}
