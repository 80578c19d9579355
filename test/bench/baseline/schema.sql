-- Tables of the baseline server, and the trigger by which plain SQL would
-- reach its devices: what one writes in an afternoon, no more.
--
-- SPDX-License-Identifier: PostgreSQL

CREATE TABLE event (
	seq bigserial PRIMARY KEY,
	user_id text NOT NULL,
	type text NOT NULL,
	body jsonb NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_by_user ON event (user_id, seq);

-- Only for the measure "plain SQL to device": a table that somebody updates,
-- with a trigger that appends an event and notifies in the same transaction.
CREATE TABLE entry (
	user_id text NOT NULL,
	id text NOT NULL,
	body jsonb NOT NULL,
	PRIMARY KEY (user_id, id)
);

CREATE FUNCTION entry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	new_seq bigint;
BEGIN
	INSERT INTO event (user_id, type, body)
		VALUES (NEW.user_id, 'ENTRY_UPDATED', NEW.body)
		RETURNING seq INTO new_seq;
	PERFORM pg_notify('event', json_build_object(
		'user', NEW.user_id, 'seq', new_seq, 'type', 'ENTRY_UPDATED',
		'entry', NEW.body)::text);
	RETURN NULL;
END
$$;

CREATE TRIGGER entry_changed AFTER INSERT OR UPDATE ON entry
	FOR EACH ROW EXECUTE FUNCTION entry_changed();
