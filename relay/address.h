/*
 * address.h
 *		IP addresses of clients, ranges of them, and what a proxy says.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_ADDRESS_H
#define MIRUSYNC_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv6 address, or an IPv4 one mapped into it. */
typedef struct Address
{
	uint8_t bytes[16];
} Address;

typedef struct AddressRange
{
	Address address;
	int bits; /* of 128 */
} AddressRange;

/* A list of ranges; zeroed it is empty. */
typedef struct AddressRanges
{
	AddressRange *ranges;
	int count;
} AddressRanges;

#define ADDRESS_TEXT_MAX 48

/*
 * address_parse reads an address, with or without a port: 192.0.2.1,
 * 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80.
 */
extern bool address_parse(const char *text, size_t len, Address *address);

/* address_of_socket returns false for one that is not IP. */
extern bool address_of_socket(const struct sockaddr *from, Address *address);

extern const char *
address_text(const Address *address, char buf[ADDRESS_TEXT_MAX]);

/*
 * address_person is what counts as one client: an IPv4 address, or 64 bits of
 * an IPv6 one, which is what a household gets.
 */
extern Address address_person(const Address *address);

/*
 * address_ranges_parse reads ranges as 10.0.0.0/8, fd00::/8 or 192.0.2.1,
 * separated by blanks or commas.  On failure it returns the bad one, else
 * NULL.
 */
extern const char *
address_ranges_parse(AddressRanges *ranges, const char *text);
extern void address_ranges_release(AddressRanges *ranges);
extern bool address_in(const Address *address, const AddressRanges *ranges);

/*
 * address_forwarded finds the client in an X-Forwarded-For header that came
 * from a proxy that is trusted: the last address that is not itself a trusted
 * proxy, since whatever stands before it the client may have written.  False
 * if there is none, or what stands there is no address.
 */
extern bool address_forwarded(const char *header, const AddressRanges *trusted,
							  Address *address);

#endif
