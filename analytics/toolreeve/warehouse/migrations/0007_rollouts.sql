-- What a rollout brings, what the revision before would have done, and stale policies.

ALTER TABLE decided ADD COLUMN code_before VARCHAR DEFAULT '';
ALTER TABLE decided ADD COLUMN stale VARCHAR DEFAULT '';
ALTER TABLE policy_events ADD COLUMN rollout VARCHAR DEFAULT '';
ALTER TABLE policy_events ADD COLUMN break_glass VARCHAR DEFAULT '';
