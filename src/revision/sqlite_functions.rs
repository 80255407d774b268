//! Finds calls of functions that SQLite does not have: applications register functions of their own with their
//! connections, and only they can run such a statement.

use super::lexer::{Lexer, Token};
use crate::dialect::Dialect;

/// The verbs of statements whose functions SQLite looks up when it prepares them. Those of a view or a trigger are looked
/// up when it is used.
const VERBS: [&str; 6] = ["DELETE", "INSERT", "REPLACE", "SELECT", "UPDATE", "WITH"];

/// The keywords behind which the parts of a statement are expressions.
const EXPRESSIONS: [&str; 10] =
    ["BY", "HAVING", "LIMIT", "ON", "RETURNING", "SELECT", "SET", "USING", "VALUES", "WHERE"];

/// The keywords behind which the parts of a statement are tables, which may have parentheses, too.
const TABLES: [&str; 4] = ["FROM", "INTO", "JOIN", "WITH"];

/// The keywords behind which an operand stands.
const OPERATORS: [&str; 15] = [
    "ALL", "AND", "BETWEEN", "CASE", "DISTINCT", "ELSE", "ESCAPE", "GLOB", "IS", "LIKE", "NOT", "OFFSET", "OR", "THEN",
    "WHEN",
];

/// Other keywords that have parentheses behind them.
const OTHERS: [&str; 12] =
    ["AS", "CAST", "CONFLICT", "EXISTS", "FILTER", "IN", "MATCH", "MATERIALIZED", "OVER", "RAISE", "REGEXP", "UNION"];

/// Returns the first call of a function that SQLite does not have: the byte in the statement, and the name.
pub(crate) fn unknown_call(statement: &str) -> Option<(usize, &str)> {
    let mut lexer = Lexer::new(statement, Dialect::Sqlite);
    lexer.next();
    if !VERBS.iter().any(|verb| lexer.is(verb)) {
        return None;
    }
    let mut calls = Calls { clauses: vec![Clause::Expressions], may_begin_operand: false };
    calls.read_word(lexer.token());
    let mut word = None;
    loop {
        match lexer.next() {
            Token::Word => {
                let is_operand = calls.may_begin_operand && !is_known(lexer.token());
                word = is_operand.then_some((lexer.start, lexer.token()));
                calls.read_word(lexer.token());
                continue;
            }
            Token::Symbol(b'(') if word.is_some() => return word,
            Token::Symbol(symbol) => calls.read_symbol(symbol),
            Token::Name | Token::Literal => calls.may_begin_operand = false,
            Token::Unterminated(_) | Token::End => return None,
        }
        word = None;
    }
}

/// The part of a statement that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clause {
    Expressions,
    Tables,
}

/// The place in a statement.
struct Calls {
    /// The clause, for each parenthesis that is open.
    clauses: Vec<Clause>,
    /// True where an operand of an expression may begin.
    may_begin_operand: bool,
}

impl Calls {
    fn read_word(&mut self, word: &str) {
        let is_one_of = |list: &[&str]| list.iter().any(|keyword| word.eq_ignore_ascii_case(keyword));
        let clause = match (is_one_of(&EXPRESSIONS), is_one_of(&TABLES)) {
            (true, _) => Some(Clause::Expressions),
            (_, true) => Some(Clause::Tables),
            _ => None,
        };
        if let (Some(clause), Some(present)) = (clause, self.clauses.last_mut()) {
            *present = clause;
        }
        self.may_begin_operand = clause == Some(Clause::Expressions) || is_one_of(&OPERATORS);
    }

    fn read_symbol(&mut self, symbol: u8) {
        match symbol {
            b'(' => {
                let clause = self.clauses.last().copied().unwrap_or(Clause::Tables);
                self.clauses.push(clause);
            }
            b')' => drop(self.clauses.pop()),
            _ => {}
        }
        let is_expression = self.clauses.last() == Some(&Clause::Expressions);
        self.may_begin_operand = is_expression && !matches!(symbol, b')' | b'.' | b';');
    }
}

/// Returns whether a word is a keyword, or a function of SQLite.
fn is_known(word: &str) -> bool {
    let is_keyword = |list: &[&str]| list.iter().any(|keyword| word.eq_ignore_ascii_case(keyword));
    is_keyword(&EXPRESSIONS)
        || is_keyword(&TABLES)
        || is_keyword(&OPERATORS)
        || is_keyword(&OTHERS)
        || FUNCTIONS.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
        || word.get(..PRAGMA.len()).is_some_and(|start| start.eq_ignore_ascii_case(PRAGMA))
}

/// The beginning of the names of pragmas that are read as tables.
const PRAGMA: &str = "pragma_";

/// The functions and the modules that the SQLite of this binary has, in the order of their letters.
#[rustfmt::skip]
const FUNCTIONS: &[&str] = &[
    "abs", "avg", "bm25", "changes", "char", "coalesce", "concat", "concat_ws", "count", "cume_dist", "current_date",
    "current_time", "current_timestamp", "date", "datetime", "dbstat", "dense_rank", "first_value", "format", "fts3",
    "fts3_tokenizer", "fts3tokenize", "fts4", "fts4aux", "fts5", "fts5_get_locale", "fts5_insttoken", "fts5_locale",
    "fts5_source_id", "fts5vocab", "glob", "group_concat", "hex", "highlight", "if", "ifnull", "iif", "instr", "json",
    "json_array", "json_array_length", "json_each", "json_error_position", "json_extract", "json_group_array", "json_group_object",
    "json_insert", "json_object", "json_patch", "json_pretty", "json_quote", "json_remove", "json_replace",
    "json_set", "json_tree", "json_type", "json_valid", "jsonb", "jsonb_array", "jsonb_each", "jsonb_extract", "jsonb_group_array",
    "jsonb_group_object", "jsonb_insert", "jsonb_object", "jsonb_patch", "jsonb_remove", "jsonb_replace", "jsonb_set",
    "jsonb_tree",
    "julianday", "lag", "last_insert_rowid", "last_value", "lead", "length", "like", "likelihood", "likely", "lower",
    "ltrim", "match", "matchinfo", "max", "min", "nth_value", "ntile", "nullif", "octet_length", "offsets",
    "optimize", "percent_rank", "printf", "quote", "random", "randomblob", "rank", "replace", "round", "row_number",
    "rtree", "rtree_i32", "rtreecheck", "rtreedepth", "rtreenode", "rtrim", "sign", "snippet", "soundex",
    "sqlite_compileoption_get", "sqlite_compileoption_used", "sqlite_log", "sqlite_source_id", "sqlite_version",
    "strftime", "string_agg", "substr", "substring", "subtype", "sum", "time", "timediff", "total", "total_changes",
    "trim", "typeof", "unhex", "unicode", "unistr", "unistr_quote", "unixepoch", "unlikely", "upper", "zeroblob",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_unknown_functions_are_found() {
        for (statement, expected) in [
            ("select slug(name) from t", Some("slug")),
            ("insert into t (id, name) values (1, slug('a')), (2, lower('b'))", Some("slug")),
            ("INSERT INTO t SELECT 1, coalesce(a, Slug (b)) FROM x", Some("Slug")),
            ("update t set a = 1 + slug(b) where c = 2", Some("slug")),
            ("delete from t where not is_valid(a)", Some("is_valid")),
            ("with c(x) as (select slug(1)) select x from c", Some("slug")),
            ("select case when f(a) then 1 end from t", Some("f")),
            ("select a from t join u on g(t.a) = u.b", Some("g")),
            ("select count(*), max(a, b), json_extract(c, '$.d') from t where a in (1, 2) and exists (select 1)", None),
            ("insert into t(a, b) values (1, 2) on conflict(a) do update set b = excluded.b", None),
            ("insert into main.t (a) select cast(b as decimal(10, 2)) from u as v", None),
            ("with a(x) as (values (1)), b(y) as materialized (select x from a) select * from b", None),
            ("with recursive c(n) as (select 1 union all select n + 1 from c where n < 9) select n from c", None),
            ("select * from t, json_each(t.a), docs('x')", None),
            ("select * from pragma_table_info('t') where name like 'a(b' -- f(x)", None),
            (
                "select row_number() over (partition by a order by b), sum(c) filter (where d) over w from t window w as (order by e)",
                None,
            ),
            ("select (a, b) = (select 1, 2), -(c), 'f' || (d) from t", None),
            ("create view v as select slug(name) from t", None),
            ("create table t (a varchar(20) check (f(a)), b decimal(10, 2))", None),
        ] {
            assert_eq!(unknown_call(statement).map(|(_, name)| name), expected, "{statement}");
        }
        assert_eq!(unknown_call("select  f(1)"), Some((8, "f")));
        assert!(FUNCTIONS.is_sorted());
    }
}
