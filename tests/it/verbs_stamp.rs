//! `stamp` and `repair`: the verbs that record without running.
