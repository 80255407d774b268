-- SQLite has no GIN, so the payload key that filters ask for gets an index on its expression.
-- A query must use this very expression to profit. Capabilities stay without an index,
-- because none can look into an array, and agents are few.
CREATE INDEX events_payload_environment_idx ON events (json_extract(payload, '$.environment'));
