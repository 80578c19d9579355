-- -------------------------------------------------------------------------
-- Capture.  Made part of a table by attach(), see extension/capture.c.
-- -------------------------------------------------------------------------

-- Runs as whoever writes to the table; it only notes what changed.
CREATE FUNCTION mirusync.capture()
RETURNS trigger
AS 'MODULE_PATHNAME', 'mirusync_capture_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.capture() IS
'trigger function of attached tables: notes changed rows for numbering at commit';

