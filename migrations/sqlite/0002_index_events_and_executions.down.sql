DROP INDEX workflow_executions_open_idx;
DROP INDEX workflow_executions_agent_id_idx;
DROP INDEX workflow_executions_workflow_id_idx;
DROP INDEX events_agent_id_idx;
DROP INDEX events_execution_id_idx;
DROP INDEX events_occurred_at_idx;
DROP INDEX events_event_type_id_idx;
