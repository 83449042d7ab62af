//! The report as one HTML file: no script, nothing that is fetched, readable on a telephone, at night and on paper.

mod page;
mod plot;

use store::RunState;

use self::page::Page;
use super::document::{Alarm, Block, Cell, Document, Holds, Section, Shown, Table, Tile, Tone};

/// Writes a document as HTML.
pub(super) fn of(document: &Document) -> String {
    let mut page = Page::default();
    page.within("html", &[("lang", document.language_tag)], |page| {
        page.within("head", &[], |page| {
            page.empty("meta", &[("charset", "utf-8")]);
            page.empty("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
            page.empty("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            page.element("title", &[], &document.title);
            page.style(include_str!("style.css"));
        });
        page.line();
        page.within("body", &[], |page| write(page, document));
    });
    page.finish()
}

/// Returns the class of what a bar or a number stands for.
fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "plain",
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Faint => "faint",
        Tone::Open => "open",
    }
}

fn class(holds: Holds) -> &'static str {
    match holds {
        Holds::Names => "names",
        Holds::Numbers => "number",
        Holds::Sentences => "sentences",
    }
}

fn write(page: &mut Page, document: &Document) {
    page.within("header", &[], |page| {
        let state = match document.state.0 {
            RunState::Running => "state running",
            RunState::Interrupted => "state interrupted",
            RunState::Done => "state done",
        };
        page.element("p", &[("class", state)], document.state.1);
        page.element("h1", &[], &document.title);
        for sentence in &document.lead {
            page.within("p", &[("class", "lead")], |page| page.sentence(sentence));
        }
    });
    page.line();
    document.alarms.iter().for_each(|alarm| write_alarm(page, alarm));
    page.within("div", &[("class", "tiles")], |page| document.tiles.iter().for_each(|tile| write_tile(page, tile)));
    page.line();
    document.sections.iter().for_each(|section| write_section(page, section));
}

fn write_alarm(page: &mut Page, alarm: &Alarm) {
    page.within("div", &[("class", "alarm"), ("role", "alert")], |page| {
        page.within("p", &[], |page| page.sentence(&alarm.text));
        if !alarm.details.is_empty() {
            page.within("ul", &[], |page| alarm.details.iter().for_each(|detail| page.element("li", &[], detail)));
        }
    });
    page.line();
}

fn write_tile(page: &mut Page, tile: &Tile) {
    page.within("div", &[("class", &format!("tile {}", tone(tile.tone)))], |page| {
        page.element("b", &[], &tile.value);
        page.element("span", &[], &tile.label);
        if !tile.detail.is_empty() {
            page.element("small", &[], &tile.detail);
        }
    });
}

fn write_section(page: &mut Page, section: &Section) {
    page.within("section", &[], |page| {
        page.element("h2", &[], &section.heading);
        if !section.note.is_empty() {
            page.within("p", &[("class", "note")], |page| page.sentence(&section.note));
        }
        page.line();
        for block in &section.blocks {
            match block {
                Block::Text(text) => page.within("p", &[], |page| page.sentence(text)),
                Block::Table(table) => write_table(page, &section.heading, table),
                Block::Rate(rate) => plot::rate(page, rate),
                Block::Bins(bins) => plot::bins(page, bins),
                Block::Examples(title, examples) => {
                    page.element("h3", &[], title);
                    page.within("ul", &[("class", "examples")], |page| {
                        examples.iter().for_each(|example| write_example(page, example));
                    });
                }
                Block::Code(_, code) => page.within("pre", &[], |page| page.element("code", &[], code)),
            }
            page.line();
        }
    });
    page.line();
}

fn write_table(page: &mut Page, heading: &str, table: &Table) {
    // A table that is too wide scrolls by itself, with the keyboard too.
    let scrolls = [("class", "scroll"), ("tabindex", "0"), ("role", "region"), ("aria-label", heading)];
    page.within("div", &scrolls, |page| {
        page.within("table", &[], |page| {
            page.within("thead", &[], |page| {
                page.within("tr", &[], |page| {
                    for column in &table.columns {
                        page.element("th", &[("scope", "col"), ("class", class(column.holds))], &column.name);
                    }
                });
            });
            page.within("tbody", &[], |page| table.rows.iter().for_each(|row| write_row(page, table, row)));
        });
    });
}

fn write_row(page: &mut Page, table: &Table, row: &[Cell]) {
    page.line();
    page.within("tr", &[], |page| {
        for (column, cell) in table.columns.iter().zip(row) {
            match cell {
                Cell::Text(text) => page.element("td", &[("class", class(column.holds))], text),
                Cell::Code(text) => page.within("td", &[("class", class(column.holds))], |page| {
                    page.element("code", &[], text);
                }),
                Cell::Bar(parts) => page.within("td", &[("class", "bar")], |page| {
                    plot::parts(page, parts);
                    if let [(_, share)] = parts.as_slice() {
                        page.element("span", &[], &format!("{:.1} %", share * 100.0));
                    }
                }),
            }
        }
    });
}

fn write_example(page: &mut Page, example: &Shown) {
    page.line();
    page.within("li", &[], |page| {
        page.element("span", &[("class", "place")], &example.place);
        page.within("p", &[], |page| page.sentence(&example.message));
        if let Some((label, answer)) = &example.answer {
            page.element("span", &[("class", "place")], label);
            page.within("pre", &[], |page| page.element("code", &[], answer));
        }
    });
}
