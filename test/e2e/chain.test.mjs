/*
 * chain.test.mjs
 *     The chain of a feed as others check it: docs/verify_chain.py, which knows
 *     nothing of the extension, reads an exported history and agrees with
 *     verify(), about histories that are as they were and such that are not.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { useStack } from './harness.mjs';
import { ROOT } from '../../tools/stack.mjs';

const s = useStack({ relays: 0 });
const CHECKER = join(ROOT, 'docs/verify_chain.py');

/* check has the checker read lines; returns what it prints, as [problem, seq]. */
function check(lines, ...noted) {
  const { stdout, stderr, status } = spawnSync('python3', [CHECKER, ...noted],
    { input: lines.map((line) => `${line}\n`).join(''), encoding: 'utf8', maxBuffer: 1 << 26 });

  assert.equal(stderr, '');
  assert.equal(status, stdout === '' ? 0 : 1);
  return stdout.split('\n').filter(Boolean).map((line) => line.split(' '));
}

const sql = (text) => s.stack.psql(text);
const exported = async () => (await sql(`SELECT mirusync.export_chain('wanda')`)).split('\n');
const head = async () => (await sql(`SELECT seq, hash FROM mirusync.chain_head('wanda')`)).split('|');

/* Of what verify() finds that which is about the chain itself. */
const verified = async (before = '') => (await sql(`BEGIN; ${before};
  SELECT problem, seq FROM mirusync.verify('wanda') WHERE problem IN ('change', 'missing', 'head'); ROLLBACK`))
  .split('\n').filter(Boolean).map((line) => line.split('|'));

const VALUES = `
  CREATE TYPE mood AS ENUM ('fine', 'so "so"');
  CREATE TABLE anything (
    owner text NOT NULL, id text PRIMARY KEY, n numeric, f8 float8, f4 float4, i8 int8, b boolean, t text,
    d date, ts timestamp, tz timestamptz, tm timetz, i interval, u uuid, raw bytea, m mood, a int[], texts text[], j json, jb jsonb, r int4range);
  SELECT mirusync.attach('anything', feed => 'owner');
  SELECT mirusync.create_collection('memo');`;
const ROWS = `BEGIN;
  SET TimeZone = 'Pacific/Chatham'; SET DateStyle = 'SQL, DMY'; SET extra_float_digits = -10; SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape';
  INSERT INTO anything VALUES
    ('wanda', 'it''s "a" \\ id' || chr(9) || chr(1) || chr(127), 1e400, 1e-300, 1.1, -9223372036854775808, true, E'\\b\\f\\n\\r\\t\\x0b\\x1f/\\\\"',
      '2026-02-28', '2026-02-28 23:59:59.999999', '2026-02-28 23:59:59.999999-11', '01:02:03+05:30', '1 mon -2 days 03:04:05.6', gen_random_uuid(), '\\x00ff', 'so "so"',
      '{{1,2},{3,4}}', ARRAY['a,b', NULL, '"'], '{"b": 1.0, "a": [1.00, {"b": null}], "a": 2}', '{"zz": 1, "a": {"bb": [], "B": {}, "": ""}, "aa": -0.0}', '[1,5)'),
    ('wanda', repeat('x', 1000), -0.000, 'NaN', '-Infinity', 0, false, repeat(E'\\x02"', 20000), 'infinity', '-infinity', '4713-01-01 BC', '24:00:00-15:59', '-178000000 years', NULL, '', 'fine',
      '{}', '{}', '[[[[1]]]]', '[1e131071, 0.00000000000000000001, true, null]', 'empty');
  COMMIT; UPDATE anything SET n = 'NaN', f8 = 0.1 + 0.2, t = t || 'y';`;

s.test('the independent checker agrees', async () => {
  await sql(`${VALUES} SELECT mirusync.set_chain(true)`);
  await sql(ROWS);
  await sql(`SELECT mirusync.put('wanda', 'memo', U&'\\+01F600', '{"\\ud83d\\ude00": "\\u2028\\uffff", "\\ufb01": 1, "é": {"z": 2, "ä": "ü"}}')`);
  await sql(`SELECT count(mirusync.push('wanda', 'phone', '{"changes": [
    {"number": 1, "kind": "put", "collection": "memo", "id": "p", "fields": {"n": 1.50, "t": "x"}, "clock": "2026-01-01T00:00:00Z"},
    {"number": 2, "kind": "patch", "collection": "memo", "id": "p", "fields": {"n": 2}, "base": 0, "clock": "2100-01-01T00:00:00Z"}]}'))`);
  await sql(`SELECT mirusync.put('wanda', 'memo', 'q', '{}')`);
  await sql(`SELECT mirusync.delete('wanda', 'memo', 'p')`);

  const noted = await head();
  const intact = async (...args) => {
    assert.deepEqual(check(await exported(), ...args), []);
    assert.deepEqual(await verified(), []);
  };

  await intact(...noted);
  await sql(`CALL mirusync.erase('wanda', 'memo', 'p')`);
  await intact(...noted);
  await sql(`SELECT mirusync.set_retention('memo', history_count => 1)`);
  await sql('CALL mirusync.trim()');
  assert.equal(await sql('SELECT count(*) > 1 FROM mirusync.chain_trimmed'), 't');
  await intact(...noted);

  /* The same done to the database and to a copy. */
  const lines = await exported();
  const at = (seq) => lines.findIndex((line) => new RegExp(`"seq" : ${seq}[, ]`).test(line) && !line.includes('anchor'));
  const change = (seq, edit) => lines.map((line, i) => (i === at(seq) ? edit(line) : line));
  const without = (...seqs) => lines.filter((line, i) => !seqs.some((seq) => i === at(seq)));
  const update = (set, seq) => `UPDATE mirusync.change_log SET ${set} WHERE seq = ${seq}`;
  const last = Number(noted[0]);

  for (const [tampered, before] of [
    [change(3, (line) => line.replace('"kind" : "patch"', '"kind" : "put"')), update(`kind = 'put'`, 3)],
    [change(1, (line) => line.replace(/"at" : \d+/, (t) => `${t.slice(0, -1)}${(Number(t.at(-1)) + 1) % 10}`)),
      update(`at = at + CASE WHEN extract(microseconds FROM at)::bigint % 10 = 9 THEN interval '-9 us' ELSE interval '1 us' END`, 1)],
    [change(1, (line) => line.replace('"salt" : "', '"salt" : "00')), update(`salt = '\\x00' || salt`, 1)],
    [change(2, (line) => line.replace('"f8": "NaN"', '"f8": "nan"')), update(`new = new || '{"f8": "nan"}'`, 2)],
    [without(2, 3), 'DELETE FROM mirusync.change_log WHERE seq IN (2, 3)'],
    [without(last), `DELETE FROM mirusync.change_log WHERE seq = ${last}`],
    [change(last, (line) => line.replace(/"hash" : "../, '"hash" : "zz'.replace('zz', line.match(/"hash" : "(..)/)[1] === '00' ? '01' : '00'))),
      update(`hash = set_byte(hash, 0, CASE get_byte(hash, 0) WHEN 0 THEN 1 ELSE 0 END)`, last)],
    [change(6, (line) => line.replace(/"digest" : "[0-9a-f]{64}/, `"digest" : "${'0'.repeat(64)}`)),
      `UPDATE mirusync.chain_trimmed SET digest = decode(repeat('0', 64), 'hex') WHERE seq = 6`],
    [[...lines.slice(0, 2), lines[1].replace('"seq" : 1,', `"seq" : ${last + 1},`), ...lines.slice(2)],
      `INSERT INTO mirusync.change_log SELECT * FROM jsonb_populate_record((SELECT l FROM mirusync.change_log l WHERE seq = 1), '{"seq": ${last + 1}}')`],
  ]) {
    const found = check(tampered);

    assert.notDeepEqual(found, [], before);
    assert.deepEqual([...found].sort(), (await verified(before)).sort(), before);
  }
  /* Cut at the end, with the head: only a head that was noted elsewhere knows. */
  const cut = [lines[0].replace(/"head" : .*/, `"head" : {"seq" : 2, "hash" : "${lines[at(2)].match(/"hash" : "(\w+)"}$/)[1]}"}}`),
    ...lines.slice(1, at(2) + 1)];

  assert.deepEqual(check(cut), []);
  assert.deepEqual(check(cut, ...noted), [['noted', String(last)]]);
});
