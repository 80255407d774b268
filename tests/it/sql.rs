//! `--sql` and `--plan`: what would run.
