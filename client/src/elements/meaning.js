/*
 * meaning.js
 *     What a status means for a person, in words.  Pure: the indicator draws it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { ago } from './time.js';

/** @typedef {import('../client.js').Status} Status */

/**
 * @typedef {'synced' | 'sending' | 'slow' | 'receiving' | 'connecting' | 'offline' | 'stopped' | 'paused' | 'off'
 *   | 'signed-out' | 'none'} Kind
 */

/**
 * @typedef {object} Meaning
 * @property {Kind} kind
 * @property {'good' | 'wait' | 'bad' | 'off'} tone
 * @property {string} title
 * @property {string} detail  one sentence more
 * @property {string} reason  why, or nothing
 * @property {string} unsent  how much, and since when
 * @property {number} count  of it
 * @property {string} synced  when last
 * @property {'retry' | 'connect' | 'sign-in' | null} action
 * @property {string} key  changes when what is meant does, not with each number
 * @property {string} announcement
 */

/** What the indicator says. Replace any of it by its property texts. */
export const INDICATOR_TEXTS = {
  /** Of ages and numbers. */
  locale: 'en',
  now: 'just now',
  label: 'Sync',
  synced: 'Up to date',
  syncedDetail: 'Everything is saved and synced.',
  sending: 'Saving…',
  sendingDetail: 'Your changes are on their way.',
  slow: 'Still saving',
  slowDetail: 'The server takes longer than usual. Your changes are kept until it answers.',
  receiving: 'Getting changes…',
  receivingDetail: 'What others have changed is on its way.',
  connecting: 'Connecting…',
  offline: 'Offline',
  offlineDetail: 'Go on working. It connects again by itself.',
  stopped: 'Sync has stopped',
  paused: 'Offline',
  pausedDetail: 'Go on working. Sync is not running.',
  off: 'Sync is off',
  offDetail: 'Your work stays on this device.',
  signedOut: 'Sign in to sync',
  signedOutDetail: 'Go on working. Sign in to send your changes.',
  none: 'No sync',
  kept: 'Your changes are kept on this device.',
  unkept: 'Keep this page open: unsent changes would be lost with it.',
  unsentShort: (/** @type {number} */ count) => `${count} unsent`,
  unsentLabel: 'Not sent yet',
  unsentNone: 'Nothing',
  changes: (/** @type {number} */ count) => (count === 1 ? '1 change' : `${count} changes`),
  unsentSince: (/** @type {string} */ changes, /** @type {string} */ age) => `${changes}, the oldest ${age}`,
  syncedLabel: 'Last synced',
  never: 'Not yet',
  reasonLabel: 'Reason',
  retry: 'Try again',
  connect: 'Connect',
  signIn: 'Sign in',
  trying: 'Trying…',
  close: 'Close',
  noNetwork: 'This device has no network.',
  slowWay: 'This network blocks live connections, so changes come every few seconds.',
  /** By the status's reason; what is not here is shown as it is. @type {Record<string, string>} */
  reasons: {
    silent: 'The server does not answer.',
    unreachable: 'The server cannot be reached.',
    timeout: 'The server took too long to answer.',
    no_socket: 'This browser could not open a connection.',
    closed: 'The connection was closed.',
    lost: 'The connection was lost.',
    cut: 'The connection was cut for a test.',
    hole: 'Something was missing, so it is fetched again.',
    unauthorized: 'Your sign-in is no longer valid.',
    no_token: 'You are not signed in.',
    token_provider: 'Your sign-in could not be checked.',
    user_changed: 'Another user has signed in.',
    storage_lost: 'What was stored on this device is gone.',
    lost_lead: 'Another tab has taken over.',
    wiped: 'What was stored on this device was removed.',
    switched_off: 'Sync is switched off on this device.',
    by_request: 'Sync was paused.',
    not_connected: 'Sync was not started.',
    refused: 'The server refuses this device.',
    busy: 'The server is busy.',
    unavailable: 'The server is not available.',
    internal: 'The server had a problem.',
    shutting_down: 'The server restarts.',
    too_many: 'Too many devices are connected.',
    forbidden: 'You may not sync here.',
  },
};

/** @typedef {typeof INDICATOR_TEXTS} IndicatorTexts */

/* The server mostly answers within a fraction of a second. */
const SLOW_MS = 15000;

/** Reasons that say no more than the state does. */
const PLAIN = new Set(['', 'not_connected']);

/**
 * reasonOf is why it is not connected, in words.
 * @param {Status} status
 * @param {IndicatorTexts} texts
 * @param {boolean} online
 */
export function reasonOf({ state, reason }, texts, online) {
  if (!online && (state === 'reconnecting' || state === 'connecting'))
    return texts.noNetwork;
  if (state === 'connected')
    return '';
  if (Object.hasOwn(texts.reasons, reason))
    return PLAIN.has(reason) && state !== 'disconnected' ? '' : texts.reasons[reason];
  return /^closed_\d+$/.test(reason) ? texts.reasons.lost : reason;
}

/**
 * kindOf sorts a status.
 * @param {Status} status
 * @param {number} now
 * @returns {Kind}
 */
export function kindOf({ state, reason, unsent, unsentSince, caughtUp }, now) {
  switch (state) {
    case 'connected':
      if (unsent)
        return unsentSince !== null && now - unsentSince > SLOW_MS ? 'slow' : 'sending';
      return caughtUp ? 'synced' : 'receiving';
    case 'connecting':
      return 'connecting';
    case 'reconnecting':
      return 'offline';
    case 'needs-auth':
      return 'signed-out';
    default:
      if (reason === 'switched_off')
        return 'off';
      return reason === 'not_connected' || reason === 'by_request' || reason === 'lost_lead' || reason === 'closed' || reason === 'wiped' ? 'paused' : 'stopped';
  }
}

/** @type {Record<Kind, Meaning['tone']>} */
const TONES = {
  synced: 'good', sending: 'good', receiving: 'good', slow: 'wait', connecting: 'wait', offline: 'wait',
  paused: 'off', off: 'off', none: 'off', stopped: 'bad', 'signed-out': 'bad',
};

/** @type {Record<Kind, keyof IndicatorTexts>} */
const TITLES = {
  synced: 'synced', sending: 'sending', receiving: 'receiving', slow: 'slow', connecting: 'connecting', offline: 'offline',
  paused: 'paused', off: 'off', none: 'none', stopped: 'stopped', 'signed-out': 'signedOut',
};

/** @type {Partial<Record<Kind, Meaning['action']>>} */
const ACTIONS = { offline: 'retry', stopped: 'retry', paused: 'connect', 'signed-out': 'sign-in' };

/** isInSync: all that there was on either side has been exchanged. @param {Status} status */
export const isInSync = ({ state, caughtUp, unsent }) => state === 'connected' && caughtUp && !unsent;

/**
 * meaningOf says what a status means.
 * @param {Status | null} status
 * @param {{now: number, synced: number | null, online: boolean, texts: IndicatorTexts}} world
 *   synced: when all was last in sync
 * @returns {Meaning}
 */
export function meaningOf(status, { now, synced, online, texts }) {
  if (!status)
    return { kind: 'none', tone: 'off', title: texts.none, detail: '', reason: '', unsent: '', count: 0, synced: '', action: null, key: 'none', announcement: '' };
  const kind = kindOf(status, now);
  const reason = reasonOf(status, texts, online);
  const { unsent: count, unsentSince } = status;
  const title = String(texts[TITLES[kind]]);
  const risk = count > 0 && !status.lasting;
  const said = /** @type {string | undefined} */ (texts[/** @type {keyof IndicatorTexts} */ (`${String(TITLES[kind])}Detail`)]);
  const detail = risk && TONES[kind] !== 'good' ? texts.unkept
    : kind === 'synced' && status.via === 'http' ? texts.slowWay : said ?? (count ? texts.kept : '');
  return {
    kind,
    tone: TONES[kind],
    title,
    detail,
    reason: kind === 'off' ? '' : reason,
    unsent: !count ? texts.unsentNone : unsentSince === null ? texts.changes(count)
      : texts.unsentSince(texts.changes(count), ago(unsentSince, now, texts)),
    count,
    synced: isInSync(status) ? texts.now : synced === null ? texts.never : ago(synced, now, texts),
    action: ACTIONS[kind] ?? null,
    key: `${kind} ${count > 0} ${risk}`,
    announcement: [title, count && TONES[kind] !== 'good' ? texts.unsentShort(count) : '', risk && TONES[kind] !== 'good' ? texts.unkept : ''].filter(Boolean).join('. '),
  };
}
