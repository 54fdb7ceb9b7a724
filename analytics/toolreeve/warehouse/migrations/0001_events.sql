-- What enforcers said, one table for each kind of event. Rows are only ever added.
-- Every event has its place (enforcer, epoch, sequence), which the cursors keep unique, and the
-- number of the load that brought it, which only rises. Times are UTC, cut to microseconds.

CREATE TABLE warehouse (
    warehouse_id VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    views_sha256 VARCHAR NOT NULL
);
COMMENT ON TABLE warehouse IS 'One row: this file''s own name, and which views it has.';

CREATE TABLE marks (
    name VARCHAR NOT NULL,
    mark BIGINT NOT NULL
);
COMMENT ON TABLE marks IS 'Places to go on from: "detected", the last load that the detectors have seen; "stream", the newest message of the stream that was loaded.';

CREATE TABLE cursors (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    first_sequence UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    previous_hash BLOB NOT NULL,
    head BLOB NOT NULL,
    last_time TIMESTAMP,
    load BIGINT NOT NULL
);
COMMENT ON TABLE cursors IS 'Unbroken runs of loaded events. The run of an epoch that starts at sequence 1 is its watermark; a further run stands behind a gap and joins when the gap is filled.';

CREATE TABLE groups (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    first_sequence UBIGINT NOT NULL,
    last_sequence UBIGINT NOT NULL,
    previous_hash BLOB NOT NULL,
    head BLOB NOT NULL,
    load BIGINT NOT NULL
);
COMMENT ON TABLE groups IS 'Every outbox group that was loaded, with the chain head before and behind it.';

CREATE TABLE decided (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    server VARCHAR NOT NULL,
    "grant" VARCHAR NOT NULL,
    agent VARCHAR NOT NULL,
    session VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    wire_tool VARCHAR NOT NULL,
    tool_group VARCHAR NOT NULL,
    effect VARCHAR NOT NULL,
    code VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    policy_revision VARCHAR NOT NULL,
    retry_after_ms BIGINT,
    limit_counter VARCHAR NOT NULL,
    argument_names VARCHAR[] NOT NULL,
    arguments VARIANT NOT NULL,
    arguments_hash BLOB NOT NULL,
    arguments_bytes BIGINT NOT NULL,
    protocol_version VARCHAR NOT NULL,
    decision_ns BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE completed (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    decided_epoch UBIGINT NOT NULL,
    decided_sequence UBIGINT NOT NULL,
    outcome VARCHAR NOT NULL,
    duration_ns BIGINT NOT NULL,
    request_bytes BIGINT NOT NULL,
    response_bytes BIGINT NOT NULL,
    rpc_error_code INTEGER,
    detail VARCHAR NOT NULL,
    again BOOLEAN NOT NULL,
    load BIGINT NOT NULL
);
COMMENT ON COLUMN completed.again IS 'An outcome of this decision was loaded before; the first one counts.';

CREATE TABLE policy_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    change VARCHAR NOT NULL,
    server VARCHAR NOT NULL,
    policy VARCHAR NOT NULL,
    revision VARCHAR NOT NULL,
    previous_revision VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    manifest_sequence UBIGINT NOT NULL,
    code VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE enforcer_lifecycle (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    change VARCHAR NOT NULL,
    software_version VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    servers VARCHAR[] NOT NULL,
    previous_epoch UBIGINT NOT NULL,
    previous_head BLOB NOT NULL,
    boot_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE refusal_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    server VARCHAR NOT NULL,
    "grant" VARCHAR NOT NULL,
    code VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    transport VARCHAR NOT NULL,
    http_status INTEGER NOT NULL,
    rpc_error_code INTEGER NOT NULL,
    method VARCHAR NOT NULL,
    wire_tool VARCHAR NOT NULL,
    request_bytes BIGINT NOT NULL,
    count BIGINT NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE hold_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    change VARCHAR NOT NULL,
    hold_id VARCHAR NOT NULL,
    fleet BOOLEAN NOT NULL,
    server VARCHAR NOT NULL,
    "grant" VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    argument_pointer VARCHAR NOT NULL,
    argument_value VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    expires_at TIMESTAMP,
    load BIGINT NOT NULL
);

CREATE TABLE approval_events (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    change VARCHAR NOT NULL,
    approval_id VARCHAR NOT NULL,
    decision_id VARCHAR NOT NULL,
    server VARCHAR NOT NULL,
    "grant" VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    arguments_hash BLOB NOT NULL,
    policy_revision VARCHAR NOT NULL,
    expires_at TIMESTAMP,
    approved BOOLEAN,
    actor VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE alerts_raised (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    alert_id VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    detector VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    summary VARCHAR NOT NULL,
    labels MAP(VARCHAR, VARCHAR) NOT NULL,
    since_at TIMESTAMP NOT NULL,
    crossed_at TIMESTAMP NOT NULL,
    observed DOUBLE NOT NULL,
    threshold DOUBLE NOT NULL,
    baseline DOUBLE NOT NULL,
    query VARCHAR NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE alerts_resolved (
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    time TIMESTAMP NOT NULL,
    alert_id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    load BIGINT NOT NULL
);

CREATE TABLE anomalies (
    time TIMESTAMP NOT NULL,
    kind VARCHAR NOT NULL,
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    first_sequence UBIGINT NOT NULL,
    last_sequence UBIGINT NOT NULL,
    detail VARCHAR NOT NULL,
    load BIGINT NOT NULL
);
COMMENT ON TABLE anomalies IS 'What was wrong with an enforcer''s history when it arrived: gap, gap_filled, fork, overlap, poison.';

CREATE TABLE quarantine (
    time TIMESTAMP NOT NULL,
    reason VARCHAR NOT NULL,
    enforcer VARCHAR NOT NULL,
    epoch UBIGINT NOT NULL,
    sequence UBIGINT NOT NULL,
    digest BLOB NOT NULL,
    payload BLOB NOT NULL,
    load BIGINT NOT NULL
);
COMMENT ON TABLE quarantine IS 'Bytes that could not be loaded, kept as they came: a whole message (sequence 0), or one event of a group whose other events were loaded.';

CREATE TABLE notices (
    time TIMESTAMP NOT NULL,
    alert_id VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    receiver VARCHAR NOT NULL,
    delivered BOOLEAN NOT NULL,
    attempts INTEGER NOT NULL,
    detail VARCHAR NOT NULL,
    load BIGINT NOT NULL
);
COMMENT ON TABLE notices IS 'Which receiver was told of which alert, or could not be.';
