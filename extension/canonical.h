/*
 * canonical.h
 *     JSON in one form only, so that everybody computes the same digest of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CANONICAL_H
#define MIRUSYNC_CANONICAL_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* miru_canonical_text appends a string in quotes. */
extern void
miru_canonical_text(StringInfo out, const char *text, size_t length);

/* miru_canonical_key begins a member of an object: a comma, the key, a colon. */
extern void miru_canonical_key(StringInfo out, const char *key);

/* miru_canonical_jsonb appends a whole jsonb. */
extern void miru_canonical_jsonb(StringInfo out, Jsonb *jsonb);

#endif /* MIRUSYNC_CANONICAL_H */
