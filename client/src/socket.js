/*
 * socket.js
 *     One WebSocket, JSON in and out.  After close() nothing more comes of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/**
 * @typedef {object} SocketListener
 * @property {() => void} opened
 * @property {(message: import('./types.js').Message, bytes: number) => void} message
 * @property {(code: number, reason: string) => void} closed
 */

/** @typedef {new (url: string, protocols: string[]) => import('./types.js').SocketLike} SocketClass */

export class Socket {
  /**
   * @param {SocketClass} WebSocket
   * @param {string} url
   * @param {SocketListener} listener
   */
  constructor(WebSocket, url, listener) {
    this.socket = new WebSocket(url, ['mirusync.v1']);
    this.socket.onopen = () => listener.opened();
    this.socket.onmessage = ({ data }) => listener.message(JSON.parse(data), data.length);
    this.socket.onclose = ({ code, reason }) => listener.closed(code, reason);
    /* What matters of an error is that a close follows. */
    this.socket.onerror = () => {};
  }

  /** @param {object} message @returns {number} */
  send(message) {
    const text = JSON.stringify(message);
    this.socket.send(text);
    return text.length;
  }

  close() {
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close(1000);
  }
}
