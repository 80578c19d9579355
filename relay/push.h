/*
 * push.h
 *		One message of a client on its way to the database, and its stream.
 *
 * A push outlives the session it came from: what a client sent and then hung
 * up is still written.  What the pushes of one session share, and what keeps
 * them in order, is their stream.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_PUSH_H
#define MIRUSYNC_PUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dialect.h"

struct Push;

/* The pushes of one session, in order. */
typedef struct PushStream
{
	struct PushStream *prev; /* the slow lane's queue, while slow */
	struct PushStream *next;
	int refs;				/* the session's, and one per push */
	char session_id[17];	/* origin, for the echo rule */
	const Dialect *dialect; /* what its messages are written in */
	char device[256];		/* "": the session stands for it */
	struct Push *slow;		/* on the slow lane, oldest first */
	struct Push *held;		/* waiting until slow is empty */
	int64_t retry_at_ms;	/* of the oldest slow one */
	bool in_flight;			/* the oldest slow one is at the database */
	char user[];
} PushStream;

/* Tells what became of a push, once, after the commit. */
struct Verdict;
typedef void (*PushSettled)(void *arg, const struct Verdict *verdict);

typedef struct Push
{
	struct Push *prev; /* the list it waits in, while "list" is set */
	struct Push *next;
	struct Push **list;	   /* head of that list, NULL if in none */
	struct Push *age_prev; /* all pushes, oldest first */
	struct Push *age_next;
	PushStream *stream;
	PushSettled settled; /* whom to tell; NULL: nobody any more */
	void *arg;
	int64_t since_ms; /* when it came */
	int64_t since_us; /* likewise, by metrics_now_us */
	int losses;		  /* times that it failed as only it can */
	bool alone;		  /* a group with it failed: send it alone */
	bool in_flight;	  /* at the database */
	bool given_up;	  /* answered already: do not send it again */
	size_t len;
	char text[]; /* the client's message, not terminated */
} Push;

typedef enum VerdictKind
{
	VERDICT_STORED,		/* applied or merged; seq is promised */
	VERDICT_UNCHANGED,	/* a newer value stands, see body */
	VERDICT_REJECTED,	/* refused, see reason */
	VERDICT_UNAVAILABLE /* nothing happened: send it again later */
} VerdictKind;

typedef struct Verdict
{
	VerdictKind kind;
	int64_t seq;		/* promised, or of the body; 0 = none */
	const char *body;	/* for this session alone: events, or the answer */
	const char *reason; /* for REJECTED, UNAVAILABLE */
	char sqlstate[6];	/* for REJECTED, or "" */
} Verdict;

#endif
