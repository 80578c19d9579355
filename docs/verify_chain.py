#!/usr/bin/env python3
# usage: psql -XAtc "SELECT mirusync.export_chain('nora')" | verify_chain.py [SEQ HASH]
import hashlib, json, sys

class Number(str):
    """A number as it is written: 1.00 is not 1."""

def canonical(value):
    if isinstance(value, Number):
        return value
    if isinstance(value, dict):
        return '{' + ','.join(canonical(key) + ':' + canonical(value[key]) for key in sorted(value)) + '}'
    if isinstance(value, list):
        return '[' + ','.join(map(canonical, value)) + ']'
    return json.dumps(value, ensure_ascii=False)

def sha256(*parts):
    return hashlib.sha256(b''.join(parts)).digest()

def members(value):  # those that are not null
    return {key: value[key] for key in value if value[key] is not None}

def digest(line):  # of a change; None: it says both what it was and that this is erased, or neither
    payload, salt, erased = members(line['payload']), line['salt'], line['digest']
    if (salt is None) == (erased is None) or (erased and payload):
        return None
    if salt:
        erased = sha256(bytes.fromhex(salt), canonical(payload).encode()).hex()
    return sha256(canonical(dict(members(line['change']), payload=erased)).encode())

def check(lines, noted=None):  # yields what does not fit, as verify() does
    chain = json.loads(next(lines))
    seq, last = chain['anchor']['seq'], chain['head']['seq']
    before = bytes.fromhex(chain['anchor']['hash'])  # hash of the change before; None: not known
    if noted == (seq, before.hex()):
        noted = None
    for text in lines:
        line = json.loads(text, parse_int=Number, parse_float=Number)
        number = int((line.get('change') or line['trimmed'])['seq'])
        if number <= seq or number > last:
            yield 'change', number
            continue
        if number > seq + 1:
            yield 'missing', seq + 1
            before = None
        seq = number
        if 'trimmed' in line:
            before = before and sha256(before, bytes.fromhex(line['trimmed']['digest']))
        else:
            made, stored = digest(line), bytes.fromhex(line['hash'] or '')
            if not made or before and sha256(before, made) != stored:
                yield 'change', seq
            before = stored
        if before and noted == (seq, before.hex()):
            noted = None
    if seq < last:
        yield 'missing', seq + 1
    elif before and before.hex() != chain['head']['hash']:
        yield 'head', seq
    if noted:
        yield 'noted', noted[0]

faults = list(check(iter(open(0, encoding='utf-8')), (int(sys.argv[1]), sys.argv[2]) if sys.argv[2:] else None))
for problem, seq in faults:
    print(problem, seq)
sys.exit(len(faults) > 0)
