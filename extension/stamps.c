/*
 * stamps.c
 *     Who wrote each field of a record, when, and under which number.
 *
 * Concurrency is known here, not guessed: a field is concurrent with a pushed
 * change when its number is above the change's base and another device wrote
 * it, and of two concurrent values the clocks decide.  So each field needs
 * clock, device and number, and they must not cost a row each.
 *
 * Stored form (mirusync.record.stamps), all integers little-endian base 128:
 *
 *     byte    version, 1
 *     int     number of devices, then for each: length, bytes
 *     stamp   base: clock, seq, index of its device
 *     int     number of fields, then for each: length of key, key, stamp
 *
 * Reads no table and calls nothing of the server but palloc, so the unit
 * tests link it alone.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "postgres.h"

#include "stamps.h"

#define STAMPS_VERSION 1

/* Longest base-128 form of 64 bits. */
#define MAX_INT_LENGTH 10

static bool
is_same(const MiruStamp *a, const MiruStamp *b)
{
	return a->clock == b->clock && a->seq == b->seq &&
		strcmp(a->device, b->device) == 0;
}

void
miru_stamps_init(MiruStamps *stamps, MiruStamp stamp)
{
	stamps->base = stamp;
	stamps->count = 0;
	stamps->allocated = 0;
	stamps->fields = NULL;
	stamps->slots = NULL;
	stamps->slot_count = stamps->indexed = 0;
}

/* ----- index: documents may have tens of thousands of fields ----- */

#define INDEX_FROM 32

static uint32
hash_key(const char *key)
{
	uint32 hash = 2166136261u; /* FNV-1a */

	for (; *key; key++)
		hash = (hash ^ (unsigned char) *key) * 16777619u;
	return hash;
}

/* find_slot returns the slot of a key, or the empty one where it belongs. */
static int *
find_slot(const MiruStamps *stamps, const char *key)
{
	uint32 mask = (uint32) stamps->slot_count - 1;

	for (uint32 i = hash_key(key) & mask;; i = (i + 1) & mask)
	{
		int *slot = &stamps->slots[i];

		if (*slot < 0 || strcmp(stamps->fields[*slot].key, key) == 0)
			return slot;
	}
}

/* index_fields brings the index up to date, at most half full. */
static void
index_fields(MiruStamps *stamps)
{
	if (stamps->count * 2 > stamps->slot_count)
	{
		stamps->slot_count = 4 * INDEX_FROM;
		while (stamps->slot_count < stamps->count * 4)
			stamps->slot_count *= 2;
		stamps->slots = palloc((size_t) stamps->slot_count * sizeof(int));
		memset(stamps->slots, -1, (size_t) stamps->slot_count * sizeof(int));
		stamps->indexed = 0;
	}
	for (; stamps->indexed < stamps->count; stamps->indexed++)
	{
		int *slot = find_slot(stamps, stamps->fields[stamps->indexed].key);

		/* Stored stamps that name a key twice: the first one counts. */
		if (*slot < 0)
			*slot = stamps->indexed;
	}
}

MiruStamps *
miru_stamps_copy(const MiruStamps *stamps)
{
	MiruStamps *copy = palloc(sizeof(MiruStamps));

	*copy = *stamps;
	copy->base.device = pstrdup(stamps->base.device);
	copy->allocated = stamps->count;
	copy->slots = NULL;
	copy->slot_count = copy->indexed = 0;
	copy->fields = palloc(Max(stamps->count, 1) * sizeof(MiruFieldStamp));
	for (int i = 0; i < stamps->count; i++)
	{
		copy->fields[i] = stamps->fields[i];
		copy->fields[i].key = pstrdup(stamps->fields[i].key);
		copy->fields[i].stamp.device = pstrdup(stamps->fields[i].stamp.device);
	}
	/* Now: whoever looks into it may do so in a context that lasts less. */
	if (copy->count >= INDEX_FROM)
		index_fields(copy);
	return copy;
}

static MiruFieldStamp *
find_field(const MiruStamps *stamps, const char *key)
{
	int *slot;

	if (stamps->count < INDEX_FROM)
	{
		for (int i = 0; i < stamps->count; i++)
		{
			if (strcmp(stamps->fields[i].key, key) == 0)
				return &stamps->fields[i];
		}
		return NULL;
	}
	index_fields(unconstify(MiruStamps *, stamps));
	slot = find_slot(stamps, key);
	return *slot < 0 ? NULL : &stamps->fields[*slot];
}

const MiruStamp *
miru_stamps_find(const MiruStamps *stamps, const char *key)
{
	MiruFieldStamp *field = find_field(stamps, key);

	return field ? &field->stamp : NULL;
}

/*
 * is_implied tells whether the base says already what an entry would.  Not of
 * a part of a field, which without an entry has the stamp of the field.
 */
static bool
is_implied(const MiruStamps *stamps, const char *key, const MiruStamp *stamp)
{
	return is_same(&stamps->base, stamp) &&
		strpbrk(key, MIRU_ELEMENT_SEPARATOR) == NULL;
}

const MiruStamp *
miru_stamps_get(const MiruStamps *stamps, const char *key)
{
	MiruFieldStamp *field = find_field(stamps, key);

	return field ? &field->stamp : &stamps->base;
}

void
miru_stamps_set(MiruStamps *stamps, const char *key, MiruStamp stamp)
{
	MiruFieldStamp *field = find_field(stamps, key);

	if (field == NULL)
	{
		if (is_implied(stamps, key, &stamp))
			return;
		if (stamps->count == stamps->allocated)
		{
			stamps->allocated = Max(8, stamps->allocated * 2);
			if (stamps->fields == NULL)
				stamps->fields = palloc(stamps->allocated *
										sizeof(MiruFieldStamp));
			else
				stamps->fields = repalloc(stamps->fields,
										  stamps->allocated *
											  sizeof(MiruFieldStamp));
		}
		field = &stamps->fields[stamps->count++];
		field->key = key;
	}
	field->stamp = stamp;
}

void
miru_stamps_number(MiruStamps *stamps, int64 seq)
{
	if (stamps->base.seq == 0)
		stamps->base.seq = seq;
	for (int i = 0; i < stamps->count; i++)
	{
		if (stamps->fields[i].stamp.seq == 0)
			stamps->fields[i].stamp.seq = seq;
	}
}

Hlc
miru_stamps_newest(const MiruStamps *stamps)
{
	Hlc newest = stamps->base.clock;

	for (int i = 0; i < stamps->count; i++)
		newest = Max(newest, stamps->fields[i].stamp.clock);
	return newest;
}

MiruStamp
miru_stamps_newest_of(const MiruStamps *stamps, Hlc clock)
{
	MiruStamp newest = stamps->base;

	for (int i = 0; i < stamps->count; i++)
	{
		if (stamps->fields[i].stamp.clock > newest.clock)
			newest = stamps->fields[i].stamp;
	}
	newest.clock = Max(newest.clock, clock);
	return newest;
}

MiruStamps *
miru_stamps_whole(MiruStamp stamp)
{
	MiruStamps *stamps = palloc(sizeof(MiruStamps));

	miru_stamps_init(stamps, stamp);
	return stamps;
}

bool
miru_stamps_by_sql(const MiruStamps *stamps)
{
	if (stamps->base.device[0] == '\0')
		return true;
	for (int i = 0; i < stamps->count; i++)
	{
		if (stamps->fields[i].stamp.device[0] == '\0')
			return true;
	}
	return false;
}

/* ----- stored form ----- */

typedef struct Writer
{
	char *start;
	char *at;
} Writer;

static void
write_int(Writer *writer, uint64 value)
{
	while (value >= 0x80)
	{
		*writer->at++ = (char) (value | 0x80);
		value >>= 7;
	}
	*writer->at++ = (char) value;
}

static void
write_text(Writer *writer, const char *text)
{
	size_t length = strlen(text);

	write_int(writer, length);
	memcpy(writer->at, text, length);
	writer->at += length;
}

/* device_index returns the device's place in the list, adding it if new. */
static int
device_index(const char **devices, int *count, const char *device)
{
	for (int i = 0; i < *count; i++)
	{
		if (strcmp(devices[i], device) == 0)
			return i;
	}
	devices[*count] = device;
	return (*count)++;
}

static void
write_stamp(Writer *writer, const MiruStamp *stamp, int device)
{
	write_int(writer, stamp->clock);
	write_int(writer, (uint64) stamp->seq);
	write_int(writer, (uint64) device);
}

char *
miru_stamps_pack(const MiruStamps *stamps, int *length)
{
	const char **devices = palloc((stamps->count + 1) * sizeof(char *));
	int *indexes = palloc((stamps->count + 1) * sizeof(int));
	int device_count = 0;
	int field_count = 0;
	size_t size = 1 + 5 * MAX_INT_LENGTH;
	Writer writer;

	indexes[stamps->count] = device_index(devices, &device_count,
										  stamps->base.device);
	for (int i = 0; i < stamps->count; i++)
	{
		const MiruFieldStamp *field = &stamps->fields[i];

		indexes[i] = -1;
		if (is_implied(stamps, field->key, &field->stamp))
			continue;
		indexes[i] = device_index(devices, &device_count, field->stamp.device);
		size += strlen(field->key) + 4 * MAX_INT_LENGTH;
		field_count++;
	}
	for (int i = 0; i < device_count; i++)
		size += strlen(devices[i]) + MAX_INT_LENGTH;

	writer.start = writer.at = palloc(size);
	*writer.at++ = STAMPS_VERSION;
	write_int(&writer, (uint64) device_count);
	for (int i = 0; i < device_count; i++)
		write_text(&writer, devices[i]);
	write_stamp(&writer, &stamps->base, indexes[stamps->count]);
	write_int(&writer, (uint64) field_count);
	for (int i = 0; i < stamps->count; i++)
	{
		if (indexes[i] < 0)
			continue;
		write_text(&writer, stamps->fields[i].key);
		write_stamp(&writer, &stamps->fields[i].stamp, indexes[i]);
	}
	*length = (int) (writer.at - writer.start);
	return writer.start;
}

typedef struct Reader
{
	const char *at;
	const char *end;
	bool failed;
} Reader;

static uint64
read_int(Reader *reader)
{
	uint64 value = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		unsigned char byte;

		if (reader->at == reader->end)
			break;
		byte = (unsigned char) *reader->at++;
		value |= (uint64) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return value;
	}
	reader->failed = true;
	return 0;
}

/* read_count reads how many things follow, each of at least one byte. */
static int
read_count(Reader *reader)
{
	uint64 count = read_int(reader);

	if (count > (uint64) (reader->end - reader->at))
	{
		reader->failed = true;
		return 0;
	}
	return (int) count;
}

static char *
read_text(Reader *reader)
{
	int length = read_count(reader);
	char *text = palloc(length + 1);

	memcpy(text, reader->at, length);
	text[length] = '\0';
	reader->at += length;
	return text;
}

static MiruStamp
read_stamp(Reader *reader, char **devices, int device_count)
{
	MiruStamp stamp;
	uint64 device;

	stamp.clock = read_int(reader);
	stamp.seq = (int64) read_int(reader);
	device = read_int(reader);
	if (device >= (uint64) device_count)
	{
		reader->failed = true;
		stamp.device = "";
	}
	else
		stamp.device = devices[device];
	return stamp;
}

MiruStamps *
miru_stamps_unpack(const char *bytes, int length)
{
	MiruStamps *stamps = palloc0(sizeof(MiruStamps));
	Reader reader = {bytes, bytes + length, false};
	char **devices;
	int device_count;

	if (length < 1 || *reader.at++ != STAMPS_VERSION)
		return NULL;
	device_count = read_count(&reader);
	devices = palloc(Max(device_count, 1) * sizeof(char *));
	for (int i = 0; i < device_count; i++)
		devices[i] = read_text(&reader);
	stamps->base = read_stamp(&reader, devices, device_count);
	stamps->count = stamps->allocated = read_count(&reader);
	stamps->fields = palloc(Max(stamps->count, 1) * sizeof(MiruFieldStamp));
	for (int i = 0; i < stamps->count; i++)
	{
		stamps->fields[i].key = read_text(&reader);
		stamps->fields[i].stamp = read_stamp(&reader, devices, device_count);
	}
	if (reader.failed || reader.at != reader.end)
		return NULL;
	return stamps;
}

bool
miru_stamps_packed_by_sql(const char *bytes, int length, bool *by_sql)
{
	Reader reader = {bytes, bytes + length, false};
	int device_count;

	*by_sql = false;
	if (length < 1 || *reader.at++ != STAMPS_VERSION)
		return false;
	/* The list has the devices of the stamps and no others. */
	device_count = read_count(&reader);
	for (int i = 0; i < device_count && !reader.failed; i++)
	{
		int device_length = read_count(&reader);

		if (device_length == 0)
			*by_sql = true;
		reader.at += device_length;
	}
	return !reader.failed;
}
