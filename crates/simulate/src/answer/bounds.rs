//! How large a number may be, and how long a string or a list.

use serde_json::{Map, Value};

use super::schema::Node;

/// How wide a range is that a schema leaves open.
const OPEN: i64 = 100;

/// Returns the least and the most of something that is counted.
pub(super) fn counts(
    schema: &Map<String, Value>,
    least: &str,
    most: &str,
    bound: usize,
) -> Result<(usize, usize), String> {
    let count = |keyword: &str| match schema.get(keyword) {
        None => Ok(None),
        // A float with nothing after the point is a count too, says the specification.
        Some(value) => match value.as_f64() {
            Some(count) if count >= 0.0 && count.fract() == 0.0 => Ok(Some(count as usize)),
            _ => Err(format!("`{keyword}` is not a count")),
        },
    };
    let (low, high) = (count(least)?.unwrap_or(0), count(most)?.unwrap_or(usize::MAX));
    if low > high {
        return Err(format!("`{least}` is more than `{most}`"));
    }
    if low > bound {
        return Err(format!("`{least}` is more than the {bound} that the simulated vendor makes"));
    }
    Ok((low, high))
}

pub(super) fn integer(schema: &Map<String, Value>) -> Result<Node, String> {
    let whole = |keyword: &str, round: fn(f64) -> f64| {
        let limit = schema.get(keyword)?;
        limit.as_i64().or_else(|| limit.as_f64().map(|limit| round(limit) as i64))
    };
    // Below 5.5 lies 5, and below 5 lies 4.
    let above = whole("exclusiveMinimum", f64::floor).map(|limit| limit.saturating_add(1));
    let below = whole("exclusiveMaximum", f64::ceil).map(|limit| limit.saturating_sub(1));
    let low = whole("minimum", f64::ceil).into_iter().chain(above).max();
    let high = whole("maximum", f64::floor).into_iter().chain(below).min();
    let step = match schema.get("multipleOf") {
        None => 1,
        Some(step) => match step.as_f64() {
            Some(step) if step >= 1.0 && step.fract() == 0.0 && step <= i64::MAX as f64 => step as u64,
            // Every whole number is a multiple of 0.5 or 0.25; other fractions are not worth the arithmetic.
            Some(step) if step > 0.0 && (1.0 / step).fract() == 0.0 => 1,
            _ => return Err("`multipleOf` of an integer is not a whole number from 1 up".to_owned()),
        },
    };
    let width = OPEN.max(i64::try_from(step).unwrap_or(i64::MAX));
    let (from, to) = match (low, high) {
        (Some(low), Some(high)) => (low, high),
        (Some(low), None) => (low, low.saturating_add(width)),
        (None, Some(high)) => (high.saturating_sub(width).max(high.min(0)), high),
        (None, None) => (0, width),
    };
    // The first multiple of the step from `from` up.
    let first = i128::from(from) + (-i128::from(from)).rem_euclid(i128::from(step));
    match i64::try_from(first) {
        Ok(first) if first <= to => Ok(Node::Integer { from: first, to, step }),
        _ => Err("no integer is within its bounds".to_owned()),
    }
}

pub(super) fn number(schema: &Map<String, Value>) -> Result<Node, String> {
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let step = limit("multipleOf").filter(|step| *step > 0.0);
    let (minimum, above) = (limit("minimum"), limit("exclusiveMinimum"));
    let (maximum, below) = (limit("maximum"), limit("exclusiveMaximum"));
    // A multiple may lie on the end of its range, so that an exclusive end is moved inwards by half a step.
    let inwards = step.map_or(0.0, |step| step / 2.0);
    let low = minimum.into_iter().chain(above.map(|above| above + inwards)).reduce(f64::max);
    let high = maximum.into_iter().chain(below.map(|below| below - inwards)).reduce(f64::min);
    let width = step.map_or(OPEN as f64, |step| step.max(OPEN as f64));
    let (from, to) = match (low, high) {
        (Some(low), Some(high)) => (low, high),
        (Some(low), None) => (low, low + width),
        (None, Some(high)) => (high - width, high),
        (None, None) => (0.0, width),
    };
    let is_closed = above.is_none_or(|above| above < from) && below.is_none_or(|below| below > to);
    let has_multiple = step.is_none_or(|step| (from / step).ceil() * step <= to);
    if from < to && has_multiple || from == to && is_closed && has_multiple {
        Ok(Node::Number { from, to, step })
    } else {
        Err("no number is within its bounds".to_owned())
    }
}
