/*
 * fuzz_push.test.mjs
 *     What parses and merges messages in the extension, fuzzed in a server: it
 *     works on jsonb, rows and catalogs, of which no stub would be true.
 *
 * Good messages of all dialects are changed at random, as JSON and as text, and
 * pushed together.  Whatever they are, each is answered, nothing is an internal
 * error, the server lives, and what was stored is whole.  With a server that
 * checks assertions (tools/valgrind.sh says how) this finds more.
 *
 * MIRUSYNC_SEED repeats a run, MIRUSYNC_FUZZ_MESSAGES makes it longer.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { created, deleted, entry, pieceAdded, planCreated, planUpdated, plan, piece, occurrence, useStack } from './harness.mjs';
import { chance } from './replica.mjs';

const SEED = Number(process.env.MIRUSYNC_SEED || Date.now() % 1000000);
const MESSAGES = Number(process.env.MIRUSYNC_FUZZ_MESSAGES || 800);
const USERS = ['fuzz-1', 'fuzz-2'];
const below = chance(SEED);
const one = (list) => list[below(list.length)];

const s = useStack({ relays: 0 });

const change = (more = {}) => ({
  number: 1 + below(200), kind: one(['put', 'patch', 'delete']), collection: one(['note', 'tally', 'logbook_entry']),
  id: one(['n1', 'n2', '7', 'é']), fields: { a: below(9), b: 'x', tags: ['p', 'q'] },
  base: below(50), clock: '2026-11-23T06:00:00.123Z/0005', ...more,
});
const batch = () => ({ digested: below(5), epoch: 0, changes: Array.from({ length: 1 + below(4) }, () => change()) });
const good = {
  batch: () => one([batch, () => ({ ...batch(), atomic: true }), () => ({ ...batch(), discard: [below(100)] }),
    () => ({ changes: [change({ kind: 'patch', collection: 'tally', fields: undefined, add: { n: below(9), tags: ['z'] }, remove: { tags: ['p'] } })] }),
    () => ({ changes: [], report: { cursor: { epoch: 0, seq: 3 }, pending: 2, application: 'x 1' } })])(),
  native: () => one([() => ({ type: 'push', ref: below(99), ...batch() }), () => ({ type: 'hello', protocol: 1, device: 'd', digested: 3 }),
    () => ({ type: 'status' })])(),
  event: () => {
    const e = entry({ id: one(['e1', 'e2', 'e3']) });
    const p = plan({ id: one(['p1', 'p2']) });
    return one([() => created(e), () => ({ ...created(e), type: 'ENTRY_UPDATED' }), () => deleted(e.id), () => pieceAdded(piece({ scoreId: 's1' })),
      () => planCreated(p, [occurrence(p.id)]), () => planUpdated(p, [occurrence(p.id, { id: 'o1' })]),
      () => ({ type: 'PIECE_REMOVED', timestamp: e.updatedAt, scoreId: 's1' })])();
  },
};

const STRANGE = [
  null, true, false, 0, -1, 1.5, 1e300, -1e-300, 2 ** 53, -(2 ** 53), 9223372036854775807n, '', ' ', '\u0001', '"', '\\', '😀', 'é'.repeat(300),
  'x'.repeat(3000), '2026-13-45T99:00:00Z', '-infinity', 'NaN', '1e5', '{}', "'; DROP TABLE note; --", [], {}, [[[[[[]]]]]], [null], { '': 1 },
  { id: 1 }, ['a', 'a'], { add: { n: 1 } }, 'note', 'mirusync.document', 'n'.repeat(1025), 'pg_catalog',
];

/* mutate changes a part of a value, somewhere inside. */
function mutate(value, depth = 0) {
  if (value === null || typeof value !== 'object' || (depth > 0 && below(3) === 0))
    return one(STRANGE);
  const keys = Object.keys(value);
  if (!keys.length)
    return one(STRANGE);
  const copy = Array.isArray(value) ? [...value] : { ...value };
  const key = one(keys);
  switch (below(6)) {
    case 0:
      if (Array.isArray(copy))
        copy.splice(Number(key), 1);
      else
        delete copy[key];
      break;
    case 1:
      if (Array.isArray(copy))
        copy.push(copy[key], one(STRANGE));
      else
        copy[String(one(STRANGE)).slice(0, 100)] = copy[key];
      break;
    default:
      copy[key] = mutate(copy[key], depth + 1);
  }
  return copy;
}

const text = (value) => JSON.stringify(value, (key, v) => typeof v === 'bigint' ? Number(v) : v) ?? 'null';

/* spoil changes a text without regard to what it says. */
function spoil(json) {
  const at = below(json.length + 1);
  switch (below(5)) {
    case 0: return json.slice(0, at);
    case 1: return json.slice(0, at) + one(['"', '{', '}', ',', ':', '[', '\\u0000', '\\ud800', '1e999999', 'é', '\t', '-']) + json.slice(at);
    case 2: return json.slice(0, at) + json.slice(at + 1 + below(5));
    case 3: return `${json}${json.slice(at)}`;
    default: return json.replace('{', `{"${one(['type', 'changes', 'number', 'id', 'fields', 'clock'])}":${text(one(STRANGE))},`);
  }
}

function message(dialect) {
  let value = good[dialect]();
  for (let n = below(4); n > 0; n--)
    value = mutate(value);
  const json = text(value);
  return below(5) === 0 ? spoil(json) : json;
}

s.test(`messages of any kind are answered, and harm nothing (seed ${SEED})`, async (t) => {
  await s.query("SELECT mirusync.create_collection('note', 'lww_field')");
  await s.query('CREATE TABLE tally (owner text, id text, n int, a numeric, b text, tags text[], at timestamptz, PRIMARY KEY (owner, id))');
  await s.query(`SELECT mirusync.attach('tally', feed => 'owner'), mirusync.set_rule('tally', 'n', 'counter'), mirusync.set_rule('tally', 'tags', 'set'),
    mirusync.set_rule('tally', 'b', 'manual'), mirusync.set_rule('note', 'a', 'max')`);
  const client = await s.client();
  const seen = {};
  try {
    for (let sent = 0; sent < MESSAGES;) {
      const rows = Array.from({ length: 1 + below(8) }, () => {
        const dialect = one(['event', 'batch', 'native']);
        const device = one(['phone', 'tablet']);
        return [one(USERS), device, `session-${device}`, dialect, message(dialect)];
      });
      sent += rows.length;
      const arrays = [0, 1, 2, 3, 4].map((i) => rows.map((row) => row[i]));
      const about = () => `seed ${SEED}: ${JSON.stringify(rows.map((r) => [r[3], r[4]]))}`.slice(0, 9000);
      const { rows: answers } = await client.query("SELECT * FROM mirusync.push_many($1, $2, $3, $4, $5, '{event,native}')", arrays)
        .catch((error) => assert.fail(`${error.code} ${error.message}; ${about()}`));
      const verdicts = answers.filter((a) => a.kind === 'verdict');
      assert.deepEqual(verdicts.map((v) => v.message).sort((x, y) => x - y), rows.map((_, i) => i + 1), about());
      for (const { status, code, body } of verdicts) {
        assert.ok(['applied', 'merged', 'stale', 'rejected', 'retry'].includes(status), about());
        assert.doesNotMatch(`${code}`, /^(XX|58|08)/, `${code} ${body}; ${about()}`);
        seen[code ?? status] = (seen[code ?? status] ?? 0) + 1;
      }
      for (const { native } of answers)
        if (native)
          JSON.parse(native);
    }
    for (const user of USERS) {
      const head = await s.head(user);
      assert.deepEqual((await s.query('SELECT seq::int FROM mirusync.change_log WHERE feed = $1 ORDER BY seq', [user])).map((l) => l.seq),
        Array.from({ length: head }, (_, i) => i + 1), 'the log has no hole');
      const [{ page }] = await s.query('SELECT mirusync.pull($1, $1, 0, 1000) AS page', [user]);
      assert.equal(page.upto, head);
    }
    t.diagnostic(JSON.stringify(seen));
    assert.ok((seen.applied ?? 0) > MESSAGES / 20, 'enough of it is good');
  } finally {
    await client.end();
  }
}, { timeout: 3600000 });
