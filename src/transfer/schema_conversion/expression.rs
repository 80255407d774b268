//! SQLite's expressions, as far as they can be said in PostgreSQL: <https://sqlite.org/lang_expr.html>.

use super::tokenizer::{Word, WordKind, tokenize};

/// An expression as SQLite reads it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// A column; in double quotes it is a string when there is no such column.
    Name(String),
    Integer(String),
    Real(String),
    Text(String),
    /// Hexadecimal digits.
    Blob(String),
    Null,
    True,
    False,
    /// CURRENT_TIMESTAMP, CURRENT_DATE, CURRENT_TIME.
    Current(String),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Binary(&'static str, Box<Expression>, Box<Expression>),
    In(Box<Expression>, Vec<Expression>),
    Between(Box<Expression>, Box<[Expression; 2]>),
    Call(String, Vec<Expression>),
}

use Expression as E;

/// Reads a whole text; nothing when there is something in it that is not known here.
pub(super) fn parse(text: &str) -> Option<Expression> {
    let words = tokenize(text)?;
    let mut parser = Parser { words: &words, at: 0, depth: 0 };
    let expression = parser.expression(0)?;
    (parser.at == words.len()).then_some(expression)
}

/// Deeper than any definition that a person wrote.
const DEPTH: u32 = 100;

/// From the loosest to the tightest: how tightly an operator binds, and how SQLite may spell it.
const OPERATORS: &[(u8, &str, &[&str])] = &[
    (1, "OR", &["OR"]),
    (2, "AND", &["AND"]),
    (4, "=", &["=", "=="]),
    (4, "<>", &["<>", "!="]),
    (5, "<=", &["<="]),
    (5, ">=", &[">="]),
    (5, "<", &["<"]),
    (5, ">", &[">"]),
    (7, "+", &["+"]),
    (7, "-", &["-"]),
    (8, "*", &["*"]),
    (8, "/", &["/"]),
    (8, "%", &["%"]),
    (9, "||", &["||"]),
];
const NOT: u8 = 3;
/// `=`, IS, IN, BETWEEN have one strength.
const EQUALITY: u8 = 4;
const UNARY: u8 = 10;

struct Parser<'a> {
    words: &'a [Word<'a>],
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Word<'_>> {
        self.words.get(self.at)
    }

    fn takes(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|word| word.is(keyword) || word.is_symbol(keyword));
        self.at += usize::from(found);
        found
    }

    /// An expression of operators that bind at least as tightly.
    fn expression(&mut self, least: u8) -> Option<Expression> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let mut left = self.operand()?;
        while let Some(more) = self.more(&left, least)? {
            left = more;
        }
        self.depth -= 1;
        Some(left)
    }

    /// What goes on behind an operand: `Some(None)` when nothing does.
    fn more(&mut self, left: &Expression, least: u8) -> Option<Option<Expression>> {
        let boxed = || Box::new(left.clone());
        let operator = OPERATORS.iter().find(|(_, _, spellings)| {
            spellings.iter().any(|s| self.peek().is_some_and(|word| word.is(s) || word.is_symbol(s)))
        });
        if let Some(&(strength, operator, _)) = operator {
            if strength < least {
                return Some(None);
            }
            self.at += 1;
            let right = self.expression(strength + 1)?;
            return Some(Some(E::Binary(operator, boxed(), Box::new(right))));
        }
        if least > EQUALITY {
            return Some(None);
        }
        let start = self.at;
        let negated = self.takes("NOT");
        let found = if self.takes("IN") {
            E::In(boxed(), self.list()?)
        } else if self.takes("BETWEEN") {
            let low = self.expression(EQUALITY + 1)?;
            if !self.takes("AND") {
                return None;
            }
            E::Between(boxed(), Box::new([low, self.expression(EQUALITY + 1)?]))
        } else if negated && self.takes("NULL") {
            return Some(Some(E::Not(Box::new(E::Binary("IS", boxed(), Box::new(E::Null))))));
        } else if self.takes("ISNULL") {
            E::Binary("IS", boxed(), Box::new(E::Null))
        } else if self.takes("NOTNULL") {
            E::Not(Box::new(E::Binary("IS", boxed(), Box::new(E::Null))))
        } else if self.takes("IS") {
            return self.is(left).map(Some);
        } else {
            self.at = start;
            return Some(None);
        };
        Some(Some(if negated { E::Not(Box::new(found)) } else { found }))
    }

    fn is(&mut self, left: &Expression) -> Option<Expression> {
        let negated = self.takes("NOT");
        if self.takes("DISTINCT") {
            return None;
        }
        let right = self.expression(EQUALITY + 1)?;
        let found = E::Binary("IS", Box::new(left.clone()), Box::new(right));
        Some(if negated { E::Not(Box::new(found)) } else { found })
    }

    /// Expressions in parentheses, from behind the opening one or with it.
    fn list(&mut self) -> Option<Vec<Expression>> {
        if !self.takes("(") {
            return None;
        }
        let mut list = Vec::new();
        while !self.takes(")") {
            if !list.is_empty() && !self.takes(",") {
                return None;
            }
            list.push(self.expression(0)?);
        }
        Some(list)
    }

    fn operand(&mut self) -> Option<Expression> {
        if self.takes("NOT") {
            return Some(E::Not(Box::new(self.expression(NOT)?)));
        }
        if self.takes("-") {
            return Some(E::Negative(Box::new(self.expression(UNARY)?)));
        }
        if self.takes("+") {
            return self.expression(UNARY);
        }
        if self.peek()?.is_symbol("(") {
            let mut list = self.list()?;
            return if list.len() == 1 { list.pop() } else { None };
        }
        let word = self.words.get(self.at)?;
        self.at += 1;
        match &word.kind {
            WordKind::Name(name) => Some(E::Name(name.clone())),
            WordKind::Text(text) => Some(E::Text(text.clone())),
            WordKind::Blob(digits) => Some(E::Blob(digits.clone())),
            WordKind::Number if word.text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(E::Integer(word.text.to_owned()))
            }
            WordKind::Number if word.text.contains(['x', 'X']) => None,
            WordKind::Number => Some(E::Real(word.text.to_owned())),
            WordKind::Word => self.parse_call(word.text),
            WordKind::Symbol => None,
        }
    }

    fn parse_call(&mut self, word: &str) -> Option<Expression> {
        let upper = word.to_ascii_uppercase();
        if self.peek().is_some_and(|next| next.is_symbol("(")) {
            return Some(E::Call(word.to_ascii_lowercase(), self.list()?));
        }
        match upper.as_str() {
            "NULL" => Some(E::Null),
            "TRUE" => Some(E::True),
            "FALSE" => Some(E::False),
            "CURRENT_TIMESTAMP" | "CURRENT_DATE" | "CURRENT_TIME" => Some(E::Current(upper)),
            "CASE" | "CAST" | "EXISTS" | "SELECT" | "RAISE" => None,
            _ => Some(E::Name(word.to_owned())),
        }
    }
}
