/*
 * rule.h
 *     The rules of single fields, as stored.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MIRUSYNC_RULE_H
#define MIRUSYNC_RULE_H

/* miru_field_rules_forget removes those of a collection that is detached. */
extern void miru_field_rules_forget(const char *collection);

#endif /* MIRUSYNC_RULE_H */
