/*
 * demo.js
 *     Two devices of one user on one page, in the practice-log event protocol.
 *
 * Replica is the whole of a device: what it has, what it has not sent yet, and
 * one WebSocket.  DeviceView shows one.  Nothing here knows of the other
 * device but the stop-watch, which can read both clocks because they are one.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
const $ = (selector, root = document) => root.querySelector(selector);
const clone = (name) => $(`#${name}`).content.firstElementChild.cloneNode(true);
const now = () => new Date().toISOString();
const idOf = (message) => message.entry?.id ?? message.entryId;

const PING_EVERY = 30000;
const RETRY_FIRST = 1000;
const RETRY_MAX = 30000;

class Replica extends EventTarget {
  constructor({ url, user, token }) {
    super();
    this.url = `${url}?userId=${encodeURIComponent(user)}&token=${encodeURIComponent(token)}`;
    /* What is shown, and what the server last said. */
    this.entries = new Map();
    this.stored = new Map();
    /* Numbers of what came for entries that have unanswered changes. */
    this.news = new Map();
    this.refused = new Set();
    /* Changes not answered yet, oldest first; the first `sent` are on the wire. */
    this.outbox = [];
    this.sent = 0;
    this.cursor = 0;
    this.state = 'offline';
    this.wanted = false;
    this.retry = RETRY_FIRST;
    setInterval(() => this.transmit({ type: 'PING', timestamp: now() }), PING_EVERY);
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  become(state) {
    this.state = state;
    this.tell('state');
  }

  go(online) {
    this.wanted = online;
    clearTimeout(this.timer);
    if (online) {
      this.retry = RETRY_FIRST;
      this.connect();
    } else {
      this.socket?.close(1000);
      this.socket = null;
      this.sent = 0;
      this.become('offline');
    }
  }

  connect() {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.become('connecting');
    socket.onmessage = ({ data }) => this.socket === socket && this.receive(JSON.parse(data));
    socket.onclose = () => {
      if (this.socket !== socket)
        return;
      this.socket = null;
      this.sent = 0;
      this.become('connecting');
      this.timer = setTimeout(() => this.wanted && this.connect(), this.retry);
      this.retry = Math.min(this.retry * 2, RETRY_MAX);
    };
  }

  transmit(message) {
    if (this.socket?.readyState !== WebSocket.OPEN)
      return false;
    this.socket.send(JSON.stringify(message));
    this.tell('wire', { message, out: true });
    return true;
  }

  /* flush sends what is not sent yet, without waiting for answers. */
  flush() {
    while (this.sent < this.outbox.length && this.transmit(this.outbox[this.sent].message)) {
      this.outbox[this.sent].at = performance.now();
      this.sent++;
    }
    this.tell('state');
  }

  /* change shows an event here at once, and sends it as soon as it can. */
  change(message) {
    this.outbox.push({ message });
    this.refused.delete(idOf(message));
    this.show(idOf(message));
    if (this.state === 'connected')
      this.flush();
    this.tell('state');
    this.tell('change');
  }

  save(entry, created) {
    this.change({
      type: created ? 'ENTRY_CREATED' : 'ENTRY_UPDATED',
      timestamp: now(),
      entry: { ...entry, updatedAt: now() },
    });
  }

  remove(id) {
    this.change({ type: 'ENTRY_DELETED', timestamp: now(), entryId: id });
  }

  unsent(id) {
    return this.outbox.some(({ message }) => idOf(message) === id);
  }

  /* show: the own change that waits comes before what the server said. */
  show(id) {
    const mine = this.outbox.filter(({ message }) => idOf(message) === id).pop();
    const entry = mine ? mine.message.entry : this.stored.get(id);
    if (entry)
      this.entries.set(id, entry);
    else
      this.entries.delete(id);
  }

  store(id, entry) {
    if (entry)
      this.stored.set(id, entry);
    else
      this.stored.delete(id);
  }

  /* apply takes what came from the server. */
  apply(message) {
    const changes = message.entries?.map((entry) => [entry.id, entry])
      ?? (idOf(message) ? [[idOf(message), message.entry]] : []);
    for (const [id, entry] of changes) {
      this.store(id, entry);
      this.refused.delete(id);
      if (this.unsent(id))
        this.news.set(id, message.seq ?? message.lastSeq ?? 0);
      this.show(id);
    }
  }

  receive(message) {
    this.tell('wire', { message });
    switch (message.type) {
      case 'WELCOME':
        this.retry = RETRY_FIRST;
        this.transmit({ type: 'SYNC_REQUEST', timestamp: now(),
          ...(this.cursor ? { lastSeq: this.cursor } : {}) });
        this.become('connected');
        this.flush();
        return;
      case 'PONG':
        return;
      case 'ERROR':
        /* To try again is to connect again, which sends what has no answer. */
        if (message.retryable)
          this.socket.close(1000);
        else
          this.answered(message);
        break;
      case 'SYNC_RESPONSE':
        if (message.message === 'Mutation applied')
          this.answered(message);
        break;
      default:
        this.apply(message);
    }
    this.cursor = Math.max(this.cursor, message.seq ?? 0, message.lastSeq ?? 0);
    this.tell('change', message);
  }

  /*
   * answered: answers come in the order of what was sent.  The server sends a
   * change not to its own device, so whether the change stands is told by the
   * answer's number: it does if that is above all that came before, or if
   * nothing came for the entry.  (A number in the middle is the change's own,
   * overtaken by somebody else's.)
   */
  answered({ type, lastSeq }) {
    const done = this.outbox.shift();
    this.sent = Math.max(0, this.sent - 1);
    if (!done)
      return;
    const id = idOf(done.message);
    const news = this.news.get(id);
    if (type === 'ERROR') {
      this.refused.add(id);
    } else {
      if (news === undefined || lastSeq > this.cursor || (news < lastSeq && lastSeq < this.cursor))
        this.store(id, done.message.entry);
      this.tell('durable', { seq: lastSeq, at: done.at });
    }
    if (!this.unsent(id))
      this.news.delete(id);
    this.show(id);
    this.tell('state');
  }
}

class DeviceView {
  constructor(name, replica, place, wire) {
    this.replica = replica;
    this.name = name;
    this.wire = wire;
    this.settled = false;
    this.root = clone('device');
    this.rows = new Map();
    $('h2', this.root).textContent = name;
    $(`#${place}`).append(this.root);

    const toggle = $('.switch input', this.root);
    toggle.addEventListener('change', () => {
      $('.switch span', this.root).textContent = toggle.checked ? 'online' : 'offline';
      replica.go(toggle.checked);
    });
    $('form', this.root).addEventListener('submit', (event) => {
      event.preventDefault();
      const form = event.target;
      const minutes = form.minutes.valueAsNumber;
      const notes = form.notes.value.trim();
      if (!notes || !Number.isInteger(minutes))
        return;
      replica.save({
        id: crypto.randomUUID(),
        timestamp: Date.now(),
        duration: minutes * 60,
        type: 'practice',
        instrument: form.instrument.value,
        notes,
        createdAt: now(),
      }, true);
      form.notes.value = '';
      form.notes.focus();
    });
    replica.addEventListener('state', () => this.showState());
    replica.addEventListener('change', ({ detail }) => {
      this.showEntries();
      this.settled ||= detail?.type === 'SYNC_RESPONSE';
    });
    this.showState();
  }

  showState() {
    const { state, outbox } = this.replica;
    const waiting = outbox.length;
    this.root.className = `device ${state}${waiting ? ' waiting' : ''}`;
    this.wire.classList.toggle('cut', state !== 'connected');
    $('.state', this.root).textContent = waiting
      ? `${state === 'connected' ? 'sending' : state}, ${waiting} to send`
      : state;
  }

  showEntries() {
    const list = $('.entries', this.root);
    const sorted = [...this.replica.entries.values()]
      .sort((a, b) => b.timestamp - a.timestamp || (a.id < b.id ? -1 : 1));
    for (const [id, row] of this.rows)
      if (!this.replica.entries.has(id)) {
        row.item.remove();
        this.rows.delete(id);
      }
    sorted.forEach((entry, i) => {
      const row = this.rows.get(entry.id) ?? this.addRow(entry.id);
      this.fillRow(row, entry);
      if (list.children[i] !== row.item)
        list.insertBefore(row.item, list.children[i] ?? null);
    });
  }

  addRow(id) {
    const item = clone('entry');
    const notes = $('.notes', item);
    notes.addEventListener('change', () => {
      const entry = this.replica.entries.get(id);
      const text = notes.value.trim();
      if (entry && text && entry.notes !== text)
        this.replica.save({ ...entry, notes: text });
    });
    /* What was typed is saved by now; what came meanwhile, or stood before a blank, is shown. */
    notes.addEventListener('blur', () => {
      notes.value = this.replica.entries.get(id)?.notes ?? '';
    });
    notes.addEventListener('keydown', (event) => event.key === 'Enter' && notes.blur());
    $('.delete', item).addEventListener('click', () => this.replica.remove(id));
    item.addEventListener('animationend', () => item.classList.remove('changed'));
    const row = { item, notes };
    this.rows.set(id, row);
    return row;
  }

  fillRow(row, entry) {
    const shown = JSON.stringify([entry.notes, entry.instrument, entry.duration]);
    row.item.classList.toggle('unsent', this.replica.unsent(entry.id));
    row.item.classList.toggle('refused', this.replica.refused.has(entry.id));
    if (row.shown === shown)
      return;
    if (document.activeElement !== row.notes)
      row.notes.value = entry.notes ?? '';
    const minutes = Math.round(entry.duration / 60);
    $('.badge', row.item).textContent = Number.isFinite(minutes) ? minutes : '–';
    $('small', row.item).textContent = [entry.instrument, entry.mood].filter(Boolean).join(' · ');
    /* What the first catch-up brings is no news. */
    row.item.classList.toggle('changed', this.settled);
    row.shown = shown;
  }

  figure(which, ms) {
    $(`.${which}`, this.root).textContent = `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  }

  /* pulse shows a message running along the device's wire. */
  pulse(direction) {
    this.wire.classList.remove('to-left', 'to-right');
    void this.wire.offsetWidth;
    this.wire.classList.add(`to-${direction}`);
  }
}

/*
 * The stop-watch: from sending on one device to durable, and to seen on the
 * other, if that was there to see it.  An event is recognised by the object's
 * id and stamp.
 */
function stopWatch(views) {
  const started = new Map();
  const key = (m) => (m.entry ? `${m.entry.id} ${m.entry.updatedAt}` : m.entryId);
  const allConnected = () => views.every(({ replica }) => replica.state === 'connected');
  for (const view of views) {
    view.replica.addEventListener('state', () => allConnected() || started.clear());
    view.replica.addEventListener('wire', ({ detail: { message, out } }) => {
      if (!/^ENTRY_/.test(message.type))
        return;
      if (out) {
        if (!allConnected())
          return;
        started.set(key(message), { view, at: performance.now() });
        if (started.size > 1000)
          started.delete(started.keys().next().value);
        return;
      }
      const start = started.get(key(message));
      if (start && start.view !== view)
        start.view.figure('reached', performance.now() - start.at);
    });
    view.replica.addEventListener('durable', ({ detail: { at } }) =>
      view.figure('durable', performance.now() - at));
  }
}

/* wireLog lists the newest messages, and makes the wires move. */
function wireLog(views) {
  const list = $('#messages');
  const store = $('.store');
  views.forEach((view, i) => view.replica.addEventListener('wire', ({ detail: { message, out } }) => {
    if (message.type === 'PING' || message.type === 'PONG')
      return;
    view.pulse((i === 0) === Boolean(out) ? 'right' : 'left');
    const item = document.createElement('li');
    const span = (className, text) => {
      const element = document.createElement('span');
      element.className = className;
      element.textContent = text;
      item.append(element, ' ');
    };
    const what = message.entry?.notes ?? message.error ?? message.message ?? message.entryId
      ?? (message.entries ? `${message.entries.length} entries` : '');
    const number = message.seq ?? message.lastSeq;
    span('who', out ? `${view.name} → relay` : `${view.name} ← relay`);
    span(message.type === 'ERROR' ? 'type error' : 'type', message.type);
    if (number !== undefined)
      span('seq', `#${number}`);
    span('what', what);
    list.prepend(item);
    while (list.children.length > 100)
      list.lastChild.remove();

    const head = Math.max(...views.map((v) => v.replica.cursor), number ?? 0);
    if ($('#head').textContent !== String(head)) {
      $('#head').textContent = head;
      store.classList.remove('beat');
      void store.offsetWidth;
      store.classList.add('beat');
    }
  }));
}

function showStatements({ user }) {
  const where = `WHERE feed = '${user}' AND collection = 'logbook_entry'`;
  const statements = [
    ['Open a second terminal', 'psql "…"   # the conninfo that the first one shows'],
    ['Change every entry at once', `UPDATE mirusync.document\n`
      + `   SET data = data || '{"notes": "from SQL"}'\n ${where};`],
    ['Add one', `INSERT INTO mirusync.document (feed, collection, id, data)\n`
      + `SELECT '${user}', 'logbook_entry', id, jsonb_build_object(\n`
      + `  'id', id, 'notes', 'added by SQL',\n`
      + `  'type', 'practice', 'instrument', 'cello',\n`
      + `  'timestamp', extract(epoch FROM now())::bigint * 1000,\n`
      + `  'duration', 900)\n`
      + `  FROM (SELECT gen_random_uuid()::text AS id) AS one;`],
    ['Delete the short ones', `DELETE FROM mirusync.document\n ${where}\n`
      + `   AND (data->>'duration')::int < 1800;`],
    ['See who changed what', `SELECT seq, to_char(at, 'HH24:MI:SS') AS at, kind,\n`
      + `       coalesce(session, 'SQL') AS by,\n`
      + `       old->>'notes' AS before, new->>'notes' AS after\n`
      + `  FROM mirusync.change_log\n`
      + ` WHERE feed = '${user}' ORDER BY seq DESC LIMIT 10;`],
  ];
  for (const [title, text] of statements) {
    const item = clone('statement');
    $('span', item).textContent = title;
    $('pre', item).textContent = text;
    const button = $('button', item);
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(text).catch(() => {
        getSelection().selectAllChildren($('pre', item));
      });
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = 'Copy'; }, 1200);
    });
    $('#statements').append(item);
  }
}

const config = await (await fetch('demo-config.json')).json();
const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/sync/ws`;
const views = config.devices.map(({ name, token }, i) => new DeviceView(name,
  new Replica({ url, user: config.user, token }), ['left', 'right'][i],
  $(['.wire-left', '.wire-right'][i])));
stopWatch(views);
wireLog(views);
showStatements(config);
for (const view of views)
  view.replica.go(true);
