CREATE TABLE public.cfcre_batches (
    id bigint NOT NULL,
    stream character varying(128) NOT NULL,
    batch_hash character varying(64) NOT NULL,
    name text NOT NULL,
    keys json NOT NULL,
    manifest_key text,
    sequence bigint,
    submitted_at text NOT NULL,
    recorded_at timestamp without time zone NOT NULL,
    state character varying(16) NOT NULL,
    placed character varying(16) NOT NULL,
    task integer,
    attempt integer NOT NULL,
    failures integer NOT NULL,
    interruptions integer NOT NULL,
    next_attempt_at timestamp without time zone,
    settled_at timestamp without time zone,
    reason character varying(128),
    detail text,
    model_version character varying(64),
    verdict character varying(16),
    facts json NOT NULL,
    seconds json NOT NULL,
    CONSTRAINT cfcre_learned_registered CHECK ((((state)::text <> ALL ((ARRAY['promoted'::character varying, 'held'::character varying])::text[])) OR ((model_version IS NOT NULL) AND (task IS NOT NULL)))),
    CONSTRAINT cfcre_placed CHECK (((placed)::text = ANY ((ARRAY['inbox'::character varying, 'processed'::character varying, 'rejected'::character varying, 'failed'::character varying])::text[]))),
    CONSTRAINT cfcre_sequence_given CHECK ((((state)::text = 'rejected'::text) OR (sequence IS NOT NULL))),
    CONSTRAINT cfcre_sequence_positive CHECK ((sequence >= 1)),
    CONSTRAINT cfcre_state CHECK (((state)::text = ANY ((ARRAY['seen'::character varying, 'claimed'::character varying, 'validated'::character varying, 'training'::character varying, 'evaluated'::character varying, 'promoted'::character varying, 'held'::character varying, 'rejected'::character varying, 'failed'::character varying])::text[])))
);
CREATE SEQUENCE public.cfcre_batches_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.cfcre_batches_id_seq OWNED BY public.cfcre_batches.id;
CREATE TABLE public.cfcre_claims (
    stream character varying(128) NOT NULL,
    token bigint NOT NULL,
    batch_id bigint NOT NULL,
    attempt integer NOT NULL,
    task integer NOT NULL,
    run_name text NOT NULL,
    parent_version character varying(64),
    champion_version character varying(64),
    owner json NOT NULL,
    claimed_at timestamp without time zone NOT NULL,
    leased_until timestamp without time zone NOT NULL,
    max_attempts integer NOT NULL,
    max_interruptions integer NOT NULL,
    retry_backoff_seconds double precision NOT NULL,
    error_stage character varying(64),
    error_message text,
    error_retryable boolean,
    error_reason character varying(128),
    ended_at timestamp without time zone,
    ending character varying(16),
    outcome json
);
CREATE TABLE public.cfcre_models (
    name character varying(256) NOT NULL
);
CREATE TABLE public.cfcre_promotions (
    id bigint NOT NULL,
    at timestamp without time zone NOT NULL,
    model character varying(256) NOT NULL,
    kind character varying(16) NOT NULL,
    old_version character varying(64),
    new_version character varying(64) NOT NULL,
    stream character varying(128),
    batch_hash character varying(64),
    metrics json NOT NULL,
    verdict character varying(16),
    actor text NOT NULL,
    reason text NOT NULL,
    alias_moved_at timestamp without time zone,
    CONSTRAINT cfcre_kind CHECK (((kind)::text = ANY ((ARRAY['gate'::character varying, 'promote'::character varying, 'rollback'::character varying])::text[])))
);
CREATE SEQUENCE public.cfcre_promotions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.cfcre_promotions_id_seq OWNED BY public.cfcre_promotions.id;
CREATE TABLE public.cfcre_schema (
    version integer NOT NULL
);
CREATE SEQUENCE public.cfcre_schema_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.cfcre_schema_version_seq OWNED BY public.cfcre_schema.version;
CREATE TABLE public.cfcre_streams (
    name character varying(128) NOT NULL,
    token bigint NOT NULL,
    created_at timestamp without time zone NOT NULL
);
ALTER TABLE ONLY public.cfcre_batches ALTER COLUMN id SET DEFAULT nextval('public.cfcre_batches_id_seq'::regclass);
ALTER TABLE ONLY public.cfcre_promotions ALTER COLUMN id SET DEFAULT nextval('public.cfcre_promotions_id_seq'::regclass);
ALTER TABLE ONLY public.cfcre_schema ALTER COLUMN version SET DEFAULT nextval('public.cfcre_schema_version_seq'::regclass);
INSERT INTO public.cfcre_batches VALUES (4, 'news', 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 'batch d é', '["inbox/news/d.jsonl"]', NULL, 4, '2026-01-01T00:00:06+00:00', '2026-01-01 00:00:06', 'seen', 'inbox', NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '{}', '{}');
INSERT INTO public.cfcre_batches VALUES (6, 'wiki', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'batch b é', '["inbox/wiki/b.jsonl"]', NULL, 2, '2026-01-01T00:00:09+00:00', '2026-01-01 00:00:09', 'seen', 'inbox', NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '{}', '{}');
INSERT INTO public.cfcre_batches VALUES (7, 'wiki', 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 'batch c é', '["inbox/wiki/c.jsonl"]', NULL, 3, '2026-01-01T00:00:10.500000+00:00', '2026-01-01 00:00:10.5', 'seen', 'inbox', NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '{}', '{}');
INSERT INTO public.cfcre_batches VALUES (8, 'wiki', 'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 'batch d é', '["inbox/wiki/d.jsonl"]', NULL, 4, '2026-01-01T00:00:12+00:00', '2026-01-01 00:00:12', 'seen', 'inbox', NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '{}', '{}');
INSERT INTO public.cfcre_batches VALUES (2, 'news', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 'batch b é', '["inbox/news/b.jsonl"]', NULL, 2, '2026-01-01T00:00:03+00:00', '2026-01-01 00:00:03', 'held', 'inbox', 2, 1, 0, 0, NULL, '2026-01-01 00:00:22.5', NULL, NULL, '2', 'hold', '{"model_version": "2", "verdict": "hold", "relations": ["born in"], "accuracy": 0.5, "rows": {"read": 3, "accepted": 2, "quarantined": 1}}', '{"train_task": 1.25}');
INSERT INTO public.cfcre_batches VALUES (3, 'news', 'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 'batch c é', '["inbox/news/c.jsonl"]', NULL, 3, '2026-01-01T00:00:04.500000+00:00', '2026-01-01 00:00:04.5', 'failed', 'inbox', NULL, 1, 1, 0, NULL, '2026-01-01 00:00:28.5', 'task_failed', 'ingest: no such object', NULL, NULL, '{}', '{}');
INSERT INTO public.cfcre_batches VALUES (9, 'wiki', 'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 'e', '["inbox/wiki/e"]', NULL, NULL, '2026-01-01T00:00:30+00:00', '2026-01-01 00:00:30', 'rejected', 'inbox', NULL, 0, 0, 0, NULL, '2026-01-01 00:00:30', 'checksum_mismatch', 'bad', NULL, NULL, '{}', '{}');
INSERT INTO public.cfcre_batches VALUES (1, 'news', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'batch a é', '["inbox/news/a.jsonl"]', NULL, 1, '2026-01-01T00:00:01.500000+00:00', '2026-01-01 00:00:01.5', 'promoted', 'processed', 1, 1, 0, 0, NULL, '2026-01-01 00:00:18', NULL, NULL, '1', 'promote', '{"model_version": "1", "verdict": "promote", "relations": ["born in"], "accuracy": 0.5, "rows": {"read": 3, "accepted": 2, "quarantined": 1}}', '{"train_task": 1.25}');
INSERT INTO public.cfcre_batches VALUES (5, 'wiki', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'batch a é', '["inbox/wiki/a.jsonl"]', NULL, 1, '2026-01-01T00:00:07.500000+00:00', '2026-01-01 00:00:07.5', 'training', 'inbox', 1, 1, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, '{"rows": {"read": 7}}', '{}');
INSERT INTO public.cfcre_claims VALUES ('news', 1, 1, 1, 1, 'news-001-aaaaaaaa-a1', NULL, NULL, '{"host": "node-1", "boot_id": "boot", "pid": 4711, "pid_started": "99", "pid_namespace": ""}', '2026-01-01 00:00:13.5', '2026-01-01 00:10:13.5', 1, 2, 2, NULL, NULL, NULL, NULL, '2026-01-01 00:00:18', 'learned', '{"stream": "news", "batch_hash": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "run_name": "news-001-aaaaaaaa-a1", "ending": "learned", "state": "promoted", "reason": null, "detail": null, "model_version": "1", "verdict": "promote", "settled_now": true}');
INSERT INTO public.cfcre_claims VALUES ('news', 2, 2, 1, 2, 'news-002-bbbbbbbb-a1', '1', '1', '{"host": "node-1", "boot_id": "boot", "pid": 4711, "pid_started": "99", "pid_namespace": ""}', '2026-01-01 00:00:19.5', '2026-01-01 00:10:19.5', 1, 2, 2, NULL, NULL, NULL, NULL, '2026-01-01 00:00:22.5', 'learned', '{"stream": "news", "batch_hash": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "run_name": "news-002-bbbbbbbb-a1", "ending": "learned", "state": "held", "reason": null, "detail": null, "model_version": "2", "verdict": "hold", "settled_now": true}');
INSERT INTO public.cfcre_claims VALUES ('news', 3, 3, 1, 3, 'news-003-cccccccc-a1', '2', '1', '{"host": "node-1", "boot_id": "boot", "pid": 4711, "pid_started": "99", "pid_namespace": ""}', '2026-01-01 00:00:27', '2026-01-01 00:10:27', 1, 2, 2, 'ingest', 'no such object', false, NULL, '2026-01-01 00:00:28.5', 'failure', '{"stream": "news", "batch_hash": "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", "run_name": "news-003-cccccccc-a1", "ending": "failure", "state": "failed", "reason": "task_failed", "detail": "ingest: no such object", "model_version": null, "verdict": null, "settled_now": true}');
INSERT INTO public.cfcre_claims VALUES ('wiki', 1, 5, 1, 1, 'wiki-001-aaaaaaaa-a1', NULL, '1', '{"host": "node-1", "boot_id": "boot", "pid": 4711, "pid_started": "99", "pid_namespace": ""}', '2026-01-01 00:00:31.5', '2026-01-01 00:10:31.5', 1, 2, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.cfcre_models VALUES ('cfcre');
INSERT INTO public.cfcre_promotions VALUES (1, '2026-01-01 00:00:15', 'cfcre', 'gate', NULL, '1', 'news', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '{"accuracy": 0.5, "average_accuracy": null, "forgetting": null}', 'promote', 'news-001-aaaaaaaa-a1', 'every check passed', '2026-01-01 00:00:16.5');
INSERT INTO public.cfcre_promotions VALUES (2, '2026-01-01 00:00:24', 'cfcre', 'promote', '1', '2', 'news', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', '{"accuracy": 0.5, "average_accuracy": null, "forgetting": null}', 'hold', 'ada', 'better by eye', NULL);
INSERT INTO public.cfcre_promotions VALUES (3, '2026-01-01 00:00:25.5', 'cfcre', 'rollback', '2', '1', 'news', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '{"accuracy": 0.5, "average_accuracy": null, "forgetting": null}', 'promote', 'ada', 'worse after all', NULL);
INSERT INTO public.cfcre_schema VALUES (1);
INSERT INTO public.cfcre_streams VALUES ('news', 3, '2026-01-01 00:00:01.5');
INSERT INTO public.cfcre_streams VALUES ('wiki', 1, '2026-01-01 00:00:07.5');
SELECT pg_catalog.setval('public.cfcre_batches_id_seq', 9, true);
SELECT pg_catalog.setval('public.cfcre_promotions_id_seq', 3, true);
SELECT pg_catalog.setval('public.cfcre_schema_version_seq', 1, false);
ALTER TABLE ONLY public.cfcre_batches
    ADD CONSTRAINT cfcre_batch_once UNIQUE (stream, batch_hash);
ALTER TABLE ONLY public.cfcre_batches
    ADD CONSTRAINT cfcre_batches_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.cfcre_claims
    ADD CONSTRAINT cfcre_claims_pkey PRIMARY KEY (stream, token);
ALTER TABLE ONLY public.cfcre_models
    ADD CONSTRAINT cfcre_models_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.cfcre_promotions
    ADD CONSTRAINT cfcre_promotions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.cfcre_schema
    ADD CONSTRAINT cfcre_schema_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.cfcre_batches
    ADD CONSTRAINT cfcre_sequence_once UNIQUE (stream, sequence);
ALTER TABLE ONLY public.cfcre_streams
    ADD CONSTRAINT cfcre_streams_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.cfcre_batches
    ADD CONSTRAINT cfcre_task_once UNIQUE (stream, task);
CREATE INDEX cfcre_claims_run_name ON public.cfcre_claims USING btree (run_name);
CREATE UNIQUE INDEX cfcre_one_live_claim ON public.cfcre_claims USING btree (stream) WHERE (ended_at IS NULL);
CREATE INDEX cfcre_promotions_model ON public.cfcre_promotions USING btree (model, id);
ALTER TABLE ONLY public.cfcre_batches
    ADD CONSTRAINT cfcre_batches_stream_fkey FOREIGN KEY (stream) REFERENCES public.cfcre_streams(name);
ALTER TABLE ONLY public.cfcre_claims
    ADD CONSTRAINT cfcre_claims_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES public.cfcre_batches(id);
ALTER TABLE ONLY public.cfcre_claims
    ADD CONSTRAINT cfcre_claims_stream_fkey FOREIGN KEY (stream) REFERENCES public.cfcre_streams(name);
ALTER TABLE ONLY public.cfcre_promotions
    ADD CONSTRAINT cfcre_promotions_model_fkey FOREIGN KEY (model) REFERENCES public.cfcre_models(name);
