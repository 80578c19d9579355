/*
 * ws_client.h
 *     One WebSocket connection of the load driver.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef WS_CLIENT_H
#define WS_CLIENT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum WsState
{
	WS_UNUSED,		  /* not opened yet */
	WS_CONNECTING,	  /* connect() under way */
	WS_SHAKING_HANDS, /* TLS; without it this is no time */
	WS_UPGRADING,	  /* request sent, no answer yet */
	WS_OPEN,		  /* messages may pass */
	WS_CLOSED		  /* see close_reason */
} WsState;

typedef struct WsConn WsConn;

typedef void (*WsMessageFn)(WsConn *conn, const char *text, size_t len);
typedef void (*WsOpenFn)(WsConn *conn);

struct WsConn
{
	int fd;
	SSL *ssl; /* or NULL */
	WsState state;
	char *in; /* start of an incomplete frame, or NULL */
	size_t in_len;
	char *out; /* what the socket did not take, or NULL */
	size_t out_len;
	char *message; /* fragments of a message, or NULL */
	size_t message_len;
	char *request; /* the upgrade request, until it is sent */
	char close_reason[96];
	WsOpenFn on_open;
	WsMessageFn on_message;
	bool is_binary; /* what it sends */
};

/* ws_use_tls makes all connections that are opened from now on use TLS. */
extern void ws_use_tls(void);
extern void ws_open(WsConn *conn, int epfd, int port, const char *path,
					const char *headers);
extern void ws_on_event(WsConn *conn, int epfd, uint32_t events);
extern void ws_send(WsConn *conn, int epfd, const char *text, size_t len);
extern void ws_close(WsConn *conn);

#endif /* WS_CLIENT_H */
