//! Adopting an Alembic project, with Alembic itself.
