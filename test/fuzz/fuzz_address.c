/*
 * fuzz_address.c
 *		Any bytes as an X-Forwarded-For header, and as a list of proxies.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "address.c"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const trusted_text = "10.0.0.0/8 fd00::/8";
	AddressRanges trusted;
	AddressRanges any;
	Address address;
	char shown[ADDRESS_TEXT_MAX];
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (address_ranges_parse(&trusted, trusted_text) != NULL)
		abort();

	/* What is shown is an address again, and the same one. */
	if (address_forwarded(text, &trusted, &address))
	{
		Address again;

		address_text(&address, shown);
		if (!address_parse(shown, strlen(shown), &again) ||
			memcmp(&again, &address, sizeof(address)) != 0)
			abort();
	}
	if (address_ranges_parse(&any, text) == NULL)
		(void) address_in(&address, &any);
	address_ranges_release(&any);
	address_ranges_release(&trusted);
	free(text);
	return 0;
}
