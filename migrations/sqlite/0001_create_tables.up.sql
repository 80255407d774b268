-- Times are compared by julianday, because 'T' and ' ' are both ISO 8601 and sort differently as text.

-- Agents are referred to by name in workflow definitions, so the name is the key people use.
CREATE TABLE agents (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE CHECK (trim(name) <> ''),
    domain        TEXT NOT NULL CHECK (trim(domain) <> ''),
    description   TEXT NOT NULL DEFAULT '',
    version       TEXT NOT NULL CHECK (trim(version) <> ''),
    status        TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'failing', 'retired')),
    capabilities  TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(capabilities) AND json_type(capabilities) = 'array'),
    metadata      TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata) AND json_type(metadata) = 'object'),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- A changed definition is a new version, so that an old execution still shows what it ran.
CREATE TABLE workflows (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL CHECK (trim(name) <> ''),
    version       INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
    description   TEXT NOT NULL DEFAULT '',
    definition    TEXT NOT NULL CHECK (json_valid(definition) AND json_type(definition) = 'object'),
    is_enabled    INTEGER NOT NULL DEFAULT 1 CHECK (is_enabled IN (0, 1)),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    UNIQUE (name, version)
);

-- History outlives its agent, and keeps its workflow from being deleted.
CREATE TABLE workflow_executions (
    id            INTEGER PRIMARY KEY,
    workflow_id   INTEGER NOT NULL REFERENCES workflows (id) ON DELETE RESTRICT,
    agent_id      INTEGER REFERENCES agents (id) ON DELETE SET NULL,
    status        TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    attempt       INTEGER NOT NULL DEFAULT 1 CHECK (attempt >= 1),
    input         TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(input) AND json_type(input) = 'object'),
    state         TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(state) AND json_type(state) = 'object'),
    output        TEXT CHECK (output IS NULL OR json_valid(output)),
    error_message TEXT,
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    started_at    TEXT,
    finished_at   TEXT,
    CONSTRAINT workflow_executions_time_order CHECK (julianday(finished_at) >= julianday(started_at)),
    CONSTRAINT workflow_executions_started CHECK (status NOT IN ('running', 'succeeded') OR started_at IS NOT NULL),
    CONSTRAINT workflow_executions_finished CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);

-- A log forgets nothing because its subject was deleted.
CREATE TABLE events (
    id            INTEGER PRIMARY KEY,
    event_type    TEXT NOT NULL CHECK (trim(event_type) <> ''),
    source        TEXT NOT NULL CHECK (trim(source) <> ''),
    agent_id      INTEGER REFERENCES agents (id) ON DELETE SET NULL,
    execution_id  INTEGER REFERENCES workflow_executions (id) ON DELETE SET NULL,
    payload       TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(payload) AND json_type(payload) = 'object'),
    occurred_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- Only the SHA-256 of a key is kept, and its form is checked so that no clear key can slip in.
-- The prefix lets people tell their keys apart.
CREATE TABLE api_keys (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL CHECK (trim(name) <> ''),
    key_prefix    TEXT NOT NULL CHECK (length(key_prefix) BETWEEN 4 AND 12),
    key_hash      TEXT NOT NULL UNIQUE CHECK (length(key_hash) = 64 AND key_hash NOT GLOB '*[^0-9a-f]*'),
    agent_id      INTEGER REFERENCES agents (id) ON DELETE CASCADE,
    scopes        TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(scopes) AND json_type(scopes) = 'array'),
    is_active     INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    expires_at    TEXT,
    CONSTRAINT api_keys_time_order CHECK (julianday(expires_at) > julianday(created_at))
);

CREATE TABLE documentation_guides (
    id            INTEGER PRIMARY KEY,
    slug          TEXT NOT NULL UNIQUE CHECK (trim(slug) <> ''),
    title         TEXT NOT NULL CHECK (trim(title) <> ''),
    category      TEXT NOT NULL DEFAULT 'general' CHECK (trim(category) <> ''),
    content       TEXT NOT NULL DEFAULT '',
    tags          TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags) AND json_type(tags) = 'array'),
    sort_order    INTEGER NOT NULL DEFAULT 0,
    is_published  INTEGER NOT NULL DEFAULT 0 CHECK (is_published IN (0, 1)),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- An example is part of its guide and goes with it.
CREATE TABLE documentation_examples (
    id            INTEGER PRIMARY KEY,
    guide_id      INTEGER NOT NULL REFERENCES documentation_guides (id) ON DELETE CASCADE,
    title         TEXT NOT NULL CHECK (trim(title) <> ''),
    description   TEXT NOT NULL DEFAULT '',
    language      TEXT NOT NULL CHECK (trim(language) <> ''),
    code          TEXT NOT NULL CHECK (trim(code) <> ''),
    sort_order    INTEGER NOT NULL DEFAULT 0,
    is_runnable   INTEGER NOT NULL DEFAULT 0 CHECK (is_runnable IN (0, 1)),
    created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    UNIQUE (guide_id, title)
);
