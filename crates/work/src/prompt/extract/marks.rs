//! The marks that models put around their thoughts.
//!
//! Tags such as `<think>` are recognised by name, in any case and with a prefix or a suffix (`<seed:think>`,
//! `<think:opensource>`). The rest is a table; each row names a model that writes it.

/// Names of tags around thoughts.
const NAMES: [&str; 10] =
    ["think", "thinking", "thought", "thoughts", "reasoning", "思考", "思考过程", "推理", "推理过程", "思维链"];

/// Longest inside of a tag, in bytes.
const LONGEST_TAG: usize = 100;

/// A pair of marks that is no tag.
struct Pair {
    open: &'static str,
    close: &'static [&'static str],
    /// Whether these are words, which mean something only where both are there. Of the others the first may stand in the
    /// prompt, or the second be cut off.
    is_heading: bool,
}

/// What ends a thought under a Chinese heading.
const HEADINGS: &[&str] = &[
    "【/思考】",
    "【/思考过程】",
    "【/推理】",
    "【思考结束】",
    "【最终答案】",
    "【答案】",
    "【回答】",
    "【结果】",
    "【输出】",
];

const PAIRS: [Pair; 13] = [
    Pair::new("[THINK]", &["[/THINK]"]),                        // Magistral, Ministral
    Pair::new("◁think▷", &["◁/think▷"]),                        // Kimi
    Pair::new("<|begin_of_thought|>", &["<|end_of_thought|>"]), // OpenThinker, Sky-T1
    Pair::new("<|START_THINKING|>", &["<|END_THINKING|>"]),     // Command A
    Pair::new("<|inner_prefix|>", &["<|inner_suffix|>"]),       // Apertus
    Pair::new("<|think|>", &["<|/think|>"]),                    // Gemma under LiteRT
    Pair::new("<|channel>thought", &["<channel|>"]),            // Gemma 4
    Pair::new("<unused94>thought", &["<unused95>"]),            // MedGemma
    Pair::new("[unused16]", &["[unused17]"]),                   // Pangu
    Pair::heading("Here is my thought process:", &["Here is my response:"]), // Granite
    Pair::heading("【思考】", HEADINGS),
    Pair::heading("【思考过程】", HEADINGS),
    Pair::heading("【推理】", HEADINGS),
];

impl Pair {
    const fn new(open: &'static str, close: &'static [&'static str]) -> Self {
        Self { open, close, is_heading: false }
    }

    const fn heading(open: &'static str, close: &'static [&'static str]) -> Self {
        Self { open, close, is_heading: true }
    }
}

/// What begins an answer for which no thought was closed: the thought ends before it.
const ANSWERS: [&str; 4] = ["<answer>", "<final_answer>", "<|begin_of_solution|>", "<|START_RESPONSE|>"];

/// What a mark does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Open,
    Close,
    /// Begins the answer, and is part of it.
    Answer,
}

/// A mark, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) does: Does,
    /// Marks of one kind belong together.
    kind: usize,
    /// Whether it means something only together with another one.
    pub(super) is_heading: bool,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// How many kinds of marks there are; the last one is that of answers.
const N_KINDS: usize = PAIRS.len() + NAMES.len() + 1;

/// All marks of a text.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) all: Vec<Mark>,
    /// The last closing mark of each kind.
    last: [Option<usize>; N_KINDS],
}

impl Marks {
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (mut all, mut last, mut at) = (Vec::new(), [None; N_KINDS], 0);
        while let Some(length) = next_start(&bytes[at..]) {
            at += length;
            let Some(mark) = mark_at(text, at) else {
                at += 1;
                continue;
            };
            if mark.does == Does::Close {
                last[mark.kind] = Some(all.len());
            }
            at = mark.end;
            all.push(mark);
        }
        Self { all, last }
    }

    /// Returns which mark ends the thought that mark `i` opens: the next one of its kind, or where there is none, the
    /// next one of any kind or the beginning of an answer.
    pub(super) fn closing(&self, i: usize) -> Option<usize> {
        let opening = self.all[i];
        let has_own = self.last[opening.kind].is_some_and(|last| last > i);
        if opening.is_heading && !has_own {
            return None;
        }
        let rest = &self.all[i + 1..];
        let found = rest.iter().position(|mark| match mark.does {
            Does::Open => false,
            Does::Close if has_own => mark.kind == opening.kind,
            Does::Close => !mark.is_heading,
            Does::Answer => !has_own,
        });
        found.map(|length| i + 1 + length)
    }
}

/// Returns the mark that stands at `at`, unless the text only speaks of it.
fn mark_at(text: &str, at: usize) -> Option<Mark> {
    let rest = &text.as_bytes()[at..];
    let (does, kind, length) = tag(rest).or_else(|| paired(rest)).or_else(|| {
        let answer = ANSWERS.iter().find(|answer| rest.starts_with(answer.as_bytes()))?;
        let starts_line = text[..at].trim_end_matches([' ', '\t']).ends_with('\n');
        starts_line.then_some((Does::Answer, N_KINDS - 1, answer.len()))
    })?;
    let (end, is_heading) = (at + length, PAIRS.get(kind).is_some_and(|pair| pair.is_heading));
    (!is_quoted(text, at, end)).then_some(Mark { does, kind, is_heading, start: at, end })
}

/// Returns where the next mark may begin. Chinese text is full of the bytes that two of the marks begin with, so those
/// are looked at in pairs.
fn next_start(bytes: &[u8]) -> Option<usize> {
    bytes.iter().enumerate().position(|(i, byte)| match byte {
        b'<' | b'[' => true,
        b'H' => bytes[i..].starts_with(b"Here is my "),
        0xE2 => bytes[i..].starts_with("◁".as_bytes()),
        0xE3 => bytes[i..].starts_with("【".as_bytes()),
        _ => false,
    })
}

fn tag(rest: &[u8]) -> Option<(Does, usize, usize)> {
    let inside = rest.strip_prefix(b"<")?;
    let length = inside.iter().take(LONGEST_TAG).position(|byte| matches!(byte, b'>' | b'<' | b'\n'))?;
    if inside[length] != b'>' {
        return None;
    }
    let inside = &inside[..length];
    let (does, inside) = match inside.strip_prefix(b"/") {
        Some(inside) => (Does::Close, inside),
        None => (Does::Open, inside),
    };
    let name = inside.split(|byte| byte.is_ascii_whitespace()).next()?;
    let kind = name
        .split(|&byte| byte == b':')
        .find_map(|part| NAMES.iter().position(|known| part.eq_ignore_ascii_case(known.as_bytes())))?;
    // `<think/>` is nothing at all.
    (!inside.ends_with(b"/")).then_some((does, PAIRS.len() + kind, 1 + length + 1))
}

fn paired(rest: &[u8]) -> Option<(Does, usize, usize)> {
    PAIRS.iter().enumerate().find_map(|(kind, pair)| {
        if rest.starts_with(pair.open.as_bytes()) {
            return Some((Does::Open, kind, pair.open.len()));
        }
        let close = pair.close.iter().find(|close| rest.starts_with(close.as_bytes()))?;
        Some((Does::Close, kind, close.len()))
    })
}

/// Says whether a text speaks of what stands at `start..end`, in quotes of any kind, instead of using it.
fn is_quoted(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].chars().next_back();
    let after = text[end..].chars().next();
    before.zip(after).is_some_and(|(before, after)| {
        matches!(
            (before, after),
            ('`', '`')
                | ('"', '"')
                | ('\'', '\'')
                | ('“' | '”', '“' | '”')
                | ('‘' | '’', '‘' | '’')
                | ('「', '」')
                | ('『', '』')
                | ('《', '》')
                | ('(', ')')
                | ('（', '）')
        )
    })
}
