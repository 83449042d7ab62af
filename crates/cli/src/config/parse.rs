//! From YAML events to the tree: anchors, merges, keys that occur twice, and limits against files that explode.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::{
    diagnostic::Diagnostic,
    document::{Document, Kind, Node, Span, lines},
    scalar::Style,
    slips,
};

/// Deeper than any file that a person writes; it bounds every recursion over the tree.
const MAX_DEPTH: usize = 64;
/// How many nodes aliases may add. Ten lines of nested aliases can otherwise stand for billions.
const MAX_ALIASED: usize = 100_000;

/// Parses `text` into a tree. The flag says whether the tree is whole; if not, nothing can be said about its content.
pub(super) fn parse(file: &Path, text: &str) -> (Document, Vec<Diagnostic>, bool) {
    // Editors on Windows put a byte order mark first; it is no column.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { lines: lines(text).collect(), ..Builder::default() };
    let broken = builder.events(text);
    let is_whole = broken.is_none();
    let root = builder.root.take().filter(|_| is_whole).unwrap_or_else(|| null(Span::START));
    let document = Document::new(file, text, root);
    let mistakes = builder.mistakes.into_iter().chain(broken);
    let diagnostics = mistakes.map(|mistake| {
        let diagnostic = document.error(mistake.span, mistake.message);
        match mistake.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    });
    let diagnostics = diagnostics.collect();
    (document, diagnostics, is_whole)
}

struct Mistake {
    span: Span,
    message: String,
    help: Option<String>,
}

impl Mistake {
    fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// A map or list that is not closed yet.
struct Open {
    span: Span,
    anchor: usize,
    entries: Vec<(Node, Node)>,
    items: Vec<Node>,
    key: Option<Node>,
    is_map: bool,
}

#[derive(Default)]
struct Builder<'t> {
    lines: Vec<&'t str>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    n_aliased: usize,
    root: Option<Node>,
    mistakes: Vec<Mistake>,
}

impl Builder<'_> {
    /// Takes in all events and returns the mistake, if any, after which the file makes no more sense.
    fn events(&mut self, text: &str) -> Option<Mistake> {
        let mut parser = Parser::new_from_str(text);
        let mut n_documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok((event, span)) => (event, self.span(span)),
                Err(error) => return Some(self.syntax(&error)),
            };
            match event {
                Event::DocumentStart(_) => n_documents += 1,
                Event::Alias(anchor) => {
                    if let Some(mistake) = self.alias(anchor, span) {
                        return Some(mistake);
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let is_text = style != ScalarStyle::Plain || tag.as_ref().is_some_and(|tag| tag.suffix == "str");
                    self.tag(tag.as_deref(), span);
                    if !is_text && slips::is_in_wide_quotes(&text) {
                        let mistake =
                            Mistake::new(span, "full-width quotes do not quote: they would be part of the text");
                        self.mistakes
                            .push(mistake.help("write `\"` instead; to keep them, put all of it in single quotes"));
                    }
                    let style = if is_text { Style::Text } else { Style::Plain };
                    let node = Node { span, kind: Kind::Scalar { text: text.into_owned(), style } };
                    self.place(node, anchor);
                }
                Event::SequenceStart(anchor, tag) => self.enter(anchor, tag.as_deref(), span, false),
                Event::MappingStart(anchor, tag) => self.enter(anchor, tag.as_deref(), span, true),
                Event::SequenceEnd | Event::MappingEnd => self.leave(),
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
            if n_documents > 1 {
                let mistake = Mistake::new(span, "the file holds more than one YAML document");
                return Some(mistake.help("remove the `---` between them, or make two files"));
            }
            if self.open.len() > MAX_DEPTH {
                return Some(Mistake::new(span, format!("nested more than {MAX_DEPTH} levels deep")));
            }
        }
        None
    }

    fn enter(&mut self, anchor: usize, tag: Option<&Tag>, span: Span, is_map: bool) {
        self.tag(tag, span);
        self.open.push(Open { span, anchor, entries: Vec::new(), items: Vec::new(), key: None, is_map });
    }

    fn leave(&mut self) {
        let Some(open) = self.open.pop() else { return };
        if let [only] = open.items.as_slice()
            && self.is_one_text_with_wide_commas(open.span, only)
        {
            let mistake = Mistake::new(only.span, "a full-width comma parts no items: this is a list of one text");
            self.mistakes.push(mistake.help("write `,` between the items; if it is one text, put it in quotes"));
        }
        let kind = match open.is_map {
            true => Kind::Map(self.merged(open.entries)),
            false => Kind::Seq(open.items),
        };
        self.place(Node { span: open.span, kind }, open.anchor);
    }

    /// Returns whether the one item of a list in brackets is a text without quotes that was meant as several.
    fn is_one_text_with_wide_commas(&self, list: Span, item: &Node) -> bool {
        let is_in_brackets = self.lines[list.line - 1].chars().nth(list.column - 1) == Some('[');
        let Kind::Scalar { text, style: Style::Plain } = &item.kind else { return false };
        is_in_brackets && text.contains(['，', '、'])
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, mut node: Node, anchor: usize) {
        if let Some(Open { key: Some(key), .. }) = self.open.last()
            && node.text() == Some("")
            && node.kind == null(node.span).kind
        {
            // Nothing was written, so the parser's place for it is that of the next token.
            node.span = key.span;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        match open.key.take() {
            _ if !open.is_map => open.items.push(node),
            None => open.key = Some(node),
            Some(key) => open.entries.push((key, node)),
        }
    }

    /// Puts a copy of what the alias refers to, or returns why the file must not be read any further.
    fn alias(&mut self, anchor: usize, span: Span) -> Option<Mistake> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.mistakes.push(Mistake::new(span, "an alias cannot stand inside of what it refers to"));
            self.place(null(span), 0);
            return None;
        };
        let (size, depth) = measure(node);
        self.n_aliased += size;
        if self.n_aliased > MAX_ALIASED {
            return Some(Mistake::new(span, format!("aliases stand for more than {MAX_ALIASED} values")));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Some(Mistake::new(span, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let node = node.clone();
        self.place(node, 0);
        None
    }

    fn tag(&mut self, tag: Option<&Tag>, span: Span) {
        let Some(tag) = tag else { return };
        let is_known = matches!(tag.suffix.as_str(), "str" | "int" | "float" | "bool" | "null" | "map" | "seq");
        if !(tag.is_yaml_core_schema() && is_known) {
            let mistake = Mistake::new(span, format!("tags such as `{tag}` mean nothing here"));
            self.mistakes.push(mistake.help("remove it; for a text that begins with `!`, use quotes"));
        }
    }

    /// Returns a map's entries with unique keys and `<<` resolved. A map's own keys win over those merged into it.
    fn merged(&mut self, entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut own: Vec<(Node, Node)> = Vec::with_capacity(entries.len());
        let mut lines_of: HashMap<String, usize> = HashMap::new();
        let mut sources = Vec::new();
        for (key, value) in entries {
            let Kind::Scalar { text, style } = &key.kind else {
                let mistake = Mistake::new(key.span, "a key must be a text, not a list or a map");
                self.mistakes.push(mistake.help("if this is a template such as `{{ name }}`, put it in quotes"));
                continue;
            };
            if text == "<<" && *style == Style::Plain {
                sources.push(value);
            } else if let Some(line) = lines_of.get(text) {
                let mistake = Mistake::new(key.span, format!("the key `{text}` occurs twice"));
                self.mistakes.push(mistake.help(format!("the first is on line {line}")));
            } else {
                lines_of.insert(text.clone(), key.span.line);
                own.push((key, value));
            }
        }
        let mut taken: HashSet<String> = lines_of.into_keys().collect();
        for source in sources {
            let maps = match source.kind {
                Kind::Seq(items) => items,
                Kind::Map(_) | Kind::Scalar { .. } => vec![source],
            };
            for map in maps {
                let Kind::Map(entries) = map.kind else {
                    let mistake = Mistake::new(map.span, "`<<` merges a map or a list of maps");
                    self.mistakes.push(mistake.help("write `<<: *name`, where `&name` marks a map"));
                    continue;
                };
                own.extend(entries.into_iter().filter(|(key, _)| taken.insert(key.text().unwrap_or("").to_owned())));
            }
        }
        own
    }

    fn syntax(&self, error: &ScanError) -> Mistake {
        let marker = *error.marker();
        let mut span = self.span(saphyr_parser::Span::empty(marker));
        let indent = |line: &str| line[..line.len() - line.trim_start().len()].find('\t');
        // A tab before a continued value is noticed at the end of the line before.
        let near =
            [span.line - 1, span.line].into_iter().find_map(|index| Some((index, indent(self.lines.get(index)?)?)));
        if let Some((index, at)) = near {
            span = Span { line: index + 1, column: at + 1, length: 1 };
            let mistake = Mistake::new(span, "not valid YAML: a tab in the indentation");
            return mistake.help("indent with spaces");
        }
        let line = self.lines[span.line - 1];
        let is_template = line.contains("{{") || line.contains("{%");
        if let Some(slip) = slips::syntax(&self.lines, span, error.info()).filter(|_| !is_template) {
            let what = slip.what.unwrap_or_else(|| error.info().to_owned());
            return Mistake::new(slip.span, format!("not valid YAML: {what}")).help(slip.help);
        }
        let mistake = Mistake::new(span, format!("not valid YAML: {}", error.info()));
        if is_template {
            return mistake.help("put a template in quotes, or in a block after `|`");
        }
        if error.info().contains("mapping values are not allowed") {
            return mistake.help("check the indentation; a text that contains `: ` needs quotes");
        }
        mistake
    }

    /// Turns the parser's place into ours: on one line, at least one character long, and inside of the file.
    fn span(&self, span: saphyr_parser::Span) -> Span {
        let line = span.start.line().clamp(1, self.lines.len());
        let width = self.lines[line - 1].chars().count();
        let is_past_the_end = span.start.line() > self.lines.len();
        let start = if is_past_the_end { width } else { span.start.col().min(width) };
        let end = if span.end.line() == line { span.end.col().min(width) } else { width };
        Span { line, column: start + 1, length: end.saturating_sub(start).max(1) }
    }
}

/// Returns how many nodes a tree has and how deep it goes.
fn measure(node: &Node) -> (usize, usize) {
    let children: Vec<&Node> = match &node.kind {
        Kind::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
        Kind::Seq(items) => items.iter().collect(),
        Kind::Scalar { .. } => return (1, 0),
    };
    children.into_iter().map(measure).fold((1, 1), |(size, depth), (n, d)| (size + n, depth.max(d + 1)))
}

fn null(span: Span) -> Node {
    Node { span, kind: Kind::Scalar { text: String::new(), style: Style::Plain } }
}
