-- Stays nullable, because an execution that is open, or ended before it started, has no duration.
ALTER TABLE workflow_executions ADD COLUMN duration_ms INTEGER CHECK (duration_ms >= 0);

UPDATE workflow_executions
SET duration_ms = CAST(round((julianday(finished_at) - julianday(started_at)) * 86400000) AS INTEGER)
WHERE started_at IS NOT NULL AND finished_at IS NOT NULL;
