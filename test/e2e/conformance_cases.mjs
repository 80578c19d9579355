/*
 * conformance_cases.mjs
 *     What RFC 6455 asks of a server, as data: bytes that a client sends, and
 *     what must come back.  conformance.test.mjs runs them.
 *
 * A case of frames has
 *     name      begins with the section of the RFC
 *     send      buffers, one after the other
 *     answers   refs of the messages that reach the application (pings of mirusync.v1)
 *     pongs     payloads of the pong frames that come back
 *     close     code of the close frame that comes back; 1006: none, the connection
 *               just ends; absent: the session goes on, and is then closed with 1000
 *     cut       'bytes': every byte is a write of its own; 'buffers': every buffer
 *     after     opcodes of frames behind the close frame
 *     library   what libwebsockets 4.1.6 does instead, where it is wrong, and why
 *               that is so (docs/internals/websocket.md)
 *
 * A case of the handshake has headers to set, to add or (null) to leave out, and
 * the status that comes back; 0: the connection ends without an answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

const OP = { cont: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/* frame makes a masked frame; length: 16 or 64 for longer forms than needed. */
export function frame(op, payload = '', {
  fin = true, rsv = 0, mask = true, key = [0x37, 0xfa, 0x21, 0x3d], length, declare,
} = {}) {
  const body = Buffer.from(payload);
  const n = declare ?? BigInt(body.length);
  const form = length ?? (n < 126n ? 7 : n < 65536n ? 16 : 64);
  const head = Buffer.alloc(form === 7 ? 2 : form === 16 ? 4 : 10);
  head[0] = (fin ? 0x80 : 0) | rsv << 4 | (OP[op] ?? op);
  head[1] = (mask ? 0x80 : 0) | (form === 7 ? Number(n) : form === 16 ? 126 : 127);
  if (form === 16)
    head.writeUInt16BE(Number(n), 2);
  else if (form === 64)
    head.writeBigUInt64BE(n, 2);
  if (!mask)
    return Buffer.concat([head, body]);
  return Buffer.concat([head, Buffer.from(key), body.map((byte, i) => byte ^ key[i % 4])]);
}

export const text = (payload, options) => frame('text', payload, options);
const part = (payload) => frame('text', payload, { fin: false });
const next = (payload) => frame('cont', payload, { fin: false });
const last = (payload) => frame('cont', payload);
const ping = (payload, options) => frame('ping', payload, options);
const binary = (payload, options) => frame('binary', payload, options);

/* close with a code and a reason, or with a body as it is. */
export const close = (code, reason = '', options) => frame('close',
  Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]), options);
const closeBody = (bytes, options) => frame('close', Buffer.from(bytes), options);

/* message is a ping of mirusync.v1, around bytes or of a length. */
const wrap = (ref, inside) => Buffer.concat([
  Buffer.from(`{"type":"ping","ref":${ref},"x":"`), Buffer.from(inside), Buffer.from('"}')]);
export const message = (ref, inside = '') => wrap(ref, inside);
const sized = (ref, bytes) => wrap(ref, 'x'.repeat(bytes - wrap(ref, '').length));

const at = (buffer, ...cuts) => [0, ...cuts].map((from, i) => buffer.subarray(from, cuts[i] ?? buffer.length));

/* fragments of a message, cut there. */
const fragments = (buffer, ...cuts) => {
  const parts = at(buffer, ...cuts);
  return parts.map((p, i) => i === 0 ? part(p) : i === parts.length - 1 ? last(p) : next(p));
};

/* What libwebsockets 4.1.6 does instead: see docs/internals/websocket.md. */
const library = {
  unmasked: (seen) => ({ why: 'takes frames that are not masked', close: undefined, ...seen }),
  longer: (seen) => ({ why: 'takes lengths in longer forms than needed', close: undefined, ...seen }),
  silent: { why: 'ends the connection without a close frame', close: 1006 },
  firstPong: { why: 'answers the first of several pings', lastPong: undefined, pongs: ['0'] },
  restart: { why: 'takes 1012, 1013 and 1014 for codes that may not be sent', close: 1002 },
  lateReply: (...after) => ({ why: 'goes on answering behind our close frame', after }),
  upgrade: { why: 'answers an upgrade that it does not know, or a list, by itself', status: 403 },
};

const range = (n) => Array.from({ length: n }, (_, i) => i);
const hex = (bytes) => Buffer.from(bytes).toString('hex');

/* ---- §5.2 frames: opcodes, reserved bits, lengths ---- */

const LENGTHS = [125, 126, 127, 128, 255, 256, 257, 1023, 1024, 1025, 2048, 4095, 4096, 4097, 65533, 65534, 65535, 65536];

const base = [
  ...LENGTHS.map((n) => ({
    name: `§5.2 a payload of ${n} bytes`, send: [text(sized(n, n))], answers: [n],
  })),
  ...[125, 126, 1024, 65535, 65536].map((n) => ({
    name: `§5.2 a payload of ${n} bytes behind a head sent byte by byte`, cut: 'buffers', answers: [n],
    send: at(text(sized(n, n)), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14),
  })),
  { name: '§5.2 a payload of 0 bytes is a message', send: [text('')], errors: 1 },
  { name: '§5.2 one byte more than the application takes', send: [text(sized(1, 65537))], close: 1009 },
  { name: '§5.2 lengths need not come true before they are refused', send: [text('x', { declare: 1n << 40n, length: 64 })], close: 1009 },
  { name: '§5.2 the highest length', send: [text('x', { declare: (1n << 63n) - 1n, length: 64 })], close: 1009 },
  { name: '§5.2 a length with the top bit', send: [text('x', { declare: 1n << 63n, length: 64 })], close: 1002, library: library.silent },
  { name: '§5.2 a length of all ones', send: [text('x', { declare: (1n << 64n) - 1n, length: 64 })], close: 1002, library: library.silent },
  { name: '§5.2 a length of 16 bits that 7 would hold', send: [text(message(1), { length: 16 })], close: 1002, library: library.longer({ answers: [1] }) },
  { name: '§5.2 a length of 16 bits for 0', send: [text('', { length: 16 })], close: 1002, library: library.longer({ errors: 1 }) },
  { name: '§5.2 a length of 64 bits that 7 would hold', send: [text(message(1), { length: 64 })], close: 1002, library: library.longer({ answers: [1] }) },
  { name: '§5.2 a length of 64 bits that 16 would hold', send: [text(sized(1, 300), { length: 64 })], close: 1002, library: library.longer({ answers: [1] }) },
  { name: '§5.2 a length of 64 bits for 65535', send: [text(sized(1, 65535), { length: 64 })], close: 1002, library: library.longer({ answers: [1] }) },
  ...range(7).map((i) => ({
    name: `§5.2 reserved bits ${i + 1} on a text`, send: [text(message(1), { rsv: i + 1 })], close: 1002,
  })),
  ...[1, 2, 4, 7].flatMap((rsv) => [
    { name: `§5.2 reserved bits ${rsv} on a ping`, send: [ping('a', { rsv })], close: 1002 },
    { name: `§5.2 reserved bits ${rsv} on a close`, send: [close(1000, '', { rsv })], close: 1002 },
    {
      name: `§5.2 reserved bits ${rsv} on a continuation`, close: 1002,
      send: [part(message(1)), frame('cont', '', { rsv })],
    },
  ]),
  ...[3, 4, 5, 6, 7].map((op) => ({
    name: `§5.2 reserved opcode ${op}`, send: [frame(op, 'abc')], close: 1002,
  })),
  ...[11, 12, 13, 14, 15].map((op) => ({
    name: `§5.2 reserved opcode ${op}, of a control frame`, send: [frame(op, 'abc')], close: 1002,
  })),
  { name: '§5.2 a reserved opcode behind a message', send: [text(message(1)), frame(3)], answers: [1], close: 1002 },
  { name: '§5.2 a reserved opcode between fragments', send: [part(message(1)), frame(5), last('')], close: 1002 },
  { name: '§5.2 a reserved opcode without a payload', send: [frame(6)], close: 1002 },
  { name: '§5.2 a reserved opcode that is no last frame', send: [frame(6, 'x', { fin: false })], close: 1002 },
  { name: '§5.2 many messages in one segment', send: range(50).map((i) => text(message(i))), answers: range(50) },
  { name: '§5.2 messages sent byte by byte', cut: 'bytes', send: range(3).map((i) => text(message(i, 'é'))), answers: range(3) },
  { name: '§5.2 a message cut by segments where the buffer of the reader ends', cut: 'buffers', answers: [1],
    send: at(text(sized(1, 5000)), 256, 512, 1024, 2048, 3072, 4096) },
];

/* ---- §5.1, §5.3 masks ---- */

const masks = [
  { name: '§5.1 an unmasked text', send: [text(message(1), { mask: false })], close: 1002, library: library.unmasked({ answers: [1] }) },
  { name: '§5.1 an unmasked text of 16 bit length', send: [text(sized(1, 300), { mask: false })], close: 1002, library: library.unmasked({ answers: [1] }) },
  { name: '§5.1 an unmasked ping', send: [ping('a', { mask: false })], close: 1002, library: library.unmasked({ pongs: ['a'] }) },
  { name: '§5.1 an unmasked frame after a masked one', send: [text(message(1)), text(message(2), { mask: false })], library: library.unmasked({ answers: [1, 2] }),
    answers: [1], close: 1002 },
  { name: '§5.1 an unmasked continuation', send: [part(message(1)), frame('cont', '', { mask: false })], close: 1002, library: library.unmasked({ answers: [1] }) },
  { name: '§5.1 an unmasked close', send: [close(1000, '', { mask: false })], close: 1002, library: library.unmasked({ close: 1000 }) },
  { name: '§5.3 a mask of zeros', send: [text(message(1), { key: [0, 0, 0, 0] })], answers: [1] },
  { name: '§5.3 a mask of ones', send: [text(message(1), { key: [255, 255, 255, 255] })], answers: [1] },
  { name: '§5.3 each frame has its own mask', answers: [1, 2],
    send: [text(message(1), { key: [1, 2, 3, 4] }), text(message(2), { key: [9, 8, 7, 6] })] },
  { name: '§5.3 each fragment has its own mask, and begins it anew', answers: [1],
    send: at(message(1), 5, 12).map((p, i) => frame(i ? 'cont' : 'text', p, { fin: i === 2, key: [i, 77, 200 + i, i * 3] })) },
  { name: '§5.3 a ping between fragments does not disturb their masks', answers: [1], pongs: ['abcde'],
    send: [frame('text', message(1).subarray(0, 7), { fin: false, key: [1, 2, 3, 4] }), ping('abcde', { key: [5, 6, 7, 8] }),
      frame('cont', message(1).subarray(7), { key: [9, 10, 11, 12] })] },
  { name: '§5.3 a masked ping of every byte', pongs: [Buffer.from(range(125).map((i) => i * 2 + 1))],
    send: [ping(Buffer.from(range(125).map((i) => i * 2 + 1)), { key: [0x80, 0xff, 0x01, 0x7f] })] },
];

/* ---- §5.4 fragmentation ---- */

const whole = message(1, 'abc');
const fragmentation = [
  { name: '§5.4 two fragments', send: fragments(whole, 10), answers: [1] },
  { name: '§5.4 two fragments, each a write', cut: 'buffers', send: fragments(whole, 10), answers: [1] },
  { name: '§5.4 a fragment for every byte', send: fragments(whole, ...range(whole.length - 1).map((i) => i + 1)), answers: [1] },
  { name: '§5.4 a fragment for every byte, byte by byte', cut: 'bytes', answers: [1],
    send: fragments(whole, ...range(whole.length - 1).map((i) => i + 1)) },
  { name: '§5.4 an empty first fragment', send: [part(''), last(whole)], answers: [1] },
  { name: '§5.4 an empty last fragment', send: [part(whole), last('')], answers: [1] },
  { name: '§5.4 empty fragments between', send: [part(whole.subarray(0, 5)), next(''), next(''), last(whole.subarray(5))], answers: [1] },
  { name: '§5.4 nothing but empty fragments', send: [part(''), next(''), last('')], errors: 1 },
  { name: '§5.4 a hundred empty fragments behind a message', send: [part(whole), ...range(100).map(() => next('')), last('')], answers: [1] },
  { name: '§5.4 64 KiB in fragments of 1000 bytes', answers: [7],
    send: fragments(sized(7, 65536), ...range(65).map((i) => (i + 1) * 1000)) },
  { name: '§5.4 64 KiB in fragments of 1024 bytes', answers: [7],
    send: fragments(sized(7, 65536), ...range(63).map((i) => (i + 1) * 1024)) },
  { name: '§5.4 a first fragment of 1 byte, the rest of 65535', answers: [7], send: fragments(sized(7, 65536), 1) },
  { name: '§5.4 one byte too much, in fragments', send: fragments(sized(7, 65537), 30000, 60000), close: 1009 },
  { name: '§5.4 fragments without end are refused when they are too many', close: 1009,
    send: [part('x'), ...range(70).map(() => next('x'.repeat(1000)))] },
  { name: '§5.4 a fragmented message and a whole one', send: [...fragments(whole, 4), text(message(2))], answers: [1, 2] },
  { name: '§5.4 two fragmented messages', send: [...fragments(whole, 4), ...fragments(message(2), 9)], answers: [1, 2] },
  { name: '§5.4 a continuation of nothing', send: [last(whole)], close: 1002 },
  { name: '§5.4 a continuation of nothing, not the last', send: [next(whole)], close: 1002 },
  { name: '§5.4 an empty continuation of nothing', send: [last('')], close: 1002 },
  { name: '§5.4 a continuation behind a whole message', send: [text(message(1)), last('x')], answers: [1], close: 1002 },
  { name: '§5.4 a continuation behind a fragmented message', send: [...fragments(whole, 4), next('x')], answers: [1], close: 1002 },
  { name: '§5.4 a continuation behind a ping', send: [ping('a'), last('x')], pongs: ['a'], close: 1002 },
  { name: '§5.4 a text inside a fragmented message', send: [part('{'), text(message(1))], close: 1002 },
  { name: '§5.4 a fragment of a text inside a fragmented message', send: [part('{'), part('"a"')], close: 1002 },
  { name: '§5.4 a text where the last fragment was due', send: [part('{'), next('"a"'), text('}')], close: 1002 },
  { name: '§5.4 a binary inside a fragmented text', send: [part('{'), binary('x')], close: 1002 },
];

/* ---- §5.5 control frames ---- */

const P125 = 'p'.repeat(125);
const control = [
  { name: '§5.5 a ping of 126 bytes', send: [ping('p'.repeat(126))], close: 1002, library: library.silent },
  { name: '§5.5 a pong of 126 bytes', send: [frame('pong', 'p'.repeat(126))], close: 1002, library: library.silent },
  { name: '§5.5 a ping of 65536 bytes', send: [ping('p'.repeat(65536))], close: 1002, library: library.silent },
  { name: '§5.5 a close of 126 bytes', send: [close(1000, 'p'.repeat(124))], close: 1002, library: library.silent },
  { name: '§5.5 a ping whose length has 16 bits', send: [ping('abc', { length: 16 })], close: 1002, library: library.silent },
  { name: '§5.5 a ping whose length has 64 bits', send: [ping('abc', { length: 64 })], close: 1002, library: library.silent },
  { name: '§5.5 a fragmented ping', send: [ping('a', { fin: false }), last('b')], close: 1002 },
  { name: '§5.5 a fragmented pong', send: [frame('pong', 'a', { fin: false }), last('b')], close: 1002 },
  { name: '§5.5 a fragmented close', send: [close(1000, '', { fin: false })], close: 1002 },
  { name: '§5.5 a fragmented ping inside a message', send: [part('{'), ping('a', { fin: false }), last('b')], close: 1002 },
  { name: '§5.5.2 an empty ping', send: [ping()], pongs: [''] },
  { name: '§5.5.2 a ping with a payload', send: [ping('hello')], pongs: ['hello'] },
  { name: '§5.5.2 a ping of 125 bytes', send: [ping(P125)], pongs: [P125] },
  { name: '§5.5.2 a ping of 125 bytes, byte by byte', cut: 'bytes', send: [ping(P125)], pongs: [P125] },
  { name: '§5.5.2 a ping is no text, so any bytes are right', pongs: [Buffer.from([0, 255, 254, 0xc0, 0x80])],
    send: [ping(Buffer.from([0, 255, 254, 0xc0, 0x80]))] },
  { name: '§5.5.2 one ping after the other', cut: 'replies', send: ['1', '2', '3'].map((p) => ping(p)), pongs: ['1', '2', '3'] },
  { name: '§5.5.3 of several pings at once the last is answered', send: range(10).map((i) => ping(`${i}`)), lastPong: '9', library: library.firstPong },
  { name: '§5.5.2 a ping between fragments', send: [part(whole.subarray(0, 9)), ping('mid'), last(whole.subarray(9))],
    answers: [1], pongs: ['mid'] },
  { name: '§5.5.2 a ping between fragments, each a write', cut: 'buffers', answers: [1], pongs: ['mid'],
    send: [part(whole.subarray(0, 9)), ping('mid'), last(whole.subarray(9))] },
  { name: '§5.5.2 a ping between fragments, byte by byte', cut: 'bytes', answers: [1], pongs: ['mid'],
    send: [part(whole.subarray(0, 9)), ping('mid'), last(whole.subarray(9))] },
  { name: '§5.5.2 a ping of 125 bytes between fragments', answers: [1], pongs: [P125],
    send: [part(whole.subarray(0, 9)), ping(P125), last(whole.subarray(9))] },
  { name: '§5.5.2 a ping between empty fragments', send: [part(''), ping('mid'), next(''), last(whole)], answers: [1], pongs: ['mid'] },
  { name: '§5.5.2 a ping before a message', send: [ping('a'), text(whole)], answers: [1], pongs: ['a'] },
  { name: '§5.5.2 a ping behind a message', send: [text(whole), ping('a')], answers: [1], pongs: ['a'] },
  { name: '§5.5.3 a pong that nobody asked for', send: [frame('pong', 'x'), text(whole)], answers: [1] },
  { name: '§5.5.3 an empty pong', send: [frame('pong'), text(whole)], answers: [1] },
  { name: '§5.5.3 a pong between fragments', send: [part(whole.subarray(0, 9)), frame('pong', 'x'), last(whole.subarray(9))], answers: [1] },
  { name: '§5.5.3 a pong of 125 bytes, of any bytes', send: [frame('pong', Buffer.alloc(125, 255)), text(whole)], answers: [1] },
  { name: '§5.5.3 pongs in a crowd', send: [...range(100).map(() => frame('pong', 'x')), text(whole)], answers: [1] },
];

/* ---- §5.6 data frames ---- */

const data = [
  { name: '§5.6 a binary message is not of this protocol', send: [binary('abc')], close: 1003 },
  { name: '§5.6 an empty binary message', send: [binary('')], close: 1003 },
  { name: '§5.6 a binary message in fragments', send: [frame('binary', 'a', { fin: false }), last('b')], close: 1003 },
  { name: '§5.6 bytes that are no UTF-8, as binary', send: [binary(Buffer.from([0xff, 0xc0]))], close: 1003 },
  { name: '§5.6 a binary message behind a text', send: [text(whole), binary('abc')], answers: [1], close: 1003 },
];

/* ---- §5.5.1, §7 closing ---- */

const VALID = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
const INVALID = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
const R123 = 'r'.repeat(123);
const BAD_REASONS = [[0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0xff]];

const closing = [
  ...VALID.map((code) => ({
    name: `§7.4 close code ${code}`, send: [close(code)], close: code,
    ...code >= 1012 && code <= 1014 ? { library: library.restart } : {},
  })),
  ...INVALID.map((code) => ({ name: `§7.4 close code ${code} is none`, send: [close(code)], close: 1002 })),
  { name: '§5.5.1 a close without a code', send: [closeBody([])], close: 1005 },
  { name: '§5.5.1 a close of 1 byte', send: [closeBody([3])], close: 1002 },
  { name: '§5.5.1 a close of 1 byte, that of 1000 in the wrong order', send: [closeBody([0xe8])], close: 1002 },
  { name: '§5.5.1 a close with a reason', send: [close(1000, 'done')], close: 1000 },
  { name: '§5.5.1 a close with a reason in UTF-8', send: [close(1001, 'schönes Ende 😀')], close: 1001 },
  { name: '§5.5.1 a close of 125 bytes', send: [close(4000, R123)], close: 4000 },
  { name: '§5.5.1 a close byte by byte', cut: 'bytes', send: [close(1001, 'slowly')], close: 1001 },
  ...BAD_REASONS.map((bytes) => ({
    name: `§5.5.1 a reason that is no UTF-8: ${hex(bytes)}`, send: [close(1000, Buffer.from(bytes))], close: 1007,
  })),
  { name: '§5.5.1 what follows a close is not looked at', send: [close(1000), text(message(1)), ping('x')], close: 1000 },
  { name: '§5.5.1 rubbish behind a close', send: [close(1000), Buffer.alloc(300, 0xff)], close: 1000 },
  { name: '§5.5.1 a second close', send: [close(1000), close(1001)], close: 1000 },
  { name: '§5.5.1 a close inside a fragmented message', send: [part('{"type"'), close(1000)], close: 1000 },
  { name: '§5.5.1 a close behind messages: they are answered or not, it is', send: [close(1001)], close: 1001 },
  { name: '§7.1.5 a close in the middle of a UTF-8 sequence', send: [part(Buffer.from([0x22, 0xe2])), close(1000)], close: 1000 },
  { name: '§7.1.1 a connection that ends without a close', send: [text(message(1))], answers: [1], hangUp: true },
  { name: '§7.1.1 a connection that ends inside a head', send: [text(message(1)).subarray(0, 3)], hangUp: true },
  { name: '§7.1.1 a connection that ends inside a payload', send: [text(message(1)).subarray(0, 20)], hangUp: true },
  { name: '§7.1.1 a connection that ends between fragments', send: [part('{')], hangUp: true },
  { name: '§7.1.3 the relay closes first, and waits for the answer', send: [binary('x')], close: 1003, thenSend: [close(1003)] },
  { name: '§7.1.3 the answer to a close may have another code', send: [binary('x')], close: 1003, thenSend: [close(1000, 'bye')] },
  { name: '§7.1.3 the answer to a close may be empty', send: [binary('x')], close: 1003, thenSend: [closeBody([])] },
  { name: '§7.1.3 messages that were under way when the relay closed', send: [binary('x'), text(message(1)), ping('y')], close: 1003, library: library.lateReply(10),
    thenSend: [text(message(2)), close(1003)] },
  { name: '§7.1.3 an answer of 1 byte to a close', send: [binary('x')], close: 1003, thenSend: [closeBody([3])] },
  { name: '§7.1.3 rubbish as an answer to a close', send: [binary('x')], close: 1003, thenSend: [Buffer.alloc(50, 0xff)], library: library.lateReply(8) },
  { name: '§7.1.1 a peer that never answers a close is not waited for without end', send: [binary('x')], close: 1003, thenSend: [] },
];

/* ---- §8.1 UTF-8 ---- */

const CODE_POINTS = [0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xfffe, 0xffff, 0x10000, 0x1fffe, 0x10fffe, 0x10ffff];
const utf8 = CODE_POINTS.flatMap((code) => {
  const bytes = Buffer.from(String.fromCodePoint(code));
  const name = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  const msg = message(1, Buffer.concat([Buffer.from('é'), bytes, bytes]));
  const from = message(1).length - 2 + 2;
  const cuts = range(bytes.length * 2 + 1).map((i) => from + i);
  return [
    { name: `§8.1 ${name}`, send: [text(msg)], answers: [1] },
    { name: `§8.1 ${name}, a fragment for every byte`, send: fragments(msg, ...cuts), answers: [1] },
    { name: `§8.1 ${name}, a segment for every byte`, cut: 'bytes', send: [text(msg)], answers: [1] },
    { name: `§8.1 ${name}, fragments with pings between`, answers: [1], lastPong: 'é',
      send: fragments(msg, ...cuts).flatMap((f) => [f, ping('é')]) },
  ];
});

const MALFORMED = {
  'a continuation byte': [0x80],
  'the last continuation byte': [0xbf],
  'two continuation bytes': [0x80, 0xbf],
  'an overlong slash of two bytes': [0xc0, 0xaf],
  'an overlong slash of three bytes': [0xe0, 0x80, 0xaf],
  'an overlong slash of four bytes': [0xf0, 0x80, 0x80, 0xaf],
  'an overlong NUL': [0xc0, 0x80],
  'overlong U+007F': [0xc1, 0xbf],
  'overlong U+07FF': [0xe0, 0x9f, 0xbf],
  'overlong U+FFFF': [0xf0, 0x8f, 0xbf, 0xbf],
  'five bytes': [0xf8, 0x88, 0x80, 0x80, 0x80],
  'six bytes': [0xfc, 0x84, 0x80, 0x80, 0x80, 0x80],
  'the first surrogate': [0xed, 0xa0, 0x80],
  'the last surrogate': [0xed, 0xbf, 0xbf],
  'a pair of surrogates': [0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80],
  'U+110000': [0xf4, 0x90, 0x80, 0x80],
  'U+140000': [0xf5, 0x80, 0x80, 0x80],
  'FE': [0xfe],
  'FF': [0xff],
  'one byte of two': [0xc3],
  'one byte of three': [0xe2],
  'two bytes of three': [0xe2, 0x82],
  'one byte of four': [0xf0],
  'two bytes of four': [0xf0, 0x9f],
  'three bytes of four': [0xf0, 0x9f, 0x98],
  'one byte of two, twice': [0xc3, 0xc3],
  'three bytes of four, and a new sequence': [0xf0, 0x9f, 0x98, 0xc3, 0xa9],
};
const CUT_SHORT = [[0xc3], [0xe2], [0xe2, 0x82], [0xf0], [0xf0, 0x9f], [0xf0, 0x9f, 0x98]];

const malformed = [
  ...Object.entries(MALFORMED).flatMap(([name, bytes]) => {
    const msg = message(1, Buffer.from(bytes));
    const from = message(1).length - 2;
    const cuts = range(bytes.length + 1).map((i) => from + i);
    return [
      { name: `§8.1 malformed: ${name}`, send: [text(msg)], close: 1007 },
      { name: `§8.1 malformed: ${name}, a fragment for every byte`, send: fragments(msg, ...cuts), close: 1007 },
      { name: `§8.1 malformed: ${name}, a segment for every byte`, cut: 'bytes', send: [text(msg)], close: 1007 },
    ];
  }),
  ...CUT_SHORT.flatMap((bytes) => [
    { name: `§8.1 a message ends inside a sequence: ${hex(bytes)}`, send: [text(Buffer.from([0x22, ...bytes]))], close: 1007 },
    { name: `§8.1 the last fragment ends inside a sequence: ${hex(bytes)}`, close: 1007,
      send: [part('"'), last(Buffer.from(bytes))] },
    { name: `§8.1 an empty last fragment behind a part of a sequence: ${hex(bytes)}`, close: 1007,
      send: [part(Buffer.from([0x22, ...bytes])), last('')] },
  ]),
  { name: '§8.1 a sequence does not go on in the next message', close: 1007,
    send: [text(Buffer.from([0x22, 0xe2])), text(Buffer.from([0x82, 0xac, 0x22]))] },
  { name: '§8.1 malformed behind a good message', send: [text(message(1)), text(Buffer.from([0xff]))], answers: [1], close: 1007 },
  { name: '§8.1 malformed in the last of many pieces', close: 1007,
    send: [text(Buffer.concat([sized(1, 5000), Buffer.from([0xff])]))] },
  ...[253, 254, 255, 256, 1021, 1022, 1023, 1024].map((n) => ({
    name: `§8.1 a sequence over the end of the reader's buffer, from byte ${n}`, answers: [1],
    send: [text(message(1, `${'x'.repeat(n - (message(1).length - 2))}😀`))],
  })),
];

export const frameCases = [
  ...base, ...masks, ...fragmentation, ...control, ...data, ...closing, ...utf8, ...malformed,
];

/* ---- §4 the handshake ---- */

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

export const handshakeCases = [
  { name: '§4.2 a handshake', status: 101 },
  { name: '§4.2.1 POST', method: 'POST', status: 405 },
  { name: '§4.2.1 HEAD', method: 'HEAD', status: 400 },
  { name: '§4.2.1 OPTIONS', method: 'OPTIONS', status: 405 },
  { name: '§4.2.1 CONNECT', method: 'CONNECT', status: 0 },
  { name: '§4.2.1 a method that is none', method: 'FETCH', status: 403 },
  { name: '§4.2.1 PUT', method: 'PUT', status: 405 },
  { name: '§4.2.1 a method in lower case', method: 'get', status: 400, library: { why: 'does not mind the case of a method', status: 101 } },
  { name: '§4.2.1 HTTP/1.0', version: 'HTTP/1.0', status: 400 },
  { name: '§4.2.1 HTTP/2.0', version: 'HTTP/2.0', status: 400 },
  { name: '§4.2.1 without Host', headers: { Host: null }, status: 400 },
  { name: '§4.2.1 without Upgrade', headers: { Upgrade: null }, status: 426 },
  { name: '§4.2.1 Upgrade: WebSocket', headers: { Upgrade: 'WebSocket' }, status: 101 },
  { name: '§4.2.1 Upgrade: WEBSOCKET', headers: { Upgrade: 'WEBSOCKET' }, status: 101 },
  { name: '§4.2.1 Upgrade: h2c', headers: { Upgrade: 'h2c' }, status: 426 },
  { name: '§4.2.1 Upgrade: websocket/13', headers: { Upgrade: 'websocket/13' }, status: 426, library: library.upgrade },
  { name: '§4.2.1 Upgrade names several, websocket last', headers: { Upgrade: 'h2c, websocket' }, status: 101, library: library.upgrade },
  { name: '§4.2.1 Upgrade names several, websocket first', headers: { Upgrade: 'websocket, h2c' }, status: 101, library: library.upgrade },
  { name: '§4.2.1 Upgrade has websocket within a word', headers: { Upgrade: 'notwebsocket' }, status: 426, library: library.upgrade },
  { name: '§4.2.1 Upgrade is empty', headers: { Upgrade: '' }, status: 426 },
  { name: '§4.2.1 without Connection', headers: { Connection: null }, status: 400 },
  { name: '§4.2.1 Connection: close', headers: { Connection: 'close' }, status: 400 },
  { name: '§4.2.1 Connection: keep-alive', headers: { Connection: 'keep-alive' }, status: 400 },
  { name: '§4.2.1 Connection: upgrade', headers: { Connection: 'upgrade' }, status: 101 },
  { name: '§4.2.1 Connection: keep-alive, Upgrade', headers: { Connection: 'keep-alive, Upgrade' }, status: 101 },
  { name: '§4.2.1 Connection: Upgrade,keep-alive', headers: { Connection: 'Upgrade,keep-alive' }, status: 101 },
  { name: '§4.2.1 Connection: not-upgrade', headers: { Connection: 'not-upgrade' }, status: 400 },
  { name: '§4.2.1 without Sec-WebSocket-Key', headers: { 'Sec-WebSocket-Key': null }, status: 400 },
  { name: '§4.2.1 an empty key', headers: { 'Sec-WebSocket-Key': '' }, status: 400 },
  { name: '§4.2.1 a key of 15 bytes', headers: { 'Sec-WebSocket-Key': Buffer.alloc(15, 1).toString('base64') }, status: 400 },
  { name: '§4.2.1 a key of 17 bytes', headers: { 'Sec-WebSocket-Key': Buffer.alloc(17, 1).toString('base64') }, status: 400 },
  { name: '§4.2.1 a key without padding', headers: { 'Sec-WebSocket-Key': KEY.slice(0, 22) }, status: 400 },
  { name: '§4.2.1 a key that is no base64', headers: { 'Sec-WebSocket-Key': '!@#$%^&*()!@#$%^&*()!@==' }, status: 400 },
  { name: '§4.2.1 a key of 300 bytes', headers: { 'Sec-WebSocket-Key': 'A'.repeat(300) }, status: 400 },
  { name: '§11.3.1 the key twice', extra: [`Sec-WebSocket-Key: ${KEY}`], status: 400 },
  { name: '§4.2.1 keys differ, and so do the answers', headers: { 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' }, status: 101 },
  { name: '§4.4 without a version', headers: { 'Sec-WebSocket-Version': null }, status: 426 },
  ...['0', '7', '8', '12', '14', '255', '13.0', '013', 'x', ''].map((v) => ({
    name: `§4.4 version "${v}"`, headers: { 'Sec-WebSocket-Version': v }, status: 426,
  })),
  { name: '§4.4 versions 8, 13', headers: { 'Sec-WebSocket-Version': '8, 13' }, status: 426 },
  { name: '§11.3.5 the version twice', extra: ['Sec-WebSocket-Version: 13'], status: 426 },
  { name: '§4.1 names of headers in any case', raw: (lines) => lines.map((l, i) => i ? l.replace(/^[^:]*/, (n) => n.toUpperCase()) : l), status: 101 },
  { name: '§4.1 headers in another order', raw: (lines) => [lines[0], ...lines.slice(1).reverse()], status: 101 },
  { name: '§4.1 blanks around values', raw: (lines) => lines.map((l, i) => i ? l.replace(': ', ':    ') : l), status: 101 },
  { name: '§4.1 no blank before values', raw: (lines) => lines.map((l, i) => i ? l.replace(': ', ':') : l), status: 101 },
  { name: '§4.1 headers that nobody knows', extra: ['X-One: 1', 'X-Two: 2', 'Cookie: a=b'], status: 101 },
  { name: '§4.2.2 without a subprotocol none is chosen', headers: { 'Sec-WebSocket-Protocol': null }, status: 101, protocol: undefined },
  { name: '§4.2.2 the subprotocol that is known is chosen', status: 101, protocol: 'mirusync.v1' },
  { name: '§4.2.2 the known one among others', headers: { 'Sec-WebSocket-Protocol': 'a, mirusync.v1, b' }, status: 101, protocol: 'mirusync.v1' },
  { name: '§4.2.2 the known one, last', headers: { 'Sec-WebSocket-Protocol': 'a,b,mirusync.v1' }, status: 101, protocol: 'mirusync.v1' },
  { name: '§4.2.2 subprotocols in two headers', headers: { 'Sec-WebSocket-Protocol': 'other' },
    extra: ['Sec-WebSocket-Protocol: mirusync.v1'], status: 101, protocol: 'mirusync.v1' },
  { name: '§4.2.2 only unknown subprotocols', headers: { 'Sec-WebSocket-Protocol': 'a, b' }, status: 400 },
  { name: '§4.2.2 names of subprotocols have a case', headers: { 'Sec-WebSocket-Protocol': 'MIRUSYNC.V1' }, status: 400 },
  { name: '§4.2.2 a longer name is another', headers: { 'Sec-WebSocket-Protocol': 'mirusync.v11' }, status: 400 },
  { name: '§4.2.2 the name that the library has for none', headers: { 'Sec-WebSocket-Protocol': '-' }, status: 400 },
  { name: '§9.1 compression is offered, and not taken', extra: ['Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits'], status: 101 },
  { name: '§9.1 extensions that nobody knows', extra: ['Sec-WebSocket-Extensions: foo, bar; x=1, permessage-bzip2'], status: 101 },
  { name: '§9.1 an offer that is no offer', extra: ['Sec-WebSocket-Extensions: ;;;,,,==='], status: 101 },
  { name: '§10.2 any origin where none is asked for', extra: ['Origin: http://example.com'], status: 101 },
  { name: '§4.1 another path', path: '/other', status: 404 },
  { name: '§4.1 a path in full', path: (p) => `http://x${p}`, status: 101, library: { why: 'does not take a URI apart', status: 404 } },
  { name: '§4.2 the request byte by byte', cut: 'bytes', status: 101 },
  { name: '§4.2 a line without a colon', extra: ['nonsense'], status: 400, library: { why: 'waits for the end of such a line, and is cut off', status: 0 } },
];
