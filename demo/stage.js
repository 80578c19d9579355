/*
 * stage.js
 *     The page with both devices: each is a frame with the same application,
 *     below them is a line of SQL.
 *
 * The key to the SQL line comes behind # in the address that the terminal shows.
 * It is kept for this window, and taken out of the address.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { Guide } from './guide.js';
import { SqlLine } from './sql_line.js';

const $ = (selector) => document.querySelector(selector);

/* sqlKey gives the key that came with the address, or was kept. */
function sqlKey() {
  const [, given] = /^#sql=([\w-]+)$/.exec(location.hash) ?? [];
  if (given) {
    sessionStorage.setItem('sql', given);
    history.replaceState(null, '', location.pathname);
  }
  return given ?? sessionStorage.getItem('sql') ?? '';
}

/* On a narrow screen one thing is shown at a time. */
const tabs = [...document.querySelectorAll('nav [data-show]')];

function show(name) {
  document.body.dataset.show = name;
  for (const tab of tabs)
    tab.setAttribute('aria-pressed', tab.dataset.show === name);
}

for (const tab of tabs)
  tab.addEventListener('click', () => show(tab.dataset.show));

new SqlLine(sqlKey());
new Guide([$('iframe.phone'), $('iframe.laptop')], show);
