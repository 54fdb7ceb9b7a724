-- Details that stand beside events, and what was erased of them.

ALTER TABLE decided ADD COLUMN argument_hashes BIGINT[] DEFAULT []::BIGINT[];
ALTER TABLE decided ADD COLUMN hash_key VARCHAR DEFAULT '';
ALTER TABLE decided ADD COLUMN details VARCHAR DEFAULT 'none';

CREATE TABLE erasure_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    erasure_id VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    selector VARCHAR NOT NULL,
    events BIGINT NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE erased (
    said_by VARCHAR NOT NULL,
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    load BIGINT NOT NULL
);
COMMENT ON TABLE erased IS 'Events whose details are erased, by whose word. Only the worker''s own is carried out.';
