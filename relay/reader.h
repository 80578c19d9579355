/*
 * reader.h
 *		The connections that read: pages of feeds, and heads.
 *
 * Reading can always be repeated, so a request survives a lost connection:
 * its callback comes once, with rows or with a lasting error.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_READER_H
#define MIRUSYNC_READER_H

#include "config.h"
#include "pgarray.h"
#include "pgconn.h"

typedef enum ReadClass
{
	READ_LIVE,	   /* a page for the live sessions of a feed */
	READ_CATCH_UP, /* a page for one session that catches up */
	READ_HEADS,	   /* where feeds stand */
	READ_ACCESS,   /* who may have a session */
	READ_CLASSES
} ReadClass;

typedef struct ReadRequest ReadRequest;

/* "result" is NULL after a lasting error, which was logged. */
typedef void (*ReadCallback)(void *arg, const PGresult *result);

extern const PgStatement pull_live_statement;	/* feed, after, max, seen,
												 * dialects */
extern const PgStatement pull_after_statement;	/* the same */
extern const PgStatement pull_since_statement;	/* feed, time, max */
extern const PgStatement pull_recent_statement; /* feed, max */
extern const PgStatement heads_statement;		/* feeds[] */
extern const PgStatement access_statement;		/* users[] */
extern const PgStatement redeem_statement;		/* user, hash, expiry */
extern const PgStatement history_statement;		/* user, collection, id,
												 * before, max */
extern const PgStatement conflicts_statement;	/* the same */

extern void reader_init(const Config *config);
extern void reader_start(void);
extern void reader_release(void);

/*
 * reader_submit queues an execution with text parameters, which are copied.
 * The callback never comes from within this call; the request is gone once it
 * came.
 */
extern ReadRequest *
reader_submit(ReadClass class, const PgStatement *statement,
			  const char *const *values, ReadCallback callback, void *arg);

/* reader_submit_array does the same with one text[], which it takes over. */
extern ReadRequest *
reader_submit_array(ReadClass class, const PgStatement *statement,
					PgArray *array, ReadCallback callback, void *arg);

/* reader_cancel makes sure that the callback does not come.  Safe on NULL. */
extern void reader_cancel(ReadRequest *request);

/* reader_metrics sets the gauges. */
extern void reader_metrics(void);

extern void reader_tick(int64_t now_ms);

/* The first row of a page, and what follows it. */
typedef struct PageHead
{
	int64_t after; /* cursor before the page, as the server sees it */
	int64_t seq;   /* cursor after it */
	int64_t head;
	bool complete;
} PageHead;

enum
{
	PAGE_KIND,
	PAGE_AFTER,
	PAGE_SEQ,
	PAGE_HEAD,
	PAGE_COMPLETE,
	PAGE_SESSION,
	PAGE_BODY,	 /* events, one a line */
	PAGE_NATIVE, /* the same as a native message */
};

/* page_text returns NULL for a null. */
extern const char *page_text(const PGresult *result, int row, int column);

/* page_head reads the first row; false if there is none of that kind. */
extern bool page_head(const PGresult *result, PageHead *head);

/* page_int reads a number of a row, 0 for null. */
extern int64_t page_int(const PGresult *result, int row, int column);

#define PAGE_MAX "500" /* records in one page */

#endif
