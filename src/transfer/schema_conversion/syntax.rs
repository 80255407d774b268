//! A parser for the properties that only the SQL text of a definition contains: checks, names of constraints,
//! collations, generated columns, DEFERRABLE; and the expressions and the condition of an index.

use super::tokenizer::{Word, tokenize};

/// The properties in the text of a CREATE TABLE.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TableSyntax {
    /// The CHECK constraints of the table and of its columns.
    pub(crate) checks: Vec<CheckSyntax>,
    /// The foreign keys in the order of the text.
    pub(crate) foreign_keys: Vec<ForeignKeySyntax>,
    /// The PRIMARY KEY and UNIQUE constraints with a name: the name, and the columns in lower case.
    pub(crate) names: Vec<(String, Vec<String>)>,
    /// The columns, in the order of the text.
    pub(crate) columns: Vec<ColumnSyntax>,
    /// The table constraints with an ON CONFLICT other than ABORT, as they were written.
    pub(crate) conflicts: Vec<String>,
}

/// A CHECK constraint.
#[derive(Debug, PartialEq)]
pub(super) struct CheckSyntax {
    /// The name of the constraint, if it has one.
    pub(crate) name: Option<String>,
    /// The expression between the parentheses.
    pub(crate) text: String,
}

/// A foreign key.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ForeignKeySyntax {
    /// The name of the constraint, if it has one.
    pub(crate) name: Option<String>,
    /// True for `DEFERRABLE INITIALLY DEFERRED`.
    pub(crate) deferred: bool,
}

/// A column.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ColumnSyntax {
    /// The name of the column.
    pub(crate) name: String,
    /// The name of the collation, if the column has one.
    pub(crate) collation: Option<String>,
    /// The expression of a generated column.
    pub(crate) expression: Option<String>,
    /// The column constraints with an ON CONFLICT other than ABORT, as they were written.
    pub(crate) conflicts: Vec<String>,
}

/// The properties in the text of a CREATE INDEX.
#[derive(Debug, PartialEq)]
pub(super) struct IndexSyntax {
    /// The columns and expressions, as they were written, without direction and collation.
    pub(crate) parts: Vec<String>,
    /// The condition of a partial index.
    pub(crate) condition: Option<String>,
}

/// Parses a CREATE TABLE, or returns `None` when a part of it is not supported.
pub(super) fn table(sql: &str) -> Option<TableSyntax> {
    let words = tokenize(sql)?;
    let open = words.iter().position(|word| word.is_symbol("("))?;
    let close = closing_parenthesis(&words, open)?;
    let mut table = TableSyntax::default();
    for part in split_at_commas(&words[open + 1..close]) {
        let column_count = table.columns.len();
        definition(sql, part, &mut table)?;
        let column_conflicts = table.columns.get_mut(column_count).map(|column| &mut column.conflicts);
        column_conflicts.unwrap_or(&mut table.conflicts).extend(conflicts(sql, part));
    }
    Some(table)
}

/// Parses a CREATE INDEX, or returns `None` when a part of it is not supported.
pub(super) fn index(sql: &str) -> Option<IndexSyntax> {
    let words = tokenize(sql)?;
    let on = words.iter().position(|word| word.is("ON"))?;
    let open = on + words[on..].iter().position(|word| word.is_symbol("("))?;
    let close = closing_parenthesis(&words, open)?;
    let parts = split_at_commas(&words[open + 1..close]).into_iter().map(|part| {
        let mut part = part;
        while let [head @ .., last] = part {
            let has_collation = head.last().is_some_and(|word| word.is("COLLATE"));
            part = match head {
                _ if last.is("ASC") || last.is("DESC") => head,
                [head @ .., _] if has_collation => head,
                _ => break,
            };
        }
        source_text(sql, part)
    });
    let parts = parts.collect::<Option<Vec<_>>>()?;
    let condition = match words.get(close + 1) {
        None => None,
        Some(word) if word.is("WHERE") => Some(source_text(sql, &words[close + 2..])?),
        Some(_) => return None,
    };
    Some(IndexSyntax { parts, condition })
}

/// Returns the index of the parenthesis that closes the one at `open`.
fn closing_parenthesis(words: &[Word<'_>], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(open) {
        depth += i32::from(word.is_symbol("(")) - i32::from(word.is_symbol(")"));
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Splits words at the commas outside of parentheses.
fn split_at_commas<'a, 't>(words: &'a [Word<'t>]) -> Vec<&'a [Word<'t>]> {
    let mut depth = 0;
    words
        .split(|word| {
            depth += i32::from(word.is_symbol("(")) - i32::from(word.is_symbol(")"));
            depth == 0 && word.is_symbol(",")
        })
        .collect()
}

/// Returns the text from the first word to the last one.
fn source_text(sql: &str, words: &[Word<'_>]) -> Option<String> {
    Some(sql[words.first()?.at..words.last()?.end()].to_owned())
}

/// Parses a column with its constraints, or a constraint of the table.
fn definition(sql: &str, part: &[Word<'_>], table: &mut TableSyntax) -> Option<()> {
    const TABLE_CONSTRAINTS: [&str; 5] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
    let first = part.first()?;
    let column = match TABLE_CONSTRAINTS.iter().any(|word| first.is(word)) {
        true => None,
        false => Some(first.name()?.to_owned()),
    };
    let mut column_syntax = ColumnSyntax { name: column.clone().unwrap_or_default(), ..ColumnSyntax::default() };
    let mut name = None;
    let mut at = usize::from(column.is_some());
    while let Some(word) = part.get(at) {
        let open = (at + 1..part.len()).find(|&at| part[at].is_symbol("("));
        let parentheses = |open: usize| Some((open, closing_parenthesis(part, open)?));
        at += 1;
        if word.is("CONSTRAINT") {
            // PostgreSQL does not allow an empty name; the constraint gets another one.
            name = Some(part.get(at)?.name()?.to_owned()).filter(|name| !name.is_empty());
            at += 1;
        } else if word.is("CHECK") || word.is("AS") {
            let (open, close) = parentheses(open?)?;
            let text = source_text(sql, &part[open + 1..close])?;
            at = close + 1;
            match word.is("AS") {
                true => column_syntax.expression = Some(text),
                false => table.checks.push(CheckSyntax { name: name.take(), text }),
            }
        } else if word.is("COLLATE") {
            column_syntax.collation = Some(part.get(at)?.name()?.to_owned());
        } else if word.is("REFERENCES") {
            table.foreign_keys.push(ForeignKeySyntax { name: name.take(), deferred: is_deferred(&part[at..]) });
        } else if word.is("PRIMARY") || word.is("UNIQUE") {
            let columns = match &column {
                Some(column) => vec![column.to_lowercase()],
                None => parentheses(open?).map(|(open, close)| names_in(&part[open + 1..close]))?,
            };
            table.names.extend(name.take().map(|name| (name, columns)));
        } else if word.is_symbol("(") {
            at = closing_parenthesis(part, at - 1)? + 1;
        }
    }
    table.columns.extend(column.map(|_| column_syntax));
    Some(())
}

/// Returns the constraints with an ON CONFLICT that PostgreSQL does not have: all but ABORT.
fn conflicts(sql: &str, part: &[Word<'_>]) -> Vec<String> {
    let (mut start, mut depth, mut found) = (0, 0, Vec::new());
    for (at, word) in part.iter().enumerate() {
        depth += i32::from(word.is_symbol("(")) - i32::from(word.is_symbol(")"));
        if depth > 0 {
            continue;
        }
        if ["NOT", "PRIMARY", "UNIQUE", "CHECK"].iter().any(|first| word.is(first)) {
            start = at;
        }
        if let [on, conflict, action, ..] = &part[at..]
            && on.is("ON")
            && conflict.is("CONFLICT")
            && !action.is("ABORT")
        {
            found.extend(source_text(sql, &part[start..at + 3]));
        }
    }
    found
}

/// Returns the names of columns in lower case.
fn names_in(words: &[Word<'_>]) -> Vec<String> {
    let first = |part: &[Word<'_>]| part.first().and_then(Word::name).map(str::to_lowercase);
    split_at_commas(words).into_iter().filter_map(first).collect()
}

/// Reports whether a foreign key is checked only at the end of a transaction. A DEFERRABLE of the next constraint does
/// not count.
fn is_deferred(words: &[Word<'_>]) -> bool {
    const NEXT_CLAUSES: [&str; 7] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "REFERENCES", "COLLATE"];
    let end = words.iter().position(|word| NEXT_CLAUSES.iter().any(|next| word.is(next))).unwrap_or(words.len());
    let clause = &words[..end];
    let Some(at) = clause.iter().position(|word| word.is("DEFERRABLE")) else { return false };
    let is_negated = at > 0 && clause[at - 1].is("NOT");
    let is_initially_deferred = clause.get(at + 2).is_some_and(|word| word.is("DEFERRED"));
    !is_negated && is_initially_deferred
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_table_tells_what_no_pragma_does() {
        let sql = "CREATE TABLE \"a b\" (id INTEGER PRIMARY KEY, -- the key, (a number\n
            name varchar(20) COLLATE NOCASE NOT NULL CONSTRAINT named CHECK (length(name) > (1)) UNIQUE,
            total AS (a + b) STORED, p int REFERENCES t(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
            d text DEFAULT ('check (x), y'), CONSTRAINT uq UNIQUE (\"Name\", p), CHECK (p > 0)
            CONSTRAINT fk FOREIGN KEY (p) REFERENCES t NOT DEFERRABLE) WITHOUT ROWID";
        let found = table(sql).expect("a table");
        let checks: Vec<_> = found.checks.iter().map(|check| (check.name.as_deref(), check.text.as_str())).collect();
        assert_eq!(checks, [(Some("named"), "length(name) > (1)"), (None, "p > 0")]);
        assert_eq!(found.names, [("uq".to_owned(), vec!["name".to_owned(), "p".to_owned()])]);
        let columns: Vec<&str> = found.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(columns, ["id", "name", "total", "p", "d"]);
        assert_eq!(found.columns[1].collation.as_deref(), Some("NOCASE"));
        assert_eq!(found.columns[2].expression.as_deref(), Some("a + b"));
        let keys: Vec<_> = found.foreign_keys.iter().map(|key| (key.name.as_deref(), key.deferred)).collect();
        assert_eq!(keys, [(None, true), (Some("fk"), false)]);
    }

    #[test]
    fn a_constraint_is_told_with_its_on_conflict_unless_that_is_the_usual_one() {
        let sql = "CREATE TABLE t (a INT NOT NULL ON CONFLICT REPLACE DEFAULT 1 UNIQUE ON CONFLICT ABORT, conflict INT,
            b INT REFERENCES t ON DELETE CASCADE, PRIMARY KEY (a, b) ON CONFLICT IGNORE, CHECK (a > 0) ON CONFLICT fail)";
        let found = table(sql).expect("a table");
        assert_eq!(found.columns[0].conflicts, ["NOT NULL ON CONFLICT REPLACE"]);
        assert!(found.columns[1..].iter().all(|column| column.conflicts.is_empty()));
        assert_eq!(found.conflicts, ["PRIMARY KEY (a, b) ON CONFLICT IGNORE", "CHECK (a > 0) ON CONFLICT fail"]);
    }

    #[test]
    fn the_text_of_an_index_tells_its_expressions_and_its_condition() {
        let found = index("CREATE UNIQUE INDEX i ON t (a COLLATE nocase DESC, lower(b), [c d] ASC) WHERE a > 1");
        let found = found.expect("an index");
        assert_eq!(found.parts, ["a", "lower(b)", "[c d]"]);
        assert_eq!(found.condition.as_deref(), Some("a > 1"));
        assert_eq!(index("CREATE INDEX i ON t (a").map(|index| index.parts), None);
    }
}
