-- The views people write SQL against. They are stable: columns are added, never renamed or
-- removed. Each has a comment, and so has each of its columns; the data dictionary in the
-- documentation is made from these comments.

CREATE OR REPLACE VIEW decisions AS
SELECT
    d.enforcer || ':' || d.epoch || ':' || d.sequence AS decision_id,
    d.time,
    d.server,
    d.tool,
    d.agent,
    d."grant",
    d.effect,
    d.code,
    d.reason,
    d.arguments,
    c.outcome,
    c.duration_ns / 1e6 AS duration_ms,
    c.time AS completed_at,
    d.wire_tool,
    d.tool_group,
    d.rule,
    d.policy_revision,
    d.retry_after_ms,
    d.limit_counter,
    d.argument_names,
    lower(hex(d.arguments_hash)) AS arguments_hash,
    d.arguments_bytes,
    c.request_bytes,
    c.response_bytes,
    c.rpc_error_code,
    c.detail AS outcome_detail,
    d.session,
    d.request_id,
    d.protocol_version,
    d.decision_ns,
    d.mode,
    d.enforcer,
    d.epoch,
    d.sequence,
    d.argument_hashes,
    d.hash_key,
    d.details,
    d.code_before,
    d.stale
FROM decided AS d
LEFT JOIN completed AS c
    ON c.enforcer = d.enforcer
    AND c.decided_epoch = d.epoch
    AND c.decided_sequence = d.sequence
    AND NOT c.again;
COMMENT ON VIEW decisions IS 'Every tool call that reached an enforcer, one row each: how it was decided and, where it was forwarded, how it ended.';
COMMENT ON COLUMN decisions.decision_id IS 'Unique for ever: "<enforcer>:<epoch>:<sequence>". The agent was told the same id.';
COMMENT ON COLUMN decisions.time IS 'When it was decided, UTC.';
COMMENT ON COLUMN decisions.server IS 'Name of the upstream MCP server.';
COMMENT ON COLUMN decisions.tool IS 'Effective tool: what the policy speaks of.';
COMMENT ON COLUMN decisions.agent IS 'Label of the agent that holds the grant.';
COMMENT ON COLUMN decisions."grant" IS 'Id of the grant that was presented.';
COMMENT ON COLUMN decisions.effect IS '"allow" (forwarded) or "deny" (refused, and the agent was told why).';
COMMENT ON COLUMN decisions.code IS 'Stable word for why: "allowed", "limited", "hidden", ...';
COMMENT ON COLUMN decisions.reason IS 'What the agent read.';
COMMENT ON COLUMN decisions.arguments IS 'Kept argument values by JSON Pointer: arguments[''/id'']. Values have their JSON type; cast to compare across types: arguments[''/id'']::VARCHAR = ''7''.';
COMMENT ON COLUMN decisions.outcome IS 'success, tool_error, rpc_error, timeout, not_sent, unknown, input_required; NULL while it runs and for refused calls.';
COMMENT ON COLUMN decisions.duration_ms IS 'From forwarding to the last byte of the answer.';
COMMENT ON COLUMN decisions.completed_at IS 'When the outcome was recorded, UTC.';
COMMENT ON COLUMN decisions.wire_tool IS 'The tool name that stood in the request; equal to tool without dispatch.';
COMMENT ON COLUMN decisions.tool_group IS 'Value at the dispatch''s group pointer, such as a category; else empty.';
COMMENT ON COLUMN decisions.rule IS 'JSON Pointer into the policy of the rule that decided; empty where none did.';
COMMENT ON COLUMN decisions.policy_revision IS 'Revision of the policy in force; empty where there was none.';
COMMENT ON COLUMN decisions.retry_after_ms IS 'Milliseconds until one more call would have been admitted; NULL where waiting would not help.';
COMMENT ON COLUMN decisions.limit_counter IS 'Name of the counter that was full.';
COMMENT ON COLUMN decisions.argument_names IS 'Top-level argument names, sorted.';
COMMENT ON COLUMN decisions.arguments_hash IS 'Keyed hash of all arguments, hex: equal arguments have equal hashes on one enforcer under one key.';
COMMENT ON COLUMN decisions.arguments_bytes IS 'Length of the arguments as canonical JSON.';
COMMENT ON COLUMN decisions.request_bytes IS 'Bytes sent upstream.';
COMMENT ON COLUMN decisions.response_bytes IS 'Bytes that came back.';
COMMENT ON COLUMN decisions.rpc_error_code IS 'JSON-RPC error code, where outcome is rpc_error.';
COMMENT ON COLUMN decisions.outcome_detail IS 'Why, where the outcome alone does not say.';
COMMENT ON COLUMN decisions.session IS 'MCP session; empty where the protocol has none.';
COMMENT ON COLUMN decisions.request_id IS 'JSON-RPC id as it stood in the request, in JSON.';
COMMENT ON COLUMN decisions.protocol_version IS 'MCP revision of the request; empty where it said none.';
COMMENT ON COLUMN decisions.decision_ns IS 'Nanoseconds the decision itself took, without I/O.';
COMMENT ON COLUMN decisions.mode IS 'Empty where the decision was carried out; "warn" or "shadow" where the call was let through and code says what would have become of it.';
COMMENT ON COLUMN decisions.enforcer IS 'Who decided.';
COMMENT ON COLUMN decisions.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN decisions.sequence IS 'Place in that epoch.';
COMMENT ON COLUMN decisions.argument_hashes IS 'A keyed hash of the value of each of argument_names, in that order; what "toolreeve audit match" looks for.';
COMMENT ON COLUMN decisions.hash_key IS 'Which key the hashes were made with, hex; the keys are with the enforcer.';
COMMENT ON COLUMN decisions.details IS '"here": values and hashes stand in this row. "none": the call had no arguments, or its event holds them itself as before there were details. "erased": on record in the view erasures. "missing": gone, or not what the event commits to, and no erasure says so.';
COMMENT ON COLUMN decisions.code_before IS 'Set where the policy was being rolled out and the revision before would have acted differently: the code that it gives.';
COMMENT ON COLUMN decisions.stale IS 'Set where the enforcer had not heard of its control plane for longer than the policy allows: keep, deny_writes or deny_all.';

CREATE OR REPLACE VIEW tool_usage_hourly AS
SELECT
    date_trunc('hour', time) AS hour,
    server,
    tool,
    count(*) AS calls,
    count(*) FILTER (WHERE effect = 'allow') AS allowed,
    count(*) FILTER (WHERE effect = 'deny') AS denied,
    count(*) FILTER (WHERE code = 'limited') AS limited,
    count(*) FILTER (WHERE outcome IN ('tool_error', 'rpc_error', 'timeout', 'not_sent', 'unknown')) AS failed,
    quantile_cont(duration_ms, 0.5) AS p50_ms,
    quantile_cont(duration_ms, 0.95) AS p95_ms,
    count(DISTINCT agent) AS agents
FROM decisions
GROUP BY ALL;
COMMENT ON VIEW tool_usage_hourly IS 'Calls of each effective tool by hour.';
COMMENT ON COLUMN tool_usage_hourly.hour IS 'Start of the hour, UTC.';
COMMENT ON COLUMN tool_usage_hourly.server IS 'Name of the upstream MCP server.';
COMMENT ON COLUMN tool_usage_hourly.tool IS 'Effective tool.';
COMMENT ON COLUMN tool_usage_hourly.calls IS 'All calls, forwarded or not.';
COMMENT ON COLUMN tool_usage_hourly.allowed IS 'Calls that were forwarded.';
COMMENT ON COLUMN tool_usage_hourly.denied IS 'Calls that were refused, for whatever reason.';
COMMENT ON COLUMN tool_usage_hourly.limited IS 'Part of denied: refused by a limit.';
COMMENT ON COLUMN tool_usage_hourly.failed IS 'Forwarded calls that did not succeed.';
COMMENT ON COLUMN tool_usage_hourly.p50_ms IS 'Median duration of forwarded calls.';
COMMENT ON COLUMN tool_usage_hourly.p95_ms IS '95th percentile of the duration of forwarded calls.';
COMMENT ON COLUMN tool_usage_hourly.agents IS 'How many different agents called.';

CREATE OR REPLACE VIEW policy_changes AS
SELECT
    time, enforcer, server, change, policy, revision, previous_revision, origin,
    manifest_sequence, code, reason, epoch, sequence, rollout, break_glass
FROM policy_events;
COMMENT ON VIEW policy_changes IS 'Policies as enforcers took or refused them.';
COMMENT ON COLUMN policy_changes.time IS 'When it took effect or was refused, UTC.';
COMMENT ON COLUMN policy_changes.enforcer IS 'Who took or refused it.';
COMMENT ON COLUMN policy_changes.server IS 'Upstream it is for.';
COMMENT ON COLUMN policy_changes.change IS '"applied" or "refused"; a refused policy leaves the one before in force.';
COMMENT ON COLUMN policy_changes.policy IS 'Name that stands in the policy.';
COMMENT ON COLUMN policy_changes.revision IS '"sha256:<hex>" of its canonical bytes.';
COMMENT ON COLUMN policy_changes.previous_revision IS 'What was in force before; empty where nothing was, and for refusals.';
COMMENT ON COLUMN policy_changes.origin IS '"control", "file" or "disk" (the last known good at start).';
COMMENT ON COLUMN policy_changes.manifest_sequence IS 'Sequence of the signed manifest; 0 for a file and for refusals.';
COMMENT ON COLUMN policy_changes.code IS 'Stable word for a refusal: signature, rollback, expired, cohort, hash, invalid.';
COMMENT ON COLUMN policy_changes.reason IS 'The whole complaint, as the policy''s author should read it.';
COMMENT ON COLUMN policy_changes.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN policy_changes.sequence IS 'Place in that epoch.';
COMMENT ON COLUMN policy_changes.rollout IS 'The rollout that brought it; empty outside of one.';
COMMENT ON COLUMN policy_changes.break_glass IS 'Who brought it past a rollout, and why; else empty.';

CREATE OR REPLACE VIEW alerts AS
SELECT
    r.alert_id,
    min_by(r.rule, r.load) AS rule,
    min_by(r.severity, r.load) AS severity,
    min_by(r.summary, r.load) AS summary,
    min_by(r.since_at, r.load) AS since,
    min_by(r.crossed_at, r.load) AS crossed,
    min(s.resolved) AS resolved,
    min_by(r.labels, r.load) AS labels,
    min_by(r.observed, r.load) AS observed,
    min_by(r.threshold, r.load) AS threshold,
    min_by(r.baseline, r.load) AS baseline,
    min_by(r.detector, r.load) AS detector,
    min_by(r.query, r.load) AS query,
    min_by(r.time, r.load) AS raised
FROM alerts_raised AS r
LEFT JOIN (SELECT alert_id, min(time) AS resolved FROM alerts_resolved GROUP BY alert_id) AS s
    ON s.alert_id = r.alert_id
GROUP BY r.alert_id;
COMMENT ON VIEW alerts IS 'What detectors saw, one row an alert.';
COMMENT ON COLUMN alerts.alert_id IS 'Unique; the same history always gives the same id.';
COMMENT ON COLUMN alerts.rule IS 'Name of the rule that raised it.';
COMMENT ON COLUMN alerts.severity IS 'info, warning or critical.';
COMMENT ON COLUMN alerts.summary IS 'One line for people.';
COMMENT ON COLUMN alerts.since IS 'Time of the first call that belongs to it, UTC.';
COMMENT ON COLUMN alerts.crossed IS 'Time of the call that crossed the line, UTC.';
COMMENT ON COLUMN alerts.resolved IS 'When it was over, UTC; NULL while it is open.';
COMMENT ON COLUMN alerts.labels IS 'Who and what: labels[''server''], labels[''tool''], labels[''target''], labels[''grant''], ...';
COMMENT ON COLUMN alerts.observed IS 'Calls that were seen in the window.';
COMMENT ON COLUMN alerts.threshold IS 'How many calls the line was at.';
COMMENT ON COLUMN alerts.baseline IS 'How many calls would have been usual; 0 where unknown.';
COMMENT ON COLUMN alerts.detector IS 'Kind of detector.';
COMMENT ON COLUMN alerts.query IS 'SQL that shows the calls.';
COMMENT ON COLUMN alerts.raised IS 'When the detector said so, UTC.';

CREATE OR REPLACE VIEW fleet AS
WITH watermark AS (
    SELECT
        enforcer,
        max(epoch) AS epoch,
        max_by(sequence, (epoch, sequence)) AS sequence,
        max(last_time) AS last_time
    FROM cursors
    GROUP BY enforcer
),
started AS (
    SELECT
        enforcer,
        max_by(software_version, epoch) AS software_version,
        max_by(host, epoch) AS host,
        max_by(servers, epoch) AS servers,
        max_by(time, epoch) AS started_at,
        count(*) AS starts
    FROM enforcer_lifecycle
    WHERE change = 'started'
    GROUP BY enforcer
),
stopped AS (
    SELECT enforcer, epoch, max(time) AS stopped_at, max_by(reason, time) AS stop_reason
    FROM enforcer_lifecycle
    WHERE change = 'stopped'
    GROUP BY enforcer, epoch
),
running AS (
    SELECT enforcer, map_from_entries(list((server, revision) ORDER BY server)) AS revisions
    FROM (
        SELECT enforcer, server, max_by(revision, (epoch, sequence)) AS revision
        FROM policy_events
        WHERE change = 'applied'
        GROUP BY enforcer, server
    )
    GROUP BY enforcer
)
SELECT
    w.enforcer,
    s.servers,
    p.revisions,
    s.software_version,
    s.host,
    s.started_at,
    w.last_time AS last_event_at,
    q.stopped_at,
    q.stop_reason,
    w.epoch,
    w.sequence,
    s.starts
FROM watermark AS w
LEFT JOIN started AS s ON s.enforcer = w.enforcer
LEFT JOIN stopped AS q ON q.enforcer = w.enforcer AND q.epoch = w.epoch
LEFT JOIN running AS p ON p.enforcer = w.enforcer
WHERE s.servers IS NULL OR len(s.servers) > 0;
COMMENT ON VIEW fleet IS 'Enforcers as the audit trail knows them. (Who is connected now is the control plane''s to say: toolreeve fleet status.)';
COMMENT ON COLUMN fleet.enforcer IS 'Name of the enforcer.';
COMMENT ON COLUMN fleet.servers IS 'Upstreams it serves; NULL where its start is not loaded yet.';
COMMENT ON COLUMN fleet.revisions IS 'Policy revision in force by server: revisions[''truenas''].';
COMMENT ON COLUMN fleet.software_version IS 'Version of toolreeve it runs.';
COMMENT ON COLUMN fleet.host IS 'Host it runs on.';
COMMENT ON COLUMN fleet.started_at IS 'When it started last, UTC.';
COMMENT ON COLUMN fleet.last_event_at IS 'Time of its newest event, UTC.';
COMMENT ON COLUMN fleet.stopped_at IS 'When it ended in order, UTC; NULL while it runs, and after a crash.';
COMMENT ON COLUMN fleet.stop_reason IS 'Why it ended.';
COMMENT ON COLUMN fleet.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN fleet.sequence IS 'Its newest event.';
COMMENT ON COLUMN fleet.starts IS 'How many of its starts are on record.';

CREATE OR REPLACE VIEW holds AS
SELECT
    p.time, p.enforcer, p.hold_id, p.fleet, p.server, p."grant", p.tool, p.argument_pointer,
    p.argument_value, p.actor, p.reason, p.expires_at, r.released_at, r.released_by,
    r.release_reason
FROM hold_events AS p
LEFT JOIN (
    SELECT
        enforcer, hold_id, min(time) AS released_at, min_by(actor, time) AS released_by,
        min_by(reason, time) AS release_reason
    FROM hold_events
    WHERE change = 'released'
    GROUP BY enforcer, hold_id
) AS r ON r.enforcer = p.enforcer AND r.hold_id = p.hold_id
WHERE p.change = 'placed';
COMMENT ON VIEW holds IS 'Holds as they took effect on each enforcer.';
COMMENT ON COLUMN holds.time IS 'When it took effect there, UTC.';
COMMENT ON COLUMN holds.enforcer IS 'Where it took effect.';
COMMENT ON COLUMN holds.hold_id IS 'Id of the hold.';
COMMENT ON COLUMN holds.fleet IS 'Stops every call of every enforcer.';
COMMENT ON COLUMN holds.server IS 'Only this upstream; empty: any.';
COMMENT ON COLUMN holds."grant" IS 'Only this grant; empty: any.';
COMMENT ON COLUMN holds.tool IS 'Only this effective tool; empty: any.';
COMMENT ON COLUMN holds.argument_pointer IS 'Only calls with a certain value at this JSON Pointer; empty: any.';
COMMENT ON COLUMN holds.argument_value IS 'That value, as JSON.';
COMMENT ON COLUMN holds.actor IS 'Who placed it.';
COMMENT ON COLUMN holds.reason IS 'Why.';
COMMENT ON COLUMN holds.expires_at IS 'When it ends by itself, UTC; NULL: when released.';
COMMENT ON COLUMN holds.released_at IS 'When it was lifted there, UTC.';
COMMENT ON COLUMN holds.released_by IS 'Who lifted it.';
COMMENT ON COLUMN holds.release_reason IS 'Why it was lifted.';

CREATE OR REPLACE VIEW grant_changes AS
SELECT
    time, enforcer, "grant", agent, servers, expires_at, tokens, revoked, actor, reason, epoch,
    sequence
FROM grant_events;
COMMENT ON VIEW grant_changes IS 'What each enforcer knew of a grant, from when on.';
COMMENT ON COLUMN grant_changes.time IS 'From when on, UTC.';
COMMENT ON COLUMN grant_changes.enforcer IS 'Where.';
COMMENT ON COLUMN grant_changes."grant" IS 'Name of the grant.';
COMMENT ON COLUMN grant_changes.agent IS 'Label of the agent that holds it.';
COMMENT ON COLUMN grant_changes.servers IS 'Upstreams it is for; empty: all.';
COMMENT ON COLUMN grant_changes.expires_at IS 'When it ends by itself, UTC; NULL: never.';
COMMENT ON COLUMN grant_changes.tokens IS 'How many tokens open it: two while it is rotated, none once it is revoked.';
COMMENT ON COLUMN grant_changes.revoked IS 'It opens nothing any more.';
COMMENT ON COLUMN grant_changes.actor IS 'Who changed it.';
COMMENT ON COLUMN grant_changes.reason IS 'Why.';
COMMENT ON COLUMN grant_changes.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN grant_changes.sequence IS 'Place in that epoch.';

CREATE OR REPLACE VIEW approvals AS
SELECT
    approval_id,
    min(time) FILTER (change = 'asked') AS asked_at,
    max(server) AS server,
    max("grant") AS "grant",
    max(tool) AS tool,
    max(policy_revision) AS policy_revision,
    min_by(expires_at, time) FILTER (change = 'asked') AS expires_at,
    CASE
        WHEN bool_or(change = 'used') THEN 'used'
        WHEN bool_or(change = 'given' AND NOT approved) THEN 'denied'
        WHEN bool_or(change = 'given') THEN 'approved'
        ELSE 'asked'
    END AS state,
    max(time) FILTER (change = 'given') AS decided_at,
    coalesce(max_by(actor, time) FILTER (change = 'given'), '') AS actor,
    coalesce(max_by(reason, time) FILTER (change = 'given'), '') AS reason,
    min(time) FILTER (change = 'used') AS used_at,
    coalesce(min_by(enforcer, time) FILTER (change = 'used'), '') AS used_by,
    list_sort(list_distinct(list(enforcer))) AS enforcers,
    coalesce(min_by(decision_id, time) FILTER (change = 'asked'), '') AS decision_id,
    coalesce(min_by(decision_id, time) FILTER (change = 'used'), '') AS used_decision_id
FROM approval_events
GROUP BY approval_id;
COMMENT ON VIEW approvals IS 'Calls that waited for a person, and what became of it.';
COMMENT ON COLUMN approvals.approval_id IS 'Id of the approval.';
COMMENT ON COLUMN approvals.asked_at IS 'When a call was first known to wait for it, UTC.';
COMMENT ON COLUMN approvals.server IS 'Upstream that the call is for.';
COMMENT ON COLUMN approvals."grant" IS 'Under which grant it was called.';
COMMENT ON COLUMN approvals.tool IS 'Effective tool.';
COMMENT ON COLUMN approvals.policy_revision IS 'Policy that asks for it; a permit is good under no other.';
COMMENT ON COLUMN approvals.expires_at IS 'Until when somebody may decide, UTC.';
COMMENT ON COLUMN approvals.state IS '`asked`, `approved`, `denied` or `used`, as far as enforcers have heard; who decided too late, or not at all, leaves `asked`.';
COMMENT ON COLUMN approvals.decided_at IS 'When an enforcer heard of the decision, UTC.';
COMMENT ON COLUMN approvals.actor IS 'Who decided, or was the last of several.';
COMMENT ON COLUMN approvals.reason IS 'Why.';
COMMENT ON COLUMN approvals.used_at IS 'When the permit was used, UTC.';
COMMENT ON COLUMN approvals.used_by IS 'Enforcer that has used it.';
COMMENT ON COLUMN approvals.enforcers IS 'Where calls have waited for it.';
COMMENT ON COLUMN approvals.decision_id IS 'The first decision that led to it, in `decisions`.';
COMMENT ON COLUMN approvals.used_decision_id IS 'The decision that used it, in `decisions`.';

CREATE OR REPLACE VIEW checkpoints AS
SELECT time, origin, size, lower(hex(root)) AS root, note, epoch, sequence
FROM checkpoint_events;
COMMENT ON VIEW checkpoints IS 'Signed checkpoints over the log of all histories: a Merkle tree (RFC 6962) with a leaf for each group.';
COMMENT ON COLUMN checkpoints.time IS 'When it was made, UTC.';
COMMENT ON COLUMN checkpoints.origin IS 'Name of the log: the worker that keeps it.';
COMMENT ON COLUMN checkpoints.size IS 'How many leaves the tree has.';
COMMENT ON COLUMN checkpoints.root IS 'The tree''s root, hex.';
COMMENT ON COLUMN checkpoints.note IS 'The signed note (C2SP tlog-checkpoint), as witnesses and auditors read it.';
COMMENT ON COLUMN checkpoints.epoch IS 'Which start of that worker.';
COMMENT ON COLUMN checkpoints.sequence IS 'Place in that epoch.';

CREATE OR REPLACE VIEW audit_log AS
SELECT
    l.origin, l.leaf, l.enforcer, l.epoch, l.first_sequence, l.last_sequence,
    lower(hex(g.head)) AS head
FROM leaves AS l
JOIN groups AS g USING (enforcer, epoch, first_sequence, last_sequence);
COMMENT ON VIEW audit_log IS 'The log that checkpoints vouch for, a leaf each.';
COMMENT ON COLUMN audit_log.origin IS 'Name of the log: the worker that keeps it.';
COMMENT ON COLUMN audit_log.leaf IS 'Place in the log, from 0.';
COMMENT ON COLUMN audit_log.enforcer IS 'Who wrote the group.';
COMMENT ON COLUMN audit_log.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN audit_log.first_sequence IS 'The group''s first event.';
COMMENT ON COLUMN audit_log.last_sequence IS 'Its last event.';
COMMENT ON COLUMN audit_log.head IS 'The chain''s head behind the group, hex.';

CREATE OR REPLACE VIEW seals AS
SELECT
    time, enforcer, epoch, sealed_sequence, lower(hex(head)) AS head,
    lower(hex(signature)) AS signature, sequence
FROM seal_events;
COMMENT ON VIEW seals IS 'Enforcers vouching for their histories with their own keys.';
COMMENT ON COLUMN seals.time IS 'When it was signed, UTC.';
COMMENT ON COLUMN seals.enforcer IS 'Who vouches.';
COMMENT ON COLUMN seals.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN seals.sealed_sequence IS 'Up to which event of the epoch.';
COMMENT ON COLUMN seals.head IS 'The chain''s head behind that event, hex.';
COMMENT ON COLUMN seals.signature IS 'Ed25519, hex; see the reference of events for the text that is signed.';
COMMENT ON COLUMN seals.sequence IS 'Place of the seal itself.';

CREATE OR REPLACE VIEW outbox_damage AS
SELECT time, enforcer, kept_in, "groups" AS groups_kept, lost, epoch, sequence
FROM damage_events;
COMMENT ON VIEW outbox_damage IS 'Outboxes that could not be read in full at a start.';
COMMENT ON COLUMN outbox_damage.time IS 'When it was found, UTC.';
COMMENT ON COLUMN outbox_damage.enforcer IS 'Whose outbox.';
COMMENT ON COLUMN outbox_damage.kept_in IS 'Folder beside the outbox that has everything as it was found.';
COMMENT ON COLUMN outbox_damage.groups_kept IS 'How many groups were readable and went on.';
COMMENT ON COLUMN outbox_damage.lost IS 'What cannot be read, in order: where, why, between which events.';
COMMENT ON COLUMN outbox_damage.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN outbox_damage.sequence IS 'Place in that epoch.';

CREATE OR REPLACE VIEW tool_changes AS
SELECT
    time, enforcer, server, tool, change, digest, previous_digest, approved_digest, members,
    looks_like, together, actor, reason, definition, epoch, sequence
FROM tool_events;
COMMENT ON VIEW tool_changes IS 'Definitions of tools as servers offered them, changed them, and people approved them.';
COMMENT ON COLUMN tool_changes.time IS 'When it was seen or approved, UTC.';
COMMENT ON COLUMN tool_changes.enforcer IS 'Who saw it, or took the approval.';
COMMENT ON COLUMN tool_changes.server IS 'Name of the upstream MCP server.';
COMMENT ON COLUMN tool_changes.tool IS 'Name of the tool in tools/list.';
COMMENT ON COLUMN tool_changes.change IS '"pinned" (seen first), "changed" or "approved".';
COMMENT ON COLUMN tool_changes.digest IS '"sha256:<hex>" of the definition that is pinned, offered now, or approved.';
COMMENT ON COLUMN tool_changes.previous_digest IS 'For a change: what was offered before. For an approval: what was approved before. Empty where nothing was.';
COMMENT ON COLUMN tool_changes.approved_digest IS 'What is approved behind this; empty where nothing is, and the tool waits for an approval.';
COMMENT ON COLUMN tool_changes.members IS 'Members of the definition that differ from before: description, inputSchema, ...';
COMMENT ON COLUMN tool_changes.looks_like IS 'A tool of the same server whose name can be taken for this one; empty where there is none.';
COMMENT ON COLUMN tool_changes.together IS 'How many tools changed in the same answer to tools/list; 0 for anything but a change.';
COMMENT ON COLUMN tool_changes.actor IS 'Who approved it.';
COMMENT ON COLUMN tool_changes.reason IS 'Why it was approved.';
COMMENT ON COLUMN tool_changes.definition IS 'The definition as canonical JSON; empty for an approval, and where it has more than 64 KiB.';
COMMENT ON COLUMN tool_changes.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN tool_changes.sequence IS 'Place in that epoch.';

CREATE OR REPLACE VIEW tool_definitions AS
WITH offered AS (
    SELECT
        enforcer, server, tool,
        min(time) AS first_seen,
        max(time) AS offered_since,
        max_by(digest, (epoch, sequence)) AS digest,
        max_by(definition, (epoch, sequence)) AS definition,
        max(looks_like) AS looks_like
    FROM tool_events
    WHERE change != 'approved'
    GROUP BY enforcer, server, tool
),
settled AS (
    SELECT
        enforcer, server, tool,
        max_by(approved_digest, (epoch, sequence)) AS approved_digest,
        count(*) FILTER (WHERE change = 'changed') AS changes
    FROM tool_events
    GROUP BY enforcer, server, tool
),
approved AS (
    SELECT
        enforcer, server, tool,
        max(time) AS approved_at,
        max_by(actor, (epoch, sequence)) AS approved_by,
        max_by(reason, (epoch, sequence)) AS approval_reason
    FROM tool_events
    WHERE change = 'approved'
    GROUP BY enforcer, server, tool
)
SELECT
    s.enforcer,
    s.server,
    s.tool,
    CASE
        WHEN s.approved_digest = '' THEN 'new'
        WHEN o.digest IS NULL OR s.approved_digest = o.digest THEN 'approved'
        ELSE 'changed'
    END AS state,
    o.digest,
    s.approved_digest,
    o.first_seen,
    o.offered_since,
    a.approved_at,
    a.approved_by,
    a.approval_reason,
    s.changes,
    o.looks_like,
    o.definition
FROM settled AS s
LEFT JOIN offered AS o ON o.enforcer = s.enforcer AND o.server = s.server AND o.tool = s.tool
LEFT JOIN approved AS a ON a.enforcer = s.enforcer AND a.server = s.server AND a.tool = s.tool;
COMMENT ON VIEW tool_definitions IS 'Each tool as each enforcer knows it now: what its server offers, and whether that is approved.';
COMMENT ON COLUMN tool_definitions.enforcer IS 'Whose knowledge.';
COMMENT ON COLUMN tool_definitions.server IS 'Name of the upstream MCP server.';
COMMENT ON COLUMN tool_definitions.tool IS 'Name of the tool in tools/list.';
COMMENT ON COLUMN tool_definitions.state IS '"approved", "changed" (offered otherwise than approved) or "new" (never approved).';
COMMENT ON COLUMN tool_definitions.digest IS '"sha256:<hex>" of what is offered; NULL where it was approved before it was ever seen.';
COMMENT ON COLUMN tool_definitions.approved_digest IS '"sha256:<hex>" of what is approved, by a person or by being seen first; empty where nothing is.';
COMMENT ON COLUMN tool_definitions.first_seen IS 'When it was offered first, UTC.';
COMMENT ON COLUMN tool_definitions.offered_since IS 'Since when it is offered in this form, UTC.';
COMMENT ON COLUMN tool_definitions.approved_at IS 'When a person approved it last, UTC; NULL where nobody did.';
COMMENT ON COLUMN tool_definitions.approved_by IS 'Who that was.';
COMMENT ON COLUMN tool_definitions.approval_reason IS 'Why.';
COMMENT ON COLUMN tool_definitions.changes IS 'How often the server has changed it.';
COMMENT ON COLUMN tool_definitions.looks_like IS 'A tool of the same server whose name can be taken for this one; empty where there is none.';
COMMENT ON COLUMN tool_definitions.definition IS 'What is offered, as canonical JSON; empty where it has more than 64 KiB.';

CREATE OR REPLACE VIEW integrity AS
WITH runs AS (
    SELECT
        enforcer, epoch, first_sequence, sequence, previous_hash, head,
        lag(sequence) OVER epochs AS before,
        lag(head) OVER epochs AS before_head
    FROM cursors
    WINDOW epochs AS (PARTITION BY enforcer, epoch ORDER BY first_sequence)
),
links AS (
    SELECT
        enforcer, epoch, previous_hash,
        lag(epoch) OVER history AS before_epoch,
        lag(head) OVER history AS before_head
    FROM (
        SELECT
            enforcer, epoch, min_by(previous_hash, first_sequence) AS previous_hash,
            max_by(head, sequence) AS head, min(first_sequence) AS first_sequence
        FROM cursors
        GROUP BY enforcer, epoch
    )
    WINDOW history AS (PARTITION BY enforcer ORDER BY epoch)
    QUALIFY first_sequence = 1
)
SELECT
    'gap' AS problem, enforcer, epoch,
    (coalesce(before, 0) + 1)::UBIGINT AS first_sequence,
    (first_sequence - 1)::UBIGINT AS last_sequence,
    'these events have not arrived' AS detail
FROM runs
WHERE first_sequence > coalesce(before + 1, 1)
UNION ALL
SELECT
    'fork', enforcer, epoch, first_sequence, sequence,
    'these events do not follow the ones before them'
FROM runs
WHERE first_sequence = before + 1 AND previous_hash != before_head
UNION ALL
SELECT
    'unlinked epoch', enforcer, epoch, 1::UBIGINT, 1::UBIGINT,
    'starts from another head than epoch ' || before_epoch || ' ended with'
FROM links
WHERE before_epoch IS NOT NULL AND previous_hash != before_head
UNION ALL
SELECT
    'details', enforcer, epoch, sequence, sequence,
    'what it commits to is not here, and no erasure says so'
FROM decided
WHERE details = 'missing'
UNION ALL
SELECT 'quarantined', enforcer, epoch, sequence, sequence, reason
FROM quarantine;
COMMENT ON VIEW integrity IS 'What is wrong with the history now: empty means every chain is whole, and so is what stands beside it.';
COMMENT ON COLUMN integrity.problem IS 'gap, fork, unlinked epoch, details or quarantined.';
COMMENT ON COLUMN integrity.enforcer IS 'Whose history.';
COMMENT ON COLUMN integrity.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN integrity.first_sequence IS 'First event it is about; 0: a whole message.';
COMMENT ON COLUMN integrity.last_sequence IS 'Last event it is about.';
COMMENT ON COLUMN integrity.detail IS 'What is known of it.';

CREATE OR REPLACE VIEW refused_requests AS
SELECT
    time, enforcer, server, "grant", code, reason, transport, http_status, rpc_error_code, method,
    wire_tool, request_bytes, count, epoch, sequence
FROM refusal_events;
COMMENT ON VIEW refused_requests IS 'What reached an enforcer and was no call to decide: malformed, a batch, without a valid grant.';
COMMENT ON COLUMN refused_requests.time IS 'When, UTC.';
COMMENT ON COLUMN refused_requests.enforcer IS 'Who refused it.';
COMMENT ON COLUMN refused_requests.server IS 'Upstream it was meant for.';
COMMENT ON COLUMN refused_requests."grant" IS 'Grant that was presented; empty where there was none.';
COMMENT ON COLUMN refused_requests.code IS 'Stable word for why: parse, batch, duplicate_key, unauthenticated, ...';
COMMENT ON COLUMN refused_requests.reason IS 'What the sender read.';
COMMENT ON COLUMN refused_requests.transport IS 'http or stdio; upstream for what a server said in vain.';
COMMENT ON COLUMN refused_requests.http_status IS 'HTTP status it was answered with; 0 for stdio.';
COMMENT ON COLUMN refused_requests.rpc_error_code IS 'JSON-RPC error code it was answered with; 0: none.';
COMMENT ON COLUMN refused_requests.method IS 'JSON-RPC method, where it could be read.';
COMMENT ON COLUMN refused_requests.wire_tool IS 'Tool name, where it could be read.';
COMMENT ON COLUMN refused_requests.request_bytes IS 'Size of the request.';
COMMENT ON COLUMN refused_requests.count IS 'How many alike this row stands for.';
COMMENT ON COLUMN refused_requests.epoch IS 'Which start of that enforcer.';
COMMENT ON COLUMN refused_requests.sequence IS 'Place in that epoch.';

CREATE OR REPLACE VIEW notifications AS
SELECT time, alert_id, status, receiver, delivered, attempts, detail
FROM notices;
COMMENT ON VIEW notifications IS 'Who was told of which alert, or could not be.';
COMMENT ON COLUMN notifications.time IS 'When it was told or given up, UTC.';
COMMENT ON COLUMN notifications.alert_id IS 'Which alert.';
COMMENT ON COLUMN notifications.status IS 'firing or resolved.';
COMMENT ON COLUMN notifications.receiver IS 'Name of the receiver.';
COMMENT ON COLUMN notifications.delivered IS 'Whether it took the message.';
COMMENT ON COLUMN notifications.attempts IS 'How often it was tried.';
COMMENT ON COLUMN notifications.detail IS 'What went wrong; empty where nothing did.';

CREATE OR REPLACE VIEW erasures AS
SELECT erasure_id, time, actor, reason, selector, events, enforcer, epoch, sequence
FROM erasure_events;
COMMENT ON VIEW erasures IS 'What was erased of the details of events: by whom, when and why.';
COMMENT ON COLUMN erasures.erasure_id IS 'Its name; one of many events is said in several rows.';
COMMENT ON COLUMN erasures.time IS 'When it was recorded, UTC; it is carried out within seconds of that.';
COMMENT ON COLUMN erasures.actor IS 'Who asked for it.';
COMMENT ON COLUMN erasures.reason IS 'Why.';
COMMENT ON COLUMN erasures.selector IS 'How the events were chosen, without the value: "a value at /id", "grant ops", "agent ops-agent".';
COMMENT ON COLUMN erasures.events IS 'How many events it names.';
COMMENT ON COLUMN erasures.enforcer IS 'Whose word it is: the worker''s; another''s is recorded and not carried out.';
COMMENT ON COLUMN erasures.epoch IS 'Which start of that worker.';
COMMENT ON COLUMN erasures.sequence IS 'Place in that epoch.';

CREATE OR REPLACE VIEW limits_used AS
WITH counted AS (
    SELECT
        d.time, d.enforcer, d.epoch, d.sequence, d.server, d.tool,
        unnest(
            from_json(
                d.leased,
                '[{"counter": "VARCHAR", "bucket": "VARCHAR", "window_us": "BIGINT", "calendar": "BOOLEAN", "amount": "DECIMAL(38,6)", "maximum": "DECIMAL(38,6)", "lease": "VARCHAR"}]'
            ),
            recursive := true
        )
    FROM decided AS d
    WHERE d.leased <> ''
),
kept AS (
    SELECT o.*
    FROM counted AS o
    LEFT JOIN completed AS c
        ON c.enforcer = o.enforcer
        AND c.decided_epoch = o.epoch
        AND c.decided_sequence = o.sequence
        AND NOT c.again
    WHERE NOT coalesce(list_contains(c.refunded, o.counter), false)
),
added AS (
    SELECT
        *,
        sum(amount) OVER (
            PARTITION BY
                server, counter, bucket, window_us, calendar,
                CASE WHEN calendar THEN epoch_us(time) // window_us ELSE 0 END
            ORDER BY epoch_us(time)
            RANGE BETWEEN window_us - 1 PRECEDING AND CURRENT ROW
        ) AS used
    FROM kept
)
SELECT
    time,
    server,
    counter,
    bucket,
    window_us / 1e6 AS window_seconds,
    calendar,
    amount,
    used,
    maximum,
    used > maximum AS exceeded,
    tool,
    enforcer || ':' || epoch || ':' || sequence AS decision_id,
    enforcer,
    lease
FROM added;
COMMENT ON VIEW limits_used IS 'Every call that counted under a limit of the whole fleet, and how much the window that ends with it holds, over all enforcers. No row with exceeded = true: no window ever held more.';
COMMENT ON COLUMN limits_used.time IS 'When it was decided, UTC.';
COMMENT ON COLUMN limits_used.server IS 'Name of the upstream MCP server.';
COMMENT ON COLUMN limits_used.counter IS 'The limit''s counter.';
COMMENT ON COLUMN limits_used.bucket IS 'Whose count: "fleet SERVER" or "grant SERVER GRANT", and with by a digest of the values.';
COMMENT ON COLUMN limits_used.window_seconds IS 'How long a window is.';
COMMENT ON COLUMN limits_used.calendar IS 'Whether windows follow the calendar in UTC instead of sliding.';
COMMENT ON COLUMN limits_used.amount IS 'What this call counted, rounded up to millionths.';
COMMENT ON COLUMN limits_used.used IS 'What all calls counted in the window that ends with this one, without what was given back.';
COMMENT ON COLUMN limits_used.maximum IS 'How much a window may hold, by the policy that decided this call.';
COMMENT ON COLUMN limits_used.exceeded IS 'Whether it held more.';
COMMENT ON COLUMN limits_used.tool IS 'Effective tool.';
COMMENT ON COLUMN limits_used.decision_id IS 'Joins decisions.';
COMMENT ON COLUMN limits_used.enforcer IS 'Who let it through.';
COMMENT ON COLUMN limits_used.lease IS 'The block of quota it counted in.';
