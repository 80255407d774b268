-- no-transaction
-- lock-timeout: 10min

-- CONCURRENTLY lets the platform write while an index is built, but waits for the transactions that are open.
-- Giving up early would leave an INVALID index behind, hence the long lock timeout.
-- If a build fails all the same, drop its index before running this again.

-- A subscriber reads on from the last event it has seen of its type.
CREATE INDEX CONCURRENTLY events_event_type_id_idx ON events (event_type, id);

-- Time windows, and the clean-up of old events.
CREATE INDEX CONCURRENTLY events_occurred_at_idx ON events (occurred_at);

-- All that happened in one execution or to one agent. Also what ON DELETE SET NULL looks up.
CREATE INDEX CONCURRENTLY events_execution_id_idx ON events (execution_id, id);
CREATE INDEX CONCURRENTLY events_agent_id_idx ON events (agent_id, id);

-- The history of a workflow or an agent, newest first.
CREATE INDEX CONCURRENTLY workflow_executions_workflow_id_idx ON workflow_executions (workflow_id, created_at);
CREATE INDEX CONCURRENTLY workflow_executions_agent_id_idx ON workflow_executions (agent_id, created_at);

-- The scheduler asks only for open executions, which are few beside the finished ones.
CREATE INDEX CONCURRENTLY workflow_executions_open_idx ON workflow_executions (status, created_at) WHERE finished_at IS NULL;
