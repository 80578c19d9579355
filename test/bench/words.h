/*
 * words.h
 *     What the load driver says to a server, and what it understands: a set of
 *     words for each kind of server.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* What a message of the server is, to the driver */
typedef enum Meaning
{
	MEANS_NOTHING,
	MEANS_GREETING, /* the server is there: it may be asked for what is new */
	MEANS_READY,	/* everything that there was has been received */
	MEANS_ACK,		/* the oldest unanswered push is stored */
	MEANS_CHANGES,	/* others' changes */
	MEANS_PAGE,		/* a part of what there was */
	MEANS_REFUSED
} Meaning;

/* One push: "count" changes of one device, the first with number "first" */
typedef struct Push
{
	const char *user;
	const char *run; /* prefix of the records' ids */
	int user_index;
	int device;
	int first;
	int count;
	int digested; /* changes whose answers have come */
	int records;  /* written over and over; 0: a record for each change */
	bool is_small;
} Push;

typedef struct Words
{
	const char *name;
	const char *path; /* the first %s is the user, the second the token */
	const char *writer_path; /* of a device that writes, where it differs */
	const char *subprotocol; /* or NULL */
	bool token_in_header;
	bool greets_first;	/* the device speaks when it is connected, unasked */
	bool ready_at_once; /* there is nothing to catch up */
	bool is_binary;
	bool is_stream; /* the ends of frames mean nothing: lines count */
	bool can_batch; /* several changes may be one push */
	int (*greet)(char *out, size_t size, const char *user, const char *device,
				 long after);
	int (*push)(char *out, size_t size, const Push *push);
	Meaning (*meaning)(const char *text, size_t len, bool is_ready);
} Words;

extern const Words *words_named(const char *name);
extern int render_entry(char *out, size_t size, const Push *push, int change,
						const char *stamp);

#endif /* WORDS_H */
