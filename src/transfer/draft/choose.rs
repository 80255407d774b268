//! Chooses the type of each column of a table, while its rows go by: the first of a short list into which every value
//! goes exactly, and which `transfer` takes without being told more.

use super::notes::{Notes, Refusal};
use super::shape::{Shape, repeats_a_key};
use super::textual::{AS_TEXT, Merging, Spelled};
use super::types::{BY_RULE, Declared, Meaning, WHATEVER, sql};
use crate::transfer::cast::{Cast, Type, Zone};
use crate::transfer::value::{Class, Value, shown};

/// What a column is used for: some types do not serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Part of an index: its type must have an order.
    pub indexed: bool,
    /// Part of a key: what SQLite tells apart must stay apart.
    pub unique: bool,
    /// Another name for the rowid: a whole number, always.
    pub rowid: bool,
}

/// A column's type, and what its values are like.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub cast: Cast,
    /// Names of the rules that a person gave for it.
    pub rules: Vec<String>,
    /// Whether a value is NULL, or becomes it.
    pub nulls: bool,
    /// Bytes of the longest value.
    pub longest: usize,
    /// How its numbers and texts are written, where a rule makes texts of both.
    pub spelled: Spelled,
    /// What is to be told of it.
    pub note: Option<String>,
}

impl Chosen {
    pub fn ty(&self) -> &Type {
        self.cast.ty()
    }

    /// Whether two values of the source may become one. A key never holds two NULLs to be equal.
    pub(super) fn merging(&self) -> Merging {
        const KEEP: [&str; 7] = ["unix-s", "unix-ms", "unix-us", "unix-ns", "webkit", "filetime", EMPTY];
        let is_text = matches!(self.ty(), Type::Text | Type::Varchar(_));
        let mut others = self.rules.iter().filter(|rule| !KEEP.contains(&rule.as_str())).peekable();
        if others.peek().is_none() {
            Merging::Never
        } else if is_text && others.all(|rule| rule == AS_TEXT) {
            self.spelled.merging()
        } else {
            Merging::Possible
        }
    }

    /// Whether it is a text that holds the source's values as they are, or numbers as their text.
    pub(super) fn is_textual(&self) -> bool {
        let is_text = matches!(self.ty(), Type::Text | Type::Varchar(_));
        is_text && self.rules.iter().all(|rule| rule == AS_TEXT)
    }
}

/// The rule that says nothing of the values that it leaves.
const EMPTY: &str = "empty-as-null";
/// The field that is NULL.
const NULL: [u8; 4] = [0xff; 4];

/// Bytes of a row's own page, less its header: `MaxHeapTupleSize` (src/include/access/htup_details.h).
pub const ROW: usize = 8000;

/// What a value needs in its row at most: a longer one is kept elsewhere (src/backend/access/table/toast_helper.c).
pub fn width(value: Value<'_>) -> usize {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 8,
        Value::Text(bytes) | Value::Blob(bytes) => (bytes.len() + 1).min(24),
    }
}

/// A column while its values go by.
pub struct Choosing {
    /// `table.column`, as `--cast` takes it.
    place: String,
    declared: String,
    meaning: Meaning,
    usage: Use,
    rules: Vec<String>,
    left: Vec<Candidate>,
    /// The last type that was declared, or none: what comes after it was not meant.
    meant: usize,
    notes: Notes,
    nulls: bool,
    longest: usize,
    scratch: Vec<u8>,
}

struct Candidate {
    /// Its place in the list of all.
    at: usize,
    cast: Cast,
    shape: Shape,
}

impl Choosing {
    /// The candidates of a column.
    ///
    /// # Errors
    /// Rules that fit no type.
    pub fn new(
        place: String,
        declared: &str,
        usage: Use,
        rules: Vec<String>,
        zone: Zone,
    ) -> Result<Choosing, String> {
        let it = Declared::of(declared);
        let own = if usage.rowid { vec![Type::BigInt] } else { it.types() };
        let is_plain = rules.iter().all(|rule| rule == EMPTY);
        let more: &[Type] = match (usage.rowid, is_plain) {
            (true, _) => &[],
            (_, true) => &WHATEVER,
            (_, false) => &BY_RULE,
        };
        let meant = own.len();
        let mut left: Vec<Candidate> = Vec::new();
        let mut complaint = None;
        for ty in own.into_iter().chain(more.iter().cloned()) {
            let is_there = left.iter().any(|candidate| *candidate.cast.ty() == ty);
            if is_there || (usage.indexed && ty == Type::Json) {
                continue;
            }
            match rules.iter().try_fold(Cast::new(ty, zone), |cast, rule| cast.with(rule)) {
                Ok(cast) => left.push(Candidate { at: left.len(), cast, shape: Shape::default() }),
                Err(reason) => complaint = complaint.or(Some(reason)),
            }
        }
        if left.is_empty() {
            return Err(format!("{place}: --cast: {}", complaint.unwrap_or_default()));
        }
        Ok(Choosing {
            meant: meant.min(left.len()),
            declared: declared.to_owned(),
            meaning: it.meaning(),
            notes: Notes::default(),
            scratch: Vec::new(),
            nulls: false,
            longest: 0,
            place,
            usage,
            rules,
            left,
        })
    }

    /// Looks at a value; `row` names it when it is to be told of.
    pub fn take(&mut self, value: Value<'_>, row: &dyn Fn() -> String) {
        if value == Value::Null {
            self.nulls = true;
            return;
        }
        self.notes.class(value);
        if !self.rules.is_empty() {
            self.notes.spelled.take(value);
        }
        let mut at = 0;
        while at < self.left.len() {
            match self.fits(at, value) {
                Ok(()) => at += 1,
                Err(reason) => {
                    let gone = self.left.remove(at);
                    let words = || format!("{} holds {}: {reason}", row(), shown(value));
                    if gone.at == 0 {
                        self.notes.first = Some(words());
                    }
                    if self.left.is_empty() {
                        self.notes.last = Some(format!("{} holds {}", row(), shown(value)));
                    }
                }
            }
        }
    }

    /// Whether the value goes into that candidate as it is.
    fn fits(&mut self, at: usize, value: Value<'_>) -> Result<(), String> {
        let candidate = &mut self.left[at];
        self.scratch.clear();
        let written = candidate.cast.encode(value, &mut self.scratch);
        written.map_err(|bad| {
            let hint = bad.hint(&self.place).map_or(String::new(), |hint| format!(" ({hint})"));
            format!("it {}{hint}", bad.reason())
        })?;
        self.nulls |= self.scratch == NULL;
        self.longest = self.longest.max(self.scratch.len() - NULL.len());
        let is_told = self.rules.iter().any(|rule| rule != EMPTY) || self.scratch == NULL;
        if is_told {
            return Ok(());
        }
        keeps(candidate.cast.ty(), self.meaning, value)?;
        match self.usage.unique {
            true => candidate.shape.take(candidate.cast.ty(), value),
            false => Ok(()),
        }
    }

    /// The type, or why there is none.
    ///
    /// # Errors
    /// The first row after which no type was left, and what may help.
    pub fn finish(mut self) -> Result<Chosen, Refusal> {
        let seen = self.notes.seen();
        // A name that says nothing is no reason for a type when there is no value either.
        if !seen && self.meaning == Meaning::Nothing && self.rules.is_empty() {
            self.left.retain(|candidate| *candidate.cast.ty() == Type::Text);
        }
        // 36 characters may be anything, as long as there is no UUID among them.
        if !seen && self.meaning == Meaning::Char36 && self.left.len() > 1 {
            self.left.remove(0);
        }
        if self.left.is_empty() {
            return Err(self.notes.refusal(&self.place, &self.rules));
        }
        let chosen = self.left.remove(0);
        let declared = if self.declared.is_empty() { "without a type" } else { &self.declared };
        let why = match (self.meaning, &self.notes.first) {
            _ if !self.rules.is_empty() || chosen.at == 0 => None,
            (Meaning::Nothing, _) => None,
            (_, Some(first)) if chosen.at >= self.meant => Some(format!("declared {declared}; {first}")),
            (Meaning::Boolean | Meaning::Json, Some(first)) => Some(format!("declared {declared}; {first}")),
            _ => None,
        };
        let unknown = matches!(self.meaning, Meaning::Other(_)) && self.rules.is_empty();
        let note = why.or_else(|| unknown.then(|| format!("declared {declared}, which is SQLite's alone")));
        let note = note.map(|note| format!("{note}; so it is {}", sql(chosen.cast.ty())));
        let (cast, spelled) = (chosen.cast, self.notes.spelled.clone());
        Ok(Chosen { cast, rules: self.rules, nulls: self.nulls, longest: self.longest, spelled, note })
    }
}

/// Whether a type, unasked, keeps what a value is: the casts take some forms that mean the same but do not stay the same.
fn keeps(ty: &Type, meaning: Meaning, value: Value<'_>) -> Result<(), String> {
    let natural = match (ty, value.class()) {
        (Type::Boolean | Type::SmallInt | Type::BigInt, Class::Integer) => true,
        (Type::Double | Type::Numeric(_), Class::Integer | Class::Real) => true,
        (Type::Bytea, Class::Blob) => true,
        (Type::Uuid, Class::Blob) => meaning == Meaning::Uuid,
        (
            Type::Boolean | Type::SmallInt | Type::BigInt | Type::Double | Type::Numeric(_) | Type::Bytea,
            _,
        ) => false,
        (_, class) => class == Class::Text,
    };
    if !natural {
        return Err(format!("it is stored as {}", value.class()));
    }
    match (ty, value) {
        (Type::Numeric(_), Value::Real(number)) if number == 0.0 && number.is_sign_negative() => {
            Err("it is a negative zero".into())
        }
        (Type::Date, Value::Text(text)) if text.len() != 10 => Err("it is more than a date".into()),
        (Type::Jsonb, Value::Text(text)) if repeats_a_key(text) => {
            Err("it has a key twice, of which jsonb keeps one".into())
        }
        (Type::Uuid, Value::Text(text)) if meaning == Meaning::Char36 => {
            let as_written = text.len() == 36 && !text.iter().any(u8::is_ascii_uppercase);
            if as_written { Ok(()) } else { Err("it is no UUID in small letters".into()) }
        }
        _ => Ok(()),
    }
}
