-- The groups themselves, byte for byte as they were published: first here, then in Parquet files.

CREATE TABLE payloads (
    load BIGINT NOT NULL,
    loaded_at TIMESTAMP NOT NULL,
    size BIGINT NOT NULL,
    places VARCHAR NOT NULL,
    bytes BLOB NOT NULL
);
COMMENT ON TABLE payloads IS 'The groups of loads that are in no archive file yet, one behind the other, and where each stands.';

CREATE TABLE archives (
    file VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    "groups" BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    first_time TIMESTAMP,
    last_time TIMESTAMP,
    first_load BIGINT NOT NULL,
    last_load BIGINT NOT NULL,
    whole BOOLEAN NOT NULL
);
COMMENT ON TABLE archives IS 'Which loads an archive file holds. A file that a new warehouse was made from has a row for each load that it took; only the last of them is whole.';
