//! The graph of revisions, as a folder's files state it.
