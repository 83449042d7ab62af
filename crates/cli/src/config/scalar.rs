//! What a plain word means: YAML 1.2's core schema, where `no` is a text and `017` is seventeen.

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes: its looks decide what it is.
    Plain,
    /// In quotes, as a block or tagged `!!str`: always a text.
    Text,
}

/// What a scalar is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number. Wider than any field, so that "too large" is told as such.
    Integer(i128),
    /// Any other finite number.
    Float(f64),
    /// Everything else.
    Text(&'a str),
}

/// Resolves a scalar by the core schema.
pub(crate) fn resolve(text: &str, style: Style) -> Scalar<'_> {
    if style == Style::Text {
        return Scalar::Text(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        _ => integer(text).or_else(|| float(text)).unwrap_or(Scalar::Text(text)),
    }
}

/// Reads `[-+]?[0-9]+`, `0o[0-7]+` and `0x[0-9a-fA-F]+`.
fn integer(text: &str) -> Option<Scalar<'_>> {
    let prefixed = |prefix, radix| {
        let digits: &str = text.strip_prefix(prefix)?;
        digits.chars().all(|c| c.is_digit(radix)).then(|| i128::from_str_radix(digits, radix).ok())?
    };
    let decimal = || {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    prefixed("0o", 8).or_else(|| prefixed("0x", 16)).or_else(decimal).map(Scalar::Integer)
}

/// Reads `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
///
/// `.inf` and `.nan` stay texts: JSON, which the value passes through, has no such numbers, and no field wants them.
fn float(text: &str) -> Option<Scalar<'_>> {
    let is_shaped = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let has_digit = text.trim_start_matches(['-', '+', '.']).starts_with(|c: char| c.is_ascii_digit());
    if !is_shaped || !has_digit {
        return None;
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Scalar::Float)
}

#[cfg(test)]
mod tests {
    use super::{Scalar, Style, resolve};

    #[test]
    fn a_plain_word_is_what_the_core_schema_says() {
        let cases = [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("null", Scalar::Null),
            ("nUll", Scalar::Text("nUll")),
            ("true", Scalar::Bool(true)),
            ("False", Scalar::Bool(false)),
            ("yes", Scalar::Text("yes")),
            ("off", Scalar::Text("off")),
            ("0", Scalar::Integer(0)),
            ("-12", Scalar::Integer(-12)),
            ("+12", Scalar::Integer(12)),
            ("017", Scalar::Integer(17)),
            ("0o17", Scalar::Integer(15)),
            ("0xFf", Scalar::Integer(255)),
            ("0x", Scalar::Text("0x")),
            ("0x-1", Scalar::Text("0x-1")),
            ("1_000", Scalar::Text("1_000")),
            ("1.5", Scalar::Float(1.5)),
            (".5", Scalar::Float(0.5)),
            ("5.", Scalar::Float(5.0)),
            ("1e3", Scalar::Float(1000.0)),
            ("-1.5E-3", Scalar::Float(-0.0015)),
            ("1e999", Scalar::Text("1e999")),
            (".inf", Scalar::Text(".inf")),
            (".nan", Scalar::Text(".nan")),
            ("infinity", Scalar::Text("infinity")),
            ("e5", Scalar::Text("e5")),
            ("-", Scalar::Text("-")),
            ("1.2.3", Scalar::Text("1.2.3")),
            ("2024-01-01", Scalar::Text("2024-01-01")),
        ];
        for (text, wanted) in cases {
            assert_eq!(resolve(text, Style::Plain), wanted, "{text:?}");
        }
        assert_eq!(resolve("5", Style::Text), Scalar::Text("5"));
    }
}
