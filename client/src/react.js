/*
 * react.js
 *     Hooks: a component that uses them shows what is there, and shows it again
 *     when it changes.  And the web components, as React's.
 *
 * An element is loaded when it is first shown, so that hooks alone stay small.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { createElement, useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from 'react';
import { select } from './collection.js';

/** @typedef {import('./client.js').Client} Client */
/** @typedef {import('./types.js').Fields} Fields */

/**
 * useSync gives the status: state, unsent, since when.
 * @param {Client} client
 */
export function useSync(client) {
  const subscribe = useCallback((/** @type {() => void} */ changed) => client.on('status', changed), [client]);
  const status = () => client.status;
  return useSyncExternalStore(subscribe, status, status);
}

/**
 * useCollection gives records by a filter, in an order.  The array is the same
 * until a record changes or the query does.
 * @example const open = useCollection(client, 'note', { where: { done: false }, order: 'title' });
 * @template {Fields} [T=Fields]
 * @param {Client} client
 * @param {string} name
 * @param {import('./collection.js').Query<T>} [query]
 * @returns {T[]}
 */
export function useCollection(client, name, query = {}) {
  const collection = /** @type {import('./collection.js').Collection<T>} */ (client.collection(name));
  const records = useSyncExternalStore(collection.subscribe, collection.getSnapshot, collection.getSnapshot);
  /* A query is mostly written out anew at each render; one of data only is known by what it says. */
  const data = typeof query.where !== 'function' && typeof query.order !== 'function';
  return useMemo(() => select(records, query), [records, data ? JSON.stringify(query) : query]);
}

/**
 * useRecord gives one record, or undefined.
 * @template {Fields} [T=Fields]
 * @param {Client} client
 * @param {string} name
 * @param {string | number} id
 * @returns {T | undefined}
 */
export function useRecord(client, name, id) {
  const collection = /** @type {import('./collection.js').Collection<T>} */ (client.collection(name));
  const record = () => collection.get(id);
  return useSyncExternalStore(collection.subscribe, record, record);
}

/**
 * What may be given to a component besides the attributes of its element.
 * @typedef {{client: Client} & Record<string, any>} ElementProps
 */

/**
 * wrap makes a component of an element: objects and functions are its
 * properties, functions whose name begins with on are listeners, and the rest
 * are attributes.
 * @param {string} tag
 * @param {() => Promise<any>} load
 */
function wrap(tag, load) {
  return (/** @type {ElementProps} */ props) => {
    /** @type {import('react').RefObject<any>} */
    const ref = useRef(null);
    /** @type {Record<string, any>} */
    const attributes = {};
    /** @type {Record<string, any>} */
    const properties = {};
    /** @type {Record<string, (event: any) => void>} */
    const listeners = {};
    for (const [name, value] of Object.entries(props))
      if (/^on[A-Z]/.test(name))
        listeners[name[2].toLowerCase() + name.slice(3)] = value;
      else if (name !== 'style' && ((typeof value === 'object' && value) || typeof value === 'function'))
        properties[name] = value;
      else
        attributes[name === 'className' ? 'class' : name === 'openOnly' ? 'open-only' : name] = value === true ? '' : value === false ? undefined : value;
    const latest = useRef(listeners);
    latest.current = listeners;
    const types = Object.keys(listeners).sort().join(' ');
    useEffect(() => {
      load();
    }, []);
    useEffect(() => {
      for (const [name, value] of Object.entries(properties))
        if (ref.current[name] !== value)
          ref.current[name] = value;
    });
    useEffect(() => {
      const element = ref.current;
      const hear = (/** @type {Event} */ event) => latest.current[event.type]?.(event);
      const all = types.split(' ').filter(Boolean);
      for (const type of all)
        element.addEventListener(type, hear);
      return () => {
        for (const type of all)
          element.removeEventListener(type, hear);
      };
    }, [types]);
    return createElement(tag, { ref, ...attributes });
  };
}

/**
 * SyncIndicator shows whether all is synced (elements/indicator.js).
 * @example <SyncIndicator client={client} form="detailed" />
 */
export const SyncIndicator = wrap('mirusync-indicator', () => import('./elements/indicator.js'));

/**
 * ConflictPanel has a person decide conflicts (elements/conflicts.js).
 * @example <ConflictPanel client={client} collection="note" record={id} onResolved={close} />
 */
export const ConflictPanel = wrap('mirusync-conflicts', () => import('./elements/conflicts.js'));

/**
 * DebugPanel shows what goes on (elements/debug.js).
 * @example <DebugPanel client={client} collection="note" />
 */
export const DebugPanel = wrap('mirusync-debug', () => import('./elements/debug.js'));
