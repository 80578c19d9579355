/*
 * stream.c
 *		The bytes of a socket, plain or under TLS.
 *
 * Owns nothing: socket and SSL are the caller's.  Never blocks.
 *
 * A record is written whole or not at all, and what was begun must be offered
 * again as it was: so the caller goes on with the same bytes, and no piece is
 * larger than a record.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

#define PIECE_MAX 16384 /* what a record holds */

static int
outcome(Stream *stream, ssize_t done, bool writing)
{
	stream->wants_write = writing;
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return done > 0 ? (int) done : -1;
}

static int
secure_outcome(Stream *stream, int done)
{
	int error;

	if (done > 0)
		return done;
	error = SSL_get_error(stream->ssl, done);
	stream->wants_write = error == SSL_ERROR_WANT_WRITE;
	ERR_clear_error();
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0
																		 : -1;
}

static int
piece(size_t len)
{
	return (int) (len < PIECE_MAX ? len : PIECE_MAX);
}

int
stream_peek(Stream *stream, char *buf, size_t size)
{
	if (stream->ssl == NULL)
		return outcome(stream,
					   recv(stream->fd, buf, size, MSG_DONTWAIT | MSG_PEEK),
					   false);
	ERR_clear_error();
	return secure_outcome(stream, SSL_peek(stream->ssl, buf, piece(size)));
}

int
stream_read(Stream *stream, char *buf, size_t size)
{
	if (stream->ssl == NULL)
		return outcome(stream, recv(stream->fd, buf, size, MSG_DONTWAIT),
					   false);
	ERR_clear_error();
	return secure_outcome(stream, SSL_read(stream->ssl, buf, piece(size)));
}

int
stream_write(Stream *stream, const char *data, size_t len)
{
	if (stream->ssl == NULL)
		return outcome(stream,
					   send(stream->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL),
					   true);
	ERR_clear_error();
	return secure_outcome(stream, SSL_write(stream->ssl, data, piece(len)));
}

bool
stream_has_more(const Stream *stream)
{
	return stream->ssl != NULL && SSL_pending(stream->ssl) > 0;
}

void
stream_end(Stream *stream)
{
	/* Best effort: the length of the answer said where it ends. */
	if (stream->ssl != NULL)
	{
		ERR_clear_error();
		(void) SSL_shutdown(stream->ssl);
		ERR_clear_error();
	}
	shutdown(stream->fd, SHUT_WR);
}
