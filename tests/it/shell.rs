//! Help, completions, colour.
