//! What a statement of PostgreSQL's that runs outside of a transaction leaves in the catalog: by that one can see later
//! whether it is done, half done or not begun.

use super::lexer::{Lexer, Token};
use super::objection::sets_session;
use super::statements::Dialect;

/// The trace of one statement. Names are as the statement spells them, for the server to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// `CREATE INDEX CONCURRENTLY`: the index, in its table's schema; invalid while it is half done.
    Index { name: String, build: IndexBuild },
    /// The same without a name: the server picks another one each time.
    UnnamedIndex(IndexBuild),
    /// `DROP INDEX CONCURRENTLY`: none of that name.
    NoIndex { name: String },
    /// `REINDEX ... CONCURRENTLY`: doing it again does no harm, but half of it leaves invalid indexes of other names.
    Rebuilt(Scope),
    /// `DETACH PARTITION ... CONCURRENTLY`: no partition of that table; pending while it is half done.
    Detached { table: String, partition: String },
    /// Something of the whole server, or a subscription, that is there or not; never half.
    Object { class: Class, name: String, presence: Presence, options: Options },
    /// Done twice is as good as done once.
    Repeatable,
    /// Nobody can tell: CALL, DO, what an extension has added.
    None,
}

/// What `CREATE INDEX CONCURRENTLY` builds, apart from its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBuild {
    pub table: String,
    /// `UNIQUE ` or nothing.
    pub unique: &'static str,
    /// The text behind the table's name: access method, columns, condition.
    pub definition: String,
}

/// Whether a statement says more of an object than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    None,
    Some,
}

/// Whose indexes are rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Index(String),
    Table(String),
    Schema(String),
    Database,
}

/// What has a catalog of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Database,
    Tablespace,
    Subscription,
}

impl Class {
    /// Returns the catalog of these objects and its column with the names.
    pub fn catalog(self) -> (&'static str, &'static str) {
        match self {
            Class::Database => ("pg_database", "datname"),
            Class::Tablespace => ("pg_tablespace", "spcname"),
            Class::Subscription => ("pg_subscription", "subname"),
        }
    }
}

/// How the statement leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    There,
    Gone,
}

impl Trace {
    /// What a statement will leave.
    pub fn of(statement: &str) -> Trace {
        if sets_session(statement, Dialect::Postgres) {
            return Trace::Repeatable;
        }
        let mut reader = Reader(Lexer::new(statement, Dialect::Postgres), statement);
        let trace = match reader.verb().as_str() {
            "CREATE" => reader.create(),
            "DROP" => reader.drop(),
            "ALTER" => reader.alter(),
            "REINDEX" => reader.reindex(),
            "CHECKPOINT" | "CLOSE" | "CLUSTER" | "DEALLOCATE" | "DECLARE" | "DISCARD" | "FETCH"
            | "LISTEN" | "LOCK" | "MOVE" | "SHOW" | "UNLISTEN" | "VACUUM" => Some(Trace::Repeatable),
            _ => None,
        };
        trace.unwrap_or(Trace::None)
    }

    /// Whether a rerun that meets it begun and not done must know what came of it.
    pub fn must_be_known(&self) -> bool {
        !matches!(self, Trace::Repeatable | Trace::Rebuilt(_))
    }

    /// Whether a failure leaves nothing, or what is cleared away before it is run again.
    pub fn can_be_run_again(&self) -> bool {
        !matches!(self, Trace::None | Trace::UnnamedIndex(_))
    }
}

/// Reads a statement word by word; the second part is the whole statement.
struct Reader<'t>(Lexer<'t>, &'t str);

impl Reader<'_> {
    fn verb(&mut self) -> String {
        self.0.next();
        self.0.token().to_ascii_uppercase()
    }

    /// Reads these words if they come next.
    fn takes(&mut self, words: &str) -> bool {
        let mut ahead = self.0.clone();
        let follows = words.split(' ').all(|word| ahead.next() == Token::Word && ahead.is(word));
        if follows {
            self.0 = ahead;
        }
        follows
    }

    /// A name, with what it is qualified by.
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

    fn create(&mut self) -> Option<Trace> {
        if let Some(class) = self.class() {
            return self.object(class, Presence::There);
        }
        let unique = if self.takes("UNIQUE") { "UNIQUE " } else { "" };
        if !self.takes("INDEX CONCURRENTLY") {
            return None;
        }
        self.takes("IF NOT EXISTS");
        if self.takes("ON") {
            return self.index_build(unique).map(Trace::UnnamedIndex);
        }
        let name = self.name()?;
        if !self.takes("ON") {
            return None;
        }
        let build = self.index_build(unique)?;
        Some(Trace::Index { name, build })
    }

    fn index_build(&mut self, unique: &'static str) -> Option<IndexBuild> {
        self.takes("ONLY");
        let table = self.name()?;
        let definition = self.1.get(self.0.at..)?.trim_ascii().trim_end_matches(';').to_owned();
        Some(IndexBuild { table, unique, definition })
    }

    fn object(&mut self, class: Class, presence: Presence) -> Option<Trace> {
        let name = self.name()?;
        let options = if self.ends() { Options::None } else { Options::Some };
        Some(Trace::Object { class, name, presence, options })
    }

    fn drop(&mut self) -> Option<Trace> {
        if let Some(class) = self.class() {
            self.takes("IF EXISTS");
            return self.object(class, Presence::Gone);
        }
        if !self.takes("INDEX CONCURRENTLY") {
            return None;
        }
        self.takes("IF EXISTS");
        Some(Trace::NoIndex { name: self.name()? })
    }

    fn class(&mut self) -> Option<Class> {
        [
            ("DATABASE", Class::Database),
            ("TABLESPACE", Class::Tablespace),
            ("SUBSCRIPTION", Class::Subscription),
        ]
        .into_iter()
        .find_map(|(word, class)| self.takes(word).then_some(class))
    }

    fn alter(&mut self) -> Option<Trace> {
        if self.takes("SYSTEM") || self.takes("DATABASE") {
            return Some(Trace::Repeatable);
        }
        if self.takes("SUBSCRIPTION") {
            self.name()?;
            return (self.takes("REFRESH") || self.takes("SET")).then_some(Trace::Repeatable);
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
        self.takes("CONCURRENTLY").then_some(Trace::Detached { table, partition })
    }

    fn reindex(&mut self) -> Option<Trace> {
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
            return Some(Trace::Repeatable);
        }
        Some(Trace::Rebuilt(match kind {
            "INDEX" => Scope::Index(self.name()?),
            "TABLE" => Scope::Table(self.name()?),
            "SCHEMA" => Scope::Schema(self.name()?),
            _ if self.ends() => Scope::Database,
            _ => self.name().map(|_| Scope::Database)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(table: &str, unique: &'static str, definition: &str) -> IndexBuild {
        IndexBuild { table: table.into(), unique, definition: definition.into() }
    }

    fn index(name: &str, build: IndexBuild) -> Trace {
        Trace::Index { name: name.into(), build }
    }

    fn object(class: Class, name: &str, presence: Presence, options: Options) -> Trace {
        Trace::Object { class, name: name.into(), presence, options }
    }

    #[test]
    fn statements_say_what_they_leave() {
        let detached = |table: &str, partition: &str| Trace::Detached {
            table: table.into(),
            partition: partition.into(),
        };
        for (statement, trace) in [
            ("create index concurrently i on t (a);", index("i", build("t", "", "(a)"))),
            (
                "CREATE UNIQUE INDEX /* c */ CONCURRENTLY If Not Exists \"I\"\non only s . \"T.t\" (a)",
                index("\"I\"", build("s.\"T.t\"", "UNIQUE ", "(a)")),
            ),
            (
                "create index concurrently on t using gin (a) where b > ';' ; ",
                Trace::UnnamedIndex(build("t", "", "using gin (a) where b > ';' ")),
            ),
            ("create index concurrently U&\"i\" on t (a)", Trace::None),
            ("drop index concurrently if exists s.i cascade", Trace::NoIndex { name: "s.i".into() }),
            ("reindex (verbose) index concurrently s.i", Trace::Rebuilt(Scope::Index("s.i".into()))),
            (
                "reindex (verbose, concurrently, tablespace x) table t",
                Trace::Rebuilt(Scope::Table("t".into())),
            ),
            ("reindex schema concurrently s", Trace::Rebuilt(Scope::Schema("s".into()))),
            ("reindex database concurrently", Trace::Rebuilt(Scope::Database)),
            ("reindex database concurrently d;", Trace::Rebuilt(Scope::Database)),
            ("reindex schema s", Trace::Repeatable),
            ("alter table if exists only \"a\".b detach partition c concurrently", detached("\"a\".b", "c")),
            ("alter table b detach partition c finalize", Trace::None),
            (
                "create database \"D\" template x",
                object(Class::Database, "\"D\"", Presence::There, Options::Some),
            ),
            ("drop tablespace if exists x", object(Class::Tablespace, "x", Presence::Gone, Options::None)),
            (
                "create subscription s connection '' publication p",
                object(Class::Subscription, "s", Presence::There, Options::Some),
            ),
            ("alter subscription s refresh publication", Trace::Repeatable),
            ("alter subscription s add publication p", Trace::None),
            ("alter system set a = 1", Trace::Repeatable),
            ("vacuum (full) t", Trace::Repeatable),
            ("set lock_timeout = 0", Trace::Repeatable),
            ("call p()", Trace::None),
            ("do $$ begin commit; end $$", Trace::None),
        ] {
            assert_eq!(Trace::of(statement), trace, "{statement}");
        }
    }
}
