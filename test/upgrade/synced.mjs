/*
 * synced.mjs
 *     What must be so of a database with content.sql in it, wherever it came
 *     from: devices get what they got, replays too, and numbers go on.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';

/* What the devices have pushed in content.sql, and would push again. */
const again = (device, number, change) => `SELECT mirusync.push('anna', '${device}',
  '{"changes": [{"number": ${number}, ${change}}]}') #> '{verdicts,0}'`;

const REPLAYS = [
  ['phone', 3, '"kind": "put", "collection": "page", "id": "2", "fields": {}'],
  ['tablet', 1, '"kind": "patch", "collection": "setting", "id": "font", "fields": {"size": 99}'],
  ['tablet', 3, '"kind": "put", "collection": "note", "id": "00000000-0000-0000-0000-000000000201", "fields": {}'],
  ['tablet', 4, '"kind": "delete", "collection": "note", "id": "00000000-0000-0000-0000-000000000115"'],
];

const WRITES = [
  ['anna', `SELECT mirusync.put('anna', 'setting', 'theme', '{"after": 1}')`],
  ['anna', `SELECT mirusync.push('anna', 'phone', '{"changes": [{"number": 100, "kind": "patch",
    "collection": "note", "id": "00000000-0000-0000-0000-000000000110", "fields": {"title": "after"}}]}')`],
  ['ben', `UPDATE app.note SET stars = 1 WHERE owner = 'ben'`],
  ['7', `INSERT INTO app.tag VALUES (7, 'after', 'x', 1)`],
  ['8', `INSERT INTO app.tag VALUES (8, 'x', 'y', 1)`],
  ['carla', `DELETE FROM mirusync.document WHERE feed = 'carla'`],
  ['dora', `INSERT INTO app.note (owner, id) VALUES ('dora', '00000000-0000-0000-0000-000000000301')`],
];

/* checkSynced writes into the database, so it comes last. */
export async function checkSynced(d, database) {
  /* What was pulled when the content was made, page for page. */
  const differing = await d.query(database, `SELECT p.feed, k, p.page -> k, now.page -> k
    FROM app.pulled p, LATERAL mirusync.pull(p.feed, p.feed) AS now(page),
      unnest('{feed,after,upto,head,complete,changes}'::text[]) k
    WHERE p.page -> k IS DISTINCT FROM now.page -> k`);
  assert.equal(differing, '', 'devices get what they got before');

  for (const [device, number, change] of REPLAYS) {
    const expected = await d.query(database, `SELECT verdict FROM app.verdicts
      WHERE user_id = 'anna' AND device = '${device}' AND number = ${number}`);
    const verdict = JSON.parse(await d.query(database, again(device, number, change)));
    assert.deepEqual(verdict, { ...JSON.parse(expected), replay: true }, 'a replay has the old verdict');
  }
  const digested = JSON.parse(await d.query(database, again('phone', 2, '"kind": "delete", "collection": "setting", "id": "font"')));
  assert.equal(digested.code, 'MS004', 'what was digested is not applied again');

  for (const [feed, sql] of WRITES) {
    const before = (await d.heads(database))[feed] ?? 0;
    await d.query(database, sql);
    assert.equal((await d.heads(database))[feed], before + 1, `${feed}: head + 1 after ${sql}`);
  }
  /* No number twice, none missing, and state and history agree. */
  assert.equal(await d.query(database, `SELECT feed FROM mirusync.change_log GROUP BY feed
    HAVING count(*) <> max(seq) OR min(seq) <> 1`), '');
  assert.equal(await d.query(database, `SELECT r.feed, r.seq FROM mirusync.record r
    LEFT JOIN mirusync.change_log c ON c.feed = r.feed AND c.seq = r.seq AND c.id = r.id
    WHERE c.seq IS NULL`), '');
  /* The renamed column kept its field number, in the new database too. */
  assert.equal(await d.query(database, `SELECT f.number, a.attname FROM mirusync.field f
    JOIN pg_attribute a ON a.attrelid = f.relation AND a.attnum = f.attnum
    WHERE f.relation = 'app.note'::regclass AND f.name = 'title'`), '2|title');
}
