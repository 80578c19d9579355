/*
 * form_check.h
 *     Whether an object is in its form already, so that it need not be copied,
 *     or surely does not fit, so that nobody need try.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FORM_CHECK_H
#define MIRUSYNC_FORM_CHECK_H

#include "form.h"

typedef enum FormVerdict
{
	FORM_KEPT,	 /* miru_form_apply would make the same object again */
	FORM_UNSURE, /* it has to be tried */
	FORM_REFUSED /* it would throw */
} FormVerdict;

extern FormVerdict miru_form_judge(const FormField *form, Jsonb *object);

#endif /* MIRUSYNC_FORM_CHECK_H */
