/*
 * size.test.mjs
 *     The core stays small, and so do the components.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMPONENT_LIMITS, LIMIT, sizeOf } from '../size.mjs';

test(`the core is under ${LIMIT} bytes, minified and compressed`, async () => {
  const { brotli } = await sizeOf('src/index.js', { without: ['idb'] });
  assert.ok(brotli < LIMIT, `${brotli} bytes`);
});

for (const [name, limit] of Object.entries(COMPONENT_LIMITS))
  test(`<mirusync-${name}> is under ${limit} bytes, with all that it needs`, async () => {
    const { brotli } = await sizeOf(`src/elements/${name}.js`);
    assert.ok(brotli < limit, `${brotli} bytes`);
  });
