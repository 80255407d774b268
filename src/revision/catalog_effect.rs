//! Describes the effect on the catalog of a PostgreSQL statement that runs outside of a transaction. A later run
//! compares it with the catalog to see whether the statement is done, half done or not begun.

use super::classify::Classified;
use super::lexer::{Lexer, Token};
use crate::dialect::Dialect;

/// The effect of one statement. Names are as the statement spells them, so that the server resolves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CatalogEffect {
    /// `CREATE INDEX CONCURRENTLY`: an index `name` in the schema of its table, which is invalid while it is half done.
    Index {
        /// The name as the statement spells it.
        name: String,
        /// The index that is built.
        build: IndexBuild,
    },
    /// `CREATE INDEX CONCURRENTLY` without a name: the server picks another name each time.
    UnnamedIndex(IndexBuild),
    /// `DROP INDEX CONCURRENTLY`: no index has this `name`.
    NoIndex {
        /// The name as the statement spells it.
        name: String,
    },
    /// `REINDEX ... CONCURRENTLY`: a repetition does no harm, but half of it leaves invalid indexes of other names.
    Rebuilt(ReindexScope),
    /// `DETACH PARTITION ... CONCURRENTLY`: `partition` is no partition of `table`; the detachment is pending while it
    /// is half done.
    Detached {
        /// The table as the statement spells it.
        table: String,
        /// The partition as the statement spells it.
        partition: String,
    },
    /// An object of the whole server, or a subscription, which exists or does not, but is never half done: its class,
    /// its name, its presence after the statement, and whether the statement has options.
    Object {
        /// The kind of object.
        class: CatalogClass,
        /// The name as the statement spells it.
        name: String,
        /// Its presence afterwards.
        presence: ObjectPresence,
        /// The part of the definition besides the name.
        options: ObjectOptions,
    },
    /// An effect that is the same after a second execution.
    Repeatable,
    /// An effect that cannot be looked up: CALL, DO, a command that an extension has added.
    None,
}

/// The index that `CREATE INDEX CONCURRENTLY` builds, without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexBuild {
    /// The table as the statement names it.
    pub(crate) table: String,
    /// `UNIQUE ` or an empty text.
    pub(crate) unique: &'static str,
    /// The text behind the table's name: access method, columns, condition.
    pub(crate) definition: String,
}

/// The presence of further words behind an object's name in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectOptions {
    /// The statement has only the name.
    None,
    /// The statement has more than the name.
    Some,
}

/// The indexes that REINDEX rebuilds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReindexScope {
    /// One index, by its name.
    Index(String),
    /// All indexes of the named table.
    Table(String),
    /// All indexes of the named schema.
    Schema(String),
    /// All indexes of the database.
    Database,
}

/// The kinds of objects that have a catalog of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CatalogClass {
    /// A database.
    Database,
    /// A tablespace.
    Tablespace,
    /// A subscription of logical replication.
    Subscription,
}

impl CatalogClass {
    /// Returns the catalog of these objects, and the column of it that has their names.
    pub(crate) fn catalog(self) -> (&'static str, &'static str) {
        match self {
            CatalogClass::Database => ("pg_database", "datname"),
            CatalogClass::Tablespace => ("pg_tablespace", "spcname"),
            CatalogClass::Subscription => ("pg_subscription", "subname"),
        }
    }
}

/// The presence of an object after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectPresence {
    /// The object exists.
    There,
    /// The object does not exist.
    Gone,
}

impl CatalogEffect {
    /// Reads the effect that a statement of this class will have.
    pub(crate) fn from_statement(statement: &str, class: &Classified) -> CatalogEffect {
        if class.sets_session {
            return CatalogEffect::Repeatable;
        }
        let mut reader = StatementReader(Lexer::new(statement, Dialect::Postgres), statement);
        let effect = match reader.verb().as_str() {
            "CREATE" => reader.create(),
            "DROP" => reader.drop(),
            "ALTER" => reader.alter(),
            "REINDEX" => reader.reindex(),
            "CHECKPOINT" | "CLOSE" | "CLUSTER" | "DEALLOCATE" | "DECLARE" | "DISCARD" | "FETCH" | "LISTEN" | "LOCK"
            | "MOVE" | "SHOW" | "UNLISTEN" | "VACUUM" => Some(CatalogEffect::Repeatable),
            _ => None,
        };
        effect.unwrap_or(CatalogEffect::None)
    }

    /// Returns whether a rerun that finds the statement begun and not done has to know its outcome first.
    pub(crate) fn must_be_known(&self) -> bool {
        !matches!(self, CatalogEffect::Repeatable | CatalogEffect::Rebuilt(_))
    }

    /// Returns whether a failure of the statement leaves nothing, or only what is removed before the statement runs
    /// again.
    pub(crate) fn can_be_run_again(&self) -> bool {
        !matches!(self, CatalogEffect::None | CatalogEffect::UnnamedIndex(_))
    }
}

/// A reader of the words of a statement; the second part is the text of the whole statement.
struct StatementReader<'t>(Lexer<'t>, &'t str);

impl StatementReader<'_> {
    fn verb(&mut self) -> String {
        self.0.next();
        self.0.token().to_ascii_uppercase()
    }

    /// Reads these words if they come next. Returns whether they do.
    fn takes(&mut self, words: &str) -> bool {
        let mut ahead = self.0.clone();
        let follows = words.split(' ').all(|word| ahead.next() == Token::Word && ahead.is(word));
        if follows {
            self.0 = ahead;
        }
        follows
    }

    /// Reads a name with its qualification. Returns `None` if the next token is no name.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        loop {
            let (Token::Word | Token::Name) = self.0.next() else {
                return None;
            };
            name.push_str(self.0.token());
            let mut ahead = self.0.clone();
            if ahead.next() != Token::Symbol(b'.') {
                return Some(name);
            }
            name.push('.');
            self.0 = ahead;
        }
    }

    fn ends(&mut self) -> bool {
        matches!(self.0.clone().next(), Token::End | Token::Symbol(b';'))
    }

    fn create(&mut self) -> Option<CatalogEffect> {
        if let Some(class) = self.class() {
            return self.object(class, ObjectPresence::There);
        }
        let unique = if self.takes("UNIQUE") { "UNIQUE " } else { "" };
        if !self.takes("INDEX CONCURRENTLY") {
            return None;
        }
        self.takes("IF NOT EXISTS");
        if self.takes("ON") {
            return self.index_build(unique).map(CatalogEffect::UnnamedIndex);
        }
        let name = self.name()?;
        if !self.takes("ON") {
            return None;
        }
        let build = self.index_build(unique)?;
        Some(CatalogEffect::Index { name, build })
    }

    fn index_build(&mut self, unique: &'static str) -> Option<IndexBuild> {
        self.takes("ONLY");
        let table = self.name()?;
        let definition = self.1.get(self.0.at..)?.trim_ascii().trim_end_matches(';').to_owned();
        Some(IndexBuild { table, unique, definition })
    }

    fn object(&mut self, class: CatalogClass, presence: ObjectPresence) -> Option<CatalogEffect> {
        let name = self.name()?;
        let options = if self.ends() { ObjectOptions::None } else { ObjectOptions::Some };
        Some(CatalogEffect::Object { class, name, presence, options })
    }

    fn drop(&mut self) -> Option<CatalogEffect> {
        if let Some(class) = self.class() {
            self.takes("IF EXISTS");
            return self.object(class, ObjectPresence::Gone);
        }
        if !self.takes("INDEX CONCURRENTLY") {
            return None;
        }
        self.takes("IF EXISTS");
        Some(CatalogEffect::NoIndex { name: self.name()? })
    }

    fn class(&mut self) -> Option<CatalogClass> {
        [
            ("DATABASE", CatalogClass::Database),
            ("TABLESPACE", CatalogClass::Tablespace),
            ("SUBSCRIPTION", CatalogClass::Subscription),
        ]
        .into_iter()
        .find_map(|(word, class)| self.takes(word).then_some(class))
    }

    fn alter(&mut self) -> Option<CatalogEffect> {
        if self.takes("SYSTEM") || self.takes("DATABASE") {
            return Some(CatalogEffect::Repeatable);
        }
        if self.takes("SUBSCRIPTION") {
            self.name()?;
            return (self.takes("REFRESH") || self.takes("SET")).then_some(CatalogEffect::Repeatable);
        }
        if !self.takes("TABLE") {
            return None;
        }
        self.takes("IF EXISTS");
        self.takes("ONLY");
        let table = self.name()?;
        if !self.takes("DETACH PARTITION") {
            return None;
        }
        let partition = self.name()?;
        self.takes("CONCURRENTLY").then_some(CatalogEffect::Detached { table, partition })
    }

    fn reindex(&mut self) -> Option<CatalogEffect> {
        let mut concurrently = false;
        let mut ahead = self.0.clone();
        if ahead.next() == Token::Symbol(b'(') {
            loop {
                match ahead.next() {
                    Token::Symbol(b')') => break,
                    Token::Word if ahead.is("CONCURRENTLY") => concurrently = true,
                    Token::End | Token::Unterminated(_) => return None,
                    _ => {}
                }
            }
            self.0 = ahead;
        }
        let kinds = ["INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM"];
        let kind = kinds.into_iter().find(|kind| self.takes(kind))?;
        concurrently |= self.takes("CONCURRENTLY");
        if !concurrently {
            return Some(CatalogEffect::Repeatable);
        }
        Some(CatalogEffect::Rebuilt(match kind {
            "INDEX" => ReindexScope::Index(self.name()?),
            "TABLE" => ReindexScope::Table(self.name()?),
            "SCHEMA" => ReindexScope::Schema(self.name()?),
            _ if self.ends() => ReindexScope::Database,
            _ => self.name().map(|_| ReindexScope::Database)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(table: &str, unique: &'static str, definition: &str) -> IndexBuild {
        IndexBuild { table: table.into(), unique, definition: definition.into() }
    }

    fn index(name: &str, build: IndexBuild) -> CatalogEffect {
        CatalogEffect::Index { name: name.into(), build }
    }

    fn object(class: CatalogClass, name: &str, presence: ObjectPresence, options: ObjectOptions) -> CatalogEffect {
        CatalogEffect::Object { class, name: name.into(), presence, options }
    }

    #[test]
    fn statements_say_what_they_leave() {
        let detached =
            |table: &str, partition: &str| CatalogEffect::Detached { table: table.into(), partition: partition.into() };
        for (statement, effect) in [
            ("create index concurrently i on t (a);", index("i", build("t", "", "(a)"))),
            (
                "CREATE UNIQUE INDEX /* c */ CONCURRENTLY If Not Exists \"I\"\non only s . \"T.t\" (a)",
                index("\"I\"", build("s.\"T.t\"", "UNIQUE ", "(a)")),
            ),
            (
                "create index concurrently on t using gin (a) where b > ';' ; ",
                CatalogEffect::UnnamedIndex(build("t", "", "using gin (a) where b > ';' ")),
            ),
            ("create index concurrently U&\"i\" on t (a)", CatalogEffect::None),
            ("drop index concurrently if exists s.i cascade", CatalogEffect::NoIndex { name: "s.i".into() }),
            ("reindex (verbose) index concurrently s.i", CatalogEffect::Rebuilt(ReindexScope::Index("s.i".into()))),
            (
                "reindex (verbose, concurrently, tablespace x) table t",
                CatalogEffect::Rebuilt(ReindexScope::Table("t".into())),
            ),
            ("reindex schema concurrently s", CatalogEffect::Rebuilt(ReindexScope::Schema("s".into()))),
            ("reindex database concurrently", CatalogEffect::Rebuilt(ReindexScope::Database)),
            ("reindex database concurrently d;", CatalogEffect::Rebuilt(ReindexScope::Database)),
            ("reindex schema s", CatalogEffect::Repeatable),
            ("alter table if exists only \"a\".b detach partition c concurrently", detached("\"a\".b", "c")),
            ("alter table b detach partition c finalize", CatalogEffect::None),
            (
                "create database \"D\" template x",
                object(CatalogClass::Database, "\"D\"", ObjectPresence::There, ObjectOptions::Some),
            ),
            (
                "drop tablespace if exists x",
                object(CatalogClass::Tablespace, "x", ObjectPresence::Gone, ObjectOptions::None),
            ),
            (
                "create subscription s connection '' publication p",
                object(CatalogClass::Subscription, "s", ObjectPresence::There, ObjectOptions::Some),
            ),
            ("alter subscription s refresh publication", CatalogEffect::Repeatable),
            ("alter subscription s add publication p", CatalogEffect::None),
            ("alter system set a = 1", CatalogEffect::Repeatable),
            ("vacuum (full) t", CatalogEffect::Repeatable),
            ("set lock_timeout = 0", CatalogEffect::Repeatable),
            ("call p()", CatalogEffect::None),
            ("do $$ begin commit; end $$", CatalogEffect::None),
        ] {
            let class = Classified::new(statement, Dialect::Postgres);
            assert_eq!(CatalogEffect::from_statement(statement, &class), effect, "{statement}");
        }
    }
}
