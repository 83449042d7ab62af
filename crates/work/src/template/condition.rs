//! Conditions that compare fields with each other and with what is written there: most conditions are such, and every
//! record is asked. They are decided here by the rules of [`super::expression`], which knows all others and decides them
//! with the engine, at ten times the price.

use minijinja::Value;

use super::{expression::is_so, tokens::Tokens, value::Named};

/// Comparisons, alone or joined by `and`, `or`, `not` and parentheses.
#[derive(Debug)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    /// A chain compares each with the next one: `1 < n < 9`.
    Compared(Operand, Vec<(&'static str, Operand)>),
    IsTrue(Operand),
}

#[derive(Debug)]
pub(super) enum Operand {
    Field(Box<str>),
    Literal(Value),
}

impl Condition {
    /// Reads an expression, which is known to be one and looks up the fields `names`; `None` where it is more than such
    /// a condition.
    pub(super) fn read(text: &str, names: &[&str]) -> Option<Self> {
        let mut reading =
            Reading { tokens: Tokens::of(text).filter(|token| !token.trim().is_empty()).collect(), at: 0, names };
        let condition = reading.any()?;
        (reading.at == reading.tokens.len()).then_some(condition)
    }

    /// Returns whether it is true of a record.
    pub(super) fn holds(&self, record: &Named) -> bool {
        match self {
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(record)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(record)),
            Self::Not(condition) => !condition.holds(record),
            Self::Compared(first, rest) => {
                let mut left = first.value(record);
                rest.iter().all(|(operator, right)| {
                    let right = right.value(record);
                    is_so(std::mem::replace(&mut left, right), operator, right)
                })
            }
            Self::IsTrue(operand) => operand.value(record).is_true(),
        }
    }
}

impl Operand {
    fn value<'v>(&'v self, record: &'v Named) -> &'v Value {
        match self {
            Self::Field(name) => record.get(name).unwrap_or(&Value::UNDEFINED),
            Self::Literal(value) => value,
        }
    }
}

struct Reading<'t> {
    tokens: Vec<&'t str>,
    at: usize,
    names: &'t [&'t str],
}

impl<'t> Reading<'t> {
    fn any(&mut self) -> Option<Condition> {
        self.joined("or", Self::all, Condition::Any)
    }

    fn all(&mut self) -> Option<Condition> {
        self.joined("and", Self::not, Condition::All)
    }

    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Option<Condition>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Option<Condition> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.take(word) {
            parts.push(part(self)?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(join(parts)) }
    }

    fn not(&mut self) -> Option<Condition> {
        if self.take("not") {
            return self.not().map(|condition| Condition::Not(Box::new(condition)));
        }
        if self.take("(") {
            let condition = self.any()?;
            // What follows must not want its value.
            return (self.take(")") && self.operator().is_none()).then_some(condition);
        }
        let first = self.operand()?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator() {
            self.at += 1;
            rest.push((operator, self.operand()?));
        }
        Some(if rest.is_empty() { Condition::IsTrue(first) } else { Condition::Compared(first, rest) })
    }

    fn operator(&self) -> Option<&'static str> {
        let next = self.tokens.get(self.at)?;
        ["==", "!=", "<", "<=", ">", ">="].into_iter().find(|operator| operator == next)
    }

    fn operand(&mut self) -> Option<Operand> {
        let is_negative = self.take("-");
        let token = *self.tokens.get(self.at)?;
        self.at += 1;
        let literal = match token {
            _ if token.bytes().all(|b| b.is_ascii_digit()) => self.number(token, is_negative)?,
            _ if is_negative => return None,
            "true" | "True" => true.into(),
            "false" | "False" => false.into(),
            "none" | "None" => ().into(),
            _ if token.starts_with(['"', '\'']) && !token.contains('\\') => token.get(1..token.len() - 1)?.into(),
            _ if self.names.contains(&token) => return Some(Operand::Field(token.into())),
            _ => return None,
        };
        Some(Operand::Literal(literal))
    }

    fn number(&mut self, whole: &str, is_negative: bool) -> Option<Value> {
        let sign = if is_negative { "-" } else { "" };
        if !self.take(".") {
            return format!("{sign}{whole}").parse::<i64>().ok().map(Value::from);
        }
        let part = self.tokens.get(self.at).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?;
        self.at += 1;
        format!("{sign}{whole}.{part}").parse::<f64>().ok().map(Value::from)
    }

    fn take(&mut self, token: &str) -> bool {
        let is_next = self.tokens.get(self.at).is_some_and(|next| *next == token);
        self.at += usize::from(is_next);
        is_next
    }
}
