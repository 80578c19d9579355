/*
 * events.js
 *     Who wants to hear of what.
 *
 * A listener that throws harms no other: its error is thrown again where
 * nobody waits for it, so that the page's own error handling sees it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

export class Events {
  constructor() {
    /** @type {Map<string, Set<(event: any) => void>>} */
    this.listeners = new Map();
  }

  /**
   * on gives a function that ends it.
   * @param {string} type
   * @param {(event: any) => void} listener
   * @returns {() => void}
   */
  on(type, listener) {
    let all = this.listeners.get(type);
    if (!all)
      this.listeners.set(type, all = new Set());
    all.add(listener);
    return () => {
      all.delete(listener);
    };
  }

  /**
   * emit tells those who listen to type.
   * @param {string} type
   * @param {any} [event]
   */
  emit(type, event) {
    for (const listener of [...this.listeners.get(type) ?? []]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => { throw error; });
      }
    }
  }
}
