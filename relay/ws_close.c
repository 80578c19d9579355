/*
 * ws_close.c
 *		Close frames: what we send, and what is to be answered to a peer's.
 *
 * Pure: no socket.  docs/internals/websocket.md says why the library is not
 * asked.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "ws_close.h"

#include <string.h>

#include "utf8.h"

#define FRAME_FIN_CLOSE 0x88
#define REASON_MAX		123 /* bytes */

size_t
ws_close_frame(unsigned char frame[WS_CLOSE_FRAME_MAX], int code,
			   const char *reason)
{
	size_t len = strlen(reason);

	frame[0] = FRAME_FIN_CLOSE;
	frame[1] = 0;
	if (code == CLOSE_NO_CODE)
		return 2;
	if (len > REASON_MAX)
		len = REASON_MAX;
	frame[1] = (unsigned char) (2 + len);
	frame[2] = (unsigned char) (code >> 8);
	frame[3] = (unsigned char) code;
	memcpy(frame + 4, reason, len);
	return 4 + len;
}

/* Codes up to 2999 the library has looked at: those that may not be sent are
 * 1002 by now. */
int
ws_close_answer(const unsigned char *payload, size_t len)
{
	int code;

	if (len == 0 || payload == NULL)
		return CLOSE_NO_CODE;
	if (len == 1)
		return CLOSE_PROTOCOL;
	code = payload[0] << 8 | payload[1];
	if (code < 1000 || code > 4999)
		return CLOSE_PROTOCOL;
	return utf8_is_valid((const char *) payload + 2, len - 2) ? code
															  : CLOSE_NO_UTF8;
}
