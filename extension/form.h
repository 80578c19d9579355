/*
 * form.h
 *     The form of a JSON object, as a table of its fields: checks objects and
 *     brings them into it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FORM_H
#define MIRUSYNC_FORM_H

#include "utils/jsonb.h"

/* What a field holds, and so what becomes of its value. */
typedef enum FormKind
{
	FORM_ARRAY, /* of anything */
	FORM_BOOLEAN,
	FORM_CHOICE,	   /* one of a list of strings */
	FORM_COUNT,		   /* integer of at least 0 */
	FORM_ID,		   /* string, neither empty nor too long */
	FORM_LOWER_CASE,   /* string, not empty, kept in lower case */
	FORM_MILLISECONDS, /* ISO time or integer ms, kept as integer */
	FORM_MOMENT,	   /* ISO time or integer ms, kept as it came */
	FORM_NUMBER,
	FORM_OBJECT,  /* with "parts" checked, if there are any */
	FORM_OBJECTS, /* array of objects, with "parts" of each */
	FORM_TEXT,
	FORM_TEXTS, /* array of strings */
	FORM_TIME	/* ISO date or time */
} FormKind;

/* The longest id, in bytes: ids are part of index entries. */
#define FORM_ID_MAX_BYTES  255

#define FORM_REQUIRED	   0x01
#define FORM_DEFAULT_EMPTY 0x02 /* an empty array where there is none */
#define FORM_BOTH_NAMES	   0x04 /* written under name and alias */
#define FORM_MAY_BE_EMPTY  0x08 /* the empty string is fine too */

/* A form is an array of fields that ends with one without a name. */
typedef struct FormField
{
	const char *name;
	FormKind kind;
	int flags;
	const char *alias;			   /* read where there is nothing under name */
	const char *const *choices;	   /* of FORM_CHOICE, NULL at the end */
	const struct FormField *parts; /* of FORM_OBJECT and FORM_OBJECTS */
} FormField;

/*
 * miru_form_apply returns the object in that form, in the current memory
 * context; that very object if it is in it.  Throws ERRCODE_MIRU_INVALID_OBJECT when it does not fit; "noun"
 * says in the message what the object is.  "softly": it may return NULL
 * instead.
 */
extern Jsonb *miru_form_apply(const FormField *form, const char *noun,
							  Jsonb *object, bool softly);

#endif /* MIRUSYNC_FORM_H */
