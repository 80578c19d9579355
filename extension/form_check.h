/*
 * form_check.h
 *     Whether an object is in its form already, so that it need not be copied.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_FORM_CHECK_H
#define MIRUSYNC_FORM_CHECK_H

#include "form.h"

/*
 * miru_form_is_kept tells of an object whether miru_form_apply would make the
 * same one again.  It may say no where it would.
 */
extern bool miru_form_is_kept(const FormField *form, Jsonb *object);

#endif /* MIRUSYNC_FORM_CHECK_H */
