-- A subscriber reads on from the last event it has seen of its type.
CREATE INDEX events_event_type_id_idx ON events (event_type, id);

-- Time windows, and the clean-up of old events.
CREATE INDEX events_occurred_at_idx ON events (occurred_at);

-- All that happened in one execution or to one agent. Also what ON DELETE SET NULL looks up.
CREATE INDEX events_execution_id_idx ON events (execution_id, id);
CREATE INDEX events_agent_id_idx ON events (agent_id, id);

-- The history of a workflow or an agent, newest first.
CREATE INDEX workflow_executions_workflow_id_idx ON workflow_executions (workflow_id, created_at);
CREATE INDEX workflow_executions_agent_id_idx ON workflow_executions (agent_id, created_at);

-- The scheduler asks only for open executions, which are few beside the finished ones.
CREATE INDEX workflow_executions_open_idx ON workflow_executions (status, created_at) WHERE finished_at IS NULL;
