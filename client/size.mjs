/*
 * size.mjs
 *     How large the core is, minified and compressed, with all it imports.
 *
 * usage: node size.mjs
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export const LIMIT = 12000;

/* sizeOf bundles an entry point: bytes minified, and compressed. */
export async function sizeOf(entry) {
  const { outputFiles: [{ contents }] } = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    external: ['react'],
    write: false,
  });
  return { minified: contents.length, compressed: gzipSync(contents, { level: 9 }).length };
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(await sizeOf('src/index.js'));
