/*
 * id.js
 *     Ids that nobody else makes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/**
 * newId makes a UUID (version 4), also on pages without TLS, which lack
 * crypto.randomUUID, and in Node 18, which has no global crypto.
 * @param {() => number} [random]
 * @returns {string}
 */
export function newId(random = Math.random) {
  const bytes = new Uint8Array(16);
  if (globalThis.crypto)
    crypto.getRandomValues(bytes);
  else
    bytes.forEach((_, i) => { bytes[i] = Math.floor(random() * 256); });
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
