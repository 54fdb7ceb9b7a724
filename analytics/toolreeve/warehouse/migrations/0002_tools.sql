-- Tools as servers offered them and people approved them.

CREATE TABLE tool_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    change VARCHAR NOT NULL,
    server VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    previous_digest VARCHAR NOT NULL,
    approved_digest VARCHAR NOT NULL,
    members VARCHAR[] NOT NULL,
    definition VARCHAR NOT NULL,
    looks_like VARCHAR NOT NULL,
    together BIGINT NOT NULL,
    actor VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    load BIGINT NOT NULL
);
