/*
 * codes.c
 *		The words of the native protocol as enums and tables: see codes.def.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "codes.h"

/* clang-format off */
#define MESSAGE(name, type, from, meaning)
#define ERROR_CODE(name, code, status, retry, meaning)
#define CLOSE_CODE(name, code, reconnect, meaning)

const char *const message_types[MESSAGE_TYPES] = {
#undef MESSAGE
#define MESSAGE(name, type, from, meaning) [MESSAGE_##name] = type,
#include "codes.def"
#undef MESSAGE
#define MESSAGE(name, type, from, meaning)
};

const ErrorInfo error_infos[ERROR_CODES] = {
#undef ERROR_CODE
#define ERROR_CODE(name, code, status, retry, meaning) \
	[ERROR_##name] = {code, status, retry, meaning},
#include "codes.def"
#undef ERROR_CODE
#define ERROR_CODE(name, code, status, retry, meaning)
};

bool
close_reconnects(CloseCode code)
{
	switch (code)
	{
#undef CLOSE_CODE
#define CLOSE_CODE(name, number, reconnect, meaning) \
		case CLOSE_##name: \
			return reconnect;
#include "codes.def"
	}
	return true;
}
/* clang-format on */
