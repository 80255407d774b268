-- NULL means never used since this column exists, so old keys are not guessed at.
-- No index, because every request updates it, and keys are few.
ALTER TABLE api_keys ADD COLUMN last_used_at TEXT;
