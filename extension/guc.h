/*
 * guc.h
 *     Settings.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_GUC_H
#define MIRUSYNC_GUC_H

typedef enum MiruDoorbell
{
	MIRU_DOORBELL_AUTO,		   /* the worker, or else in the transaction */
	MIRU_DOORBELL_TRANSACTION, /* NOTIFY in the writing transaction */
	MIRU_DOORBELL_OFF		   /* none: relays find out by polling */
} MiruDoorbell;

extern int miru_doorbell;		/* MiruDoorbell */
extern int miru_max_clock_skew; /* ms */
extern char *miru_push_search_path;
extern int miru_note_memory; /* kB */
extern int miru_rejected_max_changes;
extern int miru_rejected_max_size; /* kB */
extern int miru_trim_active;	   /* minutes */
extern int miru_trim_batch_rows;
extern int miru_trim_interval; /* s; 0: never */

extern void miru_guc_init(void);

#endif /* MIRUSYNC_GUC_H */
