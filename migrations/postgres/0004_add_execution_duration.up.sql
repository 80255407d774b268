-- lock-timeout: 2s

-- Stays nullable, because an execution that is open, or ended before it started, has no duration.
ALTER TABLE workflow_executions ADD COLUMN duration_ms BIGINT CHECK (duration_ms >= 0);

-- In one go while the table is small. A large one would be filled in batches, by a revision of its own.
UPDATE workflow_executions
SET duration_ms = round(extract(epoch FROM finished_at - started_at) * 1000)
WHERE started_at IS NOT NULL AND finished_at IS NOT NULL;
