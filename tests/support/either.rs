//! Either database, for what both must do alike.

use std::path::PathBuf;

use tempfile::TempDir;

use super::database::PgDatabase;
use super::postgres::Postgres;
use super::{sqlite, temporary_folder};

/// A database of a test's own, as far as a test of both needs to know it.
pub trait Database {
    fn create(prefix: &str) -> Self;
    fn url(&self) -> String;
    /// Rows as lines, columns divided by `|`.
    fn query(&self, sql: &str) -> String;
    fn has_table(&self, name: &str) -> bool;
}

impl Database for PgDatabase<'static> {
    fn create(prefix: &str) -> Self {
        Postgres::shared().database(prefix)
    }

    fn url(&self) -> String {
        self.url()
    }

    fn query(&self, sql: &str) -> String {
        self.query(sql)
    }

    fn has_table(&self, name: &str) -> bool {
        self.value(&format!("select to_regclass('{name}') is not null")) == "t"
    }
}

/// A file that no program has made yet.
pub struct SqliteFile {
    _folder: TempDir,
    path: PathBuf,
}

impl Database for SqliteFile {
    fn create(prefix: &str) -> Self {
        let folder = temporary_folder(prefix);
        let path = folder.path().join("app.db");
        Self { _folder: folder, path }
    }

    fn url(&self) -> String {
        format!("sqlite:///{}", self.path.display())
    }

    fn query(&self, sql: &str) -> String {
        sqlite::query(&self.path, &format!("{sql};"))
    }

    fn has_table(&self, name: &str) -> bool {
        self.path.exists()
            && self.query(&format!("select 1 from sqlite_schema where name = '{name}'")) == "1\n"
    }
}

/// Each of these functions as a test on each database: `fn a_behaviour<D: Database>()`.
macro_rules! on_either {
    ($($behaviour:ident),* $(,)?) => {
        on_either!(postgres, crate::support::database::PgDatabase<'static>, $($behaviour),*);
        on_either!(sqlite_file, crate::support::either::SqliteFile, $($behaviour),*);
    };
    ($module:ident, $database:ty, $($behaviour:ident),*) => {
        mod $module {
            $(#[test]
            fn $behaviour() {
                super::$behaviour::<$database>();
            })*
        }
    };
}
