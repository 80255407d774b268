//! `revision`, `merge`, `check --offline`: the verbs of the files.
