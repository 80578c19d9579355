-- mirusync: the server half of an offline-first, multi-device application.
-- This script is made by concatenating sql/install/*.sql.
--
-- SPDX-License-Identifier: PostgreSQL
\echo Use "CREATE EXTENSION mirusync" to load this file. \quit

-- Ids, fields and documents travel as JSON, which is UTF-8; in any other
-- encoding some texts could not be sent back as they came.
DO $$
BEGIN
	IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
		RAISE EXCEPTION USING
			errcode = 'feature_not_supported',
			message = 'mirusync needs a database with encoding UTF8',
			detail = pg_catalog.format('The encoding of this database is %s.',
				pg_catalog.current_setting('server_encoding')),
			hint = 'Create one with CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0.';
	END IF;
END
$$;

-- The owner of a schema may drop, and put things in front of, what is in it.
DO $$
DECLARE
	owner pg_catalog.name;
BEGIN
	SELECT r.rolname INTO owner
	FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
	WHERE n.nspname = 'mirusync' AND NOT r.rolsuper
		AND r.rolname <> current_user;
	IF FOUND THEN
		RAISE EXCEPTION USING
			errcode = 'object_not_in_prerequisite_state',
			message = 'schema mirusync belongs to somebody else',
			detail = pg_catalog.format('Its owner is %s.', owner),
			hint = 'Drop it, or change its owner.';
	END IF;
END
$$;

-- Nothing here is for everybody; 99_grants.sql says what is.
REVOKE ALL ON SCHEMA mirusync FROM PUBLIC;
GRANT USAGE ON SCHEMA mirusync TO PUBLIC;

