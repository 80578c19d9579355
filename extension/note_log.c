/*
 * note_log.c
 *     An append-only list of byte strings that spills to disk and can be cut
 *     back to an earlier length.
 *
 * The first "memory_limit" bytes stay in memory for good, what comes after
 * them goes to a temporary file.  A position is a plain byte offset over both,
 * so cutting back after a subtransaction's abort is one assignment, wherever
 * the cut falls.  A tuplestore could spill too but cannot be cut back.
 *
 * The file belongs to the top transaction's resource owner, which removes it
 * if the transaction fails.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "note_log.h"
#include "storage/buffile.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

struct MiruNoteLog
{
	Size memory_limit;
	char *memory; /* in TopTransactionContext */
	Size allocated;
	int64 memory_length; /* bytes in memory */
	BufFile *file;		 /* NULL until needed */
	int64 file_length;
};

MiruNoteLog *
miru_note_log_new(Size memory_limit)
{
	MiruNoteLog *log = MemoryContextAllocZero(TopTransactionContext,
											  sizeof(MiruNoteLog));

	log->memory_limit = memory_limit;
	log->allocated = 1024;
	log->memory = MemoryContextAlloc(TopTransactionContext, log->allocated);
	return log;
}

int64
miru_note_log_length(const MiruNoteLog *log)
{
	return log->memory_length + log->file_length;
}

/* reserve makes room for "length" more bytes in memory. */
static void
reserve(MiruNoteLog *log, Size length)
{
	Size allocated = log->allocated;
	Size wanted = log->memory_length + length;

	if (wanted <= log->allocated)
		return;
	while (allocated < wanted)
		allocated *= 2;
	/* If this throws, the log is still what it says it is. */
	log->memory = repalloc_huge(log->memory, allocated);
	log->allocated = allocated;
}

static void
append_to_file(MiruNoteLog *log, const void *bytes, uint32 length)
{
	if (log->file == NULL)
	{
		MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);
		ResourceOwner owner = CurrentResourceOwner;

		CurrentResourceOwner = TopTransactionResourceOwner;
		log->file = BufFileCreateTemp(false);
		CurrentResourceOwner = owner;
		MemoryContextSwitchTo(context);
	}
	if (BufFileSeek(log->file, 0, log->file_length, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg(
					 "could not seek in temporary file of changed rows: %m")));
	BufFileWrite(log->file, &length, sizeof(length));
	BufFileWrite(log->file, unconstify(void *, bytes), length);
	log->file_length += sizeof(length) + length;
}

int64
miru_note_log_append(MiruNoteLog *log, const void *bytes, uint32 length)
{
	int64 position = miru_note_log_length(log);
	Size size = sizeof(length) + length;

	if (log->file_length > 0 ||
		(Size) log->memory_length + size > log->memory_limit)
	{
		append_to_file(log, bytes, length);
		return position;
	}
	reserve(log, size);
	memcpy(log->memory + log->memory_length, &length, sizeof(length));
	memcpy(log->memory + log->memory_length + sizeof(length), bytes, length);
	log->memory_length += size;
	return position;
}

void
miru_note_log_truncate(MiruNoteLog *log, int64 position)
{
	if (position >= log->memory_length)
		log->file_length = position - log->memory_length;
	else
	{
		log->memory_length = position;
		log->file_length = 0;
	}
}

static void
read_from_file(MiruNoteLog *log, void *bytes, size_t length)
{
	if (BufFileRead(log->file, bytes, length) != length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read temporary file of changed rows")));
}

void *
miru_note_log_read(MiruNoteLog *log, int64 position, int64 *next)
{
	uint32 length;
	char *bytes;

	if (position < log->memory_length)
	{
		memcpy(&length, log->memory + position, sizeof(length));
		bytes = palloc(length);
		memcpy(bytes, log->memory + position + sizeof(length), length);
	}
	else
	{
		if (BufFileSeek(log->file, 0, position - log->memory_length,
						SEEK_SET) != 0)
			ereport(
				ERROR,
				(errcode_for_file_access(),
				 errmsg(
					 "could not seek in temporary file of changed rows: %m")));
		read_from_file(log, &length, sizeof(length));
		bytes = palloc(length);
		read_from_file(log, bytes, length);
	}
	*next = position + sizeof(length) + length;
	return bytes;
}

void
miru_note_log_close(MiruNoteLog *log)
{
	ResourceOwner owner = CurrentResourceOwner;

	if (log->file == NULL)
		return;
	CurrentResourceOwner = TopTransactionResourceOwner;
	BufFileClose(log->file);
	CurrentResourceOwner = owner;
	log->file = NULL;
	log->file_length = 0;
}
