//! Writing a value that satisfies a compiled schema.

use std::fmt::Write as _;

use super::{
    schema::{Node, NodeId, Schema},
    words,
};
use crate::draw::Draws;

/// From this depth on, only what must be there is written, so that a recursive schema comes to an end.
const DEEP: usize = 6;

/// The same holds once this much is written, since a recursive schema of many branches grows before it is deep.
const LONG: usize = 16 << 10;

/// How often an item of a list of unique items is drawn anew before the list is left as long as it is.
const REDRAWS: usize = 64;

impl Schema {
    /// Writes a compact JSON value that satisfies the schema.
    pub(super) fn compose(&self, draws: &mut Draws, out: &mut String) {
        self.write(self.root, 0, draws, out);
    }

    fn write(&self, id: NodeId, depth: usize, draws: &mut Draws, out: &mut String) {
        match &self.nodes[id] {
            // No value satisfies it; `compile` sees to it that nothing requires one.
            Node::Never => out.push_str("null"),
            Node::Literals(literals) => out.push_str(&literals[draws.index(literals.len())]),
            Node::Null => out.push_str("null"),
            Node::Boolean => out.push_str(if draws.below(2) == 0 { "false" } else { "true" }),
            Node::Integer { from, to, step } => {
                // Steps from `from`, which is itself a multiple of the step. The width is at most that of an i64.
                let n_steps = to.abs_diff(*from) / step;
                let steps = draws.below(n_steps.saturating_add(1));
                let value = i128::from(*from) + i128::from(steps) * i128::from(*step);
                let _ = write!(out, "{value}");
            }
            Node::Number { from, to, step } => {
                let _ = write!(out, "{}", number(draws, *from, *to, *step));
            }
            Node::Text { least, most, format } => {
                out.push('"');
                let is_written = format.as_deref().is_some_and(|format| words::formatted(draws, format, out));
                if !is_written {
                    words::text_of(draws, *least, *most, out);
                }
                out.push('"');
            }
            Node::List { prefix, items, least, most, is_unique } => {
                self.write_list(prefix, *items, (*least, *most), *is_unique, depth, draws, out);
            }
            Node::Record { fields } => {
                out.push('{');
                let mut separator = "";
                for field in fields {
                    let is_optional = !field.is_required;
                    if is_optional && (is_enough(depth, out) || self.floors[field.value].is_none()) {
                        continue;
                    }
                    out.push_str(separator);
                    separator = ",";
                    out.push_str(&field.name);
                    out.push(':');
                    self.write(field.value, depth + 1, draws, out);
                }
                out.push('}');
            }
            Node::Choice(choices) => {
                let possible = || choices.iter().copied().filter(|&choice| self.floors[choice].is_some());
                let chosen = if is_enough(depth, out) {
                    possible().min_by_key(|&choice| self.floors[choice])
                } else {
                    possible().nth(draws.index(possible().count()))
                };
                match chosen {
                    Some(choice) => self.write(choice, depth + 1, draws, out),
                    None => out.push_str("null"),
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a list, and what every writer needs")]
    fn write_list(
        &self,
        prefix: &[NodeId],
        items: NodeId,
        (least, most): (usize, usize),
        is_unique: bool,
        depth: usize,
        draws: &mut Draws,
        out: &mut String,
    ) {
        let can_repeat = self.floors[items].is_some();
        let wanted = if is_enough(depth, out) { least } else { least.max(prefix.len()).max(1) + draws.index(3) };
        let wanted = if can_repeat { wanted } else { wanted.min(prefix.len()) }.min(most);
        out.push('[');
        let mut written: Vec<std::ops::Range<usize>> = Vec::new();
        for n in 0..wanted {
            let item = prefix.get(n).copied().unwrap_or(items);
            let before = out.len();
            if n > 0 {
                out.push(',');
            }
            let start = out.len();
            let mut is_new = false;
            for _ in 0..if is_unique { REDRAWS } else { 1 } {
                out.truncate(start);
                self.write(item, depth + 1, draws, out);
                is_new = !is_unique || written.iter().all(|range| out[range.clone()] != out[start..]);
                if is_new {
                    break;
                }
            }
            if !is_new {
                out.truncate(before);
                break;
            }
            if is_unique {
                written.push(start..out.len());
            }
        }
        out.push(']');
    }
}

/// Whether only what must be there is to be written.
fn is_enough(depth: usize, out: &str) -> bool {
    depth >= DEEP || out.len() >= LONG
}

/// Draws a number strictly between the ends, or one end where they are the same.
fn number(draws: &mut Draws, from: f64, to: f64, step: Option<f64>) -> f64 {
    if let Some(step) = step {
        let (first, last) = ((from / step).ceil(), (to / step).floor());
        let n_steps = (last - first).max(0.0) as u64;
        let value = (first + draws.below(n_steps.saturating_add(1)) as f64) * step;
        // 3 × 0.1 is 0.30000000000000004, which is no multiple of 0.1 to a reader of decimals.
        let rounded = (value * 1e9).round() / 1e9;
        return if rounded.is_finite() { rounded } else { value };
    }
    // The middle nine tenths, so that an exclusive end is never met.
    let share = 0.05 + 0.9 * draws.unit();
    let value = from * (1.0 - share) + to * share;
    let rounded = (value * 100.0).round() / 100.0;
    if from < rounded && rounded < to { rounded } else { value }
}
