-- What vouches for the trail itself: seals, checkpoints, and damage that was found.

ALTER TABLE enforcer_lifecycle ADD COLUMN public_key BLOB DEFAULT ''::BLOB;

CREATE TABLE seal_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    sealed_sequence UBIGINT NOT NULL,
    head BLOB NOT NULL,
    signature BLOB NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE damage_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    kept_in VARCHAR NOT NULL,
    "groups" UBIGINT NOT NULL,
    lost VARCHAR[] NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE checkpoint_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    origin VARCHAR NOT NULL,
    size UBIGINT NOT NULL,
    root BLOB NOT NULL,
    note VARCHAR NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE leaves (
    origin VARCHAR NOT NULL,
    leaf UBIGINT NOT NULL,
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    first_sequence UBIGINT NOT NULL,
    last_sequence UBIGINT NOT NULL,
    load BIGINT NOT NULL
);
COMMENT ON TABLE leaves IS 'Which group stands at which place of the log that checkpoints vouch for.';
