//! Which types a column may get: by its declared name first, its affinity second; what is stored decides
//! ([`super::type_inference`]). What no row names is the last one's.

use crate::transfer::cast::WritableType;

/// What a declared type means.
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
    /// 36 characters, which UUIDs have, too.
    Char36,
    Blob,
    /// No type was declared: what is stored is all that is known.
    Nothing,
    /// A name of somebody's own, with the affinity that SQLite gives it.
    Other(Affinity),
}

/// <https://sqlite.org/datatype3.html>, 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// A declared type: its name in capitals, and the numbers in its parentheses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeclaredType {
    name: String,
    lengths: Vec<i64>,
}

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
    pub fn parse(text: &str) -> DeclaredType {
        let (head, rest) = text.split_once('(').unwrap_or((text, ""));
        let (inside, tail) = rest.split_once(')').unwrap_or((rest, ""));
        let words: Vec<&str> = head.split_whitespace().chain(tail.split_whitespace()).collect();
        let lengths = inside.split(',').map_while(|number| number.trim().parse().ok()).collect();
        DeclaredType { name: words.join(" ").to_uppercase(), lengths }
    }

    pub fn meaning(&self) -> TypeMeaning {
        match (self.name.as_str(), &self.lengths[..]) {
            ("TINYINT", [1]) => return TypeMeaning::Boolean,
            ("CHAR" | "CHARACTER", [36]) => return TypeMeaning::Char36,
            _ => {}
        }
        let found = MEANINGS.iter().find(|(_, names)| names.contains(&self.name.as_str()));
        found.map_or_else(|| TypeMeaning::Other(self.affinity()), |(meaning, _)| *meaning)
    }

    /// SQLite's rules, in its order.
    pub fn affinity(&self) -> Affinity {
        let has = |parts: &[&str]| parts.iter().any(|part| self.name.contains(part));
        match () {
            () if has(&["INT"]) => Affinity::Integer,
            () if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
            () if has(&["BLOB"]) || self.name.is_empty() => Affinity::Blob,
            () if has(&["REAL", "FLOA", "DOUB"]) => Affinity::Real,
            () => Affinity::Numeric,
        }
    }

    /// The types to try, in this order; nothing when only what is stored can tell.
    pub fn types(&self) -> Vec<WritableType> {
        match self.meaning() {
            TypeMeaning::Integer => vec![WritableType::BigInt],
            TypeMeaning::Small => vec![WritableType::SmallInt, WritableType::BigInt],
            TypeMeaning::Boolean => vec![WritableType::Boolean, WritableType::BigInt],
            TypeMeaning::Real => vec![WritableType::Double],
            TypeMeaning::Decimal => {
                self.limits().into_iter().chain([WritableType::Numeric(None), WritableType::Double]).collect()
            }
            TypeMeaning::Text => self.limited().into_iter().chain([WritableType::Text]).collect(),
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
            TypeMeaning::Other(affinity) => of_affinity(affinity),
        }
    }

    /// The length that a text was declared with. SQLite does not hold anybody to it.
    fn limited(&self) -> Option<WritableType> {
        // MaxAttrSize: src/include/access/htup_details.h.
        const MOST: i64 = 10_485_760;
        match self.lengths[..] {
            [length @ 1..=MOST] => usize::try_from(length).ok().map(|length| WritableType::Varchar(Some(length))),
            _ => None,
        }
    }

    fn limits(&self) -> Option<WritableType> {
        let (precision, scale) = match self.lengths[..] {
            [precision] => (precision, 0),
            [precision, scale] => (precision, scale),
            _ => return None,
        };
        let fits = (1..=1000).contains(&precision) && (0..=precision).contains(&scale);
        fits.then_some(WritableType::Numeric(Some((precision as i32, scale as i32))))
    }
}

fn of_affinity(affinity: Affinity) -> Vec<WritableType> {
    vec![match affinity {
        Affinity::Integer => WritableType::BigInt,
        Affinity::Text => WritableType::Text,
        Affinity::Blob => WritableType::Bytea,
        Affinity::Real => WritableType::Double,
        Affinity::Numeric => WritableType::Numeric(None),
    }]
}

/// What holds values of one storage class, whatever their column is called; and numbers of both.
pub(super) const WHATEVER: [WritableType; 5] =
    [WritableType::BigInt, WritableType::Double, WritableType::Numeric(None), WritableType::Text, WritableType::Bytea];

/// What a rule may ask for, besides the column's own types.
pub(super) const BY_RULE: [WritableType; 7] = [
    WritableType::TimestampTz(6),
    WritableType::Boolean,
    WritableType::BigInt,
    WritableType::Double,
    WritableType::Numeric(None),
    WritableType::Text,
    WritableType::Bytea,
];

/// How a migration writes a type.
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
            // SQLite's own rules for the rest, in their order.
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
