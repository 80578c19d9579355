/*
 * mirusync.c
 *     Module load: calls each part's init, nothing else.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "acting.h"
#include "board.h"
#include "capture.h"
#include "ddl.h"
#include "doorbell.h"
#include "epoch.h"
#include "event_map.h"
#include "guc.h"
#include "makeway.h"
#include "miscadmin.h"
#include "partition.h"
#include "pusher.h"
#include "registry.h"
#include "worker.h"

PG_MODULE_MAGIC;

void _PG_init(void);

void
_PG_init(void)
{
	miru_guc_init();
	miru_registry_init();
	miru_acting_init();
	miru_epoch_init();
	miru_partition_init();
	miru_capture_init();
	miru_pusher_init();
	miru_doorbell_init();
	miru_event_map_init();
	miru_ddl_init();
	if (process_shared_preload_libraries_in_progress)
	{
		miru_board_init();
		miru_makeway_init();
		miru_worker_init();
	}
}
