/*
 * jsonb_build.h
 *     Building JSON objects key by key.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_JSONB_BUILD_H
#define MIRUSYNC_JSONB_BUILD_H

#include "utils/jsonb.h"

/* Each adds a key to the object being built; miru_build_key only the key. */
extern void miru_build_key(JsonbParseState **state, const char *name);
extern void
miru_build_text(JsonbParseState **state, const char *name, const char *text);
extern void
miru_build_integer(JsonbParseState **state, const char *name, int64 number);
extern void
miru_build_bool(JsonbParseState **state, const char *name, bool boolean);

/* miru_build_begin and miru_build_end begin and end the outermost object. */
extern void miru_build_begin(JsonbParseState **state);
extern Jsonb *miru_build_end(JsonbParseState **state);

/*
 * miru_jsonb_parse reads a text as jsonb_in does, and leaves nothing behind but
 * the result: what Postgres allocates on the way is ten times as large.
 */
extern Jsonb *miru_jsonb_parse(const char *text);

/* miru_value_of_jsonb makes a value of a whole jsonb, scalar or not. */
extern JsonbValue *miru_value_of_jsonb(Jsonb *jsonb);

#endif /* MIRUSYNC_JSONB_BUILD_H */
