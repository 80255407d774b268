//! The candidates for a column's type, by its declared name first and its affinity second. The stored values decide
//! between them ([`super::type_inference`]). A name that no row of the table has is [`TypeMeaning::Other`].

use crate::transfer::cast::WritableType;

/// The meaning of a declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeMeaning {
    Integer,
    Small,
    Boolean,
    Real,
    Decimal,
    Text,
    Json,
    Instant,
    Date,
    Time,
    Uuid,
    /// A text of 36 characters, which is the length of a UUID.
    Char36,
    Blob,
    /// No type was declared, so that only the stored values are known.
    Nothing,
    /// An unknown name, with the affinity that SQLite gives it.
    Other(Affinity),
}

/// The affinity of a column: <https://sqlite.org/datatype3.html>, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// A declared type: its name in capital letters, and the numbers in its parentheses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeclaredType {
    name: String,
    lengths: Vec<i64>,
}

/// The declared names of each meaning.
const MEANINGS: &[(TypeMeaning, &[&str])] = &[
    (
        TypeMeaning::Integer,
        &[
            "INT",
            "INTEGER",
            "BIGINT",
            "LONG",
            "INT8",
            "INT4",
            "INT32",
            "INT64",
            "MEDIUMINT",
            "UNSIGNED BIG INT",
            "BIG INT",
            "SERIAL",
            "BIGSERIAL",
            "INTEGER UNSIGNED",
            "INT UNSIGNED",
            "BIGINT UNSIGNED",
            "UNSIGNED INTEGER",
            "UNSIGNED INT",
            "UNSIGNED BIGINT",
            "SMALLINT UNSIGNED",
            "UINT32",
            "UINT64",
        ],
    ),
    (TypeMeaning::Small, &["TINYINT", "SMALLINT", "INT2", "INT16", "TINYINT UNSIGNED"]),
    (TypeMeaning::Boolean, &["BOOLEAN", "BOOL", "BIT"]),
    (TypeMeaning::Real, &["REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "FLOAT4", "FLOAT8"]),
    (TypeMeaning::Decimal, &["NUMERIC", "DECIMAL", "DEC", "MONEY", "NUMBER", "CURRENCY"]),
    (
        TypeMeaning::Text,
        &[
            "TEXT",
            "CLOB",
            "CHAR",
            "CHARACTER",
            "VARCHAR",
            "VARYING CHARACTER",
            "CHARACTER VARYING",
            "NCHAR",
            "NATIVE CHARACTER",
            "NVARCHAR",
            "VARCHAR2",
            "NVARCHAR2",
            "LONGVARCHAR",
            "LONGTEXT",
            "MEDIUMTEXT",
            "TINYTEXT",
            "STRING",
            "NTEXT",
            "CITEXT",
        ],
    ),
    (TypeMeaning::Json, &["JSON", "JSONB"]),
    (
        TypeMeaning::Instant,
        &[
            "DATETIME",
            "TIMESTAMP",
            "TIMESTAMPTZ",
            "DATETIME2",
            "DATETIMEOFFSET",
            "SMALLDATETIME",
            "TIMESTAMP WITH TIME ZONE",
            "TIMESTAMP WITHOUT TIME ZONE",
        ],
    ),
    (TypeMeaning::Date, &["DATE"]),
    (TypeMeaning::Time, &["TIME", "TIME WITHOUT TIME ZONE"]),
    (TypeMeaning::Uuid, &["UUID", "GUID", "UNIQUEIDENTIFIER"]),
    (
        TypeMeaning::Blob,
        &[
            "BLOB",
            "BYTEA",
            "BINARY",
            "VARBINARY",
            "BYTE[]",
            "IMAGE",
            "LONGBLOB",
            "MEDIUMBLOB",
            "TINYBLOB",
            "LONGVARBINARY",
        ],
    ),
    (TypeMeaning::Nothing, &[""]),
];

impl DeclaredType {
    /// Parses a declared type.
    pub(crate) fn parse(text: &str) -> DeclaredType {
        let (head, after_parenthesis) = text.split_once('(').unwrap_or((text, ""));
        let (arguments, tail) = after_parenthesis.split_once(')').unwrap_or((after_parenthesis, ""));
        let words: Vec<&str> = head.split_whitespace().chain(tail.split_whitespace()).collect();
        let lengths = arguments.split(',').map_while(|number| number.trim().parse().ok()).collect();
        DeclaredType { name: words.join(" ").to_uppercase(), lengths }
    }

    /// Returns the meaning of the declared type.
    pub(crate) fn meaning(&self) -> TypeMeaning {
        match (self.name.as_str(), &self.lengths[..]) {
            ("TINYINT", [1]) => return TypeMeaning::Boolean,
            ("CHAR" | "CHARACTER", [36]) => return TypeMeaning::Char36,
            _ => {}
        }
        let found = MEANINGS.iter().find(|(_, names)| names.contains(&self.name.as_str()));
        found.map_or_else(|| TypeMeaning::Other(self.affinity()), |(meaning, _)| *meaning)
    }

    /// Returns the affinity by SQLite's rules, in their order.
    pub(crate) fn affinity(&self) -> Affinity {
        let contains_any = |parts: &[&str]| parts.iter().any(|part| self.name.contains(part));
        match () {
            () if contains_any(&["INT"]) => Affinity::Integer,
            () if contains_any(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
            () if contains_any(&["BLOB"]) || self.name.is_empty() => Affinity::Blob,
            () if contains_any(&["REAL", "FLOA", "DOUB"]) => Affinity::Real,
            () => Affinity::Numeric,
        }
    }

    /// Returns the types to try, in this order. The result is empty when only the stored values are known.
    pub(crate) fn types(&self) -> Vec<WritableType> {
        match self.meaning() {
            TypeMeaning::Integer => vec![WritableType::BigInt],
            TypeMeaning::Small => vec![WritableType::SmallInt, WritableType::BigInt],
            TypeMeaning::Boolean => vec![WritableType::Boolean, WritableType::BigInt],
            TypeMeaning::Real => vec![WritableType::Double],
            TypeMeaning::Decimal => {
                self.numeric_type().into_iter().chain([WritableType::Numeric(None), WritableType::Double]).collect()
            }
            TypeMeaning::Text => self.varchar_type().into_iter().chain([WritableType::Text]).collect(),
            TypeMeaning::Char36 => {
                vec![WritableType::Uuid, WritableType::Varchar(Some(36)), WritableType::Text]
            }
            TypeMeaning::Json => vec![WritableType::Jsonb, WritableType::Json, WritableType::Text],
            TypeMeaning::Instant => vec![WritableType::TimestampTz(6)],
            TypeMeaning::Date => vec![WritableType::Date],
            TypeMeaning::Time => vec![WritableType::Time(6)],
            TypeMeaning::Uuid => vec![WritableType::Uuid],
            TypeMeaning::Blob => vec![WritableType::Bytea],
            TypeMeaning::Nothing => Vec::new(),
            TypeMeaning::Other(affinity) => types_for_affinity(affinity),
        }
    }

    /// Returns a text type with the declared length. SQLite does not enforce the length.
    fn varchar_type(&self) -> Option<WritableType> {
        // The limit is MaxAttrSize in src/include/access/htup_details.h.
        const MAX_LENGTH: i64 = 10_485_760;
        match self.lengths[..] {
            [length @ 1..=MAX_LENGTH] => usize::try_from(length).ok().map(|length| WritableType::Varchar(Some(length))),
            _ => None,
        }
    }

    /// Returns a numeric type with the declared precision and scale.
    fn numeric_type(&self) -> Option<WritableType> {
        let (precision, scale) = match self.lengths[..] {
            [precision] => (precision, 0),
            [precision, scale] => (precision, scale),
            _ => return None,
        };
        let fits = (1..=1000).contains(&precision) && (0..=precision).contains(&scale);
        fits.then_some(WritableType::Numeric(Some((precision as i32, scale as i32))))
    }
}

fn types_for_affinity(affinity: Affinity) -> Vec<WritableType> {
    vec![match affinity {
        Affinity::Integer => WritableType::BigInt,
        Affinity::Text => WritableType::Text,
        Affinity::Blob => WritableType::Bytea,
        Affinity::Real => WritableType::Double,
        Affinity::Numeric => WritableType::Numeric(None),
    }]
}

/// Candidates for every column, whatever its declared type is: a type for each storage class, and one for all numbers.
pub(super) const FALLBACK_TYPES: [WritableType; 5] =
    [WritableType::BigInt, WritableType::Double, WritableType::Numeric(None), WritableType::Text, WritableType::Bytea];

/// Candidates for columns with a rule, besides those of the declared type.
pub(super) const RULE_TYPES: [WritableType; 7] = [
    WritableType::TimestampTz(6),
    WritableType::Boolean,
    WritableType::BigInt,
    WritableType::Double,
    WritableType::Numeric(None),
    WritableType::Text,
    WritableType::Bytea,
];

/// Returns a type as a migration writes it.
pub(super) fn sql(ty: &WritableType) -> String {
    match ty {
        WritableType::TimestampTz(_) => "timestamptz".into(),
        WritableType::Time(_) => "time".into(),
        WritableType::Varchar(Some(length)) => format!("varchar({length})"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_says_which_types_are_tried() {
        for (declared, expected) in [
            ("INTEGER", "bigint"),
            ("int(11)", "bigint"),
            ("unsigned  big int", "bigint"),
            ("INT(10) UNSIGNED", "bigint"),
            ("smallint unsigned", "bigint"),
            ("TINYINT", "smallint bigint"),
            ("tinyint(1)", "boolean bigint"),
            ("bool", "boolean bigint"),
            ("DOUBLE PRECISION", "double precision"),
            ("decimal(10,2)", "numeric(10,2) numeric double precision"),
            ("DECIMAL (5)", "numeric(5,0) numeric double precision"),
            ("NUMERIC(2, 5)", "numeric double precision"),
            ("MONEY", "numeric double precision"),
            ("varchar(255)", "varchar(255) text"),
            ("NVARCHAR(0)", "text"),
            ("LONGVARCHAR", "text"),
            ("STRING", "text"),
            ("char(36)", "uuid varchar(36) text"),
            ("char(32)", "varchar(32) text"),
            ("jsonb", "jsonb json text"),
            ("datetime(6)", "timestamptz"),
            ("timestamp without time zone", "timestamptz"),
            ("date", "date"),
            ("time", "time"),
            ("GUID", "uuid"),
            ("byte[]", "bytea"),
            ("", ""),
            // The other names follow SQLite's own rules, in their order.
            ("POINT", "bigint"),
            ("CHARINT", "bigint"),
            ("VARCHAR_IGNORECASE", "text"),
            ("REALLY", "double precision"),
            ("ENUM", "numeric"),
        ] {
            let types: Vec<String> = DeclaredType::parse(declared).types().iter().map(sql).collect();
            assert_eq!(types.join(" "), expected, "{declared}");
        }
    }
}
