-- Children first, so that no foreign key is left without its parent.
DROP TABLE documentation_examples;
DROP TABLE documentation_guides;
DROP TABLE api_keys;
DROP TABLE events;
DROP TABLE workflow_executions;
DROP TABLE workflows;
DROP TABLE agents;
