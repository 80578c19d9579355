/*
 * guide.test.mjs
 *     Pages as their reader meets them: docs/merge.md from its begin to its end,
 *     docs/audit.md from where its examples stand alone.  With psql, in a new
 *     database, every example gives what the page shows.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { useStack } from './harness.mjs';
import { ROOT } from '../../tools/stack.mjs';

const s = useStack({ relays: 1 });

/* examples returns a text's blocks of SQL, each with the output shown below it. */
function examples(page) {
  const found = [];

  for (const [, language, text] of page.matchAll(/^```(\w*)\n([^]*?)^```$/gm)) {
    if (language === 'sql')
      found.push({ sql: text, shown: [] });
    else if (language === 'text')
      found.at(-1).shown.push(...text.trimEnd().split('\n').map((line) => line.trimEnd()));
  }
  return found;
}

const page = (name) => readFile(join(ROOT, 'docs', name), 'utf8');

/* checkExamples runs a page's examples in a database of their own. */
async function checkExamples(blocks, database) {
  const script = join(s.stack.dir, `${database}.sql`);

  await s.stack.psql(`CREATE DATABASE ${database} TEMPLATE template0`, { database: 'postgres' });
  await s.stack.psql('CREATE EXTENSION mirusync', { database });
  await writeFile(script, blocks.map(({ sql }) => `${sql}\\echo 'end of example'\n`).join(''));
  const output = (await s.stack.tool('psql', ['-X', '-v', 'ON_ERROR_STOP=1', '-d', database, '-f', script]))
    .split('end of example\n');
  blocks.forEach(({ sql, shown }, i) => {
    const lines = output[i].split('\n').map((line) => line.trimEnd()).join('\n');

    assert.ok(lines.includes(shown.join('\n')), `${sql}\ngives\n${lines}\nand not\n${shown.join('\n')}`);
  });
}

s.test('merge.md gives what it shows', async () => {
  const blocks = examples(await page('merge.md'));

  assert.ok(blocks.length > 15);
  await checkExamples(blocks, 'guide_merge');
});

s.test('audit.md gives what it shows of chains and erasure, and has the checker as it is', async () => {
  const text = await page('audit.md');
  const blocks = examples(text.slice(text.indexOf('## Tamper evidence')));

  assert.ok(blocks.length > 5);
  await checkExamples(blocks, 'guide_audit');
  assert.ok(text.includes(`\`\`\`python\n${await page('verify_chain.py')}\`\`\`\n`));
});
