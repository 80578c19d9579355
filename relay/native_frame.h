/*
 * native_frame.h
 *		Messages of mirusync.v1: the envelope in, the relay's own messages out.
 *
 * The relay reads of a message what routes it; what a push means is decided in
 * SQL, which gets the text unchanged.  Pure: no socket, no clock.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_NATIVE_FRAME_H
#define MIRUSYNC_NATIVE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codes.h"
#include "json.h"
#include "status.h"

#define NATIVE_PROTOCOL		 1
#define NATIVE_DEVICE_MAX	 255 /* bytes */
#define NATIVE_DEVICE_REASON "device must be a text of 1 to 255 bytes"

/* Where a device stands in a feed: packed as in SQL, epoch in front. */
typedef struct NativeCursor
{
	int64_t cursor; /* 0: nowhere */
	int64_t seen;	/* head of its last page, if that was incomplete */
} NativeCursor;

typedef struct NativeFrame
{
	MessageType type; /* MESSAGE_TYPES: none, over HTTP */
	bool has_ref;
	int64_t ref;						/* 0 .. 2^53-1 */
	char device[NATIVE_DEVICE_MAX + 1]; /* "" = missing */
	char application[64];				/* "" = missing or too long */
	bool has_protocol;
	int64_t protocol;
	NativeCursor cursor; /* of the feed asked for */
	bool has_token;
	JsonSpan token;		/* in the text; no escapes */
	const char *reason; /* what is wrong, more exactly than the code; or NULL */
} NativeFrame;

/*
 * native_frame_parse checks the whole text and reads its envelope.  Returns
 * ERROR_CODES if it is good, else what is wrong; then "ref" is filled all the
 * same if there was one.  A text without a type is good if "untyped" says so.
 * "feed" is the one whose cursor is wanted, or NULL.
 */
extern ErrorCode
native_frame_parse(const char *text, size_t len, const char *feed, bool untyped,
				   NativeFrame *out) MUST_CHECK;

/* A buffer of this size holds every message rendered here, for any user. */
#define NATIVE_REPLY_MAX 4096

/* What the welcome and the status say of the relay. */
typedef struct NativeLimits
{
	int64_t message_max_bytes;
	int64_t pushes_max;
	int64_t idle_timeout_ms;
} NativeLimits;

typedef struct NativeWelcome
{
	const char *session; /* NULL: a status, which has no type */
	const char *user;
	int64_t now_ms;
	int64_t token_expires_in_ms;
	NativeLimits limits;
	const char *greeting; /* SQL's part, an object that is not empty */
} NativeWelcome;

/*
 * The renderers write one terminated JSON text into "buf" and return its
 * length, or 0 if it does not fit.
 */
extern size_t
native_welcome(char *buf, size_t size, const NativeWelcome *welcome,
			   const NativeFrame *frame);
extern size_t native_pong(char *buf, size_t size, const NativeFrame *frame,
						  int64_t now_ms, int64_t token_expires_in_ms);

/* native_token answers a token; "frame" NULL: says that it ends soon. */
extern size_t native_token(char *buf, size_t size, const NativeFrame *frame,
						   int64_t token_expires_in_ms);
extern size_t native_goodbye(char *buf, size_t size, CloseCode code,
							 const char *reason, int64_t after_ms);
extern size_t
native_start_over(char *buf, size_t size, const char *feed, int64_t delay_ms);

/* native_nothing is a `changes` without changes, from packed cursors. */
extern size_t native_nothing(char *buf, size_t size, const char *feed,
							 int64_t from, int64_t to);

typedef struct NativeError
{
	ErrorCode code;
	const char *reason;	  /* NULL: the code's meaning */
	const char *sqlstate; /* or "" */
	bool has_ref;
	int64_t ref;
	int64_t after_ms; /* where trying again helps */
} NativeError;

/* native_error cuts a reason that is too long; "http": as a body over HTTP. */
extern size_t
native_error(char *buf, size_t size, const NativeError *error, bool http);

#endif
