//! The types of the target for which values can be encoded.

use std::fmt;

/// The catalog's data about the type of a column. For a domain, the data are those of its base type: the server itself
/// checks the constraints of the domain.
#[derive(Clone, Copy, Debug)]
pub struct TypeFacts<'a> {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typname`, for types of extensions, which have no fixed OID.
    pub name: &'a str,
    /// `atttypmod` of the column, or `typtypmod` of the domain; -1 means none.
    pub typmod: i32,
    /// The labels in `pg_enum`, empty when the type is no enum. Of an array, the labels of its elements.
    pub labels: &'a [String],
    /// `pg_type.typelem` of an array (`typcategory` A), and `None` for other types.
    pub element: Option<u32>,
}

/// A type of the target for which values can be encoded.
#[derive(Clone, Debug, PartialEq)]
pub enum WritableType {
    /// boolean.
    Boolean,
    /// smallint: 16 bits.
    SmallInt,
    /// integer: 32 bits.
    Integer,
    /// bigint: 64 bits.
    BigInt,
    /// real: 32 bits.
    Real,
    /// double precision: 64 bits.
    Double,
    /// numeric, with its precision and scale, if it has them.
    Numeric(Option<(i32, i32)>),
    /// text and citext.
    Text,
    /// character varying, with the maximum number of characters, if there is one.
    Varchar(Option<usize>),
    /// character, with the number of characters to which values are padded with blanks; `None` for bpchar without a
    /// length.
    Char(Option<usize>),
    /// name: PostgreSQL's type for names of objects.
    Name,
    /// json.
    Json,
    /// jsonb.
    Jsonb,
    /// timestamp with time zone, with the number of digits of a second's fraction.
    TimestampTz(u32),
    /// timestamp without time zone, with the number of digits of a second's fraction.
    Timestamp(u32),
    /// date.
    Date,
    /// time without time zone, with the number of digits of a second's fraction.
    Time(u32),
    /// uuid.
    Uuid,
    /// bytea.
    Bytea,
    /// inet.
    Inet,
    /// cidr.
    Cidr,
    /// An enum, with its labels, sorted by their bytes.
    Enum(Vec<String>),
    /// An array, with the type of its elements and the OID of this type, which the binary format contains.
    Array(Box<WritableType>, u32),
}

/// The size of PostgreSQL's internal header of a value with variable length, in bytes. A typmod of text or numeric
/// includes it.
const TYPMOD_HEADER: i32 = 4;
/// The number of digits of a second's fraction when the column declares none.
const MAX_FRACTION_DIGITS: u32 = 6;

impl WritableType {
    /// Returns the type for these facts, or `None` when values cannot be encoded for it (interval, time with time zone,
    /// money, ranges, composite types, ...).
    pub fn from_facts(facts: &TypeFacts<'_>) -> Option<Self> {
        if let Some(oid) = facts.element {
            let element = Self::built_in(oid, facts.typmod)?;
            let is_supported = matches!(
                element,
                Self::SmallInt | Self::Integer | Self::BigInt | Self::Text | Self::Varchar(_) | Self::Char(_)
            );
            return is_supported.then(|| Self::Array(Box::new(element), oid));
        }
        // For an array, the labels are those of its elements.
        if !facts.labels.is_empty() {
            let mut labels = facts.labels.to_vec();
            labels.sort_unstable();
            return Some(Self::Enum(labels));
        }
        let citext = || (facts.name == "citext").then_some(Self::Text);
        Self::built_in(facts.oid, facts.typmod).or_else(citext)
    }

    /// Returns the built-in type of an OID in `src/include/catalog/pg_type.dat`; these OIDs never change.
    fn built_in(oid: u32, typmod: i32) -> Option<Self> {
        let length = usize::try_from(typmod - TYPMOD_HEADER).ok().filter(|length| *length > 0);
        let fraction = u32::try_from(typmod).unwrap_or(MAX_FRACTION_DIGITS);
        Some(match oid {
            16 => Self::Boolean,
            17 => Self::Bytea,
            19 => Self::Name,
            20 => Self::BigInt,
            21 => Self::SmallInt,
            23 => Self::Integer,
            25 => Self::Text,
            114 => Self::Json,
            650 => Self::Cidr,
            700 => Self::Real,
            701 => Self::Double,
            869 => Self::Inet,
            1042 => Self::Char(length),
            1043 => Self::Varchar(length),
            1082 => Self::Date,
            1083 => Self::Time(fraction),
            1114 => Self::Timestamp(fraction),
            1184 => Self::TimestampTz(fraction),
            1700 => Self::Numeric(precision_and_scale(typmod)),
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            _ => return None,
        })
    }

    /// Reports whether one value of the type has several forms, so that [`canonical`](crate::transfer::canonical)
    /// converts its fields.
    pub(crate) fn has_normal_form(&self) -> bool {
        matches!(self, Self::Numeric(_) | Self::Json | Self::Jsonb)
    }
}

/// Returns the precision, which is the upper half of the typmod, and the scale, which is its lower eleven bits and may
/// be negative: `make_numeric_typmod` in `src/backend/utils/adt/numeric.c`. (Before PostgreSQL 15 the scale had sixteen
/// bits, and was at most 1,000.)
fn precision_and_scale(typmod: i32) -> Option<(i32, i32)> {
    let packed = typmod - TYPMOD_HEADER;
    (packed >= 0).then(|| (packed >> 16 & 0xffff, (packed & 0x7ff ^ 1024) - 1024))
}

impl fmt::Display for WritableType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Boolean => "boolean",
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Real => "real",
            Self::Double => "double precision",
            Self::Numeric(None) => "numeric",
            Self::Numeric(Some((precision, scale))) => {
                return write!(formatter, "numeric({precision},{scale})");
            }
            Self::Text => "text",
            Self::Varchar(None) => "character varying",
            Self::Varchar(Some(length)) => return write!(formatter, "character varying({length})"),
            Self::Char(None) => "bpchar",
            Self::Char(Some(length)) => return write!(formatter, "character({length})"),
            Self::Name => "name",
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::TimestampTz(_) => "timestamp with time zone",
            Self::Timestamp(_) => "timestamp without time zone",
            Self::Date => "date",
            Self::Time(_) => "time without time zone",
            Self::Uuid => "uuid",
            Self::Bytea => "bytea",
            Self::Inet => "inet",
            Self::Cidr => "cidr",
            Self::Enum(_) => "enum",
            Self::Array(element, _) => return write!(formatter, "{element}[]"),
        };
        formatter.pad(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(oid: u32, typmod: i32) -> TypeFacts<'static> {
        TypeFacts { oid, name: "", typmod, labels: &[], element: None }
    }

    /// The typmods are the results of `select atttypmod from pg_attribute`.
    #[test]
    fn types_are_known_by_their_oid_and_typmod() {
        for (oid, typmod, expected, shown) in [
            (16, -1, WritableType::Boolean, "boolean"),
            (1700, -1, WritableType::Numeric(None), "numeric"),
            (1700, 655_366, WritableType::Numeric(Some((10, 2))), "numeric(10,2)"),
            (1700, 65_536_004 + 1000, WritableType::Numeric(Some((1000, 1000))), "numeric(1000,1000)"),
            (1700, 198_657, WritableType::Numeric(Some((3, -3))), "numeric(3,-3)"),
            (1043, -1, WritableType::Varchar(None), "character varying"),
            (1043, 24, WritableType::Varchar(Some(20)), "character varying(20)"),
            (1042, 5, WritableType::Char(Some(1)), "character(1)"),
            (1042, -1, WritableType::Char(None), "bpchar"),
            (1184, -1, WritableType::TimestampTz(6), "timestamp with time zone"),
            (1114, 3, WritableType::Timestamp(3), "timestamp without time zone"),
            (1083, 0, WritableType::Time(0), "time without time zone"),
        ] {
            let found = WritableType::from_facts(&facts(oid, typmod)).expect("a known type");
            assert_eq!(found, expected);
            assert_eq!(found.to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_encoded_is_no_type() {
        // The OIDs are those of "char", oid, money, interval, time with time zone, xml, point, and a type of an
        // extension.
        for oid in [18, 26, 790, 1186, 1266, 142, 600, 16_390] {
            assert_eq!(WritableType::from_facts(&facts(oid, -1)), None, "{oid}");
        }
        for element in [16, 3802, 1184, 16_390] {
            assert_eq!(
                WritableType::from_facts(&TypeFacts { element: Some(element), ..facts(16_400, -1) }),
                None,
                "{element}"
            );
        }
    }

    #[test]
    fn enums_arrays_and_citext_are_known_by_what_the_catalog_says_of_them() {
        let labels = ["b".to_owned(), "B".to_owned(), "a".to_owned()];
        let sorted = ["B", "a", "b"].map(str::to_owned).to_vec();
        let of_labels = TypeFacts { labels: &labels, ..facts(16_390, -1) };
        assert_eq!(WritableType::from_facts(&of_labels), Some(WritableType::Enum(sorted)));
        let citext = TypeFacts { name: "citext", ..facts(16_390, -1) };
        assert_eq!(WritableType::from_facts(&citext), Some(WritableType::Text));
        let array = TypeFacts { element: Some(1043), ..facts(1015, 9) };
        let array = WritableType::from_facts(&array).expect("a known type");
        assert_eq!(array, WritableType::Array(Box::new(WritableType::Varchar(Some(5))), 1043));
        assert_eq!(array.to_string(), "character varying(5)[]");
    }
}
