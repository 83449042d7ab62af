//! Text from data stays text, in HTML and in Markdown.

use domain::{End, Failure, FailureKind, SkipReason, Timestamp};

use super::{Scripted, attempted, body, meta, outcome, settled, skipped, started, stopped, well_formed};
use crate::{
    language::Language,
    report::{Format, Report, render},
};

const EVIL: &str = "</code></pre><script>alert(1)</script>\"><img src=x onerror='x'> & `<b>` ![a](b) |\u{1}\u{8}";

/// A run in which every text that others have written is evil.
fn evil() -> Report {
    let mut scripted = Scripted::new();
    scripted.with(|manifest| {
        manifest.frozen = format!("version: 1\n# {EVIL}\n```\n````\n");
        manifest.simulated = vec![EVIL.to_owned()];
        manifest.pipeline = EVIL.to_owned();
        manifest.file = format!("/data/{EVIL}").into();
        manifest.step_names = vec![EVIL.to_owned()];
        manifest.inputs = manifest.inputs.values().map(|input| (EVIL.to_owned(), input.clone())).collect();
        for input in manifest.inputs.values_mut() {
            input.parts = vec![EVIL.to_owned(), EVIL.to_owned()];
        }
        let outputs = manifest.artefacts.remove("label").unwrap();
        let outputs = outputs.into_iter().map(|output| domain::ports::Artefact { path: EVIL.to_owned(), ..output });
        manifest.artefacts.insert(EVIL.to_owned(), outputs.collect());
    });
    let mut answered = meta(EVIL, 10, 5, 100);
    (answered.finish_reason, answered.model) = (Some(EVIL.to_owned()), Some(EVIL.to_owned()));
    let failure = Failure::new(FailureKind::InvalidOutput, EVIL);
    scripted.append([started(1_000_000, 1), attempted(0, failure.clone(), answered.clone(), 1_000_050)]);
    let mut bad = outcome(0);
    (bad.end, bad.meta, bad.at) = (End::Failed(failure), answered.clone(), Timestamp(1_000_400));
    scripted.append([settled(bad, &body(EVIL)), settled(skipped(1, SkipReason::BadRecord, EVIL), "")]);
    for position in 2..40 {
        let mut good = outcome(position);
        (good.meta, good.at) = (answered.clone(), Timestamp(1_000_400 + position * 10));
        good.meta.latency_ms = Some(position * position);
        scripted.append([settled(good, &body("{}"))]);
    }
    scripted.append([stopped(1_005_000, EVIL)]);
    scripted.report()
}

#[test]
fn html_is_well_formed_and_holds_no_element_that_came_from_data() {
    for language in [Language::English, Language::Chinese] {
        let html = render(&evil(), Format::Html, language).unwrap();
        let names = well_formed::check(&html);
        for forbidden in ["script", "img", "b2", "a", "link", "iframe"] {
            assert!(!names.iter().any(|name| name == forbidden), "an element `{forbidden}` stands in it");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "what was said is shown");
        assert!(names.iter().filter(|name| *name == "rect").count() > 20, "plots are drawn");
        // One file: nothing is fetched when it is opened.
        for fetched in ["http:", "https:", "url(", "@import", "src="] {
            let found = html.find(fetched).map(|at| &html[at.saturating_sub(40)..at + 20]);
            assert!(found.is_none_or(|found| found.contains("&lt;img")), "{fetched}: {found:?}");
        }
    }
}

#[test]
fn markdown_holds_no_tag_and_no_link_that_came_from_data() {
    let text = render(&evil(), Format::Markdown, Language::English).unwrap();
    let mut fence: Option<&str> = None;
    let mut n_shown = 0;
    for line in text.lines() {
        let ticks = &line[..line.len() - line.trim_start_matches([' ', '`']).len()];
        let ticks = ticks.trim();
        match fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(begun) if ticks == begun && line.trim() == begun => fence = None,
            Some(_) => n_shown += usize::from(line.contains("<script>")),
            None => {
                let bare = without_code(line);
                for tag in ["<script", "<img", "</code", "<b>"] {
                    let bare_tag = bare.match_indices(tag).any(|(at, _)| !bare[..at].ends_with('\\'));
                    assert!(!bare_tag, "`{tag}` in {line}");
                }
                assert!(!bare.contains("![a]("), "{line}");
            }
        }
    }
    assert_eq!(fence, None, "every block of code ends");
    assert!(n_shown >= 2, "the answer and the pipeline are shown as they are");
    // Tables stay tables: what is a bar in data does not begin a column.
    let outputs = text.split("## Outputs").nth(1).unwrap().lines().filter(|line| line.starts_with('|'));
    for row in outputs {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
    }
}

/// Takes code spans out of a line of Markdown.
fn without_code(line: &str) -> String {
    let (mut out, mut rest) = (String::new(), line);
    while let Some(at) = rest.find('`') {
        let n = rest[at..].len() - rest[at..].trim_start_matches('`').len();
        let ticks = "`".repeat(n);
        out.push_str(&rest[..at]);
        let behind = &rest[at + n..];
        // A span ends at as many ticks as it began with, and at no more.
        let mut from = 0;
        let end = loop {
            let Some(found) = behind[from..].find(&ticks).map(|found| from + found) else { break None };
            let m = behind[found..].len() - behind[found..].trim_start_matches('`').len();
            if m == n {
                break Some(found);
            }
            from = found + m;
        };
        match end {
            Some(end) => rest = &behind[end + n..],
            None => {
                out.push_str(&ticks);
                rest = behind;
            }
        }
    }
    out + rest
}

#[test]
fn what_is_simulated_is_said_loudly_in_every_format() {
    let report = evil();
    let markdown = render(&report, Format::Markdown, Language::English).unwrap();
    let html = render(&report, Format::Html, Language::Chinese).unwrap();
    assert!(markdown.contains("> **SIMULATED:"), "{markdown}");
    assert!(html.contains("模拟数据"), "{html}");
    assert_eq!(report.run.simulated_models.len(), 1);
    assert!(report.bill.by_upstream[0].simulated);
}
