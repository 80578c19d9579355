/*
 * world.mjs
 *     The collections of the soak: every merge rule and every delete rule, in a
 *     table and in documents, and the events of the practice log.
 *
 * Records "a" to "c" are everybody's, and may come and go.  "tally" is never
 * deleted, and what may not be lost is counted in it.  "own-NAME" is written by
 * NAME alone, so its last values are known.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
export const TABLE = 'soak_item';
export const COLLECTIONS = [TABLE, 'soak_whole', 'soak_field', 'soak_first'];
export const SHARED = ['a', 'b', 'c'];
export const TALLY = 'tally';
export const FIRST = { n: 0, best: 50, worst: 50, tags: [] };

const RULES = {
  claim: 'first_wins', price: 'server_wins', best: 'max', worst: 'min', n: 'counter',
  decided: 'manual', tags: 'set', joined: 'soak_rules.join_texts',
};
export const TEXTS = ['title', 'note', 'claim', 'decided', 'joined'];
export const NUMBERS = ['price', 'best', 'worst'];
const DELETE_RULES = { [TABLE]: 'update_wins', soak_whole: 'delete_wins', soak_field: 'manual', soak_first: 'update_wins' };

/* prepareWorld makes all of it, and the tallies of these users. */
export async function prepareWorld(s, users) {
  await s.query(`CREATE TABLE ${TABLE} (owner text, id text, title text, note text, claim text,
    price int, best int, worst int, n int, decided text, tags text[], joined text, PRIMARY KEY (owner, id));
    CREATE TABLE done (owner text, number int, collection text, delta int, added text, removed text, own text, PRIMARY KEY (owner, number));
    CREATE SCHEMA soak_rules;
    CREATE FUNCTION soak_rules.join_texts(stored jsonb, incoming jsonb, base jsonb, context jsonb)
    RETURNS jsonb LANGUAGE sql AS $$
      SELECT pg_catalog.to_jsonb(pg_catalog.left(pg_catalog.concat_ws('+', stored #>> '{}', incoming #>> '{}'), 60)) $$`);
  await s.query('SELECT mirusync.attach($1, feed => $2)', [TABLE, 'owner']);
  await s.query(`SELECT mirusync.create_collection('soak_whole', 'lww'), mirusync.create_collection('soak_field', 'lww_field'),
    mirusync.create_collection('soak_first', 'first_wins')`);
  for (const collection of COLLECTIONS) {
    for (const [field, rule] of Object.entries(RULES))
      await s.query('SELECT mirusync.set_rule($1, $2, $3)', [collection, field, rule]);
    await s.query('SELECT mirusync.set_delete_rule($1, $2)', [collection, DELETE_RULES[collection]]);
  }
  for (const user of users)
    for (const collection of COLLECTIONS)
      if (collection === TABLE)
        await s.query(`INSERT INTO ${TABLE} (owner, id, n, best, worst, tags) VALUES ($1, $2, 0, 50, 50, '{}')`, [user, TALLY]);
      else
        await s.query('SELECT mirusync.put($1, $2, $3, $4)', [user, collection, TALLY, FIRST]);
}

/* storedIn returns what the database has of a feed, as a replica has it. */
export async function storedIn(s, user) {
  const rows = await s.query(`SELECT '${TABLE}/' || id AS key, to_jsonb(t) - 'owner' AS record FROM ${TABLE} t WHERE owner = $1
    UNION ALL SELECT collection || '/' || id, data FROM mirusync.document WHERE feed = $1 ORDER BY key`, [user]);
  return Object.fromEntries(rows.map((row) => [row.key, row.record]));
}

/*
 * Book: what a user's devices and writers did that must be there, once all of
 * them have their answers.
 */
export class Book {
  constructor() {
    this.tallies = new Map(COLLECTIONS.map((c) => [c, { ...FIRST, tags: new Set() }]));
    this.own = new Map();
  }

  /* tally notes what a change of a tally says. */
  tally(collection, { add = {}, remove = {}, fields = {} }) {
    const tally = this.tallies.get(collection);
    tally.n += add.n ?? 0;
    tally.best = Math.max(tally.best, fields.best ?? tally.best);
    tally.worst = Math.min(tally.worst, fields.worst ?? tally.worst);
    add.tags?.forEach((tag) => tally.tags.add(tag));
    remove.tags?.forEach((tag) => tally.tags.delete(tag));
  }

  /* wrote notes the fields of a record that only its writer writes; null: it deleted it. */
  wrote(key, fields, { whole = false } = {}) {
    this.own.set(key, fields && { ...(whole ? {} : this.own.get(key)), ...fields });
  }
}
