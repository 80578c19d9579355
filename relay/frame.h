/*
 * frame.h
 *		Messages of the practice-log event protocol: the envelope in, the
 *		relay's own four messages out.
 *
 * The relay reads the envelope only; what an event means is decided in SQL,
 * which gets the client's text unchanged.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FRAME_H
#define MIRUSYNC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

typedef struct Frame
{
	char type[64]; /* never empty */
	bool has_last_seq;
	int64_t last_seq;		 /* 0 .. 2^53-1 */
	bool has_last_sync_time; /* only ever for SYNC_REQUEST */
	char last_sync_time[64]; /* checked ISO 8601, UTC, Z */
} Frame;

typedef enum FrameResult
{
	FRAME_OK,		/* an envelope; the type may be unknown to us */
	FRAME_NOT_JSON, /* answer FRAME_ERROR_NOT_JSON */
	FRAME_INVALID	/* answer FRAME_ERROR_INVALID */
} FrameResult;

#define FRAME_ERROR_NOT_JSON "Invalid JSON format"
#define FRAME_ERROR_INVALID	 "Invalid sync event format"

/*
 * A buffer of this size holds every message rendered here; only the text of
 * frame_error is cut to fit.
 */
#define FRAME_REPLY_MAX 1024

/*
 * frame_parse checks the whole text and reads its envelope.  "out" is filled
 * only for FRAME_OK.
 *
 * FRAME_INVALID is JSON that is no envelope: no object; `type` no string,
 * empty or over 63 bytes; `timestamp` missing or no ISO 8601 time in UTC with
 * Z; `lastSeq` (in any message) no integer of 0 .. 2^53-1; `lastSyncTime` (in
 * a SYNC_REQUEST; null counts as absent) no such time; one of these keys twice
 * or spelt with escapes; nesting over 64; or what jsonb would refuse.
 */
extern FrameResult
frame_parse(const char *text, size_t len, Frame *out) MUST_CHECK;

/* frame_is_iso_time says whether the text is an ISO 8601 time, UTC, with Z. */
extern bool frame_is_iso_time(const char *text, size_t len);

/*
 * frame_iso_time renders milliseconds since 1970 as 2026-11-23T06:00:00.123Z,
 * for the years 1 to 9999 (others are clamped); returns the length, 24.
 */
extern size_t frame_iso_time(char buf[32], int64_t now_ms);

/*
 * The renderers write one complete, terminated JSON text into "buf" and return
 * its length without the terminator, or 0 if it does not fit (never with
 * size >= FRAME_REPLY_MAX and a message below 512 bytes).  Texts are escaped;
 * bytes that are no UTF-8 become U+FFFD.
 */
extern size_t frame_welcome(char *buf, size_t size, int64_t now_ms);
extern size_t frame_pong(char *buf, size_t size, int64_t now_ms);
/* frame_auth says how long a new token will do. */
extern size_t
frame_auth(char *buf, size_t size, int64_t now_ms, int64_t expires_ms);
extern size_t frame_sync_response(char *buf, size_t size, int64_t now_ms,
								  const char *message, int64_t last_seq);

/*
 * frame_error cuts a text that is too long, between two characters.
 * "retryable" adds `"retryable":true`: nothing happened, send it again.
 */
extern size_t frame_error(char *buf, size_t size, int64_t now_ms,
						  const char *text, bool retryable);

#endif
