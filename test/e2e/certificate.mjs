/*
 * certificate.mjs
 *     Certificates for tests: made by openssl, signed by themselves.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { execFile } from 'node:child_process';
import { chmod, readFile, rename } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/*
 * makeCertificate writes name.crt and name.key into dir, and gives their paths
 * and what a client needs.  They appear whole, one after the other.
 */
export async function makeCertificate(dir, name, { days = 30 } = {}) {
  const crt = `${dir}/${name}.crt`;
  const key = `${dir}/${name}.key`;
  await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-nodes', '-keyout', `${key}.new`, '-out', `${crt}.new`, '-days', String(days),
    '-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']);
  await chmod(`${key}.new`, 0o644);
  await rename(`${crt}.new`, crt);
  await rename(`${key}.new`, key);
  return { crt, key, ca: await readFile(crt, 'utf8') };
}
