/*
 * native.mjs
 *     Devices that speak mirusync.v1, for end-to-end tests: over a real
 *     WebSocket, and over HTTP.
 *
 * Every message of either side is held against docs/schemas/mirusync.v1.json,
 * and a device applies what it gets as docs/protocol.md tells it to: a gap
 * before an interval, or one that it knows already, fails the test.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { request as requestTls } from 'node:https';
import Ajv from 'ajv/dist/2020.js';
import { Device, userToken } from './harness.mjs';

const read = (name) => JSON.parse(readFileSync(new URL(`../../docs/schemas/${name}`, import.meta.url)));

export const codes = read('codes.json');
const schema = read('mirusync.v1.json');
const ajv = new Ajv({ strict: true, strictRequired: false, strictTypes: false });
ajv.addSchema(schema);

/* check holds a message or body against one of the schema's definitions. */
export function check(name, value) {
  const validate = ajv.getSchema(`${schema.$id}#/$defs/${name}`);
  if (!validate(value)) {
    /* Of a oneOf only the member of that type is of interest. */
    const single = ajv.getSchema(`${schema.$id}#/$defs/${value?.type}`) ?? validate;
    single(value);
    assert.fail(`no ${name}: ${JSON.stringify(value).slice(0, 600)}\n${ajv.errorsText(single.errors)}`);
  }
  const code = value.type === 'error' ? value : value.error;
  if (code !== undefined) {
    const known = codes.errors.find((e) => e.code === code.code);
    assert.ok(known, `code ${code.code} stands in the table`);
    assert.equal(code.retry, known.retry);
  }
  return value;
}

/* The schemas of answers over HTTP, by the end of the path. */
export const bodies = {
  push: 'http_verdicts', pull: 'http_page', status: 'http_status',
  history: 'http_history', conflicts: 'http_conflicts', resolve: 'http_resolved',
};

/* Which types were seen, so that a test can tell that none was left out. */
export const seen = { device: new Set(), relay: new Set() };

export class NativeDevice extends Device {
  constructor(relay, user, { device = 'phone', cursor, digested, hello = {}, ...options } = {}) {
    super(relay, user, { protocols: ['mirusync.v1'], ...options });
    this.feed = user;
    this.device = device;
    this.cursor = cursor ?? { epoch: 0, seq: 0 };
    this.number = 0;
    this.ref = 0;
    this.state = new Map();
    this.faults = [];
    this.hello = {
      type: 'hello',
      protocol: 1,
      device,
      ...(cursor ? { cursors: { [user]: cursor } } : {}),
      ...(digested === undefined ? {} : { digested }),
      ...hello,
    };
  }

  /* open connects, says hello and takes the welcome. */
  static async open(relay, user, options) {
    const device = new NativeDevice(relay, user, options);
    await device.opened;
    device.say(device.hello);
    device.welcome = await device.type('welcome');
    return device;
  }

  /* live is open, and the first complete page. */
  static async live(relay, user, options) {
    const device = await NativeDevice.open(relay, user, options);
    await device.type('page', (m) => m.complete);
    return device;
  }

  /* say sends a message that is right. */
  say(message) {
    check('device_message', message);
    seen.device.add(message.type);
    this.send(message);
  }

  /* type takes messages up to the next one of a type. */
  async type(type, match = () => true, timeout) {
    return (await this.until((m) => m.type === type && match(m), type, timeout)).at(-1);
  }

  /* ask says something and takes messages up to its answer. */
  async ask(message, timeout) {
    const ref = ++this.ref;
    this.say({ ...message, ref });
    return (await this.until((m) => m.ref === ref, `an answer to ${message.type}`, timeout)).at(-1);
  }

  /* change makes the next change of this device. */
  change(kind, collection, id, fields, more = {}) {
    return {
      number: ++this.number, kind, collection, id, ...(fields ? { fields } : {}), base: this.cursor.seq, ...more,
    };
  }

  /* push sends changes and gives their verdicts. */
  async push(changes, more = {}) {
    const answer = await this.ask({
      type: 'push', epoch: this.cursor.epoch, changes: [changes].flat(), ...more,
    });
    assert.equal(answer.type, 'verdicts', JSON.stringify(answer));
    return answer.verdicts;
  }

  put(collection, id, fields) { return this.push(this.change('put', collection, id, fields)); }
  patch(collection, id, fields) { return this.push(this.change('patch', collection, id, fields)); }
  remove(collection, id) { return this.push(this.change('delete', collection, id)); }

  /* caughtUp waits until the cursor is there. */
  async caughtUp(seq, timeout) {
    await this.waiting(() => this.cursor.seq >= seq || undefined, `number ${seq}`, timeout);
    this.read = this.messages.length;
  }

  /* Everything that comes goes through here first. */
  received(message) {
    try {
      check('relay_message', message);
      seen.relay.add(message.type);
      this.apply(message);
    } catch (error) {
      /* Thrown here it would be lost; sound() throws it. */
      this.faults.push(error);
    }
  }

  /* sound: nothing that came was wrong. */
  sound() {
    if (this.faults.length)
      throw this.faults[0];
  }

  apply(message) {
    if (message.type === 'page') {
      assert.equal(message.after, this.cursor.seq, 'a page begins at the cursor');
      if (message.after === 0 && this.emptying)
        this.state.clear();
      this.emptying = false;
      this.cursor = { epoch: message.epoch, seq: message.upto };
      if (!message.complete)
        this.cursor.seen = message.head;
      this.whole = message.complete;
    } else if (message.type === 'changes') {
      assert.ok(message.from <= this.cursor.seq, `no gap: ${message.from} after ${this.cursor.seq}`);
      assert.ok(message.to > this.cursor.seq, `no repeat: ${message.to} after ${this.cursor.seq}`);
      this.cursor = { epoch: message.epoch, seq: message.to };
      if (message.seen)
        this.cursor.seen = message.seen;
      this.whole = message.complete;
    } else if (message.type === 'start_over') {
      this.cursor = { epoch: 0, seq: 0 };
      this.emptying = true;
    }
    for (const change of message.type === 'page' || message.type === 'changes' ? message.changes : []) {
      assert.ok(change.seq > (message.after ?? message.from) && change.seq <= (message.upto ?? message.to));
      const key = `${change.collection}/${change.id}`;
      if (change.kind === 'delete')
        this.state.delete(key);
      else if (change.kind === 'put')
        this.state.set(key, change.fields);
      else {
        const record = { ...this.state.get(key), ...change.fields };
        for (const name of change.removed ?? [])
          delete record[name];
        this.state.set(key, record);
      }
    }
  }

  /* take applies the verdicts of changes that this device made itself. */
  take(changes, verdicts) {
    changes.forEach((change, i) => {
      const verdict = verdicts[i];
      const key = `${change.collection}/${change.id}`;
      if (verdict.verdict === 'rejected')
        return;
      if (verdict.deleted || (change.kind === 'delete' && verdict.verdict !== 'stale'))
        this.state.delete(key);
      else
        this.state.set(key, {
          ...(change.kind === 'put' ? {} : this.state.get(key)), ...change.fields, ...verdict.fields,
        });
    });
  }
}

/* api makes one request over HTTP: {status, headers, body}; bodies are checked. */
export function api(relay, user, path, { method, body, token, headers = {}, signal, raw, ca } = {}) {
  token ??= user === null ? undefined : userToken(relay.stack.secret, user);
  const text = body === undefined ? undefined : raw ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const call = (relay.tls ? requestTls : request)(`${relay.url}${path}`, {
      ca,
      method: method ?? (text === undefined ? 'GET' : 'POST'),
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        ...headers,
      },
      agent: false,
      timeout: 20000,
      signal,
    }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        try {
          const answer = JSON.parse(Buffer.concat(chunks).toString());
          const name = path.split('?')[0].split('/').at(-1);
          if (response.statusCode === 200)
            check(bodies[name], answer);
          else {
            check('http_error', answer);
            assert.equal(codes.errors.find((e) => e.code === answer.error.code).status, response.statusCode);
          }
          resolve({ status: response.statusCode, headers: response.headers, body: answer });
        } catch (error) {
          reject(error);
        }
      });
      response.on('error', reject);
    });
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.end(text);
  });
}

/* useNative adds open(user) and live(user) for such devices to a stack. */
export function useNative(s) {
  const add = async (make, user, options = {}) => {
    const device = await make(options.relay ?? s.relay, user, options);
    s.devices.push(device);
    return device;
  };
  return {
    open: (user, options) => add(NativeDevice.open, user, options),
    live: (user, options) => add(NativeDevice.live, user, options),
    raw: async (user, options) => {
      const device = await add(async (...all) => new NativeDevice(...all), user, options);
      await device.opened;
      return device;
    },
  };
}
