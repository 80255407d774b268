//! A parser for the expressions of SQLite that may have a translation to PostgreSQL:
//! <https://sqlite.org/lang_expr.html>.

use super::tokenizer::{Word, WordKind, tokenize};

/// An expression of SQLite.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// A column. A name in double quotes is a string when there is no such column.
    Name(String),
    /// An integer, with its decimal digits.
    Integer(String),
    /// A floating point number, as it was written.
    Real(String),
    /// A string.
    Text(String),
    /// A blob, with its hexadecimal digits.
    Blob(String),
    Null,
    True,
    False,
    /// CURRENT_TIMESTAMP, CURRENT_DATE or CURRENT_TIME.
    Current(String),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    /// An operator with two operands.
    Binary(&'static str, Box<Expression>, Box<Expression>),
    In(Box<Expression>, Vec<Expression>),
    Between(Box<Expression>, Box<[Expression; 2]>),
    /// A call of a function, with its name in lower case.
    Call(String, Vec<Expression>),
}

use Expression as E;

/// Parses a whole text, or returns `None` when a part of the text is not supported here.
pub(super) fn parse(text: &str) -> Option<Expression> {
    let words = tokenize(text)?;
    let mut parser = Parser { words: &words, at: 0, depth: 0 };
    let expression = parser.expression(0)?;
    (parser.at == words.len()).then_some(expression)
}

/// The maximum nesting depth, which is greater than in any definition that a person wrote.
const MAX_DEPTH: u32 = 100;

/// The operators by rising precedence: the precedence, the operator of PostgreSQL, and its spellings in SQLite.
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
const NOT_PRECEDENCE: u8 = 3;
/// The precedence of `=`, IS, IN and BETWEEN.
const EQUALITY_PRECEDENCE: u8 = 4;
const UNARY_PRECEDENCE: u8 = 10;

struct Parser<'a> {
    words: &'a [Word<'a>],
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Word<'_>> {
        self.words.get(self.at)
    }

    /// Consumes the next word if it is this keyword or symbol, and reports whether it is.
    fn accept(&mut self, keyword: &str) -> bool {
        let is_accepted = self.peek().is_some_and(|word| word.is(keyword) || word.is_symbol(keyword));
        self.at += usize::from(is_accepted);
        is_accepted
    }

    /// Parses an expression whose operators have at least the precedence `least`.
    fn expression(&mut self, min_precedence: u8) -> Option<Expression> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut left = self.operand()?;
        while let Some(extended) = self.binary_operation(&left, min_precedence)? {
            left = extended;
        }
        self.depth -= 1;
        Some(left)
    }

    /// Parses what follows an operand: `Some(None)` means that no operator of the precedence `least` follows.
    fn binary_operation(&mut self, left: &Expression, min_precedence: u8) -> Option<Option<Expression>> {
        let left_operand = || Box::new(left.clone());
        let operator = OPERATORS.iter().find(|(_, _, spellings)| {
            spellings
                .iter()
                .any(|spelling| self.peek().is_some_and(|word| word.is(spelling) || word.is_symbol(spelling)))
        });
        if let Some(&(precedence, operator, _)) = operator {
            if precedence < min_precedence {
                return Some(None);
            }
            self.at += 1;
            let right = self.expression(precedence + 1)?;
            return Some(Some(E::Binary(operator, left_operand(), Box::new(right))));
        }
        if min_precedence > EQUALITY_PRECEDENCE {
            return Some(None);
        }
        let start = self.at;
        let is_negated = self.accept("NOT");
        let operation = if self.accept("IN") {
            E::In(left_operand(), self.list()?)
        } else if self.accept("BETWEEN") {
            let low = self.expression(EQUALITY_PRECEDENCE + 1)?;
            if !self.accept("AND") {
                return None;
            }
            E::Between(left_operand(), Box::new([low, self.expression(EQUALITY_PRECEDENCE + 1)?]))
        } else if is_negated && self.accept("NULL") {
            return Some(Some(E::Not(Box::new(E::Binary("IS", left_operand(), Box::new(E::Null))))));
        } else if self.accept("ISNULL") {
            E::Binary("IS", left_operand(), Box::new(E::Null))
        } else if self.accept("NOTNULL") {
            E::Not(Box::new(E::Binary("IS", left_operand(), Box::new(E::Null))))
        } else if self.accept("IS") {
            return self.parse_is(left).map(Some);
        } else {
            self.at = start;
            return Some(None);
        };
        Some(Some(if is_negated { E::Not(Box::new(operation)) } else { operation }))
    }

    /// Parses the rest of an IS or IS NOT after the keyword IS.
    fn parse_is(&mut self, left: &Expression) -> Option<Expression> {
        let is_negated = self.accept("NOT");
        if self.accept("DISTINCT") {
            return None;
        }
        let right = self.expression(EQUALITY_PRECEDENCE + 1)?;
        let operation = E::Binary("IS", Box::new(left.clone()), Box::new(right));
        Some(if is_negated { E::Not(Box::new(operation)) } else { operation })
    }

    /// Parses a list of expressions in parentheses.
    fn list(&mut self) -> Option<Vec<Expression>> {
        if !self.accept("(") {
            return None;
        }
        let mut list = Vec::new();
        while !self.accept(")") {
            if !list.is_empty() && !self.accept(",") {
                return None;
            }
            list.push(self.expression(0)?);
        }
        Some(list)
    }

    /// Parses an operand with its unary operators.
    fn operand(&mut self) -> Option<Expression> {
        if self.accept("NOT") {
            return Some(E::Not(Box::new(self.expression(NOT_PRECEDENCE)?)));
        }
        if self.accept("-") {
            return Some(E::Negative(Box::new(self.expression(UNARY_PRECEDENCE)?)));
        }
        if self.accept("+") {
            return self.expression(UNARY_PRECEDENCE);
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

    /// Parses a call, a constant or a name, after its first word.
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
