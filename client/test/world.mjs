/*
 * world.mjs
 *     What the modules' tests hand in for the world: a clock that is turned by
 *     hand, chance by seed, sockets and storages that do as they are told.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import 'fake-indexeddb/auto';

/* Time runs only by advance(), which runs what is due on the way, in order. */
export class FakeTime {
  constructor(start = Date.parse('2026-01-01T00:00:00Z')) {
    this.at = start;
    this.timers = new Map();
    this.last = 0;
    this.now = () => this.at;
    this.setTimeout = (run, ms) => {
      this.timers.set(++this.last, { run, due: this.at + ms });
      return this.last;
    };
    this.clearTimeout = (timer) => this.timers.delete(timer);
  }

  async advance(ms) {
    const end = this.at + ms;
    for (;;) {
      await settle();
      const [next] = [...this.timers].filter(([, t]) => t.due <= end).sort(([, a], [, b]) => a.due - b.due);
      if (!next)
        break;
      this.at = Math.max(this.at, next[1].due);
      this.timers.delete(next[0]);
      next[1].run();
    }
    this.at = end;
  }
}

/* settle lets promises go as far as they can. */
export async function settle() {
  for (let i = 0; i < 20; i++)
    await Promise.resolve();
}

/* seeded gives numbers from 0 to 1 that a seed repeats (mulberry32). */
export function seeded(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/* A storage in memory that outlives its user, and may be told to fail. */
export function fakeStorage() {
  const records = new Map();
  const outbox = new Map();
  const self = {
    lasting: true,
    meta: {},
    writes: 0,
    failing: null,
    records,
    outbox,
    open: async () => structuredClone({ records: [...records.values()], outbox: [...outbox.values()], meta: self.meta }),
    write: async (batch) => {
      if (self.failing)
        throw self.failing;
      self.writes++;
      if (batch.clear) {
        records.clear();
        outbox.clear();
      }
      for (const [key, record] of batch.records)
        record.base ? records.set(key, structuredClone(record)) : records.delete(key);
      for (const [number, change] of batch.outbox)
        change ? outbox.set(number, structuredClone(change)) : outbox.delete(number);
      self.meta = structuredClone(batch.meta);
    },
    close: async () => {},
  };
  return self;
}
