-- no-transaction
-- lock-timeout: 10min

-- Filters on the payload use containment (payload @> '{"environment": "production"}'), for which
-- jsonb_path_ops is smaller and faster than the default operator class.
CREATE INDEX CONCURRENTLY events_payload_idx ON events USING gin (payload jsonb_path_ops);

-- The default class, because agents are looked up by capability with the operators ? and ?| (capabilities ? 'deploy').
CREATE INDEX CONCURRENTLY agents_capabilities_idx ON agents USING gin (capabilities);
