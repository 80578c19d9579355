/*
 * practice_log.c
 *     The objects of the practice-log event protocol: entry, piece, plan and
 *     occurrence, checked and normalised.
 *
 * The event dialect is mapped to collections by data (see 60_events.sql and
 * mirusync.create_practice_log()); what is left for code is what the objects
 * must look like, and that is data too: one form for each, with a row for
 * every field whose type the protocol fixes or whose name leaves no doubt.
 * A field that is not here is kept as it came (form.c).
 *
 * The stamps updatedAt and updated_at are checked in all four, because the
 * conflict rule reads them in all four.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "fmgr.h"

#include "event_map.h"
#include "form.h"

#define CHOICES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define END                                                                    \
	{                                                                          \
		NULL                                                                   \
	}

/* A piece as an entry lists it. */
static const FormField played_piece_form[] =
	{{"id", FORM_TEXT},			{"title", FORM_TEXT, FORM_REQUIRED},
	 {"composer", FORM_TEXT},	{"tempo", FORM_NUMBER},
	 {"duration", FORM_NUMBER}, END};

static const FormField entry_form[] =
	{{"id", FORM_ID, FORM_REQUIRED},
	 {"timestamp", FORM_MILLISECONDS, FORM_REQUIRED},
	 {"duration", FORM_COUNT, FORM_REQUIRED},
	 {"type", FORM_CHOICE, FORM_REQUIRED,
	  .choices = CHOICES("practice", "performance", "lesson", "masterclass",
						 "rehearsal", "technique", "status_change", "other")},
	 {"instrument", FORM_LOWER_CASE, FORM_REQUIRED},
	 {"pieces", FORM_OBJECTS, FORM_DEFAULT_EMPTY, .parts = played_piece_form},
	 {"techniques", FORM_TEXTS, FORM_DEFAULT_EMPTY},
	 {"tags", FORM_TEXTS, FORM_DEFAULT_EMPTY},
	 {"goal_ids", FORM_TEXTS, .alias = "goalIds"},
	 {"notes", FORM_TEXT},
	 {"mood", FORM_CHOICE,
	  .choices = CHOICES("frustrated", "neutral", "satisfied", "excited",
						 "proud")},
	 {"session_id", FORM_TEXT},
	 {"metadata", FORM_OBJECT},
	 {"createdAt", FORM_MOMENT},
	 {"created_at", FORM_MOMENT},
	 {"updatedAt", FORM_MOMENT},
	 {"updated_at", FORM_MOMENT},
	 {"deletedAt", FORM_MOMENT, FORM_MAY_BE_EMPTY},
	 {"sync_version", FORM_NUMBER},
	 {"checksum", FORM_TEXT},
	 {"device_id", FORM_TEXT},
	 {"scoreId", FORM_TEXT},
	 {"scoreTitle", FORM_TEXT},
	 {"scoreComposer", FORM_TEXT},
	 {"autoTracked", FORM_BOOLEAN},
	 END};

static const FormField piece_form[] =
	{{"id", FORM_ID, FORM_REQUIRED},
	 {"scoreId", FORM_ID, FORM_REQUIRED | FORM_BOTH_NAMES, .alias = "score_id"},
	 {"title", FORM_TEXT, FORM_REQUIRED},
	 {"composer", FORM_TEXT},
	 {"status", FORM_CHOICE, FORM_REQUIRED,
	  .choices = CHOICES("planned", "learning", "working", "polished",
						 "performance_ready", "archived")},
	 {"started_at", FORM_TIME},
	 {"last_practiced_at", FORM_TIME},
	 {"created_at", FORM_TIME},
	 {"updated_at", FORM_TIME},
	 {"updatedAt", FORM_MOMENT},
	 {"deletedAt", FORM_MOMENT, FORM_MAY_BE_EMPTY},
	 {"target_tempo", FORM_NUMBER},
	 {"current_tempo", FORM_NUMBER},
	 {"notes", FORM_TEXT},
	 {"tags", FORM_TEXTS, FORM_DEFAULT_EMPTY},
	 END};

static const FormField schedule_form[] = {{"kind", FORM_CHOICE, FORM_REQUIRED,
										   .choices = CHOICES("single",
															  "recurring")},
										  {"rule", FORM_TEXT},
										  {"durationMinutes", FORM_NUMBER},
										  {"timeOfDay", FORM_TEXT},
										  {"flexibility", FORM_TEXT},
										  {"startDate", FORM_TIME},
										  {"endDate", FORM_TIME},
										  {"metadata", FORM_OBJECT},
										  END};

static const FormField plan_form[] =
	{{"id", FORM_ID, FORM_REQUIRED},
	 {"title", FORM_TEXT, FORM_REQUIRED},
	 {"type", FORM_CHOICE, FORM_REQUIRED,
	  .choices = CHOICES("bootcamp", "course", "custom")},
	 {"schedule", FORM_OBJECT, FORM_REQUIRED, .parts = schedule_form},
	 {"visibility", FORM_CHOICE, FORM_REQUIRED,
	  .choices = CHOICES("private", "shared", "template")},
	 {"status", FORM_CHOICE, FORM_REQUIRED,
	  .choices = CHOICES("draft", "active", "completed", "archived")},
	 {"createdAt", FORM_TIME, FORM_REQUIRED},
	 {"updatedAt", FORM_TIME, FORM_REQUIRED},
	 {"updated_at", FORM_MOMENT},
	 {"description", FORM_TEXT},
	 {"focusAreas", FORM_TEXTS},
	 {"techniques", FORM_TEXTS},
	 {"pieceRefs", FORM_ARRAY},
	 {"ownerId", FORM_TEXT},
	 {"templateVersion", FORM_NUMBER},
	 {"sourceTemplateId", FORM_TEXT},
	 {"tags", FORM_TEXTS},
	 {"metadata", FORM_OBJECT},
	 {"archivedAt", FORM_TIME},
	 {"deletedAt", FORM_MOMENT, FORM_MAY_BE_EMPTY},
	 END};

static const FormField occurrence_form[] =
	{{"id", FORM_ID, FORM_REQUIRED},
	 {"planId", FORM_ID, FORM_REQUIRED | FORM_BOTH_NAMES, .alias = "plan_id"},
	 {"status", FORM_CHOICE, FORM_REQUIRED,
	  .choices = CHOICES("scheduled", "completed", "skipped", "expired")},
	 {"scheduledStart", FORM_TIME},
	 {"scheduledEnd", FORM_TIME},
	 {"recurrenceKey", FORM_TEXT},
	 {"segments", FORM_ARRAY},
	 {"reflectionPrompts", FORM_TEXTS},
	 {"logEntryId", FORM_TEXT},
	 {"notes", FORM_TEXT},
	 {"createdAt", FORM_MOMENT},
	 {"updatedAt", FORM_MOMENT},
	 {"updated_at", FORM_MOMENT},
	 {"deletedAt", FORM_MOMENT, FORM_MAY_BE_EMPTY},
	 END};

PG_FUNCTION_INFO_V1(mirusync_practice_entry_0_2);
PG_FUNCTION_INFO_V1(mirusync_practice_piece_0_2);
PG_FUNCTION_INFO_V1(mirusync_practice_plan_0_2);
PG_FUNCTION_INFO_V1(mirusync_practice_occurrence_0_2);

/* apply returns the object in its form; null where a soft call has none. */
static Datum
apply(FunctionCallInfo fcinfo, const FormField *form, const char *noun)
{
	Jsonb *object = miru_form_apply(form, noun, PG_GETARG_JSONB_P(0),
									miru_event_is_soft(fcinfo));

	if (object == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(object);
}

Datum
mirusync_practice_entry_0_2(PG_FUNCTION_ARGS)
{
	return apply(fcinfo, entry_form, "entry");
}

Datum
mirusync_practice_piece_0_2(PG_FUNCTION_ARGS)
{
	return apply(fcinfo, piece_form, "piece");
}

Datum
mirusync_practice_plan_0_2(PG_FUNCTION_ARGS)
{
	return apply(fcinfo, plan_form, "plan");
}

Datum
mirusync_practice_occurrence_0_2(PG_FUNCTION_ARGS)
{
	return apply(fcinfo, occurrence_form, "occurrence");
}
