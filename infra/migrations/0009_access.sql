-- API keys by the hash of their secret, and the log of what admins did with the API.

CREATE TABLE api_keys (
    id            text        PRIMARY KEY,
    name          text        NOT NULL,
    role          text        NOT NULL,
    secret_hash   bytea       NOT NULL,
    created_at    timestamptz NOT NULL,
    symbols       text[]      NOT NULL,
    streams       text[]      NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    rotated_from  text        REFERENCES api_keys (id),
    CONSTRAINT api_keys_role CHECK (role IN ('viewer', 'trader', 'ops', 'admin')),
    CONSTRAINT api_keys_hash CHECK (length(secret_hash) = 32)
);
COMMENT ON TABLE api_keys IS 'Keys are revoked and never deleted: api_audit names them.';

CREATE TABLE api_audit (
    entry        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id      uuid        NOT NULL,
    phase        text        NOT NULL,
    at           timestamptz NOT NULL,
    name         text        NOT NULL,
    role         text        NOT NULL,
    kind         text        NOT NULL,
    key_id       text        NOT NULL,
    method       text        NOT NULL,
    path         text        NOT NULL,
    query        text        NOT NULL,
    body_sha256  text,
    body         text,
    status       integer,
    client       text,
    request_id   text,
    CONSTRAINT api_audit_phase CHECK (phase IN ('intent', 'outcome', 'refused')),
    CONSTRAINT api_audit_status CHECK ((phase = 'intent') = (status IS NULL))
);
CREATE INDEX api_audit_at ON api_audit (at);
COMMENT ON TABLE api_audit IS 'Append-only: an intent before each admin call, an outcome after it.';

-- Whoever may write the log may not change it. Its owner could drop the trigger: give the API a
-- role of its own, with INSERT and SELECT, where that matters.
CREATE FUNCTION api_audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'api_audit is append-only, % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
-- By statement, so that one that touches no row is refused as well.
CREATE TRIGGER api_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON api_audit
    FOR EACH STATEMENT EXECUTE FUNCTION api_audit_refuses();
-- ALWAYS: also for a session that calls itself a replica.
ALTER TABLE api_audit ENABLE ALWAYS TRIGGER api_audit_append_only;
