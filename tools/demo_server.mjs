/*
 * demo_server.mjs
 *     What the demo's port answers: the page, two endpoints of its own, and for
 *     everything below /sync the relay, whose bytes go through as they are.
 *
 *   GET  /demo/config   {user, run}: no secret in it
 *   GET  /demo/token    a token of the demo's user
 *   POST /demo/sql      runs a statement: {"statement": …}
 *
 * Who may what.  It listens on the loopback only, but other users of the machine
 * and pages of other sites get there too.
 *   - A page whose name was bound to this address (DNS rebinding) sends its own
 *     name in Host, so only localhost and plain addresses are answered.
 *   - A page of another site may send, but cannot read: no CORS.  To run SQL
 *     takes the key, in a header that makes the browser ask first; and an Origin
 *     that is another's is refused.
 *   - Other users of the machine reach the port.  They get tokens of the
 *     demo's user, and so his practice log.  Not so the SQL: the key is in the
 *     address that the terminal shows, behind #, and leaves the browser only
 *     in that header.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect, isIP } from 'node:net';
import { extname, join } from 'node:path';

const STATEMENT_MAX = 8192;

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const HEADERS = {
  'Cache-Control': 'no-store',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/* filesOf lists what may be asked for: path to file. */
export async function filesOf(directories) {
  const files = new Map();
  for (const [prefix, directory] of Object.entries(directories))
    for (const name of await readdir(directory, { recursive: true }))
      if (extname(name) in TYPES)
        files.set(`${prefix}/${name}`, join(directory, name));
  return files;
}

/* policy for a page: all from here; of inline scripts only what is in the page now, which is its import map. */
function policy(page) {
  const hashes = [...page.matchAll(/<script type="importmap">([^]*?)<\/script>/g)]
    .map(([, text]) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`);
  return ["default-src 'self'", ['script-src', "'self'", ...hashes].join(' '), "connect-src 'self'", "frame-ancestors 'self'",
    "base-uri 'none'", "form-action 'none'"].join('; ');
}

const hostName = (host = '') => host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1').toLowerCase();

/* isOurs: a name that no other site can have. */
const isOurs = (host) => /^(.+\.)?localhost$/.test(hostName(host)) || isIP(hostName(host)) > 0;

const digest = (text) => createHash('sha256').update(text).digest();

/* same compares without telling by time where they differ. */
const same = (a, b) => timingSafeEqual(digest(a), digest(b));

async function bodyOf(message) {
  const parts = [];
  let size = 0;
  for await (const part of message) {
    size += part.length;
    if (size > STATEMENT_MAX * 2)
      throw Object.assign(new Error('the statement is too long'), { status: 413 });
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/*
 * startServer gives its port; it ends with the process.  relay: port of the relay; files: of
 * filesOf; config: what the page may know; key: who has it may run SQL;
 * token(): a token; run(statement): what came of a statement.
 */
export async function startServer({ port, relay, files, config, key, token, run }) {
  const fail = (status, error) => { throw Object.assign(new Error(error), { status }); };

  async function sql(message) {
    const { origin, host, authorization = '' } = message.headers;
    if (message.method !== 'POST')
      fail(405, 'POST a statement');
    if (origin !== undefined && origin !== `http://${host}`)
      fail(403, 'this page may not run SQL');
    if (!same(authorization, `Bearer ${key}`))
      fail(401, 'this page has no key to the SQL line: open the address that the terminal shows');
    let statement;
    try {
      ({ statement } = JSON.parse(await bodyOf(message)));
    } catch (error) {
      fail(error.status ?? 400, error.status ? error.message : 'no JSON');
    }
    if (typeof statement !== 'string' || !statement.trim() || statement.includes('\0'))
      fail(400, 'no statement');
    if (statement.length > STATEMENT_MAX)
      fail(413, 'the statement is too long');
    return run(statement);
  }

  const endpoints = {
    '/demo/config': () => config,
    '/demo/token': () => ({ token: token() }),
    '/demo/sql': sql,
  };

  async function answer(message, reply) {
    const { pathname, searchParams } = new URL(message.url, 'http://demo');
    if (!isOurs(message.headers.host))
      fail(421, 'not the host of the demo');
    const endpoint = endpoints[pathname];
    if (endpoint) {
      const body = JSON.stringify(await endpoint(message));
      reply.writeHead(200, { ...HEADERS, 'Content-Type': 'application/json' }).end(body);
      return;
    }
    if (message.method !== 'GET' && message.method !== 'HEAD')
      fail(405, 'not here');
    const page = searchParams.has('device') ? '/device.html' : '/index.html';
    const path = pathname === '/' ? page : pathname;
    const file = files.get(path) ?? fail(404, 'Not found');
    const content = await readFile(file);
    const type = TYPES[extname(file)];
    reply.writeHead(200, { ...HEADERS, 'Content-Type': type,
      ...(type.startsWith('text/html') ? { 'Content-Security-Policy': policy(content.toString()) } : {}) }).end(content);
  }

  const isRelays = (url) => /^\/(sync\/|health|ready)/.test(url);

  function forward(message, reply) {
    const { method, url, rawHeaders } = message;
    const on = request({ host: '127.0.0.1', port: relay, method, path: url, headers: rawHeaders, setHost: false }, (back) => {
      reply.writeHead(back.statusCode, back.rawHeaders);
      back.pipe(reply);
    });
    on.on('error', () => (reply.headersSent ? reply.destroy() : reply.writeHead(502).end()));
    reply.on('close', () => on.destroy());
    message.pipe(on);
  }

  const server = createServer((message, reply) => {
    if (isRelays(message.url)) {
      forward(message, reply);
      return;
    }
    answer(message, reply).catch((error) => {
      if (!reply.headersSent)
        reply.writeHead(error.status ?? 500, { ...HEADERS, 'Content-Type': 'application/json' });
      reply.end(JSON.stringify({ error: error.status ? error.message : 'the demo failed' }));
    });
  });

  /* A WebSocket, which is let in by its token: head and all that follows, both ways, until one side ends. */
  server.on('upgrade', ({ method, url, httpVersion, rawHeaders }, socket, first) => {
    const head = [`${method} ${url} HTTP/${httpVersion}`];
    for (let i = 0; i < rawHeaders.length; i += 2)
      head.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
    const on = connect({ host: '127.0.0.1', port: relay, noDelay: true }, () => {
      on.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), first]));
      socket.pipe(on).pipe(socket);
    });
    socket.setNoDelay(true);
    for (const [one, other] of [[socket, on], [on, socket]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });

  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server.address().port;
}
