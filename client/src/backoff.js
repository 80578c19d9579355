/*
 * backoff.js
 *     How long to wait before the next attempt: at random between a little and
 *     1, 2, 4 … 30 seconds, so that devices that lost one relay together do
 *     not come back together.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

const FIRST_MS = 1000;
const MAX_MS = 30000;

/* Full jitter may give nothing; even then there is no tight loop. */
export const LEAST_MS = 100;

export class Backoff {
  /** @param {() => number} random  from 0 to 1 */
  constructor(random) {
    this.random = random;
    this.attempt = 0;
  }

  /** next is the wait before one more attempt. */
  next() {
    const most = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(this.attempt++, 10));
    return LEAST_MS + Math.floor(this.random() * (most - LEAST_MS));
  }

  reset() {
    this.attempt = 0;
  }
}
