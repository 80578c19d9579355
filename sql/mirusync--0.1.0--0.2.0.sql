-- mirusync: from version 0.1.0 to 0.2.0.
--
-- SPDX-License-Identifier: PostgreSQL
\echo Use "ALTER EXTENSION mirusync UPDATE TO '0.2.0'" to load this file. \quit

-- Makes every session look at the version again (extension/version.c).
UPDATE mirusync.attached SET relation = relation WHERE false;
