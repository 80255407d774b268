//! Writes log events: each is one line, as text or as JSON, with secrets masked and control characters escaped.

use std::fmt::{self, Write as _};

use serde::Serializer;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{Colour, LogFormat, LogOutput};
use crate::clock;
use crate::escape::{escape, escape_json};
use crate::masking::{mask_known, mask_login_answer, mask_message};

/// The target of the notices that servers send.
pub(super) const NOTICE: &str = "sqlx::postgres::notice";

/// The field of a span that names the database. With several databases in the process, every line has it.
const DATABASE: &str = "database";

/// A layer that writes events to standard error.
pub(super) struct LogLayer {
    /// The format of a line.
    pub(super) format: LogFormat,
    /// The use of colours.
    pub(super) colour: Colour,
    /// Standard error.
    pub(super) output: LogOutput,
}

/// The fields of an event or a span, masked.
#[derive(Default)]
struct LogFields {
    /// The message of the event.
    message: String,
    /// The names and values of the other fields.
    others: Vec<(&'static str, Value)>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = LogFields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = LogFields::default();
        event.record(&mut fields);
        if event.metadata().target() == NOTICE {
            fields.message = mask_login_answer(&mask_message(&fields.message));
        }
        let line = match self.format {
            LogFormat::Json => self.json(event, &fields, &context),
            LogFormat::Text => Some(self.text(event, &fields, &context)),
        };
        self.output.write(&line.unwrap_or_default());
    }
}

impl LogLayer {
    /// Returns a line of text: the time, the level, the spans, the message and the fields.
    fn text<S>(&self, event: &Event<'_>, fields: &LogFields, context: &Context<'_, S>) -> String
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("error", "\x1b[31m"),
            Level::WARN => ("warn ", "\x1b[33m"),
            Level::INFO => ("info ", "\x1b[32m"),
            _ => ("debug", "\x1b[2m"),
        };
        let mut line = clock::now_time_of_day() + " ";
        match self.colour {
            Colour::Ansi => line.extend([colour, name, "\x1b[0m "]),
            Colour::Plain => line.extend([name, " "]),
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<LogFields>() {
                line.extend(["[", self.fields(fields).trim_start(), "] "]);
            }
        }
        if event.metadata().target() == NOTICE {
            line.push_str("server: ");
        }
        line + &escape(&fields.message) + &self.fields(fields) + "\n"
    }

    /// Returns each field as ` name=value`; a text value is in quotation marks.
    fn fields(&self, fields: &LogFields) -> String {
        let (name, sign, end) = match self.colour {
            Colour::Ansi => ("\x1b[3m", "\x1b[0m\x1b[2m", "\x1b[0m"),
            Colour::Plain => ("", "", ""),
        };
        let format_field = |(key, value): &(&str, Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"));
            format!(" {name}{key}{sign}={end}{}", escape(&value))
        };
        fields.others.iter().map(format_field).collect()
    }

    /// Returns a JSON object on one line; `None` if the event cannot be serialized.
    fn json<S>(&self, event: &Event<'_>, fields: &LogFields, context: &Context<'_, S>) -> Option<String>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let text = |text: String| Value::String(text);
        let mut entries = vec![
            ("timestamp", text(clock::now_with_microseconds())),
            ("level", text(event.metadata().level().to_string())),
            ("message", text(fields.message.clone())),
        ];
        entries.extend(fields.others.iter().cloned());
        if let Some(span) = context.event_span(event) {
            let mut inner = serde_json::Map::new();
            let outer = span.scope().skip(1).find_map(|outer| outer.extensions().get::<LogFields>()?.database());
            inner.extend(outer.map(|database| (DATABASE.to_owned(), database)));
            if let Some(fields) = span.extensions().get::<LogFields>() {
                inner.extend(fields.others.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            }
            inner.insert("name".into(), text(span.name().to_owned()));
            entries.push(("span", Value::Object(inner)));
        }
        let mut line = Vec::new();
        serde_json::Serializer::new(&mut line).collect_map(entries).ok()?;
        Some(escape_json(&String::from_utf8(line).ok()?).into_owned() + "\n")
    }
}

impl LogFields {
    /// Returns the name of the database, if it is among the fields.
    fn database(&self) -> Option<Value> {
        self.others.iter().find(|(name, _)| *name == DATABASE).map(|(_, value)| value.clone())
    }

    /// Adds a field.
    fn add(&mut self, field: &Field, value: Value) {
        self.others.push((field.name(), value));
    }

    /// Adds a text, masked: the message or another field.
    fn add_text(&mut self, field: &Field, text: &str) {
        match field.name() {
            "message" => self.message = mask_known(text),
            _ => self.add(field, Value::String(mask_known(text))),
        }
    }
}

impl Visit for LogFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.add_text(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}
