/*
 * clock.js
 *     The device's hybrid logical clock: milliseconds of the wall clock and a
 *     counter, so that what a device writes after it has seen something is
 *     later than that, and no two of its changes have the same clock.
 *
 * The server bounds a clock that is ahead of its own, but a device whose clock
 * is behind would lose every race.  So the wall clock is corrected by what the
 * server says the time is.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/* The server takes no more than this of a clock that is ahead. */
const AHEAD_MS = 60000;

/* Below this it is the way that the answer took. */
const OFFSET_MS = 1000;

const FORM = /^(.*Z)(?:\/([0-9a-f]{4}))?$/;

export class HybridClock {
  /** @param {() => number} now */
  constructor(now) {
    this.now = now;
    this.offset = 0;
    this.ms = 0;
    this.counter = 0;
  }

  /** next is later than all clocks that this device gave or saw. */
  next() {
    const wall = Math.floor(this.now() + this.offset);
    if (wall > this.ms) {
      this.ms = wall;
      this.counter = 0;
    } else if (++this.counter > 0xffff) {
      this.ms++;
      this.counter = 0;
    }
    return this.text();
  }

  text() {
    return `${new Date(this.ms).toISOString()}/${this.counter.toString(16).padStart(4, '0')}`;
  }

  /** see takes note of a clock from elsewhere. @param {string | undefined} text */
  see(text) {
    const found = FORM.exec(text ?? '');
    const ms = found ? Date.parse(found[1]) : NaN;
    const counter = parseInt(found?.[2] ?? '0', 16);
    if (ms > this.ms || (ms === this.ms && counter > this.counter)) {
      this.ms = ms;
      this.counter = counter;
    }
  }

  /** adjust takes over the server's time. @param {string} time */
  adjust(time) {
    const ms = Date.parse(time);
    const offset = ms - this.now();
    this.offset = Math.abs(offset) > OFFSET_MS ? offset : 0;
    /* A clock that once ran far ahead must not stay there for ever. */
    if (this.ms > ms + AHEAD_MS) {
      this.ms = ms + AHEAD_MS;
      this.counter = 0;
    }
  }
}
