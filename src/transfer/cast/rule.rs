//! Rules for a column (`--cast table.column=RULE`) whose values would not fit without them.

use std::fmt;

use super::WritableType;

/// A rule for the values of some storage classes in columns of some types. All other values are converted as without
/// the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CastRule {
    /// Numbers are seconds since 1970-01-01 UTC.
    UnixS,
    /// Numbers are milliseconds since 1970-01-01 UTC.
    UnixMs,
    /// Numbers are microseconds since 1970-01-01 UTC.
    UnixUs,
    /// Numbers are nanoseconds since 1970-01-01 UTC.
    UnixNs,
    /// Numbers are Julian days.
    Julian,
    /// Numbers are microseconds since 1601-01-01 UTC, as in Chromium.
    Webkit,
    /// Numbers are seconds since 2001-01-01 UTC, as in Apple's Cocoa.
    Cocoa,
    /// Numbers are tenths of microseconds since 1601-01-01 UTC, as in Windows.
    Filetime,
    /// Booleans may be written as yes, no, y, n, on and off.
    Words,
    /// Integers may be texts of digits.
    IntegerText,
    /// Floating point numbers may be texts of decimal numbers.
    DecimalText,
    /// Numbers are written as text.
    AsText,
    /// The bytes of a blob are a text in UTF-8, or the bytes of a text are the contents of a bytea.
    Utf8,
    /// Bytes are written or read as hexadecimal digits.
    Hex,
    /// Bytes are written or read as Base64.
    Base64,
    /// The empty text becomes NULL.
    EmptyAsNull,
    /// Digits of a second that the column cannot store are cut off.
    TruncateFraction,
    /// Numbers are rounded to the nearest one that the column can store.
    Round,
    /// Infinities and NaN are accepted as words.
    NonFinite,
}

/// The types for which a rule is.
#[derive(Clone, Copy)]
enum RuleTypes {
    Instants,
    Times,
    Boolean,
    Integers,
    Floats,
    Inexact,
    Texts,
    Documents,
    Bytes,
    All,
}

/// All rules: the rule, its name, the types for which it is, and its meaning in words.
const RULES: &[(CastRule, &str, &[RuleTypes], &str)] = {
    use RuleTypes::*;
    &[
        (CastRule::UnixS, "unix-s", &[Instants], "numbers are seconds since 1970-01-01 UTC"),
        (CastRule::UnixMs, "unix-ms", &[Instants], "numbers are milliseconds since 1970-01-01 UTC"),
        (CastRule::UnixUs, "unix-us", &[Instants], "numbers are microseconds since 1970-01-01 UTC"),
        (CastRule::UnixNs, "unix-ns", &[Instants], "numbers are nanoseconds since 1970-01-01 UTC"),
        (CastRule::Julian, "julian", &[Instants], "numbers are Julian days, read to the millisecond as SQLite does"),
        (
            CastRule::Webkit,
            "webkit",
            &[Instants],
            "numbers are microseconds since 1601-01-01 UTC, as Chromium writes them",
        ),
        (
            CastRule::Cocoa,
            "cocoa",
            &[Instants],
            "numbers are seconds since 2001-01-01 UTC, as Apple's Cocoa writes them",
        ),
        (
            CastRule::Filetime,
            "filetime",
            &[Instants],
            "numbers are Windows' tenths of microseconds since 1601-01-01 UTC",
        ),
        (CastRule::Words, "words", &[Boolean], "takes yes, no, y, n, on and off too"),
        (CastRule::IntegerText, "integer-text", &[Integers], "takes texts of digits alone, perhaps with a minus"),
        (CastRule::DecimalText, "decimal-text", &[Floats], "takes texts such as -12.5 and 1e-3"),
        (CastRule::AsText, "as-text", &[Texts, Documents], "writes numbers as text: 12, 12.5, 1e-7"),
        (
            CastRule::Utf8,
            "utf8",
            &[Texts, Documents, Bytes],
            "takes the bytes of blobs as text in UTF-8, those of text as bytes",
        ),
        (CastRule::Hex, "hex", &[Texts, Bytes], "writes blobs as hexadecimal digits, reads such digits as bytes"),
        (CastRule::Base64, "base64", &[Texts, Bytes], "writes blobs as Base64, reads Base64 as bytes"),
        (CastRule::EmptyAsNull, "empty-as-null", &[All], "makes '' NULL"),
        (
            CastRule::TruncateFraction,
            "truncate-fraction",
            &[Times],
            "cuts the digits of a second that the column cannot hold",
        ),
        (CastRule::Round, "round", &[Inexact], "takes the nearest number that the column can hold"),
        (
            CastRule::NonFinite,
            "non-finite",
            &[Inexact, Instants],
            "takes the texts Infinity and -Infinity, and NaN for a number",
        ),
    ]
};

impl RuleTypes {
    /// Reports whether the type is one of these types.
    fn applies_to(self, ty: &WritableType) -> bool {
        let is_instant = matches!(ty, WritableType::TimestampTz(_) | WritableType::Timestamp(_) | WritableType::Date);
        let is_float = matches!(ty, WritableType::Real | WritableType::Double);
        match self {
            Self::Instants => is_instant,
            Self::Times => is_instant || matches!(ty, WritableType::Time(_)),
            Self::Boolean => *ty == WritableType::Boolean,
            Self::Integers => {
                matches!(ty, WritableType::SmallInt | WritableType::Integer | WritableType::BigInt)
            }
            Self::Floats => is_float,
            Self::Inexact => is_float || matches!(ty, WritableType::Numeric(_)),
            Self::Texts => {
                matches!(ty, WritableType::Text | WritableType::Varchar(_) | WritableType::Char(_) | WritableType::Name)
            }
            Self::Documents => matches!(ty, WritableType::Json | WritableType::Jsonb),
            Self::Bytes => *ty == WritableType::Bytea,
            Self::All => true,
        }
    }
}

impl CastRule {
    /// Returns the rule of that name.
    ///
    /// # Errors
    /// Fails when there is no such rule, or when it is not for a column of this type. The error is a message for the
    /// user that lists the possible rules.
    pub(crate) fn parse(name: &str, ty: &WritableType) -> Result<Self, String> {
        let found = RULES.iter().find(|row| row.1 == name);
        match found {
            Some((rule, ..)) if rule.is_for(ty) => Ok(*rule),
            _ => {
                let applicable: Vec<&str> = RULES.iter().filter(|row| row.0.is_for(ty)).map(|row| row.1).collect();
                let what = if found.is_some() { "is not for" } else { "is no rule: there are these for" };
                let these = if found.is_some() { ", which takes" } else { "" };
                Err(format!("{name:?} {what} columns of type {ty}{these}: {}", applicable.join(", ")))
            }
        }
    }

    /// Checks that there is a rule of that name for columns of any type.
    ///
    /// # Errors
    /// Fails when there is no such rule. The error is a message for the user that lists all rules.
    pub(crate) fn check_name(name: &str) -> Result<(), String> {
        if RULES.iter().any(|row| row.1 == name) {
            return Ok(());
        }
        let names: Vec<&str> = RULES.iter().map(|row| row.1).collect();
        Err(format!("{name:?} is no rule: the rules are {}", names.join(", ")))
    }

    /// Reports whether the rule is for columns of this type.
    pub(crate) fn is_for(self, ty: &WritableType) -> bool {
        self.row().2.iter().any(|kind| kind.applies_to(ty))
    }

    /// Returns the meaning of the rule in words.
    pub(crate) fn meaning(self) -> &'static str {
        self.row().3
    }

    /// Reports whether both rules are for the same values and interpret them differently.
    pub(super) fn contradicts(self, other: Self) -> bool {
        let group = |rule| match rule {
            Self::UnixS | Self::UnixMs | Self::UnixUs | Self::UnixNs => Some(1),
            Self::Julian | Self::Webkit | Self::Cocoa | Self::Filetime => Some(1),
            Self::Utf8 | Self::Hex | Self::Base64 => Some(2),
            _ => None,
        };
        self != other && group(self).is_some() && group(self) == group(other)
    }

    fn row(self) -> &'static (Self, &'static str, &'static [RuleTypes], &'static str) {
        // The table has the order of the enum, which a unit test checks.
        &RULES[self as usize]
    }
}

impl fmt::Display for CastRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.row().1)
    }
}

/// The rules of a column, one bit for each rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ColumnRules(u32);

impl ColumnRules {
    /// Reports whether the column has the rule.
    pub(super) fn has(self, rule: CastRule) -> bool {
        self.0 >> rule as u32 & 1 == 1
    }

    /// Adds a rule.
    pub(super) fn with(self, rule: CastRule) -> Self {
        Self(self.0 | 1 << rule as u32)
    }

    /// Returns the rules of the column, in the order of the enum.
    pub(super) fn iter(self) -> impl Iterator<Item = CastRule> {
        RULES.iter().map(|row| row.0).filter(move |rule| self.has(*rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_rule_in_its_place() {
        for (index, row) in RULES.iter().enumerate() {
            assert_eq!(row.0 as usize, index, "{}", row.1);
        }
        assert_eq!(CastRule::NonFinite as usize + 1, RULES.len());
    }

    #[test]
    fn a_rule_is_known_by_its_name_and_by_the_types_that_it_is_for() {
        assert_eq!(CastRule::parse("unix-ms", &WritableType::TimestampTz(6)), Ok(CastRule::UnixMs));
        assert_eq!(CastRule::parse("empty-as-null", &WritableType::Uuid), Ok(CastRule::EmptyAsNull));
        assert_eq!(
            CastRule::parse("unix", &WritableType::Boolean),
            Err("\"unix\" is no rule: there are these for columns of type boolean: words, empty-as-null".to_owned())
        );
        assert_eq!(
            CastRule::parse("unix-s", &WritableType::Bytea),
            Err("\"unix-s\" is not for columns of type bytea, which takes: utf8, hex, base64, empty-as-null".to_owned())
        );
    }

    #[test]
    fn two_units_or_two_codings_contradict_each_other() {
        assert!(CastRule::UnixS.contradicts(CastRule::Julian) && CastRule::Hex.contradicts(CastRule::Utf8));
        assert!(!CastRule::UnixS.contradicts(CastRule::UnixS) && !CastRule::UnixS.contradicts(CastRule::EmptyAsNull));
        assert!(
            !CastRule::EmptyAsNull.contradicts(CastRule::TruncateFraction)
                && !CastRule::UnixS.contradicts(CastRule::Hex)
        );
    }
}
