/*
 * theme.js
 *     The look that the components share.  Each colour is a custom property of
 *     the page first (--mirusync-…), then ours, for light and for dark.
 *
 * The scheme is the system's, or the attribute theme's; a page that sets
 * color-scheme on the element itself wins over both.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
export const THEME = `
:host {
  color-scheme: light dark;
  --ground: var(--mirusync-ground, light-dark(#ffffff, #171c25));
  --raised: var(--mirusync-raised, light-dark(#f6f7f9, #1f2632));
  --line: var(--mirusync-line, light-dark(#dfe3ea, #323c4c));
  --edge: var(--mirusync-edge, light-dark(#868fa0, #7b879a));
  --text: var(--mirusync-text, light-dark(#1b2330, #e8ecf3));
  --muted: var(--mirusync-muted, light-dark(#596376, #a3aec0));
  --accent: var(--mirusync-accent, light-dark(#2459c4, #82adff));
  --on-accent: var(--mirusync-on-accent, light-dark(#ffffff, #0c1526));
  --good: var(--mirusync-good, light-dark(#14724a, #57cf98));
  --wait: var(--mirusync-wait, light-dark(#8f5300, #f2b75d));
  --bad: var(--mirusync-bad, light-dark(#b3261e, #ff8d84));
  --radius: var(--mirusync-radius, 10px);
  --font: var(--mirusync-font, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif);
  --mono: var(--mirusync-mono, ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace);
  --shadow: 0 1px 2px light-dark(rgb(16 24 40 / 7%), rgb(0 0 0 / 40%)), 0 10px 28px light-dark(rgb(16 24 40 / 10%), rgb(0 0 0 / 38%));
  display: block;
  color: var(--text);
  font: 400 var(--mirusync-size, 14px)/1.45 var(--font);
  text-align: start;
  -webkit-text-size-adjust: 100%;
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([hidden]), [hidden] { display: none !important; }
*, ::before, ::after { box-sizing: border-box; }
p, h2, h3, ul, ol, dl, dd, fieldset, figure { margin: 0; padding: 0; border: 0; min-width: 0; }
ul, ol { list-style: none; }
h2, h3 { font-size: 1em; font-weight: 600; line-height: 1.35; }
button, input, select, textarea { font: inherit; color: inherit; margin: 0; }
.icon { width: 1.3em; height: 1.3em; flex: none; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.muted { color: var(--muted); }
.small { font-size: .88em; }
.good { color: var(--good); }
.wait { color: var(--wait); }
.bad { color: var(--bad); }
.aside { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.button {
  display: inline-flex; align-items: center; justify-content: center; gap: .4em; min-height: 2.3em; padding: .3em .85em;
  border: 1px solid var(--line); border-radius: calc(var(--radius) * .7); background: var(--ground); color: var(--text);
  font-weight: 550; white-space: nowrap; cursor: pointer; transition: background-color .12s, border-color .12s;
}
.button:hover:not(:disabled, [aria-disabled="true"]) { border-color: var(--edge); background: var(--raised); }
.button:disabled, .button[aria-disabled="true"] { color: var(--muted); background: var(--raised); cursor: default; }
.button.primary { border-color: var(--accent); background: var(--accent); color: var(--on-accent); }
.button.primary:hover:not(:disabled, [aria-disabled="true"]) { background: color-mix(in srgb, var(--accent) 88%, var(--text)); border-color: transparent; }
.button.primary:disabled, .button.primary[aria-disabled="true"] { border-color: var(--line); background: var(--raised); color: var(--muted); }
.button.danger { color: var(--bad); }
.button.plain { border-color: transparent; background: none; color: var(--accent); padding-inline: .5em; }
.button.plain:hover:not(:disabled, [aria-disabled="true"]) { background: var(--raised); border-color: transparent; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.field { min-height: 2.3em; padding: .3em .6em; border: 1px solid var(--edge); border-radius: calc(var(--radius) * .7); background: var(--ground); }
.tag {
  display: inline-flex; align-items: center; gap: .3em; padding: .06em .6em; border-radius: 99px; background: color-mix(in srgb, currentColor 11%, var(--ground));
  font-size: .82em; font-weight: 600; white-space: nowrap;
}
@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after { animation: none !important; transition: none !important; }
}
@media (forced-colors: active) {
  .button, .tag, .field { border: 1px solid ButtonText; }
}
`;
