/*
 * address.c
 *		IP addresses of clients, ranges of them, and what a proxy says.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"

#define IPV4_OFFSET 12 /* of its bytes in a mapped address */

static const uint8_t mapped[IPV4_OFFSET] = {[10] = 0xFF, [11] = 0xFF};

static bool
is_ipv4(const Address *address)
{
	return memcmp(address->bytes, mapped, IPV4_OFFSET) == 0;
}

/* Reads a bare address; *bits is how many a range of only it has. */
static bool
parse_bare(const char *text, Address *address, bool *ipv4)
{
	*ipv4 = inet_pton(AF_INET, text, address->bytes + IPV4_OFFSET) == 1;
	if (*ipv4)
	{
		memcpy(address->bytes, mapped, IPV4_OFFSET);
		return true;
	}
	return inet_pton(AF_INET6, text, address->bytes) == 1;
}

bool
address_parse(const char *text, size_t len, Address *address)
{
	char buf[ADDRESS_TEXT_MAX + 8];
	char *start = buf;
	char *end;
	bool ipv4;

	if (len == 0 || len >= sizeof(buf))
		return false;
	memcpy(buf, text, len);
	buf[len] = '\0';
	if (*start == '[')
	{
		start++;
		end = strchr(start, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return false;
		*end = '\0';
	}
	else if ((end = strchr(start, ':')) != NULL && strchr(end + 1, ':') == NULL)
		*end = '\0'; /* one colon: a port behind an IPv4 address */
	return parse_bare(start, address, &ipv4);
}

bool
address_of_socket(const struct sockaddr *from, Address *address)
{
	if (from->sa_family == AF_INET)
	{
		memcpy(address->bytes, mapped, IPV4_OFFSET);
		memcpy(address->bytes + IPV4_OFFSET,
			   &((const struct sockaddr_in *) from)->sin_addr, 4);
		return true;
	}
	if (from->sa_family == AF_INET6)
	{
		memcpy(address->bytes, &((const struct sockaddr_in6 *) from)->sin6_addr,
			   16);
		return true;
	}
	return false;
}

const char *
address_text(const Address *address, char buf[ADDRESS_TEXT_MAX])
{
	if (is_ipv4(address))
		inet_ntop(AF_INET, address->bytes + IPV4_OFFSET, buf, ADDRESS_TEXT_MAX);
	else
		inet_ntop(AF_INET6, address->bytes, buf, ADDRESS_TEXT_MAX);
	return buf;
}

Address
address_person(const Address *address)
{
	Address person = *address;

	if (!is_ipv4(address))
		memset(person.bytes + 8, 0, 8);
	return person;
}

/* ---- ranges ---- */

static bool
parse_range(char *text, AddressRange *range)
{
	char *slash = strchr(text, '/');
	bool ipv4;
	int width;
	int bits;

	if (slash != NULL)
		*slash++ = '\0';
	if (!parse_bare(text, &range->address, &ipv4))
		return false;
	width = ipv4 ? 32 : 128;
	bits = width;
	if (slash != NULL)
	{
		int used = 0;

		if (*slash < '0' || *slash > '9' ||
			sscanf(slash, "%3d%n", &bits, &used) != 1 || slash[used] != '\0')
			return false;
	}
	range->bits = bits + (128 - width);
	return bits <= width;
}

const char *
address_ranges_parse(AddressRanges *ranges, const char *text)
{
	static char bad[64];

	memset(ranges, 0, sizeof(*ranges));
	for (;;)
	{
		size_t len;
		char copy[64];
		AddressRange range;

		text += strspn(text, " \t,");
		len = strcspn(text, " \t,");
		if (len == 0)
			return NULL;
		snprintf(bad, sizeof(bad), "%.*s", (int) len, text);
		memcpy(copy, bad, sizeof(bad));
		if (len >= sizeof(copy) || !parse_range(copy, &range))
		{
			address_ranges_release(ranges);
			return bad;
		}
		ranges->ranges = alloc_resize(ranges->ranges,
									  (size_t) (ranges->count + 1) *
										  sizeof(AddressRange));
		ranges->ranges[ranges->count++] = range;
		text += len;
	}
}

void
address_ranges_release(AddressRanges *ranges)
{
	free(ranges->ranges);
	memset(ranges, 0, sizeof(*ranges));
}

static bool
has(const AddressRange *range, const Address *address)
{
	int whole = range->bits / 8;
	int rest = range->bits % 8;
	uint8_t mask = (uint8_t) (0xFF00 >> rest);

	return memcmp(range->address.bytes, address->bytes, (size_t) whole) == 0 &&
		(rest == 0 ||
		 ((range->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0);
}

bool
address_in(const Address *address, const AddressRanges *ranges)
{
	for (int i = 0; i < ranges->count; i++)
		if (has(&ranges->ranges[i], address))
			return true;
	return false;
}

/* ---- X-Forwarded-For ---- */

bool
address_forwarded(const char *header, const AddressRanges *trusted,
				  Address *address)
{
	const char *end = header + strlen(header);
	bool found = false;

	while (end > header)
	{
		const char *start = end;

		while (start > header && start[-1] != ',')
			start--;
		while (start < end && (*start == ' ' || *start == '\t'))
			start++;
		while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		/* Behind something unreadable nobody can be trusted. */
		if (!address_parse(start, (size_t) (end - start), address))
			return false;
		found = true;
		if (!address_in(address, trusted))
			return true;
		while (start > header && start[-1] != ',')
			start--;
		end = start > header ? start - 1 : header;
	}
	return found; /* all are proxies of ours: the first of them asked */
}
