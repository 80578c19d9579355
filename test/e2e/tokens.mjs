/*
 * tokens.mjs
 *     Keys and tokens of all kinds, good and bad, for the tests of who gets in.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import {
  constants, createHmac, createSecretKey, generateKeyPairSync, randomUUID, sign as signBytes,
} from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export const ALGORITHMS = ['HS256', 'HS384', 'HS512', 'RS256', 'PS256', 'ES256', 'EdDSA'];

/* newKey makes what signs and what verifies: {algorithm, kid, secret | privateKey, publicKey}. */
export function newKey(algorithm, kid = randomUUID(), { bits = 2048, curve = 'P-256' } = {}) {
  const kinds = {
    HS: () => ({ secret: Buffer.from(`${randomUUID()}${randomUUID()}`) }),
    RS: () => generateKeyPairSync('rsa', { modulusLength: bits }),
    PS: () => generateKeyPairSync('rsa', { modulusLength: bits }),
    ES: () => generateKeyPairSync('ec', { namedCurve: curve }),
    Ed: () => generateKeyPairSync('ed25519'),
  };
  return { algorithm, kid, ...kinds[algorithm.slice(0, 2)]() };
}

export const pemOf = (key) => key.publicKey.export({ type: 'spki', format: 'pem' });

export const jwkOf = (key, fields = {}) => ({
  ...(key.publicKey ?? createSecretKey(key.secret)).export({ format: 'jwk' }),
  kid: key.kid,
  ...fields,
});

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  .toString('base64url');

function signature(algorithm, key, text) {
  const bytes = Buffer.from(text);
  if (algorithm.startsWith('HS'))
    return createHmac(`sha${algorithm.slice(2)}`, key.secret).update(bytes).digest();
  if (algorithm === 'EdDSA')
    return signBytes(null, bytes, key.privateKey);
  const options = {
    RS: {},
    PS: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
    ES: { dsaEncoding: 'ieee-p1363' },
  }[algorithm.slice(0, 2)];
  return signBytes(`sha${algorithm.slice(2)}`, bytes, { key: key.privateKey, ...options });
}

/* signRaw signs these texts (or objects) as header and claims. */
export function signRaw(key, header, claims, algorithm = key.algorithm) {
  const text = `${b64(header)}.${b64(claims)}`;
  return `${text}.${signature(algorithm, key, text).toString('base64url')}`;
}

export const now = () => Math.floor(Date.now() / 1000);

export const claimsOf = (user, fields = {}) =>
  ({ sub: user, iat: now(), exp: now() + 600, ...fields });

/* tokenOf makes a good token, unless the fields spoil it. */
export const tokenOf = (key, user, fields = {}, header = {}) => signRaw(key,
  { alg: key.algorithm, typ: 'JWT', kid: key.kid, ...header }, claimsOf(user, fields));

/* writeKeys puts a file where a relay can read it, whole at once. */
export async function writeKeys(stack, name, text) {
  const path = join(stack.dir, name);
  await writeFile(`${path}.new`, typeof text === 'string' ? text : JSON.stringify(text),
    { mode: 0o644 });
  await rename(`${path}.new`, path);
  return path;
}
