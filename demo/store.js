/*
 * store.js
 *     This device's client of mirusync, and what the views ask of it.
 *
 * Everything that is kept is kept by the client; here is only what it does not
 * know: what records have unsent changes, what devices are called, and what
 * conflicts are open.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { createClient } from 'mirusync';

const json = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok)
    throw new Error(`${path}: ${answer.status}`);
  return answer.json();
};

/* Each run of the demo has a database of its own; replicas of former ones are of no use. */
async function forgetFormer(run) {
  for (const key of Object.keys(localStorage))
    if (key.includes(':demo-') && !key.includes(`:demo-${run}-`))
      localStorage.removeItem(key);
  for (const { name } of await indexedDB.databases?.() ?? [])
    if (name.startsWith('mirusync:demo-') && !name.startsWith(`mirusync:demo-${run}-`))
      indexedDB.deleteDatabase(name);
}

/* How often to ask for conflicts: one that another device makes need not change a record here. */
const CONFLICTS_MS = 4000;

export const keyOf = (collection, id) => `${collection}/${id}`;

export class Store {
  /* open makes the client of the device with that name. */
  static async open(name) {
    const { user, run } = await json('/demo/config');
    await forgetFormer(run).catch(() => {});
    const client = createClient({
      name: `demo-${run}-${name.toLowerCase()}`,
      user,
      application: 'practice-log 1.0',
      token: async () => (await json('/demo/token')).token,
    });
    await client.ready;
    return new Store(client, name);
  }

  constructor(client, name) {
    this.client = client;
    this.name = name;
    this.entries = client.collection('entry');
    this.pieces = client.collection('piece');
    this.plans = client.collection('plan');
    this.occurrences = client.collection('occurrence');
    this.devices = client.collection('device');
    this.unsent = new Set();
    this.conflicts = [];
    this.listeners = new Set();
    for (const collection of [this.entries, this.pieces, this.plans, this.occurrences, this.devices])
      collection.subscribe(() => this.changed());
    client.on('status', () => {
      this.nameDevice();
      this.refreshUnsent();
      if (client.status.caughtUp)
        this.refreshConflicts();
    });
    client.on('verdict', ({ verdict }) => verdict.conflicts?.length && this.refreshConflicts());
    client.on('*', () => this.refreshConflicts());
    setInterval(() => document.visibilityState === 'visible' && this.refreshConflicts(), CONFLICTS_MS);
    this.refreshUnsent();
  }

  /* subscribe: listener is called once for all changes of a moment. */
  subscribe(listener) {
    this.listeners.add(listener);
  }

  changed() {
    if (this.pending)
      return;
    this.pending = true;
    queueMicrotask(() => {
      this.pending = false;
      for (const listener of this.listeners)
        listener();
    });
  }

  collection(name) {
    return this.client.collection(name);
  }

  titleOf(pieceId) {
    return this.pieces.get(pieceId)?.title ?? 'a removed piece';
  }

  /* nameDevice has other devices know what this one is called. */
  nameDevice() {
    const { caughtUp, device } = this.client.status;
    if (caughtUp && this.devices.get(device)?.name !== this.name)
      this.devices.put(device, { name: this.name });
  }

  deviceName(id) {
    return this.devices.get(id)?.name ?? (id === this.client.status.device ? this.name : 'Another device');
  }

  async refreshUnsent() {
    const { changes } = await this.client.exportOutbox();
    const unsent = new Set(changes.map(({ collection, id }) => keyOf(collection, id)));
    if ([...unsent].sort().join() === [...this.unsent].sort().join())
      return;
    this.unsent = unsent;
    this.changed();
  }

  /* refreshConflicts asks a little later, once for all that happens meanwhile. */
  refreshConflicts() {
    this.asking ??= setTimeout(async () => {
      this.asking = undefined;
      if (!this.client.status.caughtUp)
        return;
      const conflicts = await this.client.conflicts().catch(() => null);
      if (!conflicts)
        return;
      const open = conflicts.filter(({ outcome }) => outcome === 'open');
      const same = String(open.map(({ id }) => id)) === String(this.conflicts.map(({ id }) => id));
      this.conflicts = open;
      if (!same)
        this.changed();
    }, 120);
  }

  conflictsOf(collection, id) {
    return this.conflicts.filter((conflict) => conflict.collection === collection && conflict.record === id);
  }
}
