/*
 * debug_css.js
 *     How <mirusync-debug> looks.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
export const DEBUG_CSS = `
:host { container-type: inline-size; font-size: var(--mirusync-size, 13px); }
.panel { border: 1px solid var(--line); border-radius: calc(var(--radius) * 1.2); background: var(--ground); overflow: clip; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .2em 1em; padding: .85em 1.1em; border-block-end: 1px solid var(--line); background: var(--raised); }
header h2 { font-size: 1.12em; }
.said { color: var(--muted); flex: 1; overflow-wrap: anywhere; }
.tools { display: flex; flex-wrap: wrap; gap: 1em 2em; padding: 1em 1.1em; }
legend, label > span { padding: 0; color: var(--muted); font-size: .9em; }
legend { margin-block-end: .35em; font-weight: 550; }
.group { display: flex; flex-wrap: wrap; gap: .5em; align-items: center; }
label { display: inline-flex; align-items: center; gap: .45em; }
.field { min-height: 2.15em; padding: .15em .55em; }
.group .field { width: 9em; }
.group .number { width: 4.8em; }
.button { min-height: 2.15em; padding: .2em .75em; }
.sure { display: flex; flex-wrap: wrap; align-items: center; gap: .6em .8em; margin: 0 1.1em 1em; padding: .8em 1em; border: 1px solid var(--bad); border-radius: var(--radius); background: color-mix(in srgb, var(--bad) 7%, var(--ground)); }
.sure .icon { color: var(--bad); }
.sure p { flex: 1 1 16em; }
.following { padding: 0 1.1em 1em; }
.columns { display: grid; gap: 0 2.5em; padding: .9em 1.1em; border-block-start: 1px solid var(--line); }
.columns h3, .bar h3 { font-size: .9em; font-weight: 550; color: var(--muted); }
@container (min-width: 38em) { .columns { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); } }
.facts { margin-block: .35em .6em; }
.facts > div { display: grid; grid-template-columns: 8em minmax(0, 1fr); gap: .8em; padding-block: .16em; }
dt { color: var(--muted); }
dd { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: .5em; padding: .7em 1.1em; border-block: 1px solid var(--line); background: var(--raised); }
.bar h3 { margin-inline-end: .5em; }
.bar [type=search] { flex: 1 1 8em; min-width: 6em; }
.frame { position: relative; }
.rows { height: var(--mirusync-log-height, 20em); overflow: auto; font-family: var(--mono); font-size: .92em; line-height: 1.5; overscroll-behavior: contain; }
.rows:focus-visible { outline-offset: -2px; }
.none { position: absolute; inset: 0; display: grid; place-items: center; pointer-events: none; }
.rows > li { border-block-end: 1px solid color-mix(in srgb, var(--line) 55%, transparent); }
.line { display: grid; grid-template-columns: 7.2em 1.3em 6.6em minmax(0, 1fr); gap: .7em; align-items: baseline; padding: .22em 1.1em; }
summary { cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary:hover, details[open] summary { background: var(--raised); }
summary:focus-visible { outline-offset: -2px; }
time { color: var(--muted); font-variant-numeric: tabular-nums; }
.direction { align-self: center; display: grid; }
.direction .icon { width: 1.15em; height: 1.15em; }
.sent { color: var(--accent); }
.received { color: var(--good); }
.http { color: var(--wait); }
.event { color: var(--bad); }
.connection { color: var(--muted); }
.type { font-weight: 600; overflow-wrap: anywhere; }
.summary { color: var(--muted); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
pre { margin: 0; padding: .5em 1.1em .9em 3em; background: var(--raised); white-space: pre-wrap; overflow-wrap: anywhere; }
@container (max-width: 34em) {
  .line { grid-template-columns: auto auto minmax(0, 1fr); gap: .1em .6em; }
  .summary { grid-column: 1 / -1; white-space: normal; }
  .summary:empty { display: none; }
}
`;
