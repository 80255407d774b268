-- The start and the end stay, so the duration can be computed again.
ALTER TABLE workflow_executions DROP COLUMN duration_ms;
