/*
 * dom.js
 *     Making elements, and keeping lists of them in step with records.
 *
 * Text comes in as text nodes, never as markup.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/* h makes an element.  .names are properties, functions are listeners, the rest attributes. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('.'))
      element[name.slice(1)] = value;
    else if (typeof value === 'function')
      element.addEventListener(name, value);
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/* Outlines in a square of 20. */
const PATHS = {
  log: 'M4 4.5h12M4 10h12M4 15.5h7',
  repertoire: 'M7.5 15V4.5L16 3v10.5M7.5 15a2.2 2.2 0 1 1-2.2-2.2A2.2 2.2 0 0 1 7.5 15Zm8.5-1.5a2.2 2.2 0 1 1-2.2-2.2 2.2 2.2 0 0 1 2.2 2.2Z',
  plans: 'M3.5 5.5h13v11h-13zM3.5 9h13M7 3.5v3.5M13 3.5v3.5',
  back: 'M12 4.5 6.5 10l5.5 5.5',
  more: 'M10 4v12M4 10h12',
  less: 'M4 10h12',
  close: 'm5 5 10 10M15 5 5 15',
  trash: 'M4 6h12M8 6V4h4v2m2.5 0-.7 10.5H6.2L5.5 6M8.5 9v4.5M11.5 9v4.5',
  window: 'M11.5 3.5h5v5M16 4l-7 7M8.5 4.5h-4v11h11v-4',
  debug: 'M3.5 5.5h13v9.5h-13zM6 8.5l2 1.7-2 1.7M10 12.5h3.5',
  hard: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM7.6 8v.4M12.4 8v.4M7 13.3c.8-1.4 1.8-2 3-2s2.2.6 3 2',
  fine: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM7.6 8v.4M12.4 8v.4M7.2 12.5h5.6',
  great: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM7.6 8v.4M12.4 8v.4M7 11.5c.8 1.4 1.8 2.1 3 2.1s2.2-.7 3-2.1',
  check: 'm4.5 10.5 3.7 3.7L15.5 6',
  phone: 'M6 2.5h8v15H6zM9 15h2',
  laptop: 'M4 4.5h12v8.5H4zM2 15.5h16',
  database: 'M4 5.5v9c0 1.4 2.7 2.5 6 2.5s6-1.1 6-2.5v-9M16 5.5C16 6.9 13.3 8 10 8S4 6.9 4 5.5 6.7 3 10 3s6 1.1 6 2.5ZM4 10c0 1.4 2.7 2.5 6 2.5s6-1.1 6-2.5',
};

/* icon draws one; it says nothing to a screen reader. */
export function icon(name, kind = 'icon') {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('class', kind);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/* say sets a text, and leaves alone what says it already. */
export function say(element, text) {
  if (element.textContent !== text)
    element.textContent = text;
}

const kept = new WeakMap();

/*
 * keyed has the container's children stand for items: one element for each key,
 * made once, moved where the order says, and filled anew.
 */
export function keyed(container, items, { key, make, fill }) {
  const before = kept.get(container) ?? new Map();
  const now = new Map();
  let place = container.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const element = before.get(name) ?? make(item);
    before.delete(name);
    now.set(name, element);
    if (element === place)
      place = place.nextElementSibling;
    else
      container.insertBefore(element, place);
    fill(element, item);
  }
  for (const element of before.values())
    element.remove();
  kept.set(container, now);
}

/* toast tells something at the bottom for a while; the action is a button. */
export function toast(text, action, run) {
  const place = document.querySelector('#toasts');
  const element = h('div', { class: 'toast' }, h('span', {}, text), action && h('button', {
    type: 'button',
    class: 'plain',
    click: () => {
      element.remove();
      run();
    },
  }, action));
  place.replaceChildren(element);
  const wait = () => {
    setTimeout(() => (element.matches(':hover, :focus-within') ? wait() : element.remove()), 7000);
  };
  wait();
}
