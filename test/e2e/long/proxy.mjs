/*
 * proxy.mjs
 *     A network that fails: it stands before a relay, or before the server of a
 *     relay, and cuts each connection after some bytes, in either direction, with
 *     a reset or in silence; or it delays, holds up or cuts all there are, when told to.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { chance } from '../replica.mjs';

export class Proxy {
  /* sick: connections end by themselves, each after some bytes. */
  constructor(seed, { sick = true } = {}) {
    Object.assign(this, { below: chance(seed), sick, delay: 0, held: false, links: new Set() });
    this.server = createServer((near) => this.carry(near, connect(this.target())));
    this.server.unref();
  }

  heal() {
    this.sick = this.held = false;
    this.delay = 0;
    for (const link of this.links)
      link.flow();
  }

  /* hold lets nothing through, nor tells anybody. */
  hold() { this.held = true; }

  cut() {
    for (const link of this.links)
      link.cut();
  }

  close() {
    this.server.close();
    this.cut();
  }

  carry(near, far) {
    const ends = [near, far];
    const end = () => {
      ends.forEach((socket) => socket.destroy());
      this.links.delete(link);
    };
    const bytes = [this.below(6000), this.below(30000)];
    const silent = this.below(4) === 0;
    const waiting = [];
    const reset = (socket) => (socket.remoteFamily ? socket.resetAndDestroy() : socket.destroy());
    const link = {
      cut: () => ends.forEach(reset),
      flow: () => {
        while (waiting.length && !this.held && waiting[0].due <= Date.now())
          waiting.shift().go();
        if (waiting.length && !this.held && !link.timer)
          link.timer = setTimeout(() => {
            link.timer = undefined;
            link.flow();
          }, waiting[0].due - Date.now());
      },
    };
    this.links.add(link);
    let over = false;
    const from = (i) => (data) => {
      bytes[i] -= data.length;
      if (over)
        return;
      if (this.sick && bytes[i] < 0) {
        /* What fits of this message still goes through. */
        ends[1 - i].write(data.subarray(0, data.length + bytes[i]));
        over = true;
        if (silent)
          setTimeout(end, 300);
        else
          link.cut();
        return;
      }
      waiting.push({ due: Date.now() + this.delay, go: () => ends[1 - i].write(data) });
      link.flow();
    };
    ends.forEach((socket, i) => {
      socket.setNoDelay(true);
      socket.on('data', from(i));
      socket.on('error', end);
      socket.on('close', end);
    });
  }
}

/* RelayProxy: to a device it looks like a relay. */
export class RelayProxy extends Proxy {
  constructor(relay, seed, options) {
    super(seed, options);
    this.relay = relay;
    this.stack = relay.stack;
    this.server.listen(0, '127.0.0.1');
  }

  async listen() {
    await once(this.server, 'listening');
    return this;
  }

  target() { return { port: this.relay.port, host: '127.0.0.1' }; }

  get running() { return this.relay.running; }
  get port() { return this.server.address().port; }
  get ws() { return `ws://127.0.0.1:${this.port}`; }
  get url() { return `http://127.0.0.1:${this.port}`; }
}

/* ServerProxy: to a relay it looks like the PostgreSQL server, in a directory of its own. */
export class ServerProxy extends Proxy {
  constructor(stack, directory, seed, options) {
    super(seed, options);
    Object.assign(this, { stack, directory });
  }

  target() { return { path: `${this.stack.socketDir}/.s.PGSQL.${this.stack.pgPort}` }; }

  /* listen gives the connection string of the relay that is behind it. */
  async listen() {
    const path = `${this.directory}/.s.PGSQL.5432`;
    await new Promise((resolve) => this.server.listen(path, resolve));
    await chmod(path, 0o777);
    return `host=${this.directory} port=5432 user=mirusync_relay dbname=${this.stack.database}`;
  }
}
