"""The audit trail as files: written out of an outbox, and checked without any service."""
