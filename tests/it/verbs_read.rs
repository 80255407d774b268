//! `current`, `history`, `heads`: the verbs that only read.
