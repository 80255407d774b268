//! The state of the catalog before a statement began, and the effect that the statement has had since.
//!
//! A statement that cannot share a transaction with its history row is recorded as begun, together with the OIDs of the
//! objects that it is about. A later run compares these OIDs with the catalog: where nothing has changed, the statement
//! has had no effect. A change counts as the statement's only if its definition is exactly the one that the statement
//! asks for. Every other case needs a decision by a person.

use sha2::{Digest, Sha256};

use super::column;
use super::grant::advised;
use super::index_state::{IndexValidity, folded};
use super::message::{Label, Message, MessagePart};
use super::migrator::Migrator;
use super::trust::before_reading;
use crate::database::{ApplyRequest, DatabaseError};
use crate::revision::catalog_effect::{CatalogClass, CatalogEffect, IndexBuild, ObjectOptions, ObjectPresence};
use crate::revision::render::{OWN_PATH, own_role};

/// The OIDs of the objects that a statement is about, in an order that its [`CatalogEffect`] determines. 0 represents
/// an object that does not exist. For an index build: the table, then its indexes. For a partition: the table, the
/// partition, and [`ATTACHED`] or [`PENDING`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CatalogState(Vec<i64>);

const ATTACHED: i64 = 1;
/// The state of a partition whose concurrent detaching has begun and is not finished.
const PENDING: i64 = 2;

/// The state of a statement that an earlier run began, as the catalog shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatementState {
    Done,
    /// The statement has had no effect, or is done in part.
    NotDone,
    Unknown,
}

impl CatalogState {
    /// Returns the text for the history: the number of the statement in its script, a hash of its text, and the OIDs.
    pub(super) fn to_text(&self, number: usize, statement: &str) -> String {
        let oids: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        format!("{}{}", key(number, statement), oids.join(","))
    }

    /// Parses the text that `to_text` returns. Returns `None` for a state of another statement: a release that does not
    /// know the column leaves the old text there when it begins a statement.
    fn parse(text: &str, number: usize, statement: &str) -> Option<CatalogState> {
        let oids = text.strip_prefix(&key(number, statement))?;
        oids.split(',').map(|oid| oid.parse().ok()).collect::<Option<_>>().map(CatalogState)
    }

    fn first(&self) -> i64 {
        self.0.first().copied().unwrap_or(0)
    }

    /// Returns the OIDs after the first one that `before` does not have.
    fn added_since(&self, before: &CatalogState) -> Vec<i64> {
        self.0.iter().skip(1).filter(|oid| !before.0.contains(oid)).copied().collect()
    }
}

fn key(number: usize, statement: &str) -> String {
    let sum = Sha256::digest(statement);
    let start = u64::from_be_bytes(sum[..8].try_into().expect("a SHA-256 has 32 bytes"));
    format!("{number} {start:016x} ")
}

impl Migrator<'_> {
    /// Reads the state that a statement is about to change; `None` for statements whose effect cannot be looked up.
    /// Names are resolved under the search path of the script's session.
    pub(super) async fn catalog_state(
        &mut self,
        effect: &CatalogEffect,
    ) -> Result<Option<CatalogState>, DatabaseError> {
        let oids = match effect {
            CatalogEffect::Index { build, .. } | CatalogEffect::UnnamedIndex(build) => {
                let table = self.session.relation(&build.table).await?;
                let indexes =
                    format!("SELECT indexrelid::bigint FROM pg_catalog.pg_index WHERE indrelid = '{table}' ORDER BY 1");
                [vec![table], self.oids(&indexes).await?].concat()
            }
            CatalogEffect::NoIndex { name } => vec![self.session.relation(name).await?],
            CatalogEffect::Detached { table, partition } => {
                let (table, partition) = (self.session.relation(table).await?, self.session.relation(partition).await?);
                vec![table, partition, self.attachment(table, partition).await?]
            }
            CatalogEffect::Object { class, name, .. } => {
                vec![self.oids(&object(*class, name)).await?.first().copied().unwrap_or(0)]
            }
            CatalogEffect::Rebuilt(_) | CatalogEffect::Repeatable | CatalogEffect::None => return Ok(None),
        };
        Ok(Some(CatalogState(oids)))
    }

    /// Reads from the journal, under Lockkeeper's own role, the state before the statement began.
    pub(super) async fn remembered(
        &mut self,
        request: &ApplyRequest<'_>,
        (number, statement): (usize, &str),
    ) -> Result<Option<CatalogState>, DatabaseError> {
        let journal = self.history.journal();
        let role = own_role(&self.session.facts.role).concat();
        let select = journal.select_catalog_before(request.id);
        let message = Message::new([
            MessagePart::new(Label::OwnRole, format!("{OWN_PATH}{role}")),
            before_reading(journal.table, &self.session.facts.trusted_roles),
            MessagePart::new(Label::Question, &*select),
        ]);
        let mut text: Option<String> = None;
        let asked = self.session.ask(&message, |row| column(row, 0).map(|found| text = found)).await;
        asked.map_err(|fault| advised(fault, &select, &self.session.facts.role))?;
        Ok(text.and_then(|text| CatalogState::parse(&text, number, statement)))
    }

    /// Determines whether a statement that an earlier run began is done; `before` is the state that the earlier run
    /// recorded.
    pub(super) async fn statement_state(
        &mut self,
        effect: &CatalogEffect,
        before: Option<&CatalogState>,
    ) -> Result<StatementState, DatabaseError> {
        let (Some(now), Some(before)) = (self.catalog_state(effect).await?, before) else {
            return self.state_by_name(effect).await;
        };
        if now == *before {
            return Ok(StatementState::NotDone);
        }
        match effect {
            CatalogEffect::Index { name, build } => self.built_since(Some(name), build, before, &now).await,
            CatalogEffect::UnnamedIndex(build) => self.built_since(None, build, before, &now).await,
            CatalogEffect::NoIndex { .. } => {
                let sql = format!("SELECT oid::bigint FROM pg_catalog.pg_class WHERE oid = '{}'", before.first());
                Ok(state_after_drop(before.first(), now.first(), &self.oids(&sql).await?))
            }
            CatalogEffect::Object { class, presence: ObjectPresence::Gone, .. } => {
                let sql = format!(
                    "SELECT oid::bigint FROM pg_catalog.{} WHERE oid = '{}'",
                    class.catalog().0,
                    before.first()
                );
                Ok(state_after_drop(before.first(), now.first(), &self.oids(&sql).await?))
            }
            CatalogEffect::Object { class: CatalogClass::Database, name, options: ObjectOptions::None, .. }
                if before.first() == 0 && self.is_plain_database(name).await? =>
            {
                Ok(StatementState::Done)
            }
            CatalogEffect::Detached { .. } => Ok(detached(before, &now)),
            _ => Ok(StatementState::Unknown),
        }
    }

    /// Determines the state without a recorded one, which rows of earlier releases lack. An object that is as it was
    /// before the statement shows that the statement is not done; nothing proves that the statement is done.
    async fn state_by_name(&mut self, effect: &CatalogEffect) -> Result<StatementState, DatabaseError> {
        let is_untouched = match effect {
            CatalogEffect::Index { name, build } => {
                self.session.built(name, &build.table).await?.is_none_or(|index| index.state != IndexValidity::Valid)
            }
            CatalogEffect::NoIndex { name } => self.session.relation(name).await? != 0,
            CatalogEffect::Detached { table, partition } => self.session.is_partition(table, partition, "").await?,
            CatalogEffect::Object { class, name, presence, .. } => {
                self.oids(&object(*class, name)).await?.is_empty() == (*presence == ObjectPresence::There)
            }
            CatalogEffect::Rebuilt(_) | CatalogEffect::Repeatable => true,
            CatalogEffect::UnnamedIndex(_) | CatalogEffect::None => false,
        };
        Ok(if is_untouched { StatementState::NotDone } else { StatementState::Unknown })
    }

    /// Determines whether one of the indexes that were added to the table since then is the one that a statement
    /// builds.
    async fn built_since(
        &mut self,
        name: Option<&String>,
        build: &IndexBuild,
        before: &CatalogState,
        now: &CatalogState,
    ) -> Result<StatementState, DatabaseError> {
        let added = now.added_since(before);
        if now.first() != before.first() || now.first() == 0 {
            return Ok(StatementState::Unknown);
        }
        let named = match name {
            Some(name) => self.session.built(name, &build.table).await?.filter(|index| added.contains(&index.oid)),
            None => None,
        };
        if added.is_empty() || named.as_ref().is_some_and(|index| index.state != IndexValidity::Valid) {
            return Ok(StatementState::NotDone);
        }
        let Some(alike) = self.indexes_alike(build, &added).await? else {
            return Ok(StatementState::Unknown);
        };
        Ok(match (name, named) {
            (Some(_), Some(index)) if alike.contains(&(index.oid, IndexValidity::Valid)) => StatementState::Done,
            (None, _) if matches!(alike[..], [(_, IndexValidity::Valid)]) => StatementState::Done,
            // An index of another name may be the statement's, renamed since.
            (_, None) if alike.is_empty() => StatementState::NotDone,
            _ => StatementState::Unknown,
        })
    }

    async fn attachment(&mut self, table: i64, partition: i64) -> Result<i64, DatabaseError> {
        // The column exists since the release that introduced DETACH CONCURRENTLY.
        let is_pending = if self.session.major() >= 14 { "inhdetachpending" } else { "false" };
        let sql = format!(
            "SELECT CASE WHEN {is_pending} THEN {PENDING} ELSE {ATTACHED} END::bigint FROM pg_catalog.pg_inherits \
             WHERE inhrelid = '{partition}' AND inhparent = '{table}'"
        );
        Ok(self.oids(&sql).await?.first().copied().unwrap_or(0))
    }

    /// Reports whether a database is as `CREATE DATABASE` without options makes it for our role.
    async fn is_plain_database(&mut self, name: &str) -> Result<bool, DatabaseError> {
        let sql = format!(
            "SELECT 1 FROM pg_catalog.pg_database d, pg_catalog.pg_database t \
             WHERE d.datname = {} AND t.datname = 'template1' AND pg_catalog.pg_get_userbyid(d.datdba) = current_user \
             AND d.encoding = t.encoding AND d.datcollate = t.datcollate AND d.datctype = t.datctype \
             AND d.dattablespace = t.dattablespace",
            folded(name)
        );
        self.session.rows(sql).await.map(|rows| !rows.is_empty())
    }

    async fn oids(&mut self, sql: &str) -> Result<Vec<i64>, DatabaseError> {
        let rows = self.session.rows(sql.to_owned()).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }
}

/// Returns the query for the OID of a database, a tablespace, or a subscription of this database.
fn object(class: CatalogClass, name: &str) -> String {
    let (catalog, column) = class.catalog();
    let more = match class {
        CatalogClass::Subscription => {
            " AND subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        }
        CatalogClass::Database | CatalogClass::Tablespace => "",
    };
    format!("SELECT oid::bigint FROM pg_catalog.{catalog} WHERE {column} = {}{more}", folded(name))
}

/// Returns the state of a DROP statement. It is done when neither the object nor another one of its name exists; `left`
/// contains the object's OID as long as it exists under any name.
fn state_after_drop(before: i64, now: i64, left: &[i64]) -> StatementState {
    match before != 0 && now == 0 && left.is_empty() {
        true => StatementState::Done,
        false => StatementState::Unknown,
    }
}

/// Returns the state of a DETACH statement; both the table and the partition must still exist under their names.
fn detached(before: &CatalogState, now: &CatalogState) -> StatementState {
    match (&before.0[..], &now.0[..]) {
        ([table, partition, was], [same_table, same_partition, attachment])
            if *was != 0 && table == same_table && partition == same_partition =>
        {
            if *attachment == 0 {
                StatementState::Done
            } else {
                StatementState::NotDone
            }
        }
        _ => StatementState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_back_for_its_own_statement_alone() {
        let state = CatalogState(vec![16384, 0, 4_294_967_295]);
        let text = state.to_text(2, "drop index concurrently i");
        assert_eq!(CatalogState::parse(&text, 2, "drop index concurrently i"), Some(state));
        assert_eq!(CatalogState::parse(&text, 3, "drop index concurrently i"), None);
        assert_eq!(CatalogState::parse(&text, 2, "drop index concurrently j"), None);
        assert_eq!(CatalogState::parse("2 x 1", 2, ""), None);
    }

    #[test]
    fn only_what_was_there_before_can_be_gone() {
        for (before, now, left, expected) in [
            (7, 0, &[][..], StatementState::Done),
            (7, 0, &[7], StatementState::Unknown),
            (7, 8, &[], StatementState::Unknown),
            (0, 8, &[], StatementState::Unknown),
        ] {
            assert_eq!(state_after_drop(before, now, left), expected, "{before} {now} {left:?}");
        }
    }

    #[test]
    fn a_partition_is_detached_when_it_and_its_table_are_the_same_ones() {
        let state = |oids: [i64; 3]| CatalogState(oids.to_vec());
        for (before, now, expected) in [
            ([1, 2, ATTACHED], [1, 2, 0], StatementState::Done),
            ([1, 2, PENDING], [1, 2, 0], StatementState::Done),
            ([1, 2, ATTACHED], [1, 2, PENDING], StatementState::NotDone),
            ([1, 2, ATTACHED], [1, 0, 0], StatementState::Unknown),
            ([1, 2, ATTACHED], [1, 3, 0], StatementState::Unknown),
            ([1, 2, 0], [1, 3, 0], StatementState::Unknown),
        ] {
            assert_eq!(detached(&state(before), &state(now)), expected, "{before:?} {now:?}");
        }
    }
}
