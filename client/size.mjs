/*
 * size.mjs
 *     How large the core is, minified and compressed: what a page loads before
 *     it connects, but for idb, which is told apart.  The way over HTTP and
 *     what a user asks of his history are modules that are loaded when they
 *     are needed.
 *
 * usage: node size.mjs
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/* Of the core, with Brotli, which is how servers send static files. */
export const LIMIT = 12000;

/* Of the components, each with all that it needs. */
export const COMPONENT_LIMITS = { indicator: 7000, conflicts: 11500, debug: 9000 };

/* sizeOf bundles an entry point: bytes minified, and compressed both ways. */
export async function sizeOf(entry, { without = [] } = {}) {
  const { outputFiles: [{ contents }] } = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    external: ['react', './http.js', './ask.js', ...without],
    write: false,
  });
  return { minified: contents.length, gzip: gzipSync(contents, { level: 9 }).length, brotli: brotliCompressSync(contents).length };
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log({
    core: await sizeOf('src/index.js', { without: ['idb'] }),
    coreWithIdb: await sizeOf('src/index.js'),
    http: await sizeOf('src/http.js'),
    ask: await sizeOf('src/ask.js'),
    indicator: await sizeOf('src/elements/indicator.js'),
    conflicts: await sizeOf('src/elements/conflicts.js'),
    debug: await sizeOf('src/elements/debug.js'),
  });
