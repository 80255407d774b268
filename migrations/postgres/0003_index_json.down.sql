-- no-transaction
-- lock-timeout: 10min

DROP INDEX CONCURRENTLY IF EXISTS agents_capabilities_idx;
DROP INDEX CONCURRENTLY IF EXISTS events_payload_idx;
