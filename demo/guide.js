/*
 * guide.js
 *     Makes a conflict, step by step: both devices go offline, each writes
 *     another note to one piece, both come back, and a person decides.
 *
 * The frames' applications are driven as a person would; only the steps are ours.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
import { h, say } from './dom.js';

/* What the devices write; another pair if the note says one of these already. */
const NOTES = [
  ['Slower in bar 12, and count.', 'Less pedal from bar 12 on.'],
  ['Repeats: yes, both.', 'No repeats in the concert.'],
  ['Ask about the fingering in bar 3.', 'Second finger in bar 3.'],
];
const STEPS = ['Both go offline', 'Each writes another note', 'Both come back', 'You decide'];

/* So that one can watch; who wants little motion wants little of this, too. */
const PAUSE_MS = matchMedia('(prefers-reduced-motion: reduce)').matches ? 100 : 900;
const pause = (ms = PAUSE_MS) => new Promise((resolve) => setTimeout(resolve, ms));

/* become waits until a device's status is so, but not for ever. */
async function become({ client }, so) {
  for (const end = Date.now() + 15000; !so(client.status) && Date.now() < end;)
    await pause(30);
}

export class Guide {
  constructor(frames, show) {
    this.frames = frames;
    this.show = show;
    this.root = document.querySelector('#guide');
    this.text = this.root.querySelector('p');
    this.steps = STEPS.map((text, i) => h('li', { 'data-step': i + 1 }, text));
    this.root.querySelector('ol').append(...this.steps);
    this.button = document.querySelector('#conflict');
    this.button.addEventListener('click', () => this.run());
    this.root.querySelector('button').addEventListener('click', () => this.close());
  }

  get devices() {
    return this.frames.map((frame) => frame.contentWindow.device).filter(Boolean);
  }

  close() {
    this.root.hidden = true;
    this.button.focus();
  }

  at(step, text = '') {
    this.steps.forEach((item, i) => {
      item.classList.toggle('done', i < step);
      if (i === step)
        item.setAttribute('aria-current', 'step');
      else
        item.removeAttribute('aria-current');
    });
    say(this.text, text);
  }

  async run() {
    const { devices } = this;
    if (this.button.disabled || devices.length < 2)
      return;
    this.button.disabled = true;
    this.root.hidden = false;
    try {
      await this.play(devices);
    } finally {
      for (const { app } of devices)
        app.setOnline(true);
      this.button.disabled = false;
    }
  }

  async play(devices) {
    const [{ store }] = devices;
    const all = store.pieces.list({ order: 'title' });
    const pieces = all.filter((piece) => !store.conflictsOf('piece', piece.id).length);
    const shown = pieces.find((piece) => piece.id === devices[1].app.shown) ?? pieces[0];
    if (!shown) {
      this.at(0, all.length ? 'Each piece has a conflict already. Decide one of them first.'
        : 'There is no piece to write about. Add one to the repertoire first.');
      return;
    }
    const { id, title } = shown;
    const notes = NOTES.find((pair) => !pair.includes(shown.notes));
    this.at(0, `“${title}” is open on both.`);
    for (const { app } of devices) {
      app.select('piece', id);
      app.setOnline(false);
    }
    for (const device of devices)
      await become(device, ({ state }) => state === 'disconnected');
    await pause();
    this.at(1);
    for (const [i, { store: { pieces } }] of devices.entries()) {
      this.show(i ? 'laptop' : 'phone');
      pieces.patch(id, { notes: notes[i] });
      await pause();
    }
    this.at(2);
    for (const device of devices) {
      device.app.setOnline(true);
      await become(device, ({ caughtUp, unsent }) => caughtUp && !unsent);
      await pause();
    }
    this.at(3, 'The first note stands until somebody chooses. The other one is kept.');
    for (const device of devices)
      device.store.refreshConflicts();
    this.watch(store, id);
  }

  /* watch says when the conflict is decided. */
  watch(store, id) {
    const run = this.watching = {};
    let seen = false;
    store.subscribe(() => {
      const open = store.conflictsOf('piece', id).length > 0;
      seen ||= open;
      if (this.watching !== run || !seen || open)
        return;
      this.watching = null;
      this.at(STEPS.length, 'Decided: both devices have it. If that is another note, the history tells who chose it.');
    });
  }
}
