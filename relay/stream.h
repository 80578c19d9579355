/*
 * stream.h
 *		The bytes of a socket, plain or under TLS.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_STREAM_H
#define MIRUSYNC_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Stream
{
	int fd;
	SSL *ssl;		  /* NULL: plain; the handshake is over */
	bool wants_write; /* what could not be done needs a socket that takes */
} Stream;

/*
 * These give the number of bytes, 0 if nothing can be done now, -1 if the
 * stream is over.  Under TLS stream_peek sees the first record only, and
 * stream_write takes a record at most.
 */
extern int stream_peek(Stream *stream, char *buf, size_t size);
extern int stream_read(Stream *stream, char *buf, size_t size);
extern int stream_write(Stream *stream, const char *data, size_t len);

/* stream_has_more: what stream_read would give is here, unseen by any poll. */
extern bool stream_has_more(const Stream *stream);

/* stream_end says that nothing more will be written. */
extern void stream_end(Stream *stream);

#endif
