/*
 * status.h
 *		What a relay function that can fail returns.
 *
 * Who detects a failure logs it once, with its context; who calls passes the
 * status on without logging again ("already logged").
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_STATUS_H
#define MIRUSYNC_STATUS_H

typedef enum Status
{
	STATUS_OK,	   /* done */
	STATUS_AGAIN,  /* not now: wait for the next event */
	STATUS_CLOSED, /* the peer has gone, in order */
	STATUS_FAILED  /* failed, already logged */
} Status;

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
