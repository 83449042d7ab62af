//! What differs between two texts, line by line.

/// Lines around a difference that are shown with it.
const CONTEXT: usize = 3;
/// Texts that differ in more lines than this, one times the other, are told as wholly different: a table of all pairs
/// would not fit in memory.
const MOST_PAIRS: usize = 4 << 20;

/// A line of either text, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Both(&'a str),
    OnlyA(&'a str),
    OnlyB(&'a str),
}

/// Returns the difference in the form that `diff -u` made known; empty where there is none.
pub(super) fn unified(a: &str, b: &str) -> String {
    if a == b {
        return String::new();
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let lines = compare(&a, &b);
    let mut out = String::new();
    let (mut line_a, mut line_b, mut n) = (1, 1, 0);
    while n < lines.len() {
        if !is_near_a_difference(&lines, n) {
            (line_a, line_b, n) = (line_a + 1, line_b + 1, n + 1);
            continue;
        }
        let end = (n..lines.len()).find(|n| !is_near_a_difference(&lines, *n)).unwrap_or(lines.len());
        let hunk = &lines[n..end];
        let n_a = hunk.iter().filter(|line| !matches!(line, Line::OnlyB(_))).count();
        let n_b = hunk.iter().filter(|line| !matches!(line, Line::OnlyA(_))).count();
        out.push_str(&format!("@@ -{line_a},{n_a} +{line_b},{n_b} @@\n"));
        for line in hunk {
            let (sign, text) = match line {
                Line::Both(text) => (' ', text),
                Line::OnlyA(text) => ('-', text),
                Line::OnlyB(text) => ('+', text),
            };
            out.push(sign);
            out.push_str(text);
            out.push('\n');
        }
        (line_a, line_b, n) = (line_a + n_a, line_b + n_b, end);
    }
    out
}

fn is_near_a_difference(lines: &[Line<'_>], n: usize) -> bool {
    let near = &lines[n.saturating_sub(CONTEXT)..(n + CONTEXT + 1).min(lines.len())];
    near.iter().any(|line| !matches!(line, Line::Both(_)))
}

/// Pairs as many equal lines as there can be.
fn compare<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<Line<'a>> {
    let begin = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let end = a[begin..].iter().rev().zip(b[begin..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_a, middle_b) = (&a[begin..a.len() - end], &b[begin..b.len() - end]);
    let mut lines: Vec<Line<'a>> = a[..begin].iter().map(|line| Line::Both(line)).collect();
    if middle_a.len().saturating_mul(middle_b.len()) > MOST_PAIRS {
        lines.extend(middle_a.iter().map(|line| Line::OnlyA(line)));
        lines.extend(middle_b.iter().map(|line| Line::OnlyB(line)));
    } else {
        pair(middle_a, middle_b, &mut lines);
    }
    lines.extend(a[a.len() - end..].iter().map(|line| Line::Both(line)));
    lines
}

/// The longest common subsequence, by the table of all pairs.
fn pair<'a>(a: &[&'a str], b: &[&'a str], lines: &mut Vec<Line<'a>>) {
    let width = b.len() + 1;
    // How many pairs can be made of what begins at each place.
    let mut pairs = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            pairs[i * width + j] = if a[i] == b[j] {
                pairs[(i + 1) * width + j + 1] + 1
            } else {
                pairs[(i + 1) * width + j].max(pairs[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(Line::Both(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && pairs[(i + 1) * width + j] >= pairs[i * width + j + 1]) {
            lines.push(Line::OnlyA(a[i]));
            i += 1;
        } else {
            lines.push(Line::OnlyB(b[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_shown_between_its_neighbours() {
        let a = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let b = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n";
        assert_eq!(unified(a, b), "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
        assert_eq!(unified(a, a), "");
        assert_eq!(unified("", "x"), "@@ -1,0 +1,1 @@\n+x\n");
    }

    #[test]
    fn either_text_can_be_made_from_the_other_and_the_difference() {
        let mut draw = testkit::Draw::new(5);
        for _ in 0..300 {
            let text = |draw: &mut testkit::Draw| -> String {
                (0..draw.below(30)).map(|_| format!("{}\n", draw.below(6))).collect()
            };
            let (a, b) = (text(&mut draw), text(&mut draw));
            let (lines_a, lines_b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
            let lines = compare(&lines_a, &lines_b);
            let of = |is: fn(&Line<'_>) -> bool| -> Vec<&str> {
                lines
                    .iter()
                    .filter(|line| is(line))
                    .map(|(Line::Both(t) | Line::OnlyA(t) | Line::OnlyB(t))| *t)
                    .collect()
            };
            assert_eq!(of(|line| !matches!(line, Line::OnlyB(_))), lines_a);
            assert_eq!(of(|line| !matches!(line, Line::OnlyA(_))), lines_b);
        }
    }
}
