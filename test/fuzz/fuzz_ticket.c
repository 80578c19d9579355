/*
 * fuzz_ticket.c
 *		Any bytes as a ticket, and as the payload of a doorbell.
 *
 * A text that was not sealed opens nothing, also one that differs from a
 * sealed one in a single byte.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "ticket.c"

#include <stdlib.h>

#include "doorbell.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_ticket(const char *text, const uint8_t *data, size_t size)
{
	Claims claims = {.user = "anna", .exp = 2000000000};
	char sealed[TICKET_TEXT_MAX];
	Ticket ticket;
	size_t at;

	ticket_set_key((const unsigned char *) "key", 3);
	if (ticket_open(text, 0, &ticket))
		abort();
	if (size < 3 || !ticket_seal(&claims, 1, sealed))
		return;
	if (!ticket_open(sealed, 0, &ticket) ||
		strcmp(ticket.claims.user, "anna") != 0)
		abort();
	at = (size_t) (data[0] << 8 | data[1]) % strlen(sealed);
	if (data[2] == '\0' || data[2] == (uint8_t) sealed[at])
		return;
	sealed[at] = (char) data[2];
	if (ticket_open(sealed, 0, &ticket))
		abort();
	ticket_release();
}

static void
check_payload(const char *text)
{
	const char *rest = text;
	char hex[17];

	while (doorbell_next(&rest, hex))
	{
		if (strlen(hex) != DOORBELL_HASH_LEN || rest > text + strlen(text) ||
			doorbell_shard(hex, 256) < 0)
			abort();
	}
	(void) doorbell_names_all(text);
	if (doorbell_access(text, hex) && strlen(hex) != DOORBELL_HASH_LEN)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	check_ticket(text, data, size);
	check_payload(text);
	free(text);
	return 0;
}
