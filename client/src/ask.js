/*
 * ask.js
 *     What a user asks the relay about his records: what happened to one, which
 *     conflicts there are, and how one is to be decided.
 *
 * Over HTTP, from the tab that asks; nothing of it is stored.  Loaded when it
 * is used for the first time.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { SyncError } from './fault.js';
import { Http } from './http.js';

/** @typedef {import('./client.js').Client} Client */
/** @typedef {import('./types.js').HistoryChange} HistoryChange */
/** @typedef {import('./types.js').Conflict} Conflict */
/** @typedef {import('./types.js').Page} Page */
/** @typedef {import('./types.js').Decision} Decision */

/* Of these requests nothing is counted as synced. */
const UNCOUNTED = /** @type {any} */ ({ sent() {}, received() {} });

/** check: an id that is none would be asked for as a text all the same. @param {unknown[]} names */
function check(...names) {
  for (const name of names)
    if (typeof name !== 'string' || name === '')
      throw new SyncError('wrong_use', 'collection and id must be texts that are not empty');
}

/**
 * ask makes a request, with a fresh token if the one at hand is no good.
 * @param {Client} client
 * @param {string} path
 * @param {object} [body]
 */
async function ask(client, path, body) {
  if (client.closed)
    throw new SyncError('closed', 'the client is closed');
  const { credentials } = client.world;
  const http = new Http({ .../** @type {any} */ (client.world), statistics: UNCOUNTED });
  if (!credentials.token && !await credentials.fresh())
    throw new SyncError('unauthorized', 'there is no token');
  const former = credentials.token;
  try {
    return await http.ask(path, body);
  } catch (error) {
    if (/** @type {SyncError} */ (error).code !== 'unauthorized' || !await credentials.fresh() || credentials.token === former)
      throw error;
    return http.ask(path, body);
  }
}

/** queryOf leaves out what is not there. @param {object} all */
function queryOf(all) {
  return new URLSearchParams(Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]));
}

/**
 * @param {Client} client
 * @param {string} collection
 * @param {string} id
 * @param {Page} [page]
 * @returns {Promise<HistoryChange[]>}
 */
export async function history(client, collection, id, { limit, before } = {}) {
  check(collection, id);
  return (await ask(client, `history?${queryOf({ collection, id, limit, before })}`)).changes;
}

/**
 * @param {Client} client
 * @param {{collection?: string, id?: string} & Page} [of]
 * @returns {Promise<Conflict[]>}
 */
export async function conflicts(client, { collection, id, limit, before } = {}) {
  if (collection !== undefined || id !== undefined)
    check(collection, id ?? 'any');
  return (await ask(client, `conflicts?${queryOf({ collection, id, limit, before })}`)).conflicts;
}

/**
 * @param {Client} client
 * @param {number} conflict
 * @param {Decision} decision
 * @returns {Promise<{epoch: number, seq: number}>}
 */
export async function resolve(client, conflict, decision) {
  const { choose, value } = /** @type {{choose?: string, value?: unknown}} */ (decision ?? {});
  if ((choose === undefined) === (value === undefined))
    throw new SyncError('wrong_use', 'one of choose and value must be given');
  return ask(client, 'resolve', { conflict, ...(choose === undefined ? { value } : { choose }) });
}
