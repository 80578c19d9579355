/*
 * ws_close.h
 *		Close frames: what we send, and what is to be answered to a peer's.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_WS_CLOSE_H
#define MIRUSYNC_WS_CLOSE_H

#include <stddef.h>

#define WS_CLOSE_FRAME_MAX 127	/* bytes */
#define CLOSE_PROTOCOL	   1002 /* what is not the WebSocket protocol */
#define CLOSE_NO_CODE	   1005 /* a close frame without a code */
#define CLOSE_NONE		   1006 /* no close frame at all */
#define CLOSE_NO_UTF8	   1007

/*
 * ws_close_frame writes a close frame and returns its length.  A reason that is
 * too long for a control frame is cut.
 */
extern size_t ws_close_frame(unsigned char frame[WS_CLOSE_FRAME_MAX], int code,
							 const char *reason);

/* ws_close_answer: the code to answer a close frame of that payload with. */
extern int ws_close_answer(const unsigned char *payload, size_t len);

#endif
