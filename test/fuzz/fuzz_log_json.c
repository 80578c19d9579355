/*
 * fuzz_log_json.c
 *		Any bytes as a line of the log: what comes out is one line of JSON.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "log_json.c"

#include <stdint.h>
#include <stdlib.h>

#include "json.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room = 256 + (size > 0 ? data[0] * 8u : 0);
	char *text = malloc(size + 1);
	char *out = malloc(room);
	size_t len;

	if (text == NULL || out == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	len = log_json(out, room, "2026-01-01T00:00:00.000Z", "info", text);
	if (len > room || memchr(out, '\n', len) != NULL || out[0] != '{' ||
		json_check(out, len) != JSON_OK)
		abort();
	free(text);
	free(out);
	return 0;
}
