//! Databases that another tool has migrated.
