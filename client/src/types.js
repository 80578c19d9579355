/*
 * types.js
 *     The shapes that modules share: what is kept, what is said on the wire
 *     (docs/protocol.md), and what the world is made of that is handed in.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/**
 * The fields of a record.
 * @typedef {Record<string, any>} Fields
 */

/** @typedef {'put' | 'patch' | 'delete'} Kind */

/**
 * What the server said of a record (record.js).
 * @typedef {object} Base
 * @property {number} seq  the number up to which fields are as the server had them
 * @property {Fields | null} fields  null: there is no such record
 * @property {Record<string, number>} [marks]  fields known as of later numbers
 */

/**
 * A change of this device that has no verdict yet.
 * @typedef {object} Change
 * @property {number} number
 * @property {Kind} kind
 * @property {string} collection
 * @property {string} id
 * @property {Fields} [fields]
 * @property {string} clock
 * @property {number} base
 * @property {number} epoch  of the base
 * @property {number} at  when it was made, by this device's clock
 * @property {string[]} [origins]  the requests of other tabs that it answers
 */

/**
 * @typedef {object} Verdict
 * @property {number} number
 * @property {'applied' | 'merged' | 'stale' | 'rejected'} verdict
 * @property {number} [seq]
 * @property {Fields} [fields]
 * @property {string[]} [removed]  fields that were sent, and that the record does not have
 * @property {true} [deleted]
 * @property {string} [code]
 * @property {string} [reason]
 * @property {true} [replay]
 */

/** @typedef {{epoch?: number, seq: number, seen?: number}} Cursor */

/**
 * A message of the relay; which keys there are depends on its type.
 * @typedef {Record<string, any> & {type: string}} Message
 */

/**
 * What is kept besides records and outbox.
 * @typedef {object} Meta
 * @property {string} [device]
 * @property {string} [user]
 * @property {Cursor} [cursor]
 * @property {number} [number]  the last number that was given to a change
 * @property {string} [clock]
 * @property {Record<string, number[]>} [refused]  by record, what to discard with its next change
 * @property {boolean} [over]  the records are of a lost history: drop them with the next page
 */

/**
 * What one transaction of a storage writes. null removes.
 * @typedef {object} Batch
 * @property {boolean} clear  drop everything first
 * @property {Map<string, {collection: string, id: string, base: Base | null}>} records
 * @property {Map<number, Change | null>} outbox
 * @property {Meta} meta
 */

/**
 * Where things are kept: storage_memory.js, storage_indexeddb.js.
 * @typedef {object} Storage
 * @property {boolean} lasting  whether it outlives the page
 * @property {() => Promise<{records: {collection: string, id: string, base: Base}[], outbox: Change[], meta: Meta}>} open
 *   reads all; whoever opened before may write no more
 * @property {(batch: Batch) => Promise<void>} write
 * @property {() => Promise<void>} close
 */

/**
 * The clock of the world, so that tests can turn it.
 * @typedef {object} Time
 * @property {() => number} now
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * @typedef {object} SocketLike
 * @property {(text: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 */

/**
 * How much of a list is asked for: the latest so many, 100 if nothing is said;
 * those below a number of history, or below an id of a conflict.
 * @typedef {{limit?: number, before?: number}} Page
 */

/**
 * A change of a record, as history has it.  What is not known is left out.
 * @typedef {object} HistoryChange
 * @property {number} seq  its number in the feed
 * @property {string} at  when it came to the server
 * @property {Kind} kind  put: the record was not there
 * @property {'push' | 'sql' | 'trigger' | 'resolve'} origin  a device, a program, what followed from another change, a decision
 * @property {string} [device]
 * @property {string} [session]
 * @property {string} [type]  of an event
 * @property {Record<string, {from?: any, to?: any}>} changes  a side is missing where the field was not there
 * @property {string} [rule]
 * @property {Record<string, string>} [field_rules]
 * @property {'applied' | 'merged'} [verdict]
 * @property {number[]} [conflicts]
 * @property {string} clock
 * @property {number} [base]
 * @property {string} [erased_at]  its values were erased then
 */

/**
 * Two changes that did not know of each other, where a value lost.
 * @typedef {object} Conflict
 * @property {number} id
 * @property {string} at
 * @property {string} collection
 * @property {string} record
 * @property {string} [field]  missing: it is about the record as a whole
 * @property {string} rule
 * @property {'stored' | 'incoming' | 'open'} outcome  which side stands; open: the stored one, until somebody decides
 * @property {any} [stored]  missing: it was not there, or deleted
 * @property {string} stored_clock
 * @property {string} [stored_device]
 * @property {number} [stored_seq]
 * @property {any} [incoming]  missing: it was not there, or deleted
 * @property {string} incoming_clock
 * @property {string} [incoming_device]
 * @property {number} [incoming_seq]
 * @property {number} [number]
 * @property {number} [base]
 */

/** @typedef {{choose: 'stored' | 'incoming'} | {value: any}} Decision */

export {};
