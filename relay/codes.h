/*
 * codes.h
 *		The words of the native protocol as enums and tables: see codes.def.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_CODES_H
#define MIRUSYNC_CODES_H

#include <stdbool.h>

/* clang-format off */
typedef enum MessageType
{
#define MESSAGE(name, type, from, meaning) MESSAGE_##name,
#define ERROR_CODE(name, code, status, retry, meaning)
#define CLOSE_CODE(name, code, reconnect, meaning)
#include "codes.def"
#undef MESSAGE
#undef ERROR_CODE
	MESSAGE_TYPES
} MessageType;

typedef enum ErrorCode
{
#define MESSAGE(name, type, from, meaning)
#define ERROR_CODE(name, code, status, retry, meaning) ERROR_##name,
#include "codes.def"
#undef ERROR_CODE
#undef CLOSE_CODE
	ERROR_CODES
} ErrorCode;

/* Close codes of RFC 6455, and from 4000 on our own. */
typedef enum CloseCode
{
#define ERROR_CODE(name, code, status, retry, meaning)
#define CLOSE_CODE(name, code, reconnect, meaning) CLOSE_##name = code,
#include "codes.def"
#undef MESSAGE
#undef ERROR_CODE
#undef CLOSE_CODE
} CloseCode;
/* clang-format on */

typedef struct ErrorInfo
{
	const char *code;
	int status; /* of HTTP */
	bool retry; /* sending the same again may help */
	const char *meaning;
} ErrorInfo;

extern const char *const message_types[MESSAGE_TYPES];
extern const ErrorInfo error_infos[ERROR_CODES];

/* close_reconnects tells whether a device should come back after a close. */
extern bool close_reconnects(CloseCode code);

#endif
