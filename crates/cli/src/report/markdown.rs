//! The report as Markdown, which also reads well as it stands, in a terminal.

use super::document::{BinPlot, Block, Cell, Document, Holds, RatePlot, Section, Shown, Table, Tone};

/// The height of a plot of text is one line; these are its levels.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The longest bar of a distribution, in characters.
const BAR: usize = 40;

/// Writes a document as Markdown.
pub(super) fn of(document: &Document) -> String {
    let mut out = format!("# {}\n\n**{}**\n", escaped(&document.title), document.state.1);
    for alarm in &document.alarms {
        out.push_str(&format!("\n> **{}**\n", escaped(&alarm.text)));
        for detail in &alarm.details {
            out.push_str(&format!(">\n> - {}\n", escaped(detail)));
        }
    }
    for sentence in &document.lead {
        out.push_str(&format!("\n{}\n", escaped(sentence)));
    }
    out.push('\n');
    for tile in &document.tiles {
        let detail = if tile.detail.is_empty() { String::new() } else { format!(" · {}", escaped(&tile.detail)) };
        out.push_str(&format!("- **{}** {}{detail}\n", escaped(&tile.value), tile.label));
    }
    write_sections(&document.sections, &mut out);
    out
}

/// Writes sections below a title.
pub(super) fn of_sections(title: &str, sections: &[Section]) -> String {
    let mut out = format!("# {}\n", escaped(title));
    write_sections(sections, &mut out);
    out
}

fn write_sections(sections: &[Section], out: &mut String) {
    for section in sections {
        out.push_str(&format!("\n## {}\n", escaped(&section.heading)));
        if !section.note.is_empty() {
            out.push_str(&format!("\n{}\n", escaped(&section.note)));
        }
        for block in &section.blocks {
            out.push('\n');
            write(block, out);
        }
    }
}

fn write(block: &Block, out: &mut String) {
    match block {
        Block::Text(text) => out.push_str(&format!("{}\n", escaped(text))),
        Block::Table(table) => write_table(table, out),
        Block::Rate(plot) => fenced("text", &rate(plot), out),
        Block::Bins(plot) => fenced("text", &bins(plot), out),
        Block::Examples(title, examples) => {
            out.push_str(&format!("**{}**\n", escaped(title)));
            examples.iter().for_each(|example| write_example(example, out));
        }
        Block::Code(language, code) => fenced(language, code, out),
    }
}

fn write_table(table: &Table, out: &mut String) {
    let names = table.columns.iter().map(|column| in_cell(&column.name));
    out.push_str(&format!("| {} |\n", names.collect::<Vec<_>>().join(" | ")));
    let rules = table.columns.iter().map(|column| if column.holds == Holds::Numbers { "---:" } else { "---" });
    out.push_str(&format!("| {} |\n", rules.collect::<Vec<_>>().join(" | ")));
    for row in &table.rows {
        let cells = row.iter().map(|cell| match cell {
            Cell::Text(text) => in_cell(text),
            Cell::Code(text) if text.is_empty() => String::new(),
            Cell::Code(text) => code(text).replace('|', "\\|"),
            Cell::Bar(parts) => share(parts),
        });
        out.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
    }
}

/// Of a whole with several parts, the one that is good is told.
fn share(parts: &[(Tone, f64)]) -> String {
    let told = if parts.len() == 1 { parts.first() } else { parts.iter().find(|(tone, _)| *tone == Tone::Good) };
    told.map(|(_, share)| format!("{:.1} %", share * 100.0)).unwrap_or_default()
}

fn write_example(example: &Shown, out: &mut String) {
    let message = if example.message.is_empty() { String::new() } else { format!(": {}", escaped(&example.message)) };
    out.push_str(&format!("\n- {}{message}\n", escaped(&example.place)));
    if let Some((label, answer)) = &example.answer {
        out.push('\n');
        if !label.is_empty() {
            out.push_str(&format!("  {label}\n\n"));
        }
        let mut block = String::new();
        fenced("text", answer, &mut block);
        block.lines().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
}

fn rate(plot: &RatePlot) -> String {
    let level = |bucket: &super::facts::RateBucket| {
        let n = bucket.succeeded + bucket.failed + bucket.skipped;
        // The least of many is still something.
        let level = (n * 8).div_ceil(plot.peak.max(1)) as usize;
        LEVELS[level.min(8)]
    };
    let line: String = plot.buckets.iter().map(level).collect();
    format!("{line}\n{} … {}", plot.ends.0, plot.ends.1)
}

fn bins(plot: &BinPlot) -> String {
    let most = plot.bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1);
    let width =
        plot.labels.iter().map(|label| unicode_width::UnicodeWidthStr::width(label.as_str())).max().unwrap_or(0);
    let lines = plot.bins.iter().zip(&plot.labels).map(|(bin, label)| {
        let bar = "█".repeat((bin.count as usize * BAR).div_ceil(most as usize));
        let padding = " ".repeat(width - unicode_width::UnicodeWidthStr::width(label.as_str()));
        format!("{padding}{label}  {bar} {}", crate::progress::thousands(bin.count))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes a block of code whose fence is longer than any in the text, so that the text cannot end it.
fn fenced(language: &str, text: &str, out: &mut String) {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let text = text.trim_end_matches('\n');
    out.push_str(&format!("{fence}{language}\n{text}\n{fence}\n"));
}

fn code(text: &str) -> String {
    let text = one_line(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let ticks = "`".repeat(longest + 1);
    let gap = if longest > 0 { " " } else { "" };
    format!("{ticks}{gap}{text}{gap}{ticks}")
}

fn in_cell(text: &str) -> String {
    escaped(text).replace('|', "\\|")
}

/// Keeps text from becoming a tag, a link or an emphasis, and on one line. Backticks stay: our own sentences mark code
/// with them.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        if matches!(c, '<' | '[' | ']' | '*' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_data_cannot_become_markup() {
        assert_eq!(escaped("<script>\n[x](y) *a*"), "\\<script> \\[x\\](y) \\*a\\*");
        assert_eq!(in_cell("a|b"), "a\\|b");
        assert_eq!(code("a`b``c"), "``` a`b``c ```");
        let mut out = String::new();
        fenced("text", "a\n````\nb", &mut out);
        assert_eq!(out, "`````text\na\n````\nb\n`````\n");
    }
}
