-- lock-timeout: 2s

-- NULL means never used since this column exists, so old keys are not guessed at.
-- No index, because every request updates it, and an index would keep those updates from being HOT.
ALTER TABLE api_keys ADD COLUMN last_used_at TIMESTAMPTZ;
