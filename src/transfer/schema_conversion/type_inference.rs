//! The choice of a column's type while the rows of its table are read: the first of a list of candidates that stores
//! all values exactly, and that `transfer` accepts without further options.

use super::notes::{ColumnNotes, TypeRefusal};
use super::shape::{Shape, repeats_a_key};
use super::textual::{AS_TEXT, MergeRule, NumberSpellings};
use super::types::{DeclaredType, FALLBACK_TYPES, RULE_TYPES, TypeMeaning, sql};
use crate::transfer::cast::{Cast, WritableType, Zone};
use crate::transfer::value::{StorageClass, Value, shown};

/// The usage of a column, which excludes some types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnUsage {
    /// True for a part of an index: the type must have an order.
    pub(crate) indexed: bool,
    /// True for a part of a key: values that differ in SQLite must differ in PostgreSQL.
    pub(crate) unique: bool,
    /// True for an alias of the rowid, which is always an integer.
    pub(crate) rowid: bool,
}

/// The chosen type of a column, and facts about its values.
#[derive(Clone, Debug)]
pub(crate) struct ChosenType {
    /// The cast for the chosen type.
    pub(crate) cast: Cast,
    /// The names of the rules that the user gave for the column.
    pub(crate) rules: Vec<String>,
    /// True if a value is NULL or becomes NULL.
    pub(crate) nulls: bool,
    /// The length of the longest value in bytes.
    pub(crate) longest: usize,
    /// The notation of numbers and texts, for columns where a rule converts both to text.
    pub(crate) spelled: NumberSpellings,
    /// The note on the chosen type for the user, if there is one.
    pub(crate) note: Option<String>,
}

impl ChosenType {
    /// Returns the chosen type.
    pub(crate) fn ty(&self) -> &WritableType {
        self.cast.ty()
    }

    /// Returns the possibility that two values of the source become equal. In a key, two NULLs are never equal.
    pub(super) fn merge_rule(&self) -> MergeRule {
        const INJECTIVE_RULES: [&str; 7] =
            ["unix-s", "unix-ms", "unix-us", "unix-ns", "webkit", "filetime", EMPTY_AS_NULL];
        let is_text = matches!(self.ty(), WritableType::Text | WritableType::Varchar(_));
        let mut others = self.rules.iter().filter(|rule| !INJECTIVE_RULES.contains(&rule.as_str())).peekable();
        if others.peek().is_none() {
            MergeRule::Never
        } else if is_text && others.all(|rule| rule == AS_TEXT) {
            self.spelled.merge_rule()
        } else {
            MergeRule::Possible
        }
    }

    /// Reports whether the type is a text with the unchanged values of the source, or with numbers as text.
    pub(super) fn is_textual(&self) -> bool {
        let is_text = matches!(self.ty(), WritableType::Text | WritableType::Varchar(_));
        is_text && self.rules.iter().all(|rule| rule == AS_TEXT)
    }
}

/// The only rule that changes nothing but empty texts.
const EMPTY_AS_NULL: &str = "empty-as-null";
/// The field of a NULL: the length -1.
const NULL_FIELD: [u8; 4] = [0xff; 4];

/// The maximum size of a row on its page in bytes, below `MaxHeapTupleSize` (src/include/access/htup_details.h).
pub(crate) const ROW: usize = 8000;

/// Returns the maximum size of a value in its row, in bytes. A longer value is stored outside of the row
/// (src/backend/access/table/toast_helper.c).
pub(crate) fn width(value: Value<'_>) -> usize {
    match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 8,
        Value::Text(bytes) | Value::Blob(bytes) => (bytes.len() + 1).min(24),
    }
}

/// The state of choosing the type of a column while its values are read.
pub(crate) struct TypeInference {
    /// The column as the option `--cast` expects it: `table.column`.
    column_name: String,
    declared: String,
    meaning: TypeMeaning,
    usage: ColumnUsage,
    rules: Vec<String>,
    candidates: Vec<Candidate>,
    /// The number of candidates that come from the declared type. Later candidates come from a general list.
    declared_count: usize,
    notes: ColumnNotes,
    nulls: bool,
    longest: usize,
    buffer: Vec<u8>,
}

/// A type that all values so far fit.
struct Candidate {
    /// The index in the list of all candidates.
    at: usize,
    cast: Cast,
    shape: Shape,
}

impl TypeInference {
    /// Creates the list of candidates for a column.
    ///
    /// # Errors
    /// Fails when the rules fit no type. The error is a message for the user.
    pub(crate) fn new(
        column_name: String,
        declared: &str,
        usage: ColumnUsage,
        rules: Vec<String>,
        zone: Zone,
    ) -> Result<TypeInference, String> {
        let declared_type = DeclaredType::parse(declared);
        let declared_types = if usage.rowid { vec![WritableType::BigInt] } else { declared_type.types() };
        let is_plain = rules.iter().all(|rule| rule == EMPTY_AS_NULL);
        let other_types: &[WritableType] = match (usage.rowid, is_plain) {
            (true, _) => &[],
            (_, true) => &FALLBACK_TYPES,
            (_, false) => &RULE_TYPES,
        };
        let declared_count = declared_types.len();
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut error = None;
        for ty in declared_types.into_iter().chain(other_types.iter().cloned()) {
            let is_listed = candidates.iter().any(|candidate| *candidate.cast.ty() == ty);
            if is_listed || (usage.indexed && ty == WritableType::Json) {
                continue;
            }
            match rules.iter().try_fold(Cast::new(ty, zone), |cast, rule| cast.with(rule)) {
                Ok(cast) => candidates.push(Candidate { at: candidates.len(), cast, shape: Shape::default() }),
                Err(reason) => error = error.or(Some(reason)),
            }
        }
        if candidates.is_empty() {
            return Err(format!("{column_name}: --cast: {}", error.unwrap_or_default()));
        }
        Ok(TypeInference {
            declared_count: declared_count.min(candidates.len()),
            declared: declared.to_owned(),
            meaning: declared_type.meaning(),
            notes: ColumnNotes::default(),
            buffer: Vec::new(),
            nulls: false,
            longest: 0,
            column_name,
            usage,
            rules,
            candidates,
        })
    }

    /// Examines a value. `row` returns the name of its row for messages.
    pub(crate) fn take(&mut self, value: Value<'_>, row: &dyn Fn() -> String) {
        if value == Value::Null {
            self.nulls = true;
            return;
        }
        self.notes.class(value);
        if !self.rules.is_empty() {
            self.notes.spelled.take(value);
        }
        let mut at = 0;
        while at < self.candidates.len() {
            match self.fits(at, value) {
                Ok(()) => at += 1,
                Err(reason) => {
                    let removed = self.candidates.remove(at);
                    let describe = || format!("{} holds {}: {reason}", row(), shown(value));
                    if removed.at == 0 {
                        self.notes.first = Some(describe());
                    }
                    if self.candidates.is_empty() {
                        self.notes.last = Some(format!("{} holds {}", row(), shown(value)));
                    }
                }
            }
        }
    }

    /// Checks whether a candidate stores the value unchanged. The error is the reason why not.
    fn fits(&mut self, at: usize, value: Value<'_>) -> Result<(), String> {
        let candidate = &mut self.candidates[at];
        self.buffer.clear();
        let result = candidate.cast.encode(value, &mut self.buffer);
        result.map_err(|error| {
            let hint = error.hint(&self.column_name).map_or(String::new(), |hint| format!(" ({hint})"));
            format!("it {}{hint}", error.reason())
        })?;
        self.nulls |= self.buffer == NULL_FIELD;
        self.longest = self.longest.max(self.buffer.len() - NULL_FIELD.len());
        let is_explicit = self.rules.iter().any(|rule| rule != EMPTY_AS_NULL) || self.buffer == NULL_FIELD;
        if is_explicit {
            return Ok(());
        }
        check_lossless(candidate.cast.ty(), self.meaning, value)?;
        match self.usage.unique {
            true => candidate.shape.take(candidate.cast.ty(), value),
            false => Ok(()),
        }
    }

    /// Returns the chosen type.
    ///
    /// # Errors
    /// Fails when no type fits. The error names the first row after which no candidate was left, and what may help.
    pub(crate) fn finish(mut self) -> Result<ChosenType, TypeRefusal> {
        let has_values = self.notes.has_values();
        // Without a value, a declaration without meaning is no reason for another type than text.
        if !has_values && self.meaning == TypeMeaning::Nothing && self.rules.is_empty() {
            self.candidates.retain(|candidate| *candidate.cast.ty() == WritableType::Text);
        }
        // A column of 36 characters may contain anything, as long as it has no UUID.
        if !has_values && self.meaning == TypeMeaning::Char36 && self.candidates.len() > 1 {
            self.candidates.remove(0);
        }
        if self.candidates.is_empty() {
            return Err(self.notes.refusal(&self.column_name, &self.rules));
        }
        let chosen = self.candidates.remove(0);
        let declared = if self.declared.is_empty() { "without a type" } else { &self.declared };
        let reason = match (self.meaning, &self.notes.first) {
            _ if !self.rules.is_empty() || chosen.at == 0 => None,
            (TypeMeaning::Nothing, _) => None,
            (_, Some(first)) if chosen.at >= self.declared_count => Some(format!("declared {declared}; {first}")),
            (TypeMeaning::Boolean | TypeMeaning::Json, Some(first)) => Some(format!("declared {declared}; {first}")),
            _ => None,
        };
        let is_unknown_type = matches!(self.meaning, TypeMeaning::Other(_)) && self.rules.is_empty();
        let note = reason.or_else(|| is_unknown_type.then(|| format!("declared {declared}, which is SQLite's alone")));
        let note = note.map(|note| format!("{note}; so it is {}", sql(chosen.cast.ty())));
        let (cast, spelled) = (chosen.cast, self.notes.spelled.clone());
        Ok(ChosenType { cast, rules: self.rules, nulls: self.nulls, longest: self.longest, spelled, note })
    }
}

/// Checks whether a type keeps a value as it is, without a rule. The casts accept some values that they do not keep.
fn check_lossless(ty: &WritableType, meaning: TypeMeaning, value: Value<'_>) -> Result<(), String> {
    let is_natural = match (ty, value.class()) {
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
    if !is_natural {
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
            let is_lowercase = text.len() == 36 && !text.iter().any(u8::is_ascii_uppercase);
            if is_lowercase { Ok(()) } else { Err("it is no UUID in small letters".into()) }
        }
        _ => Ok(()),
    }
}
