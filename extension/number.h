/*
 * number.h
 *     Exact numbers of JSON values.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_NUMBER_H
#define MIRUSYNC_NUMBER_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/numeric.h"

/* miru_number_of returns the number that a value is, NULL if it is none. */
extern Numeric miru_number_of(const JsonbValue *value);

/* miru_number_value is the way back; 0 for NULL. */
extern JsonbValue *miru_number_value(Numeric number);

/* Sum and difference; NULL counts as 0. */
extern Numeric miru_number_add(Numeric a, Numeric b);
extern Numeric miru_number_subtract(Numeric a, Numeric b);
extern bool miru_number_is_zero(Numeric number);

/* miru_number_round rounds to a scale and drops zeros at the end. */
extern Numeric miru_number_round(Numeric number, int scale);

#endif /* MIRUSYNC_NUMBER_H */
