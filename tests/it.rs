//! The integration tests, in one binary, so that they share one PostgreSQL server.
//!
//! They use real programs only: a PostgreSQL server of their own, a real pgbouncer, real SQLite files, and the real
//! `lockkeeper` as a child process. A program that is missing on the machine is a failure, and never a silent skip: run
//! `tests/run`.

#[macro_use]
mod support;

#[path = "it/adopt.rs"]
mod adopt;
#[path = "it/apply.rs"]
mod apply;
#[path = "it/apply_sessions.rs"]
mod apply_sessions;
#[path = "it/apply_sqlite.rs"]
mod apply_sqlite;
#[path = "it/apply_texts.rs"]
mod apply_texts;
#[path = "it/architecture.rs"]
mod architecture;
#[path = "it/backup.rs"]
mod backup;
#[path = "it/backup_command.rs"]
mod backup_command;
#[path = "it/backup_directory.rs"]
mod backup_directory;
#[path = "it/backup_identity.rs"]
mod backup_identity;
#[path = "it/backup_leftovers.rs"]
mod backup_leftovers;
#[path = "it/backup_parallel.rs"]
mod backup_parallel;
#[path = "it/backup_point.rs"]
mod backup_point;
#[path = "it/backup_recipes.rs"]
mod backup_recipes;
#[path = "it/backup_sqlite.rs"]
mod backup_sqlite;
#[path = "it/backup_tools.rs"]
mod backup_tools;
#[path = "it/backup_ways.rs"]
mod backup_ways;
#[path = "it/begun.rs"]
mod begun;
#[path = "it/chart.rs"]
mod chart;
#[path = "it/chart_features.rs"]
mod chart_features;
#[path = "it/chart_hooks.rs"]
mod chart_hooks;
#[path = "it/chart_parent.rs"]
mod chart_parent;
#[path = "it/chart_refused.rs"]
mod chart_refused;
#[path = "it/compare.rs"]
mod compare;
#[path = "it/compare_sessions.rs"]
mod compare_sessions;
#[path = "it/connect.rs"]
mod connect;
#[path = "it/connect_login.rs"]
mod connect_login;
#[path = "it/connect_tls.rs"]
mod connect_tls;
#[path = "it/contention.rs"]
mod contention;
#[path = "it/contract.rs"]
mod contract;
#[path = "it/denied.rs"]
mod denied;
#[path = "it/downgrade.rs"]
mod downgrade;
#[path = "it/downgrade_broken.rs"]
mod downgrade_broken;
#[path = "it/downgrade_refused.rs"]
mod downgrade_refused;
#[path = "it/downgrade_whole.rs"]
mod downgrade_whole;
#[path = "it/drop_in.rs"]
mod drop_in;
#[path = "it/dump.rs"]
mod dump;
#[path = "it/dump_refused.rs"]
mod dump_refused;
#[path = "it/durable.rs"]
mod durable;
#[path = "it/env_file.rs"]
mod env_file;
#[path = "it/exit_codes.rs"]
mod exit_codes;
#[path = "it/failover.rs"]
mod failover;
#[path = "it/file_types.rs"]
mod file_types;
#[path = "it/files.rs"]
mod files;
#[path = "it/foreign.rs"]
mod foreign;
#[path = "it/foreign_key_checks.rs"]
mod foreign_key_checks;
#[path = "it/from_alembic.rs"]
mod from_alembic;
#[path = "it/fuzz.rs"]
mod fuzz;
#[path = "it/graph.rs"]
mod graph;
#[path = "it/guard.rs"]
mod guard;
#[path = "it/guard_ends.rs"]
mod guard_ends;
#[path = "it/guard_node.rs"]
mod guard_node;
#[path = "it/guard_output.rs"]
mod guard_output;
#[path = "it/guard_rehearse.rs"]
mod guard_rehearse;
#[path = "it/guard_tools.rs"]
mod guard_tools;
#[path = "it/guides.rs"]
mod guides;
#[path = "it/harness.rs"]
mod harness;
#[path = "it/history_trust.rs"]
mod history_trust;
#[path = "it/journal_trust.rs"]
mod journal_trust;
#[path = "it/json_documents.rs"]
mod json_documents;
#[path = "it/kill.rs"]
mod kill;
#[path = "it/kill_back.rs"]
mod kill_back;
#[path = "it/kubernetes.rs"]
mod kubernetes;
#[path = "it/kubernetes_guide.rs"]
mod kubernetes_guide;
#[path = "it/kubernetes_guide_text.rs"]
mod kubernetes_guide_text;
#[path = "it/kubernetes_restore.rs"]
mod kubernetes_restore;
#[path = "it/kubernetes_rules.rs"]
mod kubernetes_rules;
#[path = "it/kubernetes_security.rs"]
mod kubernetes_security;
#[path = "it/layout_tools.rs"]
mod layout_tools;
#[path = "it/layouts/mod.rs"]
mod layouts;
#[path = "it/leftovers.rs"]
mod leftovers;
#[path = "it/literals.rs"]
mod literals;
#[path = "it/lock.rs"]
mod lock;
#[path = "it/lock_pooler.rs"]
mod lock_pooler;
#[path = "it/lock_sqlite.rs"]
mod lock_sqlite;
#[path = "it/log_injection.rs"]
mod log_injection;
#[path = "it/lost.rs"]
mod lost;
#[path = "it/lost_before_lock.rs"]
mod lost_before_lock;
#[path = "it/object_store.rs"]
mod object_store;
#[path = "it/one_file_formats.rs"]
mod one_file_formats;
#[path = "it/output.rs"]
mod output;
#[path = "it/plan.rs"]
mod plan;
#[path = "it/polls.rs"]
mod polls;
#[path = "it/pooler_verbs.rs"]
mod pooler_verbs;
#[path = "it/previous_release.rs"]
mod previous_release;
#[path = "it/program.rs"]
mod program;
#[path = "it/random_losses.rs"]
mod random_losses;
#[path = "it/random_verbs.rs"]
mod random_verbs;
#[path = "it/random_writer.rs"]
mod random_writer;
#[path = "it/rehearse.rs"]
mod rehearse;
#[path = "it/rehearse_isolated.rs"]
mod rehearse_isolated;
#[path = "it/repeatables.rs"]
mod repeatables;
#[path = "it/replaced_tables.rs"]
mod replaced_tables;
#[path = "it/restore.rs"]
mod restore;
#[path = "it/restore_concurrent.rs"]
mod restore_concurrent;
#[path = "it/restore_in_place.rs"]
mod restore_in_place;
#[path = "it/restore_kept.rs"]
mod restore_kept;
#[path = "it/restore_parallel.rs"]
mod restore_parallel;
#[path = "it/restore_postgres.rs"]
mod restore_postgres;
#[path = "it/restore_sqlite.rs"]
mod restore_sqlite;
#[path = "it/rolled_back_image.rs"]
mod rolled_back_image;
#[path = "it/search_path.rs"]
mod search_path;
#[path = "it/secret_literals.rs"]
mod secret_literals;
#[path = "it/secrets.rs"]
mod secrets;
#[path = "it/server_full.rs"]
mod server_full;
#[path = "it/shared_commits.rs"]
mod shared_commits;
#[path = "it/shell.rs"]
mod shell;
#[path = "it/signals.rs"]
mod signals;
#[path = "it/silent.rs"]
mod silent;
#[path = "it/silent_sessions.rs"]
mod silent_sessions;
#[path = "it/sql.rs"]
mod sql;
#[path = "it/sql_guards.rs"]
mod sql_guards;
#[path = "it/sql_ranges.rs"]
mod sql_ranges;
#[path = "it/sql_session.rs"]
mod sql_session;
#[path = "it/sqlite_busy.rs"]
mod sqlite_busy;
#[path = "it/sqlite_to_postgres.rs"]
mod sqlite_to_postgres;
#[path = "it/sqlstates.rs"]
mod sqlstates;
#[path = "it/test_command.rs"]
mod test_command;
#[path = "it/transfer.rs"]
mod transfer;
#[path = "it/transfer_casts.rs"]
mod transfer_casts;
#[path = "it/transfer_lost.rs"]
mod transfer_lost;
#[path = "it/transfer_progress.rs"]
mod transfer_progress;
#[path = "it/transfer_random.rs"]
mod transfer_random;
#[path = "it/transfer_refused.rs"]
mod transfer_refused;
#[path = "it/transfer_rejects.rs"]
mod transfer_rejects;
#[path = "it/transfer_source.rs"]
mod transfer_source;
#[path = "it/transfer_source_files.rs"]
mod transfer_source_files;
#[path = "it/transfer_target.rs"]
mod transfer_target;
#[path = "it/transfer_traps.rs"]
mod transfer_traps;
#[path = "it/two_databases.rs"]
mod two_databases;
#[path = "it/unrecorded_tables.rs"]
mod unrecorded_tables;
#[path = "it/usage.rs"]
mod usage;
#[path = "it/variables.rs"]
mod variables;
#[path = "it/verbs_files.rs"]
mod verbs_files;
#[path = "it/verbs_read.rs"]
mod verbs_read;
#[path = "it/verbs_repair.rs"]
mod verbs_repair;
#[path = "it/verbs_stamp.rs"]
mod verbs_stamp;
#[path = "it/write_revision.rs"]
mod write_revision;
#[path = "it/write_revision_kept.rs"]
mod write_revision_kept;
#[path = "it/write_revision_refused.rs"]
mod write_revision_refused;
