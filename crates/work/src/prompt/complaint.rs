//! Telling a model what is wrong with its answer.

use domain::{Failure, Reason};

use super::Prompt;

/// How complaints are worded for one prompt.
#[derive(Debug)]
pub(super) struct Complaint {
    is_chinese: bool,
    /// The fields that are asked for, in backticks; empty where text is.
    fields: String,
}

impl Complaint {
    pub(super) fn new(prompt: &Prompt) -> Self {
        let names = prompt.output.iter().flat_map(|fields| &fields.0).map(|(name, _)| format!("`{name}`"));
        let is_chinese = [&prompt.template, &prompt.system].into_iter().flatten().any(|text| is_mostly_chinese(text));
        Self { is_chinese, fields: names.collect::<Vec<_>>().join(", ") }
    }

    /// Returns what the model is told when it is asked again; nothing where there is nothing to complain of: an answer
    /// that was cut off, is empty or declines would not be mended by it.
    pub(super) fn about(&self, failure: &Failure) -> Option<String> {
        let what = match failure.reason? {
            Reason::NoJson if self.is_chinese => "里面没有 JSON 对象",
            Reason::NoJson => "it holds no JSON object",
            Reason::MissingThink if self.is_chinese => "缺少 <think> 与 </think> 之间的思考过程",
            Reason::MissingThink => "the reasoning between <think> and </think> before the answer is missing",
            Reason::Schema | Reason::Pattern => &failure.message,
            Reason::Length | Reason::Empty | Reason::ToolCall | Reason::Declined | Reason::Filtered => return None,
        };
        let mut said = match self.is_chinese {
            true => format!("你的回答无法使用：{what}。请重新回答，只给出改正后的回答，不要解释。"),
            false => format!(
                "Your answer cannot be used: {what}. Answer again with nothing but the corrected answer, without an \
                 explanation."
            ),
        };
        if !self.fields.is_empty() {
            said.push_str(&match self.is_chinese {
                true => format!("回答必须是一个 JSON 对象，字段为 {}。", self.fields),
                false => format!(" It is one JSON object with the fields {}.", self.fields),
            });
        }
        Some(said)
    }
}

/// Returns whether a template is written in Chinese, whatever names and marks stand in it. A character says about as
/// much as two letters. Japanese has characters too, and kana between them.
fn is_mostly_chinese(template: &str) -> bool {
    let (mut characters, mut letters, mut depth) = (0, 0, 0_u32);
    for c in template.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            '\u{3040}'..='\u{30ff}' => return false,
            '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => characters += 1,
            _ if c.is_alphabetic() => letters += 1,
            _ => {}
        }
    }
    characters * 2 > letters
}
