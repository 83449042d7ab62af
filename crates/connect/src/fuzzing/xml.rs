//! Whether XML is any: what is promised of a workbook is promised where its parts are sound.

/// Where elements that are looked for may stand.
const PARENTS: [(&str, &[&str]); 15] = [
    ("worksheet", &[""]),
    ("sheetData", &["worksheet"]),
    ("row", &["sheetData"]),
    ("c", &["row"]),
    ("f", &["c"]),
    ("v", &["c"]),
    ("is", &["c"]),
    ("sst", &[""]),
    ("si", &["sst"]),
    ("r", &["is", "si"]),
    ("rPh", &["is", "si"]),
    ("t", &["is", "si", "r", "rPh"]),
    ("sheet", &["sheets"]),
    ("sheets", &["workbook"]),
    ("Relationship", &["Relationships"]),
];

/// Elements that hold text and no elements.
const TEXTS: [&str; 3] = ["f", "v", "t"];
/// Elements that hold elements and no text.
const HOLDERS: [&str; 4] = ["worksheet", "sheetData", "row", "c"];
/// Elements of which their parent has one.
const ONCE: [&str; 5] = ["sheetData", "v", "is", "sheets", "dimension"];

/// Returns whether `xml` is well formed, has its elements where they belong, and nothing in it that office programs do not
/// write (CDATA, a document type).
pub(super) fn is_sound(xml: &[u8]) -> bool {
    str::from_utf8(xml).is_ok_and(|text| check(text.trim_start_matches('\u{feff}')).is_some())
}

fn check(mut rest: &str) -> Option<()> {
    // Each open element, with those of its children that may be there once.
    let mut open: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut n_roots = 0;
    loop {
        let Some((text, behind)) = rest.split_once('<') else {
            return (open.is_empty() && n_roots == 1 && rest.trim().is_empty()).then_some(());
        };
        let parent = open.last().map_or("", |(name, _)| *name);
        if (parent.is_empty() || HOLDERS.contains(&parent)) && !text.trim().is_empty() || !is_text(text) {
            return None;
        }
        if let Some(comment) = behind.strip_prefix("!--") {
            // A comment in the middle of a text parts it in two.
            let (inner, behind) = comment.split_once("--")?;
            rest = behind.strip_prefix('>').filter(|_| !TEXTS.contains(&parent) && !inner.ends_with('-'))?;
        } else if let Some(instruction) = behind.strip_prefix("?xml ").filter(|_| n_roots == 0) {
            rest = instruction.split_once("?>")?.1;
        } else if let Some(close) = behind.strip_prefix('/') {
            let (name, behind) = close.split_once('>')?;
            (open.pop()?.0 == name).then_some(())?;
            rest = behind;
        } else {
            let n = behind.find(|c: char| !c.is_ascii_alphanumeric()).filter(|n| *n > 0)?;
            let (name, behind) = behind.split_at(n);
            let (is_empty, behind) = attributes(behind)?;
            let known = PARENTS.iter().find(|(of, _)| *of == name);
            known.is_none_or(|(_, parents)| parents.contains(&parent)).then_some(())?;
            (!TEXTS.contains(&parent)).then_some(())?;
            if let Some((_, seen)) = open.last_mut() {
                (!ONCE.contains(&name) || !seen.contains(&name)).then_some(())?;
                seen.push(name);
            } else {
                n_roots += 1;
            }
            if !is_empty {
                open.push((name, Vec::new()));
            }
            rest = behind;
        }
    }
}

/// Passes the attributes of a tag, and returns whether it is its own end, and what follows it.
fn attributes(mut rest: &str) -> Option<(bool, &str)> {
    let mut names = Vec::new();
    loop {
        let inner = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if let Some(behind) = inner.strip_prefix("/>") {
            return Some((true, behind));
        }
        if let Some(behind) = inner.strip_prefix('>') {
            return Some((false, behind));
        }
        let (name, behind) = inner.split_once("=\"").filter(|_| inner.len() < rest.len())?;
        let (value, behind) = behind.split_once('"')?;
        // Prefixes say nothing that is not known; two of one name would.
        let local = name.rsplit(':').next()?;
        let is_name = !local.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':');
        (is_name && !names.contains(&local) && !value.contains('<') && is_text(value)).then_some(())?;
        names.push(local);
        rest = behind;
    }
}

/// Returns whether a text holds only characters that XML may.
fn is_text(text: &str) -> bool {
    let is_character = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    let mut references = text.split('&').skip(1);
    let is_known = |reference: &str| {
        let name = reference.split_once(';').map(|(name, _)| name);
        name.is_some_and(|name| ["amp", "lt", "gt", "quot", "apos"].contains(&name))
    };
    text.chars().all(is_character) && references.all(is_known) && !text.contains("]]>")
}

#[cfg(test)]
mod tests {
    use super::is_sound;

    #[test]
    fn sound_xml_is_told_from_what_is_none() {
        for xml in ["<a/>", "<?xml version=\"1.0\"?>\n<a b=\"1\" r:id=\">\"><!-- - --><d>x &amp; y</d></a>\n"] {
            assert!(is_sound(xml.as_bytes()), "{xml}");
        }
        let wrong = [
            "",
            "<a>",
            "<a></b>",
            "<a/><a/>",
            "<a b=1/>",
            "<a b=\"1\"c=\"2\"/>",
            "<a b=\"1\" b=\"2\"/>",
            "<a>&</a>",
            "<a>\u{1}</a>",
            "<a><row/></a>",
            "<worksheet>x</worksheet>",
            "<worksheet><sheetData/><sheetData/></worksheet>",
            "<a><![CDATA[x]]></a>",
        ];
        for xml in wrong {
            assert!(!is_sound(xml.as_bytes()), "{xml}");
        }
    }
}
