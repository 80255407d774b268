//! Casts: a value of SQLite becomes the binary field that PostgreSQL would send back itself, or is bad.
//!
//! Nothing is guessed, and nothing is lost in silence: what does not fit exactly is bad, until a person says by a
//! [`Rule`] how it is meant. Which value goes where stands in one place, [`table`].

mod array;
mod bad;
mod enumerated;
mod epoch;
mod float;
mod integer;
mod json;
mod network;
mod numeric;
mod rule;
mod table;
mod text;
mod time;
mod types;
mod zone;

use crate::transfer::value::Value;
pub use bad::Bad;
pub use rule::Rule;
use rule::Rules;
pub use types::{Type, TypeFacts};
pub use zone::Zone;

/// How the values of one column are converted.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    ty: Type,
    rules: Rules,
    zone: Zone,
}

/// What a conversion looks at besides the value.
#[derive(Clone, Copy)]
struct Target<'a> {
    ty: &'a Type,
    rules: Rules,
    zone: Zone,
}

/// What a conversion has appended: the bytes of a field, or nothing because it is NULL.
enum Written {
    Field,
    Null,
}

/// The longest value that the server can hold, its header of four bytes included: `MaxAllocSize`, 1 GiB less a byte.
const LONGEST: usize = 0x3fff_ffff - 4;

impl Cast {
    /// The casts of a column without rules. `zone` is that of times without one.
    pub fn new(ty: Type, zone: Zone) -> Self {
        Self { ty, rules: Rules::default(), zone }
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// Words for the person who wrote it: the rule is not for this type, or contradicts one that is there already.
    pub fn with(mut self, name: &str) -> Result<Self, String> {
        let rule = Rule::parse(name, &self.ty)?;
        if let Some(other) = self.rules.iter().find(|other| other.contradicts(rule)) {
            return Err(format!("{name:?} contradicts {other:?}", other = other.to_string()));
        }
        self.rules = self.rules.with(rule);
        Ok(self)
    }

    /// The target's type.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// What is done, for the plan: what the type takes by itself, and the meaning of each rule.
    pub fn describe(&self) -> String {
        let taken = table::takes(&self.ty, self.zone);
        let rules = self.rules.iter().map(|rule| format!("; {rule}: {}", rule.meaning()));
        std::iter::once(taken).chain(rules).collect()
    }

    /// Appends the field as binary COPY has it: four bytes of length, the value; or -1 for NULL. A value that is bad
    /// appends nothing.
    ///
    /// # Errors
    /// Why the value does not fit.
    pub fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Bad> {
        encode(Target { ty: &self.ty, rules: self.rules, zone: self.zone }, value, out)
    }
}

fn encode(target: Target<'_>, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Bad> {
    let start = out.len();
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    let written = table::convert(target, value, out).and_then(|written| {
        let length = out.len() - start - 4;
        match written {
            Written::Null => Ok(()),
            Written::Field if length > LONGEST => {
                Err(Bad::new("is longer than the 1 GiB of a PostgreSQL value"))
            }
            Written::Field => {
                out[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
                Ok(())
            }
        }
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}
