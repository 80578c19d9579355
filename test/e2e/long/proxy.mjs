/*
 * proxy.mjs
 *     A network that fails: it stands before a relay, and cuts each connection
 *     after some bytes, in either direction, with a reset or in silence.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { connect, createServer } from 'node:net';
import { chance } from '../replica.mjs';

/* To a device it looks like a relay. */
export class Proxy {
  constructor(relay, seed) {
    this.stack = relay.stack;
    this.below = chance(seed);
    this.sick = true;
    this.server = createServer((device) => this.carry(device, connect(relay.port, '127.0.0.1')));
    this.server.listen(0, '127.0.0.1');
    this.server.unref();
  }

  get ws() { return `ws://127.0.0.1:${this.server.address().port}`; }

  heal() { this.sick = false; }

  carry(device, relay) {
    const ends = [device, relay];
    const end = () => ends.forEach((socket) => socket.destroy());
    const bytes = [this.below(6000), this.below(30000)];
    const silent = this.below(4) === 0;
    let cut = false;
    const from = (i) => (data) => {
      bytes[i] -= data.length;
      if (cut)
        return;
      if (this.sick && bytes[i] < 0) {
        /* What fits of this message still goes through. */
        ends[1 - i].write(data.subarray(0, data.length + bytes[i]));
        cut = true;
        if (silent)
          setTimeout(end, 300);
        else
          ends.forEach((socket) => socket.resetAndDestroy());
        return;
      }
      ends[1 - i].write(data);
    };
    ends.forEach((socket, i) => {
      socket.setNoDelay(true);
      socket.on('data', from(i));
      socket.on('error', end);
      socket.on('close', end);
    });
  }
}
