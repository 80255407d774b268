//! Which types a column may get: by its declared name first, its affinity second; what is stored decides
//! ([`super::choose`]). What no row names is the last one's.

use crate::transfer::cast::Type;

/// What a declared type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
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
pub(super) struct Declared {
    name: String,
    lengths: Vec<i64>,
}

const MEANINGS: &[(Meaning, &[&str])] = &[
    (
        Meaning::Integer,
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
    (Meaning::Small, &["TINYINT", "SMALLINT", "INT2", "INT16", "TINYINT UNSIGNED"]),
    (Meaning::Boolean, &["BOOLEAN", "BOOL", "BIT"]),
    (Meaning::Real, &["REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "FLOAT4", "FLOAT8"]),
    (Meaning::Decimal, &["NUMERIC", "DECIMAL", "DEC", "MONEY", "NUMBER", "CURRENCY"]),
    (
        Meaning::Text,
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
    (Meaning::Json, &["JSON", "JSONB"]),
    (
        Meaning::Instant,
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
    (Meaning::Date, &["DATE"]),
    (Meaning::Time, &["TIME", "TIME WITHOUT TIME ZONE"]),
    (Meaning::Uuid, &["UUID", "GUID", "UNIQUEIDENTIFIER"]),
    (
        Meaning::Blob,
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
    (Meaning::Nothing, &[""]),
];

impl Declared {
    pub fn of(text: &str) -> Declared {
        let (head, rest) = text.split_once('(').unwrap_or((text, ""));
        let (inside, tail) = rest.split_once(')').unwrap_or((rest, ""));
        let words: Vec<&str> = head.split_whitespace().chain(tail.split_whitespace()).collect();
        let lengths = inside.split(',').map_while(|number| number.trim().parse().ok()).collect();
        Declared { name: words.join(" ").to_uppercase(), lengths }
    }

    pub fn meaning(&self) -> Meaning {
        match (self.name.as_str(), &self.lengths[..]) {
            ("TINYINT", [1]) => return Meaning::Boolean,
            ("CHAR" | "CHARACTER", [36]) => return Meaning::Char36,
            _ => {}
        }
        let found = MEANINGS.iter().find(|(_, names)| names.contains(&self.name.as_str()));
        found.map_or_else(|| Meaning::Other(self.affinity()), |(meaning, _)| *meaning)
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
    pub fn types(&self) -> Vec<Type> {
        match self.meaning() {
            Meaning::Integer => vec![Type::BigInt],
            Meaning::Small => vec![Type::SmallInt, Type::BigInt],
            Meaning::Boolean => vec![Type::Boolean, Type::BigInt],
            Meaning::Real => vec![Type::Double],
            Meaning::Decimal => {
                self.limits().into_iter().chain([Type::Numeric(None), Type::Double]).collect()
            }
            Meaning::Text => self.limited().into_iter().chain([Type::Text]).collect(),
            Meaning::Char36 => vec![Type::Uuid, Type::Varchar(Some(36)), Type::Text],
            Meaning::Json => vec![Type::Jsonb, Type::Json, Type::Text],
            Meaning::Instant => vec![Type::TimestampTz(6)],
            Meaning::Date => vec![Type::Date],
            Meaning::Time => vec![Type::Time(6)],
            Meaning::Uuid => vec![Type::Uuid],
            Meaning::Blob => vec![Type::Bytea],
            Meaning::Nothing => Vec::new(),
            Meaning::Other(affinity) => of_affinity(affinity),
        }
    }

    /// The length that a text was declared with. SQLite does not hold anybody to it.
    fn limited(&self) -> Option<Type> {
        // MaxAttrSize: src/include/access/htup_details.h.
        const MOST: i64 = 10_485_760;
        match self.lengths[..] {
            [length @ 1..=MOST] => usize::try_from(length).ok().map(|length| Type::Varchar(Some(length))),
            _ => None,
        }
    }

    fn limits(&self) -> Option<Type> {
        let (precision, scale) = match self.lengths[..] {
            [precision] => (precision, 0),
            [precision, scale] => (precision, scale),
            _ => return None,
        };
        let fits = (1..=1000).contains(&precision) && (0..=precision).contains(&scale);
        fits.then_some(Type::Numeric(Some((precision as i32, scale as i32))))
    }
}

fn of_affinity(affinity: Affinity) -> Vec<Type> {
    vec![match affinity {
        Affinity::Integer => Type::BigInt,
        Affinity::Text => Type::Text,
        Affinity::Blob => Type::Bytea,
        Affinity::Real => Type::Double,
        Affinity::Numeric => Type::Numeric(None),
    }]
}

/// What holds values of one storage class, whatever their column is called; and numbers of both.
pub(super) const WHATEVER: [Type; 5] =
    [Type::BigInt, Type::Double, Type::Numeric(None), Type::Text, Type::Bytea];

/// What a rule may ask for, besides the column's own types.
pub(super) const BY_RULE: [Type; 7] = [
    Type::TimestampTz(6),
    Type::Boolean,
    Type::BigInt,
    Type::Double,
    Type::Numeric(None),
    Type::Text,
    Type::Bytea,
];

/// How a migration writes a type.
pub(super) fn sql(ty: &Type) -> String {
    match ty {
        Type::TimestampTz(_) => "timestamptz".into(),
        Type::Time(_) => "time".into(),
        Type::Varchar(Some(length)) => format!("varchar({length})"),
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
            let types: Vec<String> = Declared::of(declared).types().iter().map(sql).collect();
            assert_eq!(types.join(" "), expected, "{declared}");
        }
    }
}
