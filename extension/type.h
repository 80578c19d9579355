/*
 * type.h
 *     What is peculiar about a type, as far as its values travel as JSON.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_TYPE_H
#define MIRUSYNC_TYPE_H

#define MIRU_TYPE_NAMES	  0x01 /* its form depends on search_path */
#define MIRU_TYPE_MONEY	  0x02 /* its form depends on lc_monetary */
#define MIRU_TYPE_REFUSES 0x04 /* some of its values have no JSON form */

/* miru_type_traits returns these of a type and of all that it is made of. */
extern int miru_type_traits(Oid type);

/*
 * miru_type_text_is_long tells whether the text of a value may be more than
 * twice as long as the value: of numeric 1e1000, say.
 */
extern bool miru_type_text_is_long(Oid type);

#endif /* MIRUSYNC_TYPE_H */
