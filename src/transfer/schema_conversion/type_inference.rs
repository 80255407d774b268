//! Chooses the type of each column of a table, while its rows go by: the first of a short list into which every value
//! goes exactly, and which `transfer` takes without being told more.

use super::notes::{ColumnNotes, TypeRefusal};
use super::shape::{Shape, repeats_a_key};
use super::textual::{AS_TEXT, MergeRule, NumberSpellings};
use super::types::{BY_RULE, DeclaredType, TypeMeaning, WHATEVER, sql};
use crate::transfer::cast::{Cast, WritableType, Zone};
use crate::transfer::value::{StorageClass, Value, shown};

/// What a column is used for: some types do not serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnUsage {
    /// Part of an index: its type must have an order.
    pub indexed: bool,
    /// Part of a key: what SQLite tells apart must stay apart.
    pub unique: bool,
    /// Another name for the rowid: a whole number, always.
    pub rowid: bool,
}

/// A column's type, and what its values are like.
#[derive(Clone, Debug)]
pub struct ChosenType {
    pub cast: Cast,
    /// Names of the rules that a person gave for it.
    pub rules: Vec<String>,
    /// Whether a value is NULL, or becomes it.
    pub nulls: bool,
    /// Bytes of the longest value.
    pub longest: usize,
    /// How its numbers and texts are written, where a rule makes texts of both.
    pub spelled: NumberSpellings,
    /// What is to be told of it.
    pub note: Option<String>,
}

impl ChosenType {
    pub fn ty(&self) -> &WritableType {
        self.cast.ty()
    }

    /// Whether two values of the source may become one. A key never holds two NULLs to be equal.
    pub(super) fn merging(&self) -> MergeRule {
        const KEEP: [&str; 7] = ["unix-s", "unix-ms", "unix-us", "unix-ns", "webkit", "filetime", EMPTY];
        let is_text = matches!(self.ty(), WritableType::Text | WritableType::Varchar(_));
        let mut others = self.rules.iter().filter(|rule| !KEEP.contains(&rule.as_str())).peekable();
        if others.peek().is_none() {
            MergeRule::Never
        } else if is_text && others.all(|rule| rule == AS_TEXT) {
            self.spelled.merging()
        } else {
            MergeRule::Possible
        }
    }

    /// Whether it is a text that holds the source's values as they are, or numbers as their text.
    pub(super) fn is_textual(&self) -> bool {
        let is_text = matches!(self.ty(), WritableType::Text | WritableType::Varchar(_));
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
pub struct TypeInference {
    /// `table.column`, as `--cast` takes it.
    place: String,
    declared: String,
    meaning: TypeMeaning,
    usage: ColumnUsage,
    rules: Vec<String>,
    left: Vec<Candidate>,
    /// The last type that was declared, or none: what comes after it was not meant.
    meant: usize,
    notes: ColumnNotes,
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

impl TypeInference {
    /// The candidates of a column.
    ///
    /// # Errors
    /// Rules that fit no type.
    pub fn new(
        place: String,
        declared: &str,
        usage: ColumnUsage,
        rules: Vec<String>,
        zone: Zone,
    ) -> Result<TypeInference, String> {
        let it = DeclaredType::parse(declared);
        let own = if usage.rowid { vec![WritableType::BigInt] } else { it.types() };
        let is_plain = rules.iter().all(|rule| rule == EMPTY);
        let more: &[WritableType] = match (usage.rowid, is_plain) {
            (true, _) => &[],
            (_, true) => &WHATEVER,
            (_, false) => &BY_RULE,
        };
        let meant = own.len();
        let mut left: Vec<Candidate> = Vec::new();
        let mut complaint = None;
        for ty in own.into_iter().chain(more.iter().cloned()) {
            let is_there = left.iter().any(|candidate| *candidate.cast.ty() == ty);
            if is_there || (usage.indexed && ty == WritableType::Json) {
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
        Ok(TypeInference {
            meant: meant.min(left.len()),
            declared: declared.to_owned(),
            meaning: it.meaning(),
            notes: ColumnNotes::default(),
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
    pub fn finish(mut self) -> Result<ChosenType, TypeRefusal> {
        let seen = self.notes.has_values();
        // A name that says nothing is no reason for a type when there is no value either.
        if !seen && self.meaning == TypeMeaning::Nothing && self.rules.is_empty() {
            self.left.retain(|candidate| *candidate.cast.ty() == WritableType::Text);
        }
        // 36 characters may be anything, as long as there is no UUID among them.
        if !seen && self.meaning == TypeMeaning::Char36 && self.left.len() > 1 {
            self.left.remove(0);
        }
        if self.left.is_empty() {
            return Err(self.notes.refusal(&self.place, &self.rules));
        }
        let chosen = self.left.remove(0);
        let declared = if self.declared.is_empty() { "without a type" } else { &self.declared };
        let why = match (self.meaning, &self.notes.first) {
            _ if !self.rules.is_empty() || chosen.at == 0 => None,
            (TypeMeaning::Nothing, _) => None,
            (_, Some(first)) if chosen.at >= self.meant => Some(format!("declared {declared}; {first}")),
            (TypeMeaning::Boolean | TypeMeaning::Json, Some(first)) => Some(format!("declared {declared}; {first}")),
            _ => None,
        };
        let unknown = matches!(self.meaning, TypeMeaning::Other(_)) && self.rules.is_empty();
        let note = why.or_else(|| unknown.then(|| format!("declared {declared}, which is SQLite's alone")));
        let note = note.map(|note| format!("{note}; so it is {}", sql(chosen.cast.ty())));
        let (cast, spelled) = (chosen.cast, self.notes.spelled.clone());
        Ok(ChosenType { cast, rules: self.rules, nulls: self.nulls, longest: self.longest, spelled, note })
    }
}

/// Whether a type, unasked, keeps what a value is: the casts take some forms that mean the same but do not stay the same.
fn keeps(ty: &WritableType, meaning: TypeMeaning, value: Value<'_>) -> Result<(), String> {
    let natural = match (ty, value.class()) {
        (WritableType::Boolean | WritableType::SmallInt | WritableType::BigInt, StorageClass::Integer) => true,
        (WritableType::Double | WritableType::Numeric(_), StorageClass::Integer | StorageClass::Real) => true,
        (WritableType::Bytea, StorageClass::Blob) => true,
        (WritableType::Uuid, StorageClass::Blob) => meaning == TypeMeaning::Uuid,
        (
            WritableType::Boolean
            | WritableType::SmallInt
            | WritableType::BigInt
            | WritableType::Double
            | WritableType::Numeric(_)
            | WritableType::Bytea,
            _,
        ) => false,
        (_, class) => class == StorageClass::Text,
    };
    if !natural {
        return Err(format!("it is stored as {}", value.class()));
    }
    match (ty, value) {
        (WritableType::Numeric(_), Value::Real(number)) if number == 0.0 && number.is_sign_negative() => {
            Err("it is a negative zero".into())
        }
        (WritableType::Date, Value::Text(text)) if text.len() != 10 => Err("it is more than a date".into()),
        (WritableType::Jsonb, Value::Text(text)) if repeats_a_key(text) => {
            Err("it has a key twice, of which jsonb keeps one".into())
        }
        (WritableType::Uuid, Value::Text(text)) if meaning == TypeMeaning::Char36 => {
            let as_written = text.len() == 36 && !text.iter().any(u8::is_ascii_uppercase);
            if as_written { Ok(()) } else { Err("it is no UUID in small letters".into()) }
        }
        _ => Ok(()),
    }
}
