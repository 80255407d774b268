//! From SQLite to PostgreSQL: what a value becomes, column by column. Knows no driver.

pub mod value;
