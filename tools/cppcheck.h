/*
 * cppcheck.h
 *		What cppcheck has to know of macros of libraries, whose headers it does
 *		not read: the shape of the code they make, not what they do.
 *
 * SPDX-License-Identifier: PostgreSQL
 */

/* PostgreSQL */
#define PG_MODULE_MAGIC
#define PG_FUNCTION_INFO_V1(name) Datum name(PG_FUNCTION_ARGS)
#define PG_TRY() if (1)
#define PG_CATCH() else
#define PG_FINALLY()
#define PG_END_TRY()
#define PG_RE_THROW() abort()
#define PG_RETURN_VOID() return 0
#define PG_RETURN_NULL() return 0
#define ereport(level, rest) do { if ((level) >= 21) abort(); } while (0)
#define elog(level, ...) do { if ((level) >= 21) abort(); } while (0)
#define ERROR 21
#define FATAL 22
#define PANIC 23
#define foreach(cell, list) for (cell = list_head(list); cell; cell = lnext(list, cell))
#define forboth(a, la, b, lb) \
	for (a = list_head(la), b = list_head(lb); a && b; a = lnext(la, a), b = lnext(lb, b))
#define dlist_foreach(iter, head) \
	for ((iter).cur = (head)->head.next; (iter).cur; (iter).cur = (iter).cur->next)
#define dlist_foreach_modify(iter, head) dlist_foreach(iter, head)
#define slist_foreach(iter, head) dlist_foreach(iter, head)
#define slist_foreach_modify(iter, head) dlist_foreach(iter, head)

/* uthash and utlist */
#define HASH_ITER(hh, head, el, tmp) \
	for (el = head; el && (tmp = el->hh.next, 1); el = tmp)
#define DL_FOREACH(head, el) for (el = head; el; el = el->next)
#define DL_FOREACH2(head, el, next) for (el = head; el; el = el->next)
#define DL_FOREACH_SAFE(head, el, tmp) \
	for (el = head; el && (tmp = el->next, 1); el = tmp)
#define DL_FOREACH_SAFE2(head, el, tmp, next) \
	for (el = head; el && (tmp = el->next, 1); el = tmp)
#define LL_FOREACH(head, el) DL_FOREACH(head, el)
#define LL_FOREACH_SAFE(head, el, tmp) DL_FOREACH_SAFE(head, el, tmp)
