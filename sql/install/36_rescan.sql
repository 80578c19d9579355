-- 36_rescan.sql
--     Finding by comparison what capture did not see.
--
-- Commits as it goes, like backfill(), and like it checks the caller itself.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE PROCEDURE mirusync.rescan(collection text, batch_rows int DEFAULT 10000)
AS 'MODULE_PATHNAME', 'mirusync_rescan_0_2'
LANGUAGE C;
COMMENT ON PROCEDURE mirusync.rescan(text, int) IS
'find by comparison what capture did not see of a collection, and number it';
