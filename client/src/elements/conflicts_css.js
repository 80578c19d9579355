/*
 * conflicts_css.js
 *     How <mirusync-conflicts> looks.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
export const CONFLICTS_CSS = `
:host { container-type: inline-size; }
.panel { display: grid; gap: 1em; padding: 1.15em; border: 1px solid var(--line); border-radius: calc(var(--radius) * 1.4); background: var(--ground); }
.title { display: flex; align-items: center; gap: .6em; }
.title h2 { font-size: 1.22em; letter-spacing: -.01em; }
header p { margin-block-start: .2em; text-wrap: pretty; }
.strong { font-weight: 600; }
.notice, .banner, .empty { display: flex; gap: .7em; align-items: center; padding: .75em .95em; border-radius: var(--radius); background: var(--raised); border: 1px solid var(--line); }
.notice { border: 0; background: color-mix(in srgb, var(--good) 11%, var(--ground)); }
.notice.trouble { background: color-mix(in srgb, var(--bad) 9%, var(--ground)); }
.notice:empty { position: absolute; padding: 0; }
.banner .icon { color: var(--wait); }
.banner.trouble .icon { color: var(--bad); }
.banner p { flex: 1; overflow-wrap: anywhere; }
.empty { padding: 1.4em 1.2em; border-style: dashed; background: none; }
.empty .icon { width: 2em; height: 2em; color: var(--good); }
.list { display: grid; gap: 1em; }
.list:empty { display: none; }
.card { border: 1px solid var(--line); border-radius: calc(var(--radius) * 1.2); background: var(--ground); overflow: clip; }
.about { display: flex; flex-wrap: wrap; align-items: center; gap: .3em 1em; padding: .85em 1.1em; border-block-end: 1px solid var(--line); background: var(--raised); }
.names { flex: 1 1 12em; min-width: 0; }
.names h3 { font-size: 1.07em; overflow-wrap: anywhere; }
.names > span { display: block; }
.quick { display: flex; flex-wrap: wrap; margin-inline: -.5em; }
.fields { display: grid; padding-inline: 1.1em; }
.choice { padding-block: 1.05em .5em; border-block-end: 1px solid var(--line); }
.choice:last-child { border-block-end: 0; }
.name { float: inline-start; display: flex; flex-wrap: wrap; align-items: center; gap: .3em .7em; width: 100%; padding: 0; margin-block-end: .6em; font-weight: 600; overflow-wrap: anywhere; }
.tag.muted { font-weight: 500; }
.options { clear: both; display: grid; grid-template-columns: minmax(0, 1fr); gap: .6em; }
@container (min-width: 34em) { .options { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .75em; } }
.option, .edit { display: grid; align-content: start; gap: .1em; min-width: 0; border: 1px solid var(--line); border-radius: var(--radius); transition: border-color .12s, background-color .12s; }
.option { padding: .7em .85em .8em; cursor: pointer; }
.option:hover { border-color: var(--edge); }
.option.chosen, .edit.chosen { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); background: color-mix(in srgb, var(--accent) 6%, var(--ground)); }
.option:has(:focus-visible) { outline: 2px solid var(--accent); outline-offset: 2px; }
.option :focus-visible[type=radio] { outline: 0; }
.settled .option, .settled .edit, .settled label { cursor: default; color: var(--muted); }
.settled .option:hover { border-color: var(--line); }
.settled .chosen, .settled .chosen:hover { border-color: var(--edge); box-shadow: none; background: none; }
.who { display: flex; align-items: center; gap: .55em; font-weight: 550; min-width: 0; }
.writer { overflow-wrap: anywhere; min-width: 0; }
.who .tag { margin-inline-start: auto; }
input[type=radio] { accent-color: var(--accent); width: 1.1em; height: 1.1em; flex: none; }
.when { padding-inline-start: 1.875em; }
.when:empty { display: none; }
.value, .long, .record { display: block; min-width: 0; }
.value { margin-block-start: .4em; padding-inline-start: 1.65em; overflow-wrap: anywhere; white-space: pre-wrap; }
.long .button { margin-inline-start: 1.05em; justify-self: start; }
.wordless { font-style: italic; }
.code { font-family: var(--mono); font-size: .86em; white-space: pre-wrap; }
mark { color: inherit; background: color-mix(in srgb, var(--wait) 15%, transparent); text-decoration: underline 1.5px var(--wait); text-underline-offset: 2.5px; border-radius: 2px; }
.pair { display: block; }
.differs { text-decoration: underline 1.5px var(--wait); text-underline-offset: 2.5px; }
.edit { margin-block-start: .6em; }
.edit:not(.chosen) { margin-block-start: .2em; border-color: transparent; }
.edit:not(.chosen) label { font-weight: 400; color: var(--muted); }
.edit label { padding: .55em .85em; cursor: pointer; }
.edit .field { margin: 0 .85em .8em 2.4em; width: auto; max-width: 100%; resize: vertical; }
.edit input.field, .edit select.field { justify-self: start; min-width: 9em; }
.field[aria-invalid=true] { border-color: var(--bad); }
.now { margin-block-start: .6em; overflow-wrap: anywhere; }
.problem { display: flex; gap: .5em; align-items: flex-start; margin-block-start: .6em; overflow-wrap: anywhere; }
footer { display: flex; flex-wrap: wrap; align-items: center; gap: .5em .9em; padding: .85em 1.1em; border-block-start: 1px solid var(--line); }
.more { justify-self: center; }
@container (max-width: 26em) { .panel { padding: .9em .75em; } .about, .fields, footer { padding-inline: .85em; } }
`;
