#!/usr/bin/env node
/*
 * token.mjs
 *     Makes HS256 tokens for the relay: for the demo, the tests and the bench,
 *     and by hand for trying things out.
 *
 * usage: node tools/token.mjs SECRET USER [SECONDS]
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { createHmac } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/* sign makes a token of exactly these claims and this header. */
export function sign(secret, claims, header = { alg: 'HS256', typ: 'JWT' }) {
  const text = `${encode(header)}.${encode(claims)}`;
  const hash = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }[header.alg];
  const signature = hash ? createHmac(hash, secret).update(text).digest('base64url') : '';
  return `${text}.${signature}`;
}

/* userToken makes a valid token of a user, by default for an hour. */
export function userToken(secret, user, seconds = 3600) {
  const now = Math.floor(Date.now() / 1000);
  return sign(secret, {
    sub: user,
    email: `${user.replace(/[^\w.-]/g, '_')}@example.org`,
    iat: now,
    exp: now + seconds,
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [secret, user, seconds] = process.argv.slice(2);
  if (!secret || !user) {
    console.error('usage: node tools/token.mjs SECRET USER [SECONDS]');
    process.exit(2);
  }
  console.log(userToken(secret, user, seconds ? Number(seconds) : undefined));
}
