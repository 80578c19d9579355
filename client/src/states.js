/*
 * states.js
 *     The states of the connection, as data: what each event leads to in each
 *     state, and what is then done, in order (connection.js).
 *
 * An event that does not stand with a state has no effect there.  Invariants,
 * which test/states.test.mjs walks: a socket is there in opening, greeting and
 * live only; a retry is due in waiting and polling only, so every road back to
 * a socket leads through a wait or a person.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/**
 * @typedef {'idle' | 'authorizing' | 'opening' | 'probing' | 'greeting' | 'live' | 'waiting'
 *   | 'polling' | 'unauthorized'} State
 */

/**
 * connect, disconnect: somebody wishes it
 * token, no_token: what the token provider gave
 * opened: the socket is open; welcome: the relay greeted
 * lost: the socket closed, or could not be had; or nobody answers
 * denied: the user must sign in again
 * refused: the relay does not want to see us again
 * blocked: no socket may be had, HTTP works
 * retry: the wait is over; wake: the browser is online, or the page visible, again
 * @typedef {'connect' | 'disconnect' | 'token' | 'no_token' | 'opened' | 'welcome' | 'lost'
 *   | 'denied' | 'refused' | 'blocked' | 'retry' | 'wake'} Event
 */

/**
 * authorize: ask for a token         open: open a socket
 * hello: say hello                   begin: data may flow
 * drop: away with socket and token   probe: ask over HTTP why no socket is to be had
 * wait: have a retry come            cancel: do not
 * poll: exchange over HTTP           rest: do not
 * check: is anybody there?
 * @typedef {'authorize' | 'open' | 'hello' | 'begin' | 'drop' | 'probe' | 'wait' | 'cancel'
 *   | 'poll' | 'rest' | 'check'} Action
 */

/** @type {Record<State, Partial<Record<Event, [State, ...Action[]]>>>} */
export const TABLE = {
  idle: {
    connect: ['authorizing', 'authorize'],
  },
  authorizing: {
    token: ['opening', 'open'],
    no_token: ['unauthorized', 'drop', 'rest'],
    lost: ['waiting', 'drop', 'rest', 'wait'],
    disconnect: ['idle', 'drop', 'rest'],
  },
  opening: {
    opened: ['greeting', 'hello'],
    lost: ['probing', 'drop', 'probe'],
    denied: ['unauthorized', 'drop', 'rest'],
    refused: ['idle', 'drop', 'rest'],
    disconnect: ['idle', 'drop', 'rest'],
  },
  probing: {
    lost: ['waiting', 'rest', 'wait'],
    denied: ['unauthorized', 'rest'],
    blocked: ['polling', 'poll', 'wait'],
    disconnect: ['idle', 'drop', 'rest'],
  },
  greeting: {
    welcome: ['live', 'rest', 'begin'],
    lost: ['waiting', 'drop', 'rest', 'wait'],
    denied: ['unauthorized', 'drop', 'rest'],
    refused: ['idle', 'drop', 'rest'],
    blocked: ['polling', 'drop', 'poll', 'wait'],
    disconnect: ['idle', 'drop', 'rest'],
  },
  live: {
    lost: ['waiting', 'drop', 'wait'],
    denied: ['unauthorized', 'drop'],
    refused: ['idle', 'drop'],
    blocked: ['polling', 'drop', 'poll', 'wait'],
    wake: ['live', 'check'],
    disconnect: ['idle', 'drop'],
  },
  waiting: {
    retry: ['authorizing', 'authorize'],
    wake: ['authorizing', 'cancel', 'authorize'],
    disconnect: ['idle', 'cancel'],
  },
  polling: {
    retry: ['authorizing', 'authorize'],
    wake: ['authorizing', 'cancel', 'authorize'],
    lost: ['waiting', 'cancel', 'rest', 'wait'],
    denied: ['unauthorized', 'cancel', 'rest'],
    refused: ['idle', 'cancel', 'rest'],
    disconnect: ['idle', 'cancel', 'rest'],
  },
  unauthorized: {
    connect: ['authorizing', 'authorize'],
    disconnect: ['idle'],
  },
};

/**
 * nameOf is what the application is told.
 * @param {State} state
 * @param {{again: boolean, polling: boolean}} how  whether there was a connection
 *   or an attempt before; whether data flows over HTTP meanwhile
 * @returns {'connecting' | 'connected' | 'reconnecting' | 'disconnected' | 'needs-auth'}
 */
export function nameOf(state, { again, polling }) {
  if (state === 'idle')
    return 'disconnected';
  if (state === 'unauthorized')
    return 'needs-auth';
  if (state === 'live' || polling)
    return 'connected';
  return again ? 'reconnecting' : 'connecting';
}
