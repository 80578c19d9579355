/*
 * note_log.h
 *     An append-only list of byte strings that spills to disk and can be cut
 *     back to an earlier length.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_NOTE_LOG_H
#define MIRUSYNC_NOTE_LOG_H

typedef struct MiruNoteLog MiruNoteLog;

/*
 * miru_note_log_new makes an empty one that lives until the top transaction
 * ends and keeps at most "memory_limit" bytes in memory.
 */
extern MiruNoteLog *miru_note_log_new(Size memory_limit);

/* miru_note_log_length returns its length in bytes: the next position. */
extern int64 miru_note_log_length(const MiruNoteLog *log);

/* miru_note_log_append adds "length" bytes and returns their position. */
extern int64
miru_note_log_append(MiruNoteLog *log, const void *bytes, uint32 length);

/* miru_note_log_truncate forgets everything from "position" on. */
extern void miru_note_log_truncate(MiruNoteLog *log, int64 position);

/*
 * miru_note_log_read returns the string at "position", palloc'd in the
 * current context, and sets the position of the next one.
 */
extern void *miru_note_log_read(MiruNoteLog *log, int64 position, int64 *next);

/*
 * miru_note_log_close removes the file of one that is not needed any more.
 * After an abort the resource owner does it.
 */
extern void miru_note_log_close(MiruNoteLog *log);

#endif /* MIRUSYNC_NOTE_LOG_H */
