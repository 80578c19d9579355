/*
 * element.js
 *     What the components have in common: a shadow root with a shared
 *     stylesheet, the property client, texts that may be replaced, and
 *     listeners that end when the element leaves the page.
 *
 * Data comes into the page as text nodes and property values only, never as
 * markup; and there is no inline style, so the strictest policy (CSP) lets
 * the components be.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { THEME } from './theme.js';

/** @typedef {import('../client.js').Client} Client */
/** @typedef {Node | string | null | undefined | false} Child */

/* In Node, where pages are rendered, the modules can be imported. */
const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

/** By their text. @type {Map<string, CSSStyleSheet>} */
const sheets = new Map();

/** @param {string} css */
function sheetOf(css) {
  let sheet = sheets.get(css);
  if (!sheet) {
    sheets.set(css, sheet = new CSSStyleSheet());
    sheet.replaceSync(css);
  }
  return sheet;
}

/**
 * h makes an element.  Functions are listeners, what begins with a dot is a
 * property, and the rest are attributes; null, undefined and false set none.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {(Child | Child[])[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function')
      element.addEventListener(name, value);
    else if (name.startsWith('.'))
      /** @type {any} */ (element)[name.slice(1)] = value;
    else
      setAttribute(element, name, value);
  }
  fill(element, ...children);
  return element;
}

/** fill replaces what is in an element. @param {ParentNode} element @param {(Child | Child[])[]} children */
export function fill(element, ...children) {
  element.replaceChildren(.../** @type {(Node | string)[]} */ (children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== '')));
}

/** say sets a text, and leaves alone what says it already. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text)
    element.textContent = text;
}

/** @param {Element} element @param {string} name @param {any} value */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false)
    element.removeAttribute(name);
  else
    element.setAttribute(name, value === true ? '' : String(value));
}

const SVG = 'http://www.w3.org/2000/svg';

/** icon draws a path in a square of 20. @param {string} path @param {string} [part] */
export function icon(path, part = 'icon') {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [name, value] of Object.entries({ viewBox: '0 0 20 20', 'aria-hidden': 'true', part, class: 'icon' }))
    svg.setAttribute(name, value);
  const line = document.createElementNS(SVG, 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

/** draw changes what an icon shows. @param {Element} svg @param {string} path */
export function draw(svg, path) {
  if (svg.firstElementChild?.getAttribute('d') !== path)
    svg.firstElementChild?.setAttribute('d', path);
}

/**
 * define has the browser know an element, once.
 * @param {string} name
 * @param {CustomElementConstructor} type
 */
export function define(name, type) {
  if (globalThis.customElements && !customElements.get(name))
    customElements.define(name, type);
}

/**
 * @template {object} T  texts
 */
export class SyncElement extends Base {
  /** What else than THEME it looks like. */
  static css = '';

  /** Properties that may have been set before the element was defined. */
  static properties = ['client', 'texts'];

  /** @param {T} texts  the default ones, in English */
  constructor(texts) {
    super();
    /** @type {Client | null} */
    this.own = null;
    this.words = texts;
    this.defaultTexts = texts;
    /** What ends when the element leaves. @type {(() => void)[]} */
    this.ends = [];
    this.root = this.attachShadow({ mode: 'open' });
    const { css, properties } = /** @type {typeof SyncElement} */ (this.constructor);
    /** Properties that were set before the element was defined. @type {Record<string, any>} */
    this.early = {};
    for (const name of properties) {
      if (!Object.hasOwn(this, name))
        continue;
      this.early[name] = /** @type {any} */ (this)[name];
      delete (/** @type {any} */ (this)[name]);
    }
    this.root.adoptedStyleSheets = [sheetOf(THEME), sheetOf(css)];
  }

  /** The client that it shows. */
  get client() {
    return this.own;
  }

  set client(client) {
    if (client === this.own)
      return;
    this.end();
    this.own = client ?? null;
    this.begin();
  }

  /** Texts that replace the default ones, for other languages. @returns {Partial<T>} */
  get texts() {
    return this.words;
  }

  set texts(texts) {
    this.words = { ...this.defaultTexts, ...texts };
    this.end();
    this.build();
    this.begin();
  }

  connectedCallback() {
    const { early } = this;
    this.early = {};
    Object.assign(this, early);
    this.begin();
  }

  disconnectedCallback() {
    this.end();
  }

  attributeChangedCallback() {
    if (this.isConnected)
      this.attributesChanged();
  }

  /** begin listens, if there is somebody to listen to, and a page to show it. */
  begin() {
    if (!this.isConnected)
      return;
    this.end();
    if (this.own)
      this.listen(this.own);
    this.update();
  }

  /** end lets go of all listeners and timers. */
  end() {
    for (const end of this.ends.splice(0))
      end();
  }

  /**
   * on listens to an event of the page for as long as the element listens.
   * @param {EventTarget} target
   * @param {string} type
   * @param {(event: any) => void} listener
   */
  on(target, type, listener) {
    target.addEventListener(type, listener);
    this.ends.push(() => target.removeEventListener(type, listener));
  }

  /** every calls again and again while the element listens. @param {number} ms @param {() => void} run */
  every(ms, run) {
    const timer = setInterval(run, ms);
    this.ends.push(() => clearInterval(timer));
  }

  /** emit tells the page; false if somebody prevented what follows. @param {string} type @param {any} [detail] */
  emit(type, detail) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, cancelable: true }));
  }

  /* What each component does. */

  /** build makes what is in the shadow root anew: the texts are others. */
  build() {}

  /** listen to a client; ends are put into this.ends. @param {Client} client */
  listen(client) {
    void client;
  }

  /** update shows what is so now. */
  update() {}

  attributesChanged() {
    this.update();
  }
}
