--
-- A database of version 0.1.0, as pg_dump wrote it; see content.sql.
--

-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
-- Dumped by pg_dump version 15.20 (Debian 15.20-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: app; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA app;

--
-- Name: mirusync; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA mirusync;

--
-- Name: mirusync; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION mirusync WITH SCHEMA mirusync VERSION '0.1.0';

--
-- Name: EXTENSION mirusync; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON EXTENSION mirusync IS 'sync for offline-first applications: every device of a user sees every change';

--
-- Name: mood; Type: TYPE; Schema: app; Owner: -
--

CREATE TYPE app.mood AS ENUM (
    'good',
    'bad'
);

--
-- Name: touch(); Type: FUNCTION; Schema: app; Owner: -
--

CREATE FUNCTION app.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
	NEW.at := '2026-01-01 00:00:00+00';
	RETURN NEW;
END $$;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: note; Type: TABLE; Schema: app; Owner: -
--

CREATE TABLE app.note (
    owner text,
    id uuid NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    body text,
    mood app.mood,
    words integer GENERATED ALWAYS AS (length(body)) STORED,
    at timestamp with time zone,
    stars integer
);

--
-- Name: pulled; Type: TABLE; Schema: app; Owner: -
--

CREATE TABLE app.pulled (
    feed text COLLATE pg_catalog."C",
    page jsonb
);

--
-- Name: tag; Type: TABLE; Schema: app; Owner: -
--

CREATE TABLE app.tag (
    "user" integer NOT NULL,
    note text NOT NULL,
    tag text NOT NULL,
    weight numeric
);

--
-- Name: verdicts; Type: TABLE; Schema: app; Owner: -
--

CREATE TABLE app.verdicts (
    user_id text COLLATE pg_catalog."C",
    device text COLLATE pg_catalog."C",
    number bigint,
    verdict jsonb
);

--
-- Data for Name: note; Type: TABLE DATA; Schema: app; Owner: -
--

COPY app.note (owner, id, title, body, mood, at, stars) FROM stdin;
\N	00000000-0000-0000-0000-000000000002	nobody's	y	\N	2026-01-01 00:00:00+00	\N
anna	00000000-0000-0000-0000-000000000001	after	x	\N	2026-01-01 00:00:00+00	5
anna	00000000-0000-0000-0000-000000000110	n10	\N	good	2026-01-01 00:00:00+00	\N
anna	00000000-0000-0000-0000-000000000111	n11	\N	good	2026-01-01 00:00:00+00	\N
anna	00000000-0000-0000-0000-000000000112	n12	\N	good	2026-01-01 00:00:00+00	\N
anna	00000000-0000-0000-0000-000000000116	n16	\N	good	2026-01-01 00:00:00+00	\N
anna	00000000-0000-0000-0000-000000000117	n17	\N	good	2026-01-01 00:00:00+00	\N
anna	00000000-0000-0000-0000-000000000118	n18	\N	good	2026-01-01 00:00:00+00	\N
anna	00000000-0000-0000-0000-000000000119	n19	\N	good	2026-01-01 00:00:00+00	\N
ben	00000000-0000-0000-0000-000000000114	n14	\N	good	2026-01-01 00:00:00+00	\N
anna	00000000-0000-0000-0000-000000000201	skewed	abc	bad	2026-01-01 00:00:00+00	\N
\.

--
-- Data for Name: pulled; Type: TABLE DATA; Schema: app; Owner: -
--

COPY app.pulled (feed, page) FROM stdin;
ben	{"feed": "ben", "head": 1, "upto": 1, "after": 0, "epoch": "7711295345688826125-1", "changes": [{"id": "00000000-0000-0000-0000-000000000114", "seq": 1, "kind": "put", "clock": "2026-11-23T09:24:19.564Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000114", "body": null, "mood": "good", "stars": null, "title": "n14", "words": null}, "collection": "note"}], "complete": true}
8	{"feed": "8", "head": 2, "upto": 2, "after": 0, "epoch": "7711295345688826125-1", "changes": [{"id": "x,y", "seq": 2, "kind": "delete", "clock": "2026-11-23T09:24:19.565Z/0000", "collection": "label"}], "complete": true}
anna	{"feed": "anna", "head": 24, "upto": 24, "after": 0, "epoch": "7711295345688826125-1", "changes": [{"id": "00000000-0000-0000-0000-000000000001", "seq": 2, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000001", "body": "x", "mood": null, "stars": 5, "title": "after", "words": 1}, "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000110", "seq": 3, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000110", "body": null, "mood": "good", "stars": null, "title": "n10", "words": null}, "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000111", "seq": 4, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000111", "body": null, "mood": "good", "stars": null, "title": "n11", "words": null}, "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000112", "seq": 5, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000112", "body": null, "mood": "good", "stars": null, "title": "n12", "words": null}, "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000116", "seq": 9, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000116", "body": null, "mood": "good", "stars": null, "title": "n16", "words": null}, "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000117", "seq": 10, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000117", "body": null, "mood": "good", "stars": null, "title": "n17", "words": null}, "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000118", "seq": 11, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000118", "body": null, "mood": "good", "stars": null, "title": "n18", "words": null}, "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000119", "seq": 12, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000119", "body": null, "mood": "good", "stars": null, "title": "n19", "words": null}, "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000113", "seq": 13, "kind": "delete", "clock": "2026-11-23T09:25:19.570Z/0000", "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000114", "seq": 14, "kind": "delete", "clock": "2026-11-23T09:25:19.570Z/0000", "collection": "note"}, {"id": "1", "seq": 16, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"list": [1, 2, {"a": null}], "title": "Märchen, „x“"}, "collection": "page"}, {"id": "theme", "seq": 17, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"size": 14}, "collection": "setting"}, {"id": "old", "seq": 19, "kind": "delete", "clock": "2026-11-23T09:25:19.570Z/0000", "collection": "setting"}, {"id": "font", "seq": 21, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"bold": true, "name": "Serif", "size": 4}, "collection": "setting"}, {"id": "00000000-0000-0000-0000-000000000115", "seq": 23, "kind": "delete", "clock": "2026-11-23T09:25:19.570Z/0000", "collection": "note"}, {"id": "00000000-0000-0000-0000-000000000201", "seq": 24, "kind": "put", "clock": "2026-11-23T09:25:19.570Z/0000", "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000201", "body": "abc", "mood": "bad", "stars": null, "title": "skewed", "words": 3}, "collection": "note"}], "complete": true}
7	{"feed": "7", "head": 3, "upto": 3, "after": 0, "epoch": "7711295345688826125-1", "changes": [{"id": "a\\\\,b,c\\\\\\\\d", "seq": 1, "kind": "put", "clock": "2026-11-23T09:24:19.571Z/0000", "fields": {"tag": "c\\\\d", "note": "a,b", "weight": 1.50}, "collection": "label"}, {"id": "x,y", "seq": 2, "kind": "put", "clock": "2026-11-23T09:24:19.571Z/0000", "fields": {"tag": "y", "note": "x", "weight": "NaN"}, "collection": "label"}, {"id": "new,tag", "seq": 3, "kind": "put", "clock": "2026-11-23T09:24:19.571Z/0000", "fields": {"tag": "tag", "note": "new", "weight": 2}, "collection": "label"}], "complete": true}
carla	{"feed": "carla", "head": 1, "upto": 1, "after": 0, "epoch": "7711295345688826125-1", "changes": [{"id": "s1", "seq": 1, "kind": "put", "clock": "2026-01-01T00:00:00.000Z/0000", "fields": {"id": "p1", "tags": [], "title": "Etude", "status": "learning", "scoreId": "s1", "score_id": "s1", "updatedAt": "2026-01-01T00:00:00.000Z"}, "collection": "repertoire_item"}], "complete": true}
\.

--
-- Data for Name: tag; Type: TABLE DATA; Schema: app; Owner: -
--

COPY app.tag ("user", note, tag, weight) FROM stdin;
7	a,b	c\\d	1.50
7	x	y	NaN
7	new	tag	2
\.

--
-- Data for Name: verdicts; Type: TABLE DATA; Schema: app; Owner: -
--

COPY app.verdicts (user_id, device, number, verdict) FROM stdin;
anna	phone	3	{"code": "MS005", "number": 3, "reason": "collection \\"page\\" is read-only", "verdict": "rejected"}
anna	phone	4	{"code": "MS002", "number": 4, "reason": "collection \\"nothing\\" does not exist", "verdict": "rejected"}
anna	tablet	1	{"seq": 21, "fields": {"size": 4}, "number": 1, "verdict": "merged"}
anna	tablet	2	{"seq": 21, "fields": {"bold": true, "size": 4}, "number": 2, "verdict": "stale"}
anna	tablet	3	{"seq": 22, "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000201", "stars": null, "words": 3}, "number": 3, "verdict": "applied"}
anna	tablet	4	{"seq": 23, "number": 4, "verdict": "applied"}
anna	phone	5	{"seq": 24, "number": 5, "verdict": "applied"}
7	phone	1	{"seq": 3, "fields": {"tag": "tag", "note": "new"}, "number": 1, "verdict": "applied"}
\.

--
-- Data for Name: attached; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.attached (relation, feed_column, collection_column, data_column) FROM stdin;
app.tag	user	\N	\N
app.note	owner	\N	\N
\.

--
-- Data for Name: change_log; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.change_log (feed, seq, part_of, collection, id, kind, clock, at, xid, role, user_id, device, session, type, rule, skew_ms, base, old, new) FROM stdin;
anna	1	1	note	00000000-0000-0000-0000-000000000001	put	2026-11-23T09:24:19.559Z/0000	2026-11-23 09:24:19.559488+00	742	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000001", "body": "x", "gone": null, "mood": null, "words": 1, "old_title": "before attach"}
anna	2	2	note	00000000-0000-0000-0000-000000000001	patch	2026-11-23T09:24:19.562Z/0000	2026-11-23 09:24:19.562665+00	748	10	\N	\N	\N	\N	\N	\N	\N	{"stars": null, "title": "before attach"}	{"stars": 5, "title": "after"}
anna	3	3	note	00000000-0000-0000-0000-000000000110	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000110", "body": null, "mood": "good", "stars": null, "title": "n10", "words": null}
anna	4	4	note	00000000-0000-0000-0000-000000000111	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000111", "body": null, "mood": "good", "stars": null, "title": "n11", "words": null}
anna	5	5	note	00000000-0000-0000-0000-000000000112	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000112", "body": null, "mood": "good", "stars": null, "title": "n12", "words": null}
anna	6	6	note	00000000-0000-0000-0000-000000000113	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000113", "body": null, "mood": "good", "stars": null, "title": "n13", "words": null}
anna	7	7	note	00000000-0000-0000-0000-000000000114	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000114", "body": null, "mood": "good", "stars": null, "title": "n14", "words": null}
anna	8	8	note	00000000-0000-0000-0000-000000000115	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000115", "body": null, "mood": "good", "stars": null, "title": "n15", "words": null}
anna	9	9	note	00000000-0000-0000-0000-000000000116	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000116", "body": null, "mood": "good", "stars": null, "title": "n16", "words": null}
anna	10	10	note	00000000-0000-0000-0000-000000000117	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000117", "body": null, "mood": "good", "stars": null, "title": "n17", "words": null}
anna	11	11	note	00000000-0000-0000-0000-000000000118	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000118", "body": null, "mood": "good", "stars": null, "title": "n18", "words": null}
anna	12	12	note	00000000-0000-0000-0000-000000000119	put	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	749	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000119", "body": null, "mood": "good", "stars": null, "title": "n19", "words": null}
anna	13	13	note	00000000-0000-0000-0000-000000000113	delete	2026-11-23T09:24:19.563Z/0001	2026-11-23 09:24:19.563871+00	750	10	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000113", "body": null, "mood": "good", "stars": null, "title": "n13", "words": null}	\N
anna	14	14	note	00000000-0000-0000-0000-000000000114	delete	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564241+00	751	10	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000114", "body": null, "mood": "good", "stars": null, "title": "n14", "words": null}	\N
ben	1	1	note	00000000-0000-0000-0000-000000000114	put	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564241+00	751	10	\N	\N	\N	\N	\N	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000114", "body": null, "mood": "good", "stars": null, "title": "n14", "words": null}
7	1	1	label	a\\,b,c\\\\d	put	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564756+00	752	10	\N	\N	\N	\N	\N	\N	\N	\N	{"tag": "c\\\\d", "note": "a,b", "weight": 1.50}
7	2	2	label	x,y	put	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564756+00	752	10	\N	\N	\N	\N	\N	\N	\N	\N	{"tag": "y", "note": "x", "weight": "NaN"}
8	1	1	label	x,y	put	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564756+00	752	10	\N	\N	\N	\N	\N	\N	\N	\N	{"tag": "y", "note": "x", "weight": 0}
8	2	2	label	x,y	delete	2026-11-23T09:24:19.565Z/0000	2026-11-23 09:24:19.565215+00	753	10	\N	\N	\N	\N	\N	\N	\N	{"tag": "y", "note": "x", "weight": 0}	\N
anna	15	15	setting	theme	put	2026-11-23T09:24:19.565Z/0000	2026-11-23 09:24:19.565782+00	754	10	\N	\N	\N	\N	\N	\N	\N	\N	{"dark": true, "size": 12}
anna	16	16	page	1	put	2026-11-23T09:24:19.566Z/0000	2026-11-23 09:24:19.566277+00	755	10	\N	\N	\N	\N	\N	\N	\N	\N	{"list": [1, 2, {"a": null}], "title": "Märchen, „x“"}
anna	17	17	setting	theme	patch	2026-11-23T09:24:19.566Z/0000	2026-11-23 09:24:19.566764+00	756	10	\N	\N	\N	\N	\N	\N	\N	{"dark": true, "size": 12}	{"size": 14}
anna	18	18	setting	old	put	2026-11-23T09:24:19.567Z/0000	2026-11-23 09:24:19.567169+00	757	10	\N	\N	\N	\N	\N	\N	\N	\N	{"a": 1}
anna	19	19	setting	old	delete	2026-11-23T09:24:19.567Z/0001	2026-11-23 09:24:19.567576+00	758	10	\N	\N	\N	\N	\N	\N	\N	{"a": 1}	\N
anna	20	20	setting	font	put	2026-01-01T10:00:01.000Z/0000	2026-11-23 09:24:19.568638+00	759	10	anna	phone	\N	\N	lww_field	\N	\N	\N	{"name": "Serif", "size": 4}
anna	21	21	setting	font	patch	2026-01-01T10:00:01.000Z/0000	2026-11-23 09:24:19.569765+00	764	10	anna	tablet	\N	\N	lww_field	\N	3	{}	{"bold": true}
anna	22	22	note	00000000-0000-0000-0000-000000000201	put	2026-11-23T09:24:19.569Z/0000	2026-11-23 09:24:19.569765+00	764	10	anna	tablet	\N	\N	lww_field	\N	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000201", "body": "abc", "mood": "bad", "stars": null, "title": "pushed", "words": 3}
anna	23	23	note	00000000-0000-0000-0000-000000000115	delete	2026-11-23T09:24:19.569Z/0000	2026-11-23 09:24:19.569765+00	764	10	anna	tablet	\N	\N	lww_field	\N	\N	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000115", "body": null, "mood": "good", "stars": null, "title": "n15", "words": null}	\N
anna	24	24	note	00000000-0000-0000-0000-000000000201	patch	2026-11-23T09:25:19.570Z/0000	2026-11-23 09:24:19.570787+00	766	10	anna	phone	\N	\N	lww_field	30676718140430	\N	{"title": "pushed"}	{"title": "skewed"}
7	3	3	label	new,tag	put	2026-11-23T09:24:19.571Z/0000	2026-11-23 09:24:19.571536+00	768	10	7	phone	\N	\N	lww	\N	\N	\N	{"tag": "tag", "note": "new", "weight": 2}
carla	1	1	repertoire_item	s1	put	2026-01-01T00:00:00.000Z/0000	2026-11-23 09:24:19.572217+00	770	10	carla	phone	s1	PIECE_ADDED	lww	\N	\N	\N	{"id": "p1", "tags": [], "title": "Etude", "status": "learning", "scoreId": "s1", "score_id": "s1", "updatedAt": "2026-01-01T00:00:00.000Z"}
\.

--
-- Data for Name: collection; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.collection (name, relation, rule, pushable, role) FROM stdin;
repertoire_item	mirusync.document	lww	t	\N
practice_plan	mirusync.document	lww	t	\N
plan_occurrence	mirusync.document	lww	t	\N
setting	mirusync.document	lww_field	t	\N
page	mirusync.document	lww	f	\N
note	app.note	lww_field	t	\N
label	app.tag	lww	t	upgrade_app
logbook_entry	mirusync.document	lww	f	\N
\.

--
-- Data for Name: device; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.device (user_id, device, digested, seen_at) FROM stdin;
anna	tablet	0	2026-11-23 09:24:19.569152+00
anna	phone	2	2026-11-23 09:24:19.570417+00
7	phone	0	2026-11-23 09:24:19.571232+00
\.

--
-- Data for Name: document; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.document (feed, collection, id, data) FROM stdin;
anna	page	1	{"list": [1, 2, {"a": null}], "title": "Märchen, „x“"}
anna	setting	theme	{"size": 14}
anna	setting	font	{"bold": true, "name": "Serif", "size": 4}
carla	repertoire_item	s1	{"id": "p1", "tags": [], "title": "Etude", "status": "learning", "scoreId": "s1", "score_id": "s1", "updatedAt": "2026-01-01T00:00:00.000Z"}
\.

--
-- Data for Name: event_collection; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.event_collection (collection, normalise, clock_keys, payload, id_key, created_type, updated_type, deleted_type, deleted_key, bulk_type, bulk_key, catch_up_type) FROM stdin;
logbook_entry	mirusync.practice_entry(jsonb)	{updatedAt,updated_at}	entry	id	ENTRY_CREATED	ENTRY_UPDATED	ENTRY_DELETED	entryId	BULK_SYNC	entries	\N
repertoire_item	mirusync.practice_piece(jsonb)	{updatedAt,updated_at}	piece	scoreId	PIECE_ADDED	PIECE_UPDATED	PIECE_REMOVED	scoreId	REPERTOIRE_BULK_SYNC	pieces	\N
practice_plan	mirusync.practice_plan(jsonb)	{updatedAt,updated_at}	plan	id	PLAN_CREATED	PLAN_UPDATED	\N	\N	\N	\N	PLAN_UPDATED
plan_occurrence	mirusync.practice_occurrence(jsonb)	{updatedAt,updated_at}	occurrence	id	PLAN_OCCURRENCE_COMPLETED	PLAN_OCCURRENCE_COMPLETED	\N	\N	\N	\N	PLAN_OCCURRENCE_COMPLETED
\.

--
-- Data for Name: event_type; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.event_type (type, part, collection, kind, payload, is_list, id_keys) FROM stdin;
ENTRY_CREATED	1	logbook_entry	put	entry	f	{id}
ENTRY_UPDATED	1	logbook_entry	put	entry	f	{id}
ENTRY_DELETED	1	logbook_entry	delete	\N	f	{entryId}
PIECE_ADDED	1	repertoire_item	put	piece	f	{scoreId,score_id,id}
PIECE_UPDATED	1	repertoire_item	put	piece	f	{scoreId,score_id,id}
PIECE_REMOVED	1	repertoire_item	delete	piece	f	{scoreId}
PIECE_DISSOCIATED	1	repertoire_item	delete	piece	f	{scoreId}
PLAN_CREATED	1	practice_plan	put	plan	f	{id}
PLAN_CREATED	2	plan_occurrence	put	occurrences	t	{id}
PLAN_UPDATED	1	practice_plan	put	plan	f	{id}
PLAN_UPDATED	2	plan_occurrence	put	occurrences	t	{id}
PLAN_OCCURRENCE_COMPLETED	1	plan_occurrence	put	occurrence	f	{id}
\.

--
-- Data for Name: feed; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.feed (feed, head, floor, changed_at, epoch, epoch_head) FROM stdin;
ben	1	0	2026-11-23 09:24:19.564241+00	7711295345688826125-1	0
8	2	0	2026-11-23 09:24:19.565215+00	7711295345688826125-1	0
anna	24	0	2026-11-23 09:24:19.570787+00	7711295345688826125-1	0
7	3	0	2026-11-23 09:24:19.571536+00	7711295345688826125-1	0
carla	1	0	2026-11-23 09:24:19.572217+00	7711295345688826125-1	0
\.

--
-- Data for Name: field; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.field (relation, number, attnum, name, bound_to) FROM stdin;
app.note	0	1	owner	7711295345688826125/5/16585
app.note	1	2	id	7711295345688826125/5/16585
app.note	3	4	body	7711295345688826125/5/16585
app.note	5	6	mood	7711295345688826125/5/16585
app.note	6	7	words	7711295345688826125/5/16585
app.note	7	8	at	7711295345688826125/5/16585
app.tag	0	1	user	7711295345688826125/5/16594
app.tag	1	2	note	7711295345688826125/5/16594
app.tag	2	3	tag	7711295345688826125/5/16594
app.tag	3	4	weight	7711295345688826125/5/16594
app.note	2	3	title	7711295345688826125/5/16585
app.note	4	0	gone	7711295345688826125/5/16585
app.note	8	9	stars	7711295345688826125/5/16585
\.

--
-- Data for Name: record; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.record (feed, collection, id, seq, part_of, clock, changed_at, deleted, stamps, image) FROM stdin;
anna	note	00000000-0000-0000-0000-000000000001	2	2	2026-11-23T09:24:19.562Z/0000	2026-11-23 09:24:19.562665+00	f	\\x01010080809cbf87f781d10101000201328080a8bf87f781d101020001388080a8bf87f781d1010200	\N
anna	note	00000000-0000-0000-0000-000000000110	3	3	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	f	\\x0101008080acbf87f781d101030000	\N
anna	note	00000000-0000-0000-0000-000000000111	4	4	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	f	\\x0101008080acbf87f781d101040000	\N
anna	note	00000000-0000-0000-0000-000000000112	5	5	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	f	\\x0101008080acbf87f781d101050000	\N
anna	note	00000000-0000-0000-0000-000000000116	9	9	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	f	\\x0101008080acbf87f781d101090000	\N
anna	note	00000000-0000-0000-0000-000000000117	10	10	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	f	\\x0101008080acbf87f781d1010a0000	\N
anna	note	00000000-0000-0000-0000-000000000118	11	11	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	f	\\x0101008080acbf87f781d1010b0000	\N
anna	note	00000000-0000-0000-0000-000000000119	12	12	2026-11-23T09:24:19.563Z/0000	2026-11-23 09:24:19.56335+00	f	\\x0101008080acbf87f781d1010c0000	\N
anna	note	00000000-0000-0000-0000-000000000113	13	13	2026-11-23T09:24:19.563Z/0001	2026-11-23 09:24:19.563871+00	t	\\x0101008180acbf87f781d1010d0000	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000113", "body": null, "mood": "good", "stars": null, "title": "n13", "words": null}
anna	note	00000000-0000-0000-0000-000000000114	14	14	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564241+00	t	\\x0101008080b0bf87f781d1010e0000	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000114", "body": null, "mood": "good", "stars": null, "title": "n14", "words": null}
ben	note	00000000-0000-0000-0000-000000000114	1	1	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564241+00	f	\\x0101008080b0bf87f781d101010000	\N
7	label	a\\,b,c\\\\d	1	1	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564756+00	f	\\x0101008080b0bf87f781d101010000	\N
7	label	x,y	2	2	2026-11-23T09:24:19.564Z/0000	2026-11-23 09:24:19.564756+00	f	\\x0101008080b0bf87f781d101020000	\N
8	label	x,y	2	2	2026-11-23T09:24:19.565Z/0000	2026-11-23 09:24:19.565215+00	t	\\x0101008080b4bf87f781d101020000	{"tag": "y", "note": "x", "weight": 0}
anna	page	1	16	16	2026-11-23T09:24:19.566Z/0000	2026-11-23 09:24:19.566277+00	f	\\x0101008080b8bf87f781d101100000	\N
anna	setting	theme	17	17	2026-11-23T09:24:19.566Z/0000	2026-11-23 09:24:19.566764+00	f	\\x0101008080b4bf87f781d1010f00020473697a658080b8bf87f781d1011100046461726b8080b8bf87f781d1011100	\N
anna	setting	old	19	19	2026-11-23T09:24:19.567Z/0001	2026-11-23 09:24:19.567576+00	t	\\x0101008180bcbf87f781d101130000	{"a": 1}
anna	setting	font	21	21	2026-01-01T10:00:01.000Z/0000	2026-11-23 09:24:19.569765+00	f	\\x01020570686f6e65067461626c6574818080c8ff9fdecd011400020473697a658080a0e7ff9fdecd01140004626f6c648080d0d7ff9fdecd011501	\N
anna	note	00000000-0000-0000-0000-000000000115	23	23	2026-11-23T09:24:19.569Z/0000	2026-11-23 09:24:19.569765+00	t	\\x0101067461626c65748080c4bf87f781d101170000	{"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000115", "body": null, "mood": "good", "stars": null, "title": "n15", "words": null}
anna	note	00000000-0000-0000-0000-000000000201	24	24	2026-11-23T09:25:19.570Z/0000	2026-11-23 09:24:19.570787+00	f	\\x0102067461626c65740570686f6e658080c4bf87f781d10116000101328080c89296f781d1011801	\N
7	label	new,tag	3	3	2026-11-23T09:24:19.571Z/0000	2026-11-23 09:24:19.571536+00	f	\\x01010570686f6e658080ccbf87f781d101030000	\N
carla	repertoire_item	s1	1	1	2026-01-01T00:00:00.000Z/0000	2026-11-23 09:24:19.572217+00	f	\\x01010570686f6e65808080c0aadbddcd01010000	\N
\.

--
-- Data for Name: verdict; Type: TABLE DATA; Schema: mirusync; Owner: -
--

COPY mirusync.verdict (user_id, device, number, verdict, at) FROM stdin;
anna	phone	3	{"code": "MS005", "number": 3, "reason": "collection \\"page\\" is read-only", "verdict": "rejected"}	2026-11-23 09:24:19.567876+00
anna	phone	4	{"code": "MS002", "number": 4, "reason": "collection \\"nothing\\" does not exist", "verdict": "rejected"}	2026-11-23 09:24:19.567876+00
anna	tablet	1	{"seq": 21, "fields": {"size": 4}, "number": 1, "verdict": "merged"}	2026-11-23 09:24:19.569152+00
anna	tablet	2	{"seq": 21, "fields": {"bold": true, "size": 4}, "number": 2, "verdict": "stale"}	2026-11-23 09:24:19.569152+00
anna	tablet	3	{"seq": 22, "fields": {"at": "2026-01-01T00:00:00+00:00", "id": "00000000-0000-0000-0000-000000000201", "stars": null, "words": 3}, "number": 3, "verdict": "applied"}	2026-11-23 09:24:19.569152+00
anna	tablet	4	{"seq": 23, "number": 4, "verdict": "applied"}	2026-11-23 09:24:19.569152+00
anna	phone	5	{"seq": 24, "number": 5, "verdict": "applied"}	2026-11-23 09:24:19.570417+00
7	phone	1	{"seq": 3, "fields": {"tag": "tag", "note": "new"}, "number": 1, "verdict": "applied"}	2026-11-23 09:24:19.571232+00
\.

--
-- Name: note note_pkey; Type: CONSTRAINT; Schema: app; Owner: -
--

ALTER TABLE ONLY app.note
    ADD CONSTRAINT note_pkey PRIMARY KEY (id);

--
-- Name: tag tag_pkey; Type: CONSTRAINT; Schema: app; Owner: -
--

ALTER TABLE ONLY app.tag
    ADD CONSTRAINT tag_pkey PRIMARY KEY ("user", note, tag);

--
-- Name: note !mirusync_capture; Type: TRIGGER; Schema: app; Owner: -
--

CREATE TRIGGER "!mirusync_capture" AFTER INSERT OR DELETE OR UPDATE ON app.note FOR EACH ROW EXECUTE FUNCTION mirusync.capture();

ALTER TABLE app.note ENABLE ALWAYS TRIGGER "!mirusync_capture";

--
-- Name: tag !mirusync_capture; Type: TRIGGER; Schema: app; Owner: -
--

CREATE TRIGGER "!mirusync_capture" AFTER INSERT OR DELETE OR UPDATE ON app.tag FOR EACH ROW EXECUTE FUNCTION mirusync.capture();

ALTER TABLE app.tag ENABLE ALWAYS TRIGGER "!mirusync_capture";

--
-- Name: note !mirusync_truncate; Type: TRIGGER; Schema: app; Owner: -
--

CREATE TRIGGER "!mirusync_truncate" BEFORE TRUNCATE ON app.note FOR EACH STATEMENT EXECUTE FUNCTION mirusync.capture();

ALTER TABLE app.note ENABLE ALWAYS TRIGGER "!mirusync_truncate";

--
-- Name: tag !mirusync_truncate; Type: TRIGGER; Schema: app; Owner: -
--

CREATE TRIGGER "!mirusync_truncate" BEFORE TRUNCATE ON app.tag FOR EACH STATEMENT EXECUTE FUNCTION mirusync.capture();

ALTER TABLE app.tag ENABLE ALWAYS TRIGGER "!mirusync_truncate";

--
-- Name: note touch; Type: TRIGGER; Schema: app; Owner: -
--

CREATE TRIGGER touch BEFORE INSERT ON app.note FOR EACH ROW EXECUTE FUNCTION app.touch();

--
-- Name: SCHEMA app; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA app TO upgrade_app;

--
-- Name: FUNCTION attach(relation regclass, feed name, collection text, rule text, role regrole, pushable boolean); Type: ACL; Schema: mirusync; Owner: -
--

GRANT ALL ON FUNCTION mirusync.attach(relation regclass, feed name, collection text, rule text, role regrole, pushable boolean) TO upgrade_app;

--
-- Name: FUNCTION heads(feeds text[], OUT feed text, OUT head bigint); Type: ACL; Schema: mirusync; Owner: -
--

GRANT ALL ON FUNCTION mirusync.heads(feeds text[], OUT feed text, OUT head bigint) TO upgrade_relay;

--
-- Name: FUNCTION pull_events(feed text, after bigint, max integer, live boolean); Type: ACL; Schema: mirusync; Owner: -
--

GRANT ALL ON FUNCTION mirusync.pull_events(feed text, after bigint, max integer, live boolean) TO upgrade_relay;

--
-- Name: FUNCTION push_many(users text[], devices text[], sessions text[], dialects text[], messages text[], OUT kind text, OUT message integer, OUT status text, OUT feed text, OUT after bigint, OUT seq bigint, OUT session text, OUT code text, OUT body text); Type: ACL; Schema: mirusync; Owner: -
--

GRANT ALL ON FUNCTION mirusync.push_many(users text[], devices text[], sessions text[], dialects text[], messages text[], OUT kind text, OUT message integer, OUT status text, OUT feed text, OUT after bigint, OUT seq bigint, OUT session text, OUT code text, OUT body text) TO upgrade_relay;

--
-- Name: FUNCTION relay_hello(relay_version text, OUT version text, OUT compatible boolean, OUT doorbell_key bytea, OUT doorbell_shards integer, OUT max_batches integer); Type: ACL; Schema: mirusync; Owner: -
--

GRANT ALL ON FUNCTION mirusync.relay_hello(relay_version text, OUT version text, OUT compatible boolean, OUT doorbell_key bytea, OUT doorbell_shards integer, OUT max_batches integer) TO upgrade_relay;

--
-- Name: FUNCTION ring(feeds text[]); Type: ACL; Schema: mirusync; Owner: -
--

GRANT ALL ON FUNCTION mirusync.ring(feeds text[]) TO upgrade_relay;

--
-- Name: FUNCTION seq_before(feed text, at timestamp with time zone); Type: ACL; Schema: mirusync; Owner: -
--

GRANT ALL ON FUNCTION mirusync.seq_before(feed text, at timestamp with time zone) TO upgrade_relay;

--
-- Name: TABLE note; Type: ACL; Schema: app; Owner: -
--

GRANT ALL ON TABLE app.note TO upgrade_app;

--
-- Name: TABLE tag; Type: ACL; Schema: app; Owner: -
--

GRANT ALL ON TABLE app.tag TO upgrade_app;

--
-- Name: TABLE change_log; Type: ACL; Schema: mirusync; Owner: -
--

GRANT SELECT ON TABLE mirusync.change_log TO upgrade_app;

--
-- PostgreSQL database dump complete
--

