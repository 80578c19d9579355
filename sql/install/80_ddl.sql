-- 80_ddl.sql
--     Follows what DDL does to attached tables, see extension/ddl.c.
--
-- The first of the two only sees that the library is loaded when a command
-- begins.  Both fire always, as the triggers of attached tables do.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE FUNCTION mirusync.ddl_start()
RETURNS event_trigger
AS 'MODULE_PATHNAME', 'mirusync_ddl_start_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.ddl_start() IS
'event trigger function: makes commands be watched for what they do to attached tables';

CREATE FUNCTION mirusync.ddl_end()
RETURNS event_trigger
AS 'MODULE_PATHNAME', 'mirusync_ddl_end_0_2'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION mirusync.ddl_end() IS
'event trigger function: follows what a command did to attached tables';

CREATE EVENT TRIGGER mirusync_ddl_start ON ddl_command_start
	EXECUTE FUNCTION mirusync.ddl_start();
ALTER EVENT TRIGGER mirusync_ddl_start ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER mirusync_ddl_start IS
'makes commands be watched for what they do to attached tables';

CREATE EVENT TRIGGER mirusync_ddl_end ON ddl_command_end
	EXECUTE FUNCTION mirusync.ddl_end();
ALTER EVENT TRIGGER mirusync_ddl_end ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER mirusync_ddl_end IS
'follows what commands do to attached tables';

