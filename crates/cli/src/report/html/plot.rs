//! Plots as inline SVG. Shapes are stretched to the width that there is; words stand beside them as text, so that they
//! stay readable on a telephone.

use super::{page::Page, tone};
use crate::{
    progress::thousands,
    report::document::{BinPlot, RatePlot, Tone},
};

/// The height of a plot in its own units; the style sheet says how tall it is shown.
const HEIGHT: f64 = 100.0;
/// The width of a bar with the gap behind it.
const STEP: f64 = 10.0;
const BAR: f64 = 8.5;
/// Whatever is not nothing is this tall at least, so that one failure among thousands can be seen.
const LEAST: f64 = 1.5;

/// Writes the parts of a whole side by side.
pub(super) fn parts(page: &mut Page, parts: &[(Tone, f64)]) {
    let view =
        [("viewBox", "0 0 100 10"), ("preserveAspectRatio", "none"), ("aria-hidden", "true"), ("class", "parts")];
    page.within("svg", &view, |page| {
        let mut x = 0.0_f64;
        for (name, share) in parts {
            let width = (share * 100.0).clamp(0.8, (100.0 - x).max(0.8));
            rectangle(page, tone(*name), [x, 0.0, width, 10.0], None);
            x += width;
        }
    });
}

/// Writes records over time.
pub(super) fn rate(page: &mut Page, plot: &RatePlot) {
    let width = plot.buckets.len() as f64 * STEP;
    figure(page, plot.title, |page| {
        page.within("div", &[("class", "legend")], |page| {
            for ((name, label), n) in plot.series.iter().zip([
                plot.buckets.iter().map(|bucket| bucket.succeeded).sum::<u64>(),
                plot.buckets.iter().map(|bucket| bucket.failed).sum(),
                plot.buckets.iter().map(|bucket| bucket.skipped).sum(),
            ]) {
                if n > 0 {
                    legend(page, tone(*name), label);
                }
            }
            if !plot.began.is_empty() {
                legend(page, "began", plot.began_label);
            }
        });
        page.element("div", &[("class", "peak")], &plot.peak_label);
        drawing(page, plot.title, width, |page| {
            for (n, bucket) in plot.buckets.iter().enumerate() {
                let counts = [bucket.succeeded, bucket.failed, bucket.skipped];
                let told: Vec<String> = plot
                    .series
                    .iter()
                    .zip(counts)
                    .filter(|(_, count)| *count > 0)
                    .map(|((_, label), count)| format!("{} {label}", thousands(count)))
                    .collect();
                let told = told.join(", ");
                let mut y = HEIGHT;
                for ((name, _), count) in plot.series.iter().zip(counts).filter(|(_, count)| *count > 0) {
                    let height = (count as f64 / plot.peak as f64 * HEIGHT).max(LEAST);
                    y -= height;
                    rectangle(page, tone(*name), [n as f64 * STEP, y.max(0.0), BAR, height], Some(&told));
                }
            }
            for share in &plot.began {
                let x = format!("{:.2}", share * width);
                let line = [("class", "began"), ("x1", x.as_str()), ("x2", &x), ("y1", "0"), ("y2", "100")];
                page.empty("line", &line);
            }
        });
        ends(page, &plot.ends);
    });
}

/// Writes a distribution.
pub(super) fn bins(page: &mut Page, plot: &BinPlot) {
    let most = plot.bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1);
    let width = plot.bins.len() as f64 * STEP;
    figure(page, &plot.title, |page| {
        // In the order of the lines, from the left; below them they would stand on each other on a telephone.
        let marks: Vec<&str> = plot.marks.iter().map(|(label, _)| label.as_str()).collect();
        page.within("div", &[("class", "legend")], |page| legend(page, "mark", &marks.join(" · ")));
        page.element("div", &[("class", "peak")], &plot.peak);
        drawing(page, &plot.title, width, |page| {
            for ((n, bin), label) in
                plot.bins.iter().enumerate().zip(&plot.labels).filter(|((_, bin), _)| bin.count > 0)
            {
                let height = (bin.count as f64 / most as f64 * HEIGHT).max(LEAST);
                let told = format!("{label}: {}", thousands(bin.count));
                rectangle(page, "plain", [n as f64 * STEP, HEIGHT - height, BAR, height], Some(&told));
            }
            for (_, share) in &plot.marks {
                let x = format!("{:.2}", share * width);
                page.empty("line", &[("class", "mark"), ("x1", x.as_str()), ("x2", &x), ("y1", "0"), ("y2", "100")]);
            }
        });
        ends(page, &plot.ends);
    });
}

fn figure(page: &mut Page, title: &str, inside: impl FnOnce(&mut Page)) {
    page.within("figure", &[], |page| {
        page.element("figcaption", &[], title);
        inside(page);
    });
    page.line();
}

fn drawing(page: &mut Page, title: &str, width: f64, inside: impl FnOnce(&mut Page)) {
    let view = format!("0 0 {width:.0} {HEIGHT:.0}");
    let attributes = [
        ("class", "plot"),
        ("viewBox", &*view),
        ("preserveAspectRatio", "none"),
        ("role", "img"),
        ("aria-label", title),
    ];
    page.within("svg", &attributes, inside);
}

fn ends(page: &mut Page, ends: &(String, String)) {
    page.within("div", &[("class", "ends")], |page| {
        page.element("span", &[], &ends.0);
        page.element("span", &[], &ends.1);
    });
}

fn legend(page: &mut Page, class: &str, label: &str) {
    page.within("span", &[], |page| {
        page.element("i", &[("class", class)], "");
        page.text(label);
    });
}

fn rectangle(page: &mut Page, class: &str, [x, y, width, height]: [f64; 4], told: Option<&str>) {
    let [x, y, width, height] = [x, y, width, height].map(|n| format!("{n:.2}"));
    let attributes: [(&str, &str); 5] =
        [("class", class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)];
    page.within("rect", &attributes, |page| {
        if let Some(told) = told {
            page.element("title", &[], told);
        }
    });
}
