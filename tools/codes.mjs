#!/usr/bin/env node
/*
 * codes.mjs
 *     Makes docs/schemas/codes.json and the tables in docs/protocol.md from
 *     relay/codes.def.
 *
 * usage: node tools/codes.mjs [--check]
 *
 * With --check nothing is written, and the exit code is 1 if something is not
 * up to date.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const check = process.argv.includes('--check');
const source = readFileSync(`${root}relay/codes.def`, 'utf8').replace(/\/\*[^]*?\*\//g, '');

/* rows gives the arguments of each use of a macro: one line each, texts without quotes. */
function rows(macro) {
  const uses = [...source.matchAll(new RegExp(`^${macro}\\((.*)\\)$`, 'gm'))];
  return uses.map(([, body]) => [...body.matchAll(/"([^"]*)"|([^\s,"]+)/g)]
    .map(([, text, word]) => text ?? word));
}

const codes = {
  messages: rows('MESSAGE').map(([, type, from, meaning]) => ({ type, from, meaning })),
  errors: rows('ERROR_CODE').map(([, code, status, retry, meaning]) =>
    ({ code, status: Number(status), retry: retry === 'true', meaning })),
  closes: rows('CLOSE_CODE').map(([name, code, reconnect, meaning]) =>
    ({ name: name.toLowerCase(), code: Number(code), reconnect: reconnect === 'true', meaning })),
};

const table = (head, lines) => [head, head.map(() => '---'), ...lines]
  .map((line) => `| ${line.join(' | ')} |`).join('\n');
const yes = (flag) => (flag ? 'yes' : 'no');
const tables = {
  messages: table(['`type`', 'from', ''],
    codes.messages.map((m) => [`\`${m.type}\``, m.from, m.meaning])),
  errors: table(['`code`', 'HTTP', 'retry', 'meaning'],
    codes.errors.map((e) => [`\`${e.code}\``, e.status, yes(e.retry), e.meaning])),
  closes: table(['code', '', 'reconnect', 'when'],
    codes.closes.map((c) => [c.code, c.name, yes(c.reconnect), c.meaning])),
};

let bad = false;

function put(file, text) {
  const path = `${root}${file}`;
  let old = null;
  try {
    old = readFileSync(path, 'utf8');
  } catch { /* not there yet */ }
  if (old === text)
    return;
  if (check) {
    console.log(`${file}: not up to date with relay/codes.def (node tools/codes.mjs)`);
    bad = true;
  } else
    writeFileSync(path, text);
}

for (const [name, list] of Object.entries(codes))
  if (list.length < 3)
    throw new Error(`relay/codes.def: only ${list.length} ${name}`);

let page = readFileSync(`${root}docs/protocol.md`, 'utf8');
for (const [name, text] of Object.entries(tables)) {
  const marks = new RegExp(`(<!-- codes: ${name} -->\n)[^]*?(<!-- end -->)`);
  if (!marks.test(page))
    throw new Error(`docs/protocol.md: no place for the table of ${name}`);
  page = page.replace(marks, `$1\n${text}\n\n$2`);
}
put('docs/protocol.md', page);
put('docs/schemas/codes.json', `${JSON.stringify(codes, null, 2)}\n`);
process.exit(bad ? 1 : 0);
