/*
 * guide.test.mjs
 *     docs/merge.md as its reader meets it: from its begin to its end, with
 *     psql, in a new database, every example gives what the page shows.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { useStack } from './harness.mjs';
import { ROOT } from '../../tools/stack.mjs';

const s = useStack({ relays: 1 });

/* examples returns the page's blocks of SQL, each with the output shown below it. */
async function examples(page) {
  const found = [];

  for (const [, language, text] of (await readFile(page, 'utf8')).matchAll(/^```(\w*)\n([^]*?)^```$/gm)) {
    if (language === 'sql')
      found.push({ sql: text, shown: [] });
    else if (language === 'text')
      found.at(-1).shown.push(...text.trimEnd().split('\n').map((line) => line.trimEnd()));
  }
  return found;
}

s.test('merge.md gives what it shows', async () => {
  const blocks = await examples(join(ROOT, 'docs/merge.md'));
  const script = join(s.stack.dir, 'merge.sql');

  await s.stack.psql('CREATE DATABASE guide TEMPLATE template0', { database: 'postgres' });
  await s.stack.psql('CREATE EXTENSION mirusync', { database: 'guide' });
  await writeFile(script, blocks.map(({ sql }) => `${sql}\\echo 'end of example'\n`).join(''));
  const output = (await s.stack.tool('psql', ['-X', '-v', 'ON_ERROR_STOP=1', '-d', 'guide', '-f', script]))
    .split('end of example\n');
  assert.ok(blocks.length > 15);
  blocks.forEach(({ sql, shown }, i) => {
    const lines = output[i].split('\n').map((line) => line.trimEnd()).join('\n');

    assert.ok(lines.includes(shown.join('\n')), `${sql}\ngives\n${lines}\nand not\n${shown.join('\n')}`);
  });
});
