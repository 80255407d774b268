-- no-transaction
-- lock-timeout: 10min

-- IF EXISTS, because an up that failed part way may have left only some of them.
DROP INDEX CONCURRENTLY IF EXISTS workflow_executions_open_idx;
DROP INDEX CONCURRENTLY IF EXISTS workflow_executions_agent_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS workflow_executions_workflow_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS events_agent_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS events_execution_id_idx;
DROP INDEX CONCURRENTLY IF EXISTS events_occurred_at_idx;
DROP INDEX CONCURRENTLY IF EXISTS events_event_type_id_idx;
