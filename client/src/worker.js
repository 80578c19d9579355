/*
 * worker.js
 *     Background Sync: a service worker that sends what is unsent when the
 *     network is back, though no page is open.
 *
 * The worker is one more tab.  If a page leads, it asks that page; else it leads
 * for a moment, with the page's own outbox, over HTTP.  So a change cannot
 * leave by two roads under one number with two contents.  Where there is no
 * Background Sync, what is unsent waits for the next start of the application.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { Client } from './client.js';
import { SyncError } from './fault.js';
import { Http } from './http.js';

const TAG = 'mirusync';

/* The browser gives a worker not much longer. */
const PATIENCE_MS = 60000;

/**
 * flush sends what is unsent; rejects if that could not be done now.
 * @param {import('./client.js').Options} options  those of the page
 */
export async function flush(options) {
  const client = new Client({ ...options, loadHttp: async () => ({ Http }) });
  /** @type {any} */
  let timer;
  try {
    await Promise.race([client.syncNow(), new Promise((_, reject) => {
      timer = setTimeout(() => reject(new SyncError('unreachable', 'it took too long')), PATIENCE_MS);
    })]);
  } finally {
    clearTimeout(timer);
    await client.close();
  }
}

/**
 * serve is for the service worker: it flushes when the browser says so.
 * @example serve({ token: () => fetch('/token').then((r) => r.text()) });
 * @param {import('./client.js').Options} options
 */
export function serve(options) {
  globalThis.addEventListener('sync', (/** @type {any} */ event) => {
    if (event.tag === TAG)
      event.waitUntil(flush(options));
  });
}

/**
 * request is for the page: while something is unsent and there is no
 * connection, the browser is asked to wake the worker.  Gives a function that
 * ends it.
 * @param {Client} client
 * @param {{ready: Promise<any>}} [workers]
 */
export function request(client, workers = navigator.serviceWorker) {
  let asked = false;
  const look = async () => {
    const { state, unsent } = client.status;
    const needed = unsent > 0 && state !== 'connected';
    if (needed === asked)
      return;
    asked = needed;
    if (needed)
      await (await workers?.ready)?.sync?.register(TAG).catch(() => {});
  };
  look();
  return client.on('status', look);
}
