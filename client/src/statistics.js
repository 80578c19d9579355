/*
 * statistics.js
 *     What was sent and received since the page was opened, and how long the
 *     relay took.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/* Of how many latest answers the latency is told. */
const KEPT = 50;

export class Statistics {
  constructor() {
    this.messagesSent = 0;
    this.messagesReceived = 0;
    this.bytesSent = 0;
    this.bytesReceived = 0;
    this.changesSent = 0;
    this.changesReceived = 0;
    this.rejected = 0;
    this.connects = 0;
    this.reconnects = 0;
    /** Of pings, in milliseconds. @type {number[]} */
    this.pings = [];
    /** Of pushes, until their verdicts. @type {number[]} */
    this.pushes = [];
  }

  /** @param {number} bytes @param {import('./types.js').Message} message */
  sent(bytes, message) {
    this.messagesSent++;
    this.bytesSent += bytes;
    this.changesSent += message.changes?.length ?? 0;
  }

  /** @param {number} bytes @param {import('./types.js').Message} message */
  received(bytes, message) {
    this.messagesReceived++;
    this.bytesReceived += bytes;
    this.changesReceived += message.changes?.length ?? 0;
  }

  /** @param {'pings' | 'pushes'} kind @param {number} ms */
  took(kind, ms) {
    this[kind].push(ms);
    if (this[kind].length > KEPT)
      this[kind].shift();
  }

  snapshot() {
    const { pings, pushes, ...counts } = this;
    return { ...counts, ping: spread(pings), push: spread(pushes) };
  }
}

/** @param {number[]} values */
function spread(values) {
  if (!values.length)
    return null;
  const sorted = [...values].sort((a, b) => a - b);
  return { last: values[values.length - 1], median: sorted[sorted.length >> 1], most: sorted[sorted.length - 1] };
}
