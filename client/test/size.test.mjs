/*
 * size.test.mjs
 *     The core stays small.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMIT, sizeOf } from '../size.mjs';

test(`the core is under ${LIMIT} bytes, minified and compressed`, async () => {
  const { brotli } = await sizeOf('src/index.js', { without: ['idb'] });
  assert.ok(brotli < LIMIT, `${brotli} bytes`);
});
