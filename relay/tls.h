/*
 * tls.h
 *		The certificate that the relay shows, and how TLS is spoken.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_TLS_H
#define MIRUSYNC_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "status.h"

extern bool tls_is_wanted(const Config *config);

/* tls_check reads certificate and key without using them. */
extern Status tls_check(const Config *config) MUST_CHECK;

/*
 * tls_setup settles a context that new connections are made from, and loads
 * the certificate.  The context must outlive tls_release.
 */
extern Status tls_setup(SSL_CTX *ctx, const Config *config) MUST_CHECK;
extern void tls_release(void);

/*
 * tls_reload takes the files as they are now, for connections made from now
 * on; if they cannot be used the old certificate stays.
 */
extern Status tls_reload(void);

/* tls_tick reloads when the files have changed. */
extern void tls_tick(int64_t now_ms);

#endif
