/*
 * fault.js
 *     The errors of this package, told apart by their code.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/**
 * @typedef {'outbox_full' | 'storage_full' | 'storage_failed' | 'too_large' | 'wrong_use'
 *   | 'closed' | 'lost_lead' | 'unreachable' | 'unauthorized' | 'refused'} FaultCode
 */

export class SyncError extends Error {
  /**
   * @param {FaultCode} code
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(code, message, cause) {
    super(message);
    this.name = 'SyncError';
    this.code = code;
    this.cause = cause;
  }
}
