/*
 * credentials.js
 *     The token, and whoever gives fresh ones.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/** @typedef {string | (() => string | null | undefined | Promise<string | null | undefined>)} TokenSource */

export class Credentials {
  /** @param {TokenSource} source */
  constructor(source) {
    this.source = source;
    /** @type {string | null} */
    this.token = null;
  }

  /** fresh asks for a token; null if the user has to sign in. */
  async fresh() {
    this.token = (typeof this.source === 'function' ? await this.source() : this.source) || null;
    return this.token;
  }
}

/**
 * subjectOf is the user that a token names, if it can be read without its key.
 * The relay decides who it is; this only saves us from showing one user the
 * records of another meanwhile.
 * @param {string} token
 * @returns {string | undefined}
 */
export function subjectOf(token) {
  try {
    const text = atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    const { sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
    return typeof sub === 'string' ? sub : undefined;
  } catch {
    return undefined;
  }
}
