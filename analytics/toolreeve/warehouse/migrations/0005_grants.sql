-- Grants as enforcers came to know them.

CREATE TABLE grant_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    "grant" VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    servers VARCHAR[] NOT NULL,
    expires_at TIMESTAMP,
    tokens INTEGER NOT NULL,
    revoked BOOLEAN NOT NULL,
    actor VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    load BIGINT NOT NULL
);
