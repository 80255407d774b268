//! json and jsonb: checked here, sent as they are written, so that no number changes.

use super::jsonb::{Numbers, Writer};
use super::numeric::{SCALE, WHOLE};
use super::text::utf8;
use super::{Bad, Rule, Target, Type};
use crate::transfer::decimal::{Decimal, Form};
use crate::transfer::json::{Broken, Scanner, Token};

/// The only version of the binary form of jsonb: `jsonb_send` in `src/backend/utils/adt/jsonb.c`.
const VERSION: u8 = 1;
/// The longest text inside of a jsonb: `JENTRY_OFFLENMASK` in `src/include/utils/jsonb.h`.
const LONGEST: usize = 0x0fff_ffff;

pub(super) fn json(ty: &Type, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Bad> {
    utf8(bytes)?;
    check(ty, bytes).map_err(broken)?;
    if matches!(ty, Type::Jsonb) {
        out.push(VERSION);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// As [`json`] for jsonb, and appends to `back` what the server will send back; both without their lengths.
pub(super) fn jsonb(
    bytes: &[u8],
    out: &mut Vec<u8>,
    writer: &mut Writer,
    back: &mut Vec<u8>,
) -> Result<(), Bad> {
    utf8(bytes)?;
    back.push(VERSION);
    writer.append(bytes, Numbers::Written, back).map_err(broken)?;
    out.push(VERSION);
    out.extend_from_slice(bytes);
    Ok(())
}

fn broken(Broken { at, what }: Broken) -> Bad {
    Bad::new(format!("is not JSON that PostgreSQL takes: {what}, at byte {at}"))
}

fn check(ty: &Type, text: &[u8]) -> Result<(), Broken> {
    let is_jsonb = matches!(ty, Type::Jsonb);
    let mut scanner = Scanner::new(text);
    while let Some(token) = scanner.token()? {
        if let Some(what) = unfit(token).filter(|_| is_jsonb) {
            // What is too long is named by where it ends.
            return Err(Broken { at: scanner.at(), what });
        }
    }
    Ok(())
}

/// Why a token is none that jsonb takes.
pub(super) fn unfit(token: Token<'_>) -> Option<&'static str> {
    match token {
        Token::Number(number) if !is_numeric(number) => Some("a number has more digits than any numeric"),
        Token::Text(text) | Token::Key(text) if text.len() > LONGEST => Some("a text is longer than 256 MiB"),
        _ => None,
    }
}

/// jsonb keeps numbers as numeric.
fn is_numeric(number: &[u8]) -> bool {
    // Without an exponent, so few digits always fit.
    if number.len() < 1000 && !number.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return true;
    }
    Decimal::parse(number, Form::Scientific).is_some_and(|decimal| {
        let digits = decimal.digits();
        decimal.scale() <= SCALE && (digits.is_zero() || digits.point <= WHOLE)
    })
}

fn number(target: Target<'_>, number: &str, out: &mut Vec<u8>) -> Result<(), Bad> {
    if !target.rules.has(Rule::AsText) {
        return Err(
            Bad::new("is a number, not a JSON text").rule(Rule::AsText, format!("writes it as {number}"))
        );
    }
    json(target.ty, number.as_bytes(), out)
}

pub(super) fn from_integer(target: Target<'_>, value: i64, out: &mut Vec<u8>) -> Result<(), Bad> {
    number(target, &value.to_string(), out)
}

pub(super) fn from_real(target: Target<'_>, value: f64, out: &mut Vec<u8>) -> Result<(), Bad> {
    match value.is_finite() {
        true => number(target, &format!("{value:?}"), out),
        false => Err(Bad::new("is not a finite number, and JSON has no other")),
    }
}

pub(super) fn from_blob(target: Target<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Bad> {
    if target.rules.has(Rule::Utf8) {
        return json(target.ty, bytes, out);
    }
    let bad = Bad::new("is a blob, not a JSON text");
    Err(match utf8(bytes).is_ok_and(|_| check(target.ty, bytes).is_ok()) {
        true => bad.rule(Rule::Utf8, "takes its bytes as text"),
        false => bad.advice("SQLite's own JSONB blobs become text by its function json(): UPDATE ... SET column = json(column)"),
    })
}
