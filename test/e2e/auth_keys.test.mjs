/*
 * auth_keys.test.mjs
 *     Every algorithm, from PEM files and key sets; tokens that try to pass
 *     with another key than theirs; keys that change; and the configurations
 *     that docs/auth.md shows.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { newUser, upgrade, useStack, waitUntil } from './harness.mjs';
import {
  ALGORITHMS, claimsOf, jwkOf, newKey, now, pemOf, signRaw, tokenOf, writeKeys,
} from './tokens.mjs';

const s = useStack();

const at = (user, token) =>
  `/sync/ws?userId=${encodeURIComponent(user)}&token=${encodeURIComponent(token)}`;

const status = async (relay, user, token) => (await upgrade(relay, at(user, token))
  .catch(() => ({ status: 'dropped' }))).status;

const relayWith = async (t, settings, options) => {
  const relay = await s.stack.addRelay({ jwt_secret_file: '', ...settings }, options);
  t.after(() => relay.stop());
  return relay;
};

const ALL = ALGORITHMS.join(' ');

s.test('every algorithm of a key set, and no other key than its own', async (t) => {
  const keys = Object.fromEntries(ALGORITHMS.map((a) => [a, newKey(a, `key of ${a}`)]));
  const file = await writeKeys(s.stack, 'all.jwks', { keys: Object.values(keys).map((k) => jwkOf(k)) });
  const relay = await relayWith(t, { jwt_jwks_file: file, jwt_algorithms: ALL });
  const user = newUser();
  for (const algorithm of ALGORITHMS) {
    const key = keys[algorithm];
    const token = tokenOf(key, user);
    assert.equal(await status(relay, user, token), 101, algorithm);
    assert.equal(await status(relay, user, signRaw(key, { alg: algorithm }, claimsOf(user))), 101,
      `${algorithm} without kid`);
    for (const other of ALGORITHMS.filter((a) => a !== algorithm)) {
      /* Its own signature, under the name of another algorithm or key. */
      assert.equal(await status(relay, user, signRaw(key, { alg: other, kid: key.kid },
        claimsOf(user), algorithm)), 401, `${algorithm} called ${other}`);
      assert.equal(await status(relay, user, signRaw(key, { alg: algorithm, kid: keys[other].kid },
        claimsOf(user))), 401, `${algorithm} by the key of ${other}`);
    }
    const [header, claims, signature] = token.split('.');
    for (const bad of [`${token}=`, `${token}==`, token.slice(0, -1), token.slice(0, -2), `${token}A`,
      `${header}=.${claims}.${signature}`, `${header}.${claims}=.${signature}`, `${header}.${claims}.`,
      `${header}.${claims}`, `${header}..${signature}`, `.${claims}.${signature}`,
      `${token}.`, `${token}.${signature}`, ` ${token}`])
      assert.equal(await status(relay, user, bad), 401, `${algorithm}: ${bad.slice(-12)}`);
  }
});

s.test('PEM files, several keys in one, and a secret beside them', async (t) => {
  const [rsa, ec, ed] = ['RS256', 'ES256', 'EdDSA'].map((a) => newKey(a));
  const one = await writeKeys(s.stack, 'one.pem', `${pemOf(rsa)}${pemOf(ec)}`);
  const two = await writeKeys(s.stack, 'two.pem', pemOf(ed));
  const secret = newKey('HS256');
  const relay = await relayWith(t, { jwt_pem_files: `${one} ${two}`, jwt_algorithms: ALL,
    jwt_secret: secret.secret });
  const user = newUser();
  for (const key of [rsa, ec, ed, secret])
    assert.equal(await status(relay, user, tokenOf(key, user)), 101, key.algorithm);
  assert.equal(await status(relay, user, signRaw(rsa, { alg: 'PS256' }, claimsOf(user), 'PS256')), 101);
  assert.equal(await status(relay, user, tokenOf(newKey('RS256'), user)), 401);
  assert.equal(await status(relay, user, tokenOf(newKey('ES256'), user)), 401);
});

s.test('a public key is no secret, however it is spelt', async (t) => {
  const rsa = newKey('RS256');
  const pem = pemOf(rsa);
  const file = await writeKeys(s.stack, 'confusion.pem', pem);
  const relay = await relayWith(t, { jwt_pem_files: file, jwt_algorithms: ALL });
  const user = newUser();
  const der = rsa.publicKey.export({ type: 'spki', format: 'der' });
  const jwk = jwkOf(rsa);
  for (const secret of [pem, pem.trimEnd(), pem.replaceAll('\n', ''), der, Buffer.from(jwk.n, 'base64url'),
    JSON.stringify(jwk), ''])
    for (const algorithm of ['HS256', 'HS384', 'HS512']) {
      const header = { alg: algorithm, typ: 'JWT' };
      assert.equal(await status(relay, user, signRaw({ secret }, header, claimsOf(user), algorithm)), 401);
    }
});

s.test('only configured algorithms count, whatever key there is', async (t) => {
  const key = newKey('RS256');
  const file = await writeKeys(s.stack, 'only.pem', pemOf(key));
  const relay = await relayWith(t, { jwt_pem_files: file, jwt_algorithms: 'PS256 ES256' });
  const user = newUser();
  assert.equal(await status(relay, user, tokenOf(key, user)), 401);
  assert.equal(await status(relay, user, signRaw(key, { alg: 'PS256' }, claimsOf(user), 'PS256')), 101);
  for (const alg of ['none', 'None', 'NONE', '', 'ps256', 'PS512', 'ES256K', null, 7, ['PS256']])
    for (const signature of ['', signRaw(key, { alg }, claimsOf(user), 'PS256').split('.')[2]]) {
      const text = signRaw(key, { alg }, claimsOf(user), 'PS256').split('.').slice(0, 2).join('.');
      assert.equal(await status(relay, user, `${text}.${signature}`), 401, `alg ${alg}`);
    }
});

s.test('wrong curves, sizes and kinds are no keys', async () => {
  for (const [name, text] of Object.entries({
    'P-384': pemOf(newKey('ES256', 'x', { curve: 'P-384' })),
    'secp256k1': pemOf(newKey('ES256', 'x', { curve: 'secp256k1' })),
    'RSA of 1024 bits': pemOf(newKey('RS256', 'x', { bits: 1024 })),
    'private': newKey('RS256').privateKey.export({ type: 'pkcs8', format: 'pem' }),
    'nothing': '',
    'garbage': 'garbage',
  })) {
    const file = await writeKeys(s.stack, 'wrong.pem', text);
    await assert.rejects(s.stack.addRelay({ jwt_secret_file: '', jwt_pem_files: file,
      jwt_algorithms: ALL }), /keys are no good/, name);
  }
  const set = await writeKeys(s.stack, 'wrong.jwks',
    { keys: [jwkOf(newKey('RS256'), { use: 'enc' }), { kty: 'EC', crv: 'P-521', x: 'AA', y: 'AA' }] });
  await assert.rejects(s.stack.addRelay({ jwt_secret_file: '', jwt_jwks_file: set, jwt_algorithms: ALL }),
    /no key fits any of jwt_algorithms/);
  await assert.rejects(s.stack.addRelay({ jwt_algorithms: 'HS256 RS512' }),
    /bad word "RS512" in jwt_algorithms/);
  await assert.rejects(s.stack.addRelay({ jwt_secret_file: '' }), /a key is required/);
});

s.test('headers and claims that are doubtful', async (t) => {
  const key = newKey('ES256', 'k1');
  const file = await writeKeys(s.stack, 'doubt.jwks', { keys: [jwkOf(key)] });
  const relay = await relayWith(t, { jwt_jwks_file: file, jwt_algorithms: 'ES256' });
  const user = newUser();
  const claims = claimsOf(user);
  const text = JSON.stringify(claims);
  const header = { alg: 'ES256', kid: 'k1' };
  assert.equal(await status(relay, user, signRaw(key, header, claims)), 101);
  assert.equal(await status(relay, user, signRaw(key, { ...header, typ: 'at+jwt', x5t: 'x', jku: 'http://x' },
    claims)), 101, 'what is not looked at');
  const kids = ['k2', '', ' k1', 'K1', '../../../../etc/passwd', '/dev/null', 'k1\0', "k1' OR '1'='1",
    "'; DROP TABLE mirusync.feed; --", 'k1%00', 'x'.repeat(256), 'x'.repeat(1200)];
  for (const kid of kids)
    assert.equal(await status(relay, user, signRaw(key, { ...header, kid }, claims)), 401, `kid ${kid}`);
  for (const bad of [
    [{ ...header, crit: ['exp'] }, claims],
    [{ ...header, crit: [] }, claims],
    [{ ...header, b64: false, crit: ['b64'] }, claims],
    ['{"alg":"ES256","alg":"ES256","kid":"k1"}', claims],
    ['{"alg":"none","\\u0061lg":"ES256","kid":"k1"}', claims],
    ['{"alg":"ES256","kid":"k2","kid":"k1"}', claims],
    [{ ...header, kid: 7 }, claims],
    [{ ...header, x: 'x'.repeat(2000) }, claims],
    ['["ES256"]', claims],
    [header, text.replace('{', '{"sub":"somebody",')],
    [header, text.replace('{', '{"exp":1,')],
    [header, text.replace('{', '{"\\u0073ub":"somebody",')],
    [header, `${text} x`],
    [header, { ...claims, sub: `${user}\0` }],
    [header, { ...claims, sub: undefined }],
    [header, { ...claims, exp: undefined }],
    [header, { ...claims, exp: 'never' }],
    [header, { ...claims, exp: 1e300 }],
  ])
    assert.equal(await status(relay, user, signRaw(key, ...bad)), 401, JSON.stringify(bad).slice(0, 120));
});

s.test('clock edges, with and without leeway', async (t) => {
  const key = newKey('EdDSA');
  const file = await writeKeys(s.stack, 'clock.pem', pemOf(key));
  const settings = { jwt_pem_files: file, jwt_algorithms: 'EdDSA' };
  const strict = await relayWith(t, { ...settings, jwt_leeway: '0s' });
  const lenient = await relayWith(t, { ...settings, jwt_leeway: '5min' });
  const user = newUser();
  /* Far enough from the edges for a slow machine; the second itself is for the unit test. */
  const cases = [
    [{ exp: now() }, 401, 101], [{ exp: now() - 240 }, 401, 101], [{ exp: now() - 300 }, 401, 401],
    [{ nbf: now() + 60 }, 401, 101], [{ nbf: now() + 400 }, 401, 401], [{ nbf: now() }, 101, 101],
    [{ iat: now() + 60 }, 401, 101], [{ iat: now() + 400 }, 401, 401],
    [{ exp: now() + 100, nbf: now() - 100, iat: undefined }, 101, 101],
  ];
  for (const [fields, without, within] of cases) {
    const token = tokenOf(key, user, fields);
    assert.equal(await status(strict, user, token), without, JSON.stringify(fields));
    assert.equal(await status(lenient, user, token), within, JSON.stringify(fields));
  }
});

s.test('a key set is read again when its file changes, and on SIGHUP', async (t) => {
  const [first, second] = [newKey('RS256', 'first'), newKey('RS256', 'second')];
  const set = (...keys) => ({ keys: keys.map((k) => jwkOf(k, { use: 'sig', alg: 'RS256' })) });
  const file = await writeKeys(s.stack, 'rolling.jwks', set(first));
  const settings = { jwt_jwks_file: file, jwt_algorithms: 'RS256' };
  const relay = await relayWith(t, { ...settings, keys_check_interval: '100ms' });
  const lazy = await relayWith(t, { ...settings, keys_check_interval: '1h' });
  const user = newUser();
  const passes = async (r, key) => await status(r, user, tokenOf(key, user)) === 101;
  assert.ok(await passes(relay, first));
  assert.ok(!await passes(relay, second));

  await writeKeys(s.stack, 'rolling.jwks', set(first, second));
  await waitUntil(() => passes(relay, second), { what: 'the second key' });
  assert.ok(await passes(relay, first), 'both count during a roll-over');
  assert.ok(!await passes(lazy, second), 'not looked at yet');
  lazy.signal('SIGHUP');
  await waitUntil(() => passes(lazy, second), { what: 'the second key after SIGHUP' });

  /* Broken files change nothing but the log, whatever is wrong with them. */
  for (const [text, reason] of [['{"keys":[{', 'no JSON'], ['', 'no JSON'], ['{"keys":[]}', 'no key fits'],
    [JSON.stringify({ keys: [{ kty: 'RSA', n: 'AQAB', e: 'AQAB' }] }), 'kind, curve or size'],
    [JSON.stringify({ keys: [{ ...jwkOf(first), d: 'AQAB' }] }), 'a private key does not belong here']]) {
    const before = relay.log.length;
    await writeKeys(s.stack, 'rolling.jwks', text);
    await waitUntil(() => /keys were not replaced/.test(relay.log.slice(before)), { what: 'the complaint' });
    assert.match(relay.log.slice(before), new RegExp(reason));
    assert.ok(await passes(relay, second), 'the keys in use stay');
  }
  await truncate(file, 0);

  /* And the roll-over's end: the first key is gone. */
  await writeKeys(s.stack, 'rolling.jwks', set(second));
  await waitUntil(async () => !await passes(relay, first), { what: 'the first key to go' });
  assert.ok(await passes(relay, second));
});

s.test('a secret in a file is read again too', async (t) => {
  const [first, second] = [newKey('HS256'), newKey('HS256')];
  const file = await writeKeys(s.stack, 'rolling.secret', `${first.secret}\n`);
  const relay = await relayWith(t, { jwt_secret_file: file, keys_check_interval: '100ms' });
  const user = newUser();
  assert.equal(await status(relay, user, tokenOf(first, user)), 101);
  await writeKeys(s.stack, 'rolling.secret', `${second.secret}\n`);
  await waitUntil(async () => await status(relay, user, tokenOf(second, user)) === 101, { what: 'it' });
  assert.equal(await status(relay, user, tokenOf(first, user)), 401);
});

/* ---- the configurations of docs/auth.md ---- */

/* shown gives the settings that docs/auth.md shows under a heading, with the files of the test. */
function shown(heading, files) {
  const page = readFileSync(new URL('../../docs/auth.md', import.meta.url), 'utf8');
  const [, block] = page.split(`### ${heading}\n`)[1].match(/```\n([^]*?)```/);
  const settings = Object.fromEntries(block.trim().split('\n').map((line) => line.split(' = ')));
  for (const [key, file] of Object.entries(files)) {
    assert.ok(key in settings, `${heading} has ${key}`);
    settings[key] = file;
  }
  return settings;
}

s.test('a shared secret', async (t) => {
  const key = newKey('HS256');
  const file = await writeKeys(s.stack, 'shared.secret', `${key.secret}\n`);
  const relay = await relayWith(t, shown('A secret shared with your application', { jwt_secret_file: file }));
  const user = newUser();
  const good = { iss: 'https://app.example.org', jti: 'x' };
  assert.equal(await status(relay, user, tokenOf(key, user, good)), 101);
  for (const fields of [{ iss: 'https://app.example.org/' }, { iss: undefined }, { iss: [good.iss] },
    { jti: undefined }, { jti: null }])
    assert.equal(await status(relay, user, tokenOf(key, user, { ...good, ...fields })), 401,
      JSON.stringify(fields));
});

s.test('Auth0 style: RS256 by JWKS, issuer with a slash, list of audiences', async (t) => {
  const [key, next] = [newKey('RS256', 'NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4'), newKey('RS256', 'next')];
  const file = await writeKeys(s.stack, 'auth0.jwks', { keys: [key, next].map((k) =>
    jwkOf(k, { use: 'sig', alg: 'RS256', x5t: 'abc', x5c: ['MIIC'] })) });
  const relay = await relayWith(t, shown('Auth0 and its like', { jwt_jwks_file: file }));
  const user = `auth0|${newUser()}`;
  const good = { iss: 'https://tenant.eu.auth0.com/', azp: 'client', scope: 'openid profile',
    aud: ['https://api.example.org', 'https://tenant.eu.auth0.com/userinfo'] };
  assert.equal(await status(relay, user, tokenOf(key, user, good)), 101);
  assert.equal(await status(relay, user, tokenOf(next, user, { ...good, aud: good.aud[0] })), 101);
  for (const fields of [{ aud: good.aud[1] }, { aud: [] }, { aud: undefined }, { aud: {} },
    { iss: 'https://tenant.eu.auth0.com' }])
    assert.equal(await status(relay, user, tokenOf(key, user, { ...good, ...fields })), 401,
      JSON.stringify(fields));
});

s.test('Keycloak style: an encryption key in the set, several algorithms, a user claim', async (t) => {
  const [rsa, ec] = [newKey('RS256', 'FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE'), newKey('ES256', 'ec')];
  const file = await writeKeys(s.stack, 'keycloak.jwks', { keys: [
    jwkOf(newKey('RS256', 'enc'), { use: 'enc', alg: 'RSA-OAEP' }),
    jwkOf(rsa, { use: 'sig', alg: 'RS256' }), jwkOf(ec, { use: 'sig', alg: 'ES256' })] });
  const relay = await relayWith(t, shown('Keycloak and its like', { jwt_jwks_file: file }));
  assert.match(relay.log, /keys for other uses skipped .*keys=1/);
  const user = newUser();
  const good = { iss: 'https://id.example.org/realms/app', aud: 'account', azp: 'app', typ: 'Bearer',
    sub: 'f:1234:5678', preferred_username: user, sid: 'session-1', realm_access: { roles: ['user'] } };
  assert.equal(await status(relay, user, tokenOf(rsa, user, good)), 101);
  assert.equal(await status(relay, user, tokenOf(ec, user, good)), 101);
  assert.equal(await status(relay, good.sub, tokenOf(ec, user, good)), 403, 'sub is not the user here');
  assert.equal(await status(relay, user, signRaw(rsa, { alg: 'PS256', kid: rsa.kid },
    claimsOf(user, good), 'PS256')), 401, 'the key says RS256');
  assert.equal(await status(relay, user, tokenOf(rsa, user, { ...good, preferred_username: undefined })), 401);
});

s.test('Supabase style: HS256, audience "authenticated"', async (t) => {
  const key = newKey('HS256');
  const file = await writeKeys(s.stack, 'supabase.secret', `${key.secret}`);
  const relay = await relayWith(t, shown('Supabase and its like', { jwt_secret_file: file }));
  const user = newUser();
  const good = { aud: 'authenticated', role: 'authenticated', session_id: 's1', app_metadata: {} };
  const token = tokenOf(key, user, good, { kid: undefined });
  assert.equal(await status(relay, user, token), 101);
  assert.equal(await status(relay, user, tokenOf(key, user, good, { kid: 'q7f' })), 101,
    'a secret has no name: it fits any kid');
  /* The public key of the browser's API is signed with the same secret. */
  const anon = { aud: undefined, role: 'anon', session_id: undefined };
  assert.equal(await status(relay, user, tokenOf(key, user, { ...good, ...anon })), 401);
  assert.equal(await status(relay, user, tokenOf(key, user, { ...good, aud: 'anon' })), 401);
});

s.test('Supabase style with keys of its own: ES256 by JWKS', async (t) => {
  const key = newKey('ES256', 'b1e0');
  const file = await writeKeys(s.stack, 'supabase.jwks', { keys: [jwkOf(key, { use: 'sig', alg: 'ES256', key_ops: ['verify'], ext: true })] });
  const settings = shown('Supabase and its like', {});
  delete settings.jwt_secret_file;
  const relay = await relayWith(t, { ...settings, jwt_jwks_file: file, jwt_algorithms: 'ES256 RS256' });
  const user = newUser();
  const good = { aud: 'authenticated', role: 'authenticated', session_id: 's1' };
  assert.equal(await status(relay, user, tokenOf(key, user, good)), 101);
  assert.equal(await status(relay, user, tokenOf(key, user, { ...good, aud: undefined })), 401);
  assert.equal(await status(relay, user, tokenOf(newKey('ES256', 'b1e0'), user, good)), 401);
});

s.test('an HMAC of a forged claim is told from a good one to the last bit', async () => {
  const user = newUser();
  const key = { algorithm: 'HS256', secret: s.stack.secret };
  const text = signRaw(key, { alg: 'HS256' }, claimsOf(user)).split('.').slice(0, 2).join('.');
  const mac = createHmac('sha256', s.stack.secret).update(text).digest();
  assert.equal(await status(s.relay, user, `${text}.${mac.toString('base64url')}`), 101);
  for (const bit of [0, 7, 128, 255]) {
    const forged = Buffer.from(mac);
    forged[bit >> 3] ^= 1 << (bit & 7);
    assert.equal(await status(s.relay, user, `${text}.${forged.toString('base64url')}`), 401);
  }
});
