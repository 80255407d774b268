//! The parts of tables that are read at the same time, and the digests of the tables that come of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::database::postgres::bulk_load::TableExtent;
use crate::database::sqlite::source::RowRange;
use crate::error::Cause;
use crate::transfer::digest::Digest;
use crate::transfer::plan::TransferPlan;

/// The size of a part in bytes.
pub(crate) const PART_BYTES: u64 = 8 << 20;

/// A part of the table at the position `table` of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TablePart<R> {
    pub(crate) table: usize,
    pub(crate) range: R,
}

/// A range of blocks of a target's table: the first one, and the one after the last; `None` without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockRange {
    pub(crate) first: Option<u64>,
    pub(crate) end: Option<u64>,
}

impl BlockRange {
    /// Returns the WHERE clause, which begins with a space; empty for all blocks.
    pub(crate) fn condition(self) -> String {
        let bounds =
            [self.first.map(|at| format!("ctid >= '({at},0)'")), self.end.map(|at| format!("ctid < '({at},0)'"))];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        if bounds.is_empty() { String::new() } else { format!(" WHERE {}", bounds.join(" AND ")) }
    }
}

/// Divides the table of a target.
pub(crate) fn target_parts(table: usize, extent: TableExtent) -> Vec<TablePart<BlockRange>> {
    let count = extent.bytes.div_ceil(PART_BYTES).min(extent.blocks);
    let bounds = inner_bounds(0, extent.blocks.into(), count).into_iter().map(|at| at as u64);
    ranges(bounds).map(|(first, end)| TablePart { table, range: BlockRange { first, end } }).collect()
}

/// Divides the table of a source that has these rowids and about this number of bytes.
pub(crate) fn source_parts(table: usize, rowids: Option<(i64, i64)>, bytes: Option<u64>) -> Vec<TablePart<RowRange>> {
    let count = bytes.unwrap_or(0).div_ceil(PART_BYTES);
    let bounds = rowids.map_or(Vec::new(), |(first, last)| inner_bounds(first.into(), i128::from(last) + 1, count));
    let bounds = bounds.into_iter().map(|at| at as i64);
    ranges(bounds).map(|(first, end)| TablePart { table, range: RowRange { first, end } }).collect()
}

/// Returns the bounds between `count` parts of equal size, without duplicates.
fn inner_bounds(first: i128, end: i128, count: u64) -> Vec<i128> {
    let (size, count) = (end - first, i128::from(count));
    let mut bounds: Vec<i128> = (1..count).map(|at| first + size * at / count).collect();
    bounds.dedup();
    bounds
}

/// Returns the ranges between bounds. The first range has no lower bound and the last one no upper bound, so that
/// together they have everything.
fn ranges<T: Copy>(bounds: impl Iterator<Item = T>) -> impl Iterator<Item = (Option<T>, Option<T>)> {
    let bounds: Vec<Option<T>> = std::iter::once(None).chain(bounds.map(Some)).chain([None]).collect();
    (1..bounds.len()).map(move |at| (bounds[at - 1], bounds[at]))
}

/// The parts of one side that nobody has taken yet, in the order of the tables.
pub(crate) struct PartQueue<R>(Mutex<VecDeque<TablePart<R>>>);

impl<R> PartQueue<R> {
    pub(crate) fn new(parts: Vec<TablePart<R>>) -> PartQueue<R> {
        PartQueue(Mutex::new(parts.into()))
    }

    /// Takes the next part.
    pub(crate) fn take(&self) -> Option<TablePart<R>> {
        locked(&self.0).pop_front()
    }

    /// Puts a part back that was not read.
    pub(crate) fn put_back(&self, part: TablePart<R>) {
        locked(&self.0).push_front(part);
    }

    fn clear(&self) {
        locked(&self.0).clear();
    }
}

/// The result of one side of a table: `None` as soon as one of its values does not fit.
type SideDigest = Option<Digest>;

/// A table whose parts are being read.
struct TableState {
    source: SideDigest,
    target: Digest,
    /// The number of parts of both sides that are not read yet.
    remaining: usize,
}

/// The work of all readers of both sides.
pub(crate) struct SharedWork {
    pub(crate) source: PartQueue<RowRange>,
    pub(crate) target: PartQueue<BlockRange>,
    state: Mutex<WorkState>,
}

struct WorkState {
    tables: Vec<TableState>,
    /// The number of tables, from the first one on, that were reported to be equal.
    reported: usize,
    /// The error in the first one of the tables that could not be read, with the position of the table.
    failure: Option<(usize, Cause)>,
}

impl SharedWork {
    /// Creates the work of reading these parts of the tables of a plan.
    pub(crate) fn new(
        tables: usize,
        source: Vec<TablePart<RowRange>>,
        target: Vec<TablePart<BlockRange>>,
    ) -> SharedWork {
        let parts_of = |table| {
            let of_source = source.iter().filter(|part| part.table == table).count();
            of_source + target.iter().filter(|part| part.table == table).count()
        };
        let state = |table| TableState {
            source: Some(Digest::default()),
            target: Digest::default(),
            remaining: parts_of(table),
        };
        let state = WorkState { tables: (0..tables).map(state).collect(), reported: 0, failure: None };
        SharedWork { source: PartQueue::new(source), target: PartQueue::new(target), state: Mutex::new(state) }
    }

    /// Records the digest of a part of the source.
    pub(crate) fn add_source(&self, plan: &TransferPlan, table: usize, digest: SideDigest) {
        let mut state = locked(&self.state);
        let found = &mut state.tables[table];
        found.source = found.source.take().zip(digest).map(|(mut sum, digest)| {
            sum.merge(digest);
            sum
        });
        state.finish_part(plan, table);
    }

    /// Records the digest of a part of the target.
    pub(crate) fn add_target(&self, plan: &TransferPlan, table: usize, digest: Digest) {
        let mut state = locked(&self.state);
        state.tables[table].target.merge(digest);
        state.finish_part(plan, table);
    }

    /// Records an error, and lets all readers end after the part that they read. Of several errors, that of the first
    /// table remains.
    pub(crate) fn fail(&self, table: usize, cause: Cause) {
        self.source.clear();
        self.target.clear();
        let failure = &mut locked(&self.state).failure;
        if failure.as_ref().is_none_or(|(first, _)| table < *first) {
            *failure = Some((table, cause));
        }
    }

    /// Returns, for each table, the number of its rows if both sides are equal; and the number of tables, from the first
    /// one on, that were reported to be equal. To be called when all readers have ended.
    ///
    /// # Errors
    /// Fails if one of the tables could not be read.
    pub(crate) fn results(&self) -> Result<(Vec<Option<u64>>, usize), Cause> {
        let mut state = locked(&self.state);
        match state.failure.take() {
            Some((_, cause)) => Err(cause),
            None => Ok((state.tables.iter().map(TableState::equal_rows).collect(), state.reported)),
        }
    }
}

impl TableState {
    /// Returns the number of rows if all of them are read and equal on both sides.
    fn equal_rows(&self) -> Option<u64> {
        (self.remaining == 0 && self.source == Some(self.target)).then(|| self.target.rows())
    }
}

impl WorkState {
    /// Counts a part of a table, and reports the tables that are equal, in their order.
    fn finish_part(&mut self, plan: &TransferPlan, table: usize) {
        self.tables[table].remaining -= 1;
        while let Some(rows) = self.tables.get(self.reported).and_then(TableState::equal_rows) {
            let mapping = &plan.mappings[self.reported];
            tracing::info!(rows, "{} and {} are equal", mapping.source.name, mapping.target.quoted());
            self.reported += 1;
        }
    }
}

/// Locks a mutex. A poisoned one is accepted: a panic ends the run.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_table_have_all_of_it_once() {
        let rows =
            |rowids, bytes| source_parts(3, rowids, bytes).into_iter().map(|part| (part.range.first, part.range.end));
        let all = vec![(None, None)];
        assert_eq!(rows(None, Some(3 * PART_BYTES)).collect::<Vec<_>>(), all);
        assert_eq!(rows(Some((1, 90)), None).collect::<Vec<_>>(), all);
        assert_eq!(rows(Some((1, 90)), Some(PART_BYTES)).collect::<Vec<_>>(), all);
        let three: Vec<_> = rows(Some((1, 90)), Some(3 * PART_BYTES)).collect();
        assert_eq!(three, [(None, Some(31)), (Some(31), Some(61)), (Some(61), None)]);
        let widest: Vec<_> = rows(Some((i64::MIN, i64::MAX)), Some(2 * PART_BYTES)).collect();
        assert_eq!(widest, [(None, Some(0)), (Some(0), None)]);
        // More parts than rows.
        let few: Vec<_> = rows(Some((5, 6)), Some(9 * PART_BYTES)).collect();
        assert!(few.is_sorted() && few.first().is_some_and(|part| part.0.is_none()), "{few:?}");
        let blocks = |blocks, bytes| target_parts(0, TableExtent { blocks, bytes });
        assert_eq!(blocks(0, 9 * PART_BYTES), [TablePart { table: 0, range: BlockRange::default() }]);
        let conditions: Vec<String> = blocks(10, 2 * PART_BYTES).iter().map(|part| part.range.condition()).collect();
        assert_eq!(conditions, [" WHERE ctid < '(5,0)'", " WHERE ctid >= '(5,0)'"]);
        assert_eq!(blocks(2, 9 * PART_BYTES).len(), 2);
    }
}
