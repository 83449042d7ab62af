//! Looking at HTML as a strict reader does.

/// Elements that hold nothing and are written without an end.
const EMPTY: [&str; 3] = ["meta", "br", "hr"];

/// Makes sure that every element ends where it should, every attribute is in quotes, and every `&` begins an entity.
/// Returns the names of all elements.
#[track_caller]
pub(super) fn check(html: &str) -> Vec<String> {
    let mut rest = html.strip_prefix("<!DOCTYPE html>").expect("it says what it is");
    let (mut open, mut names): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        check_text(&rest[..at]);
        let tag = &rest[at + 1..];
        if let Some(end) = tag.strip_prefix('/') {
            let (name, behind) = end.split_once('>').expect("a tag ends");
            assert_eq!(open.pop().as_deref(), Some(name), "it ends what was begun last: {open:?}");
            rest = behind;
            continue;
        }
        let (name, is_empty, behind) = check_tag(tag);
        names.push(name.clone());
        if !is_empty {
            assert!(!EMPTY.contains(&name.as_str()), "`{name}` has an end");
            open.push(name.clone());
        }
        rest = behind;
        if name == "style" {
            // What stands in it is no HTML.
            rest = &rest[rest.find("</style").expect("it ends")..];
        }
    }
    check_text(rest);
    assert!(open.is_empty(), "not ended: {open:?}");
    names
}

/// Reads a tag: its name, whether it ends itself, and what stands behind it.
#[track_caller]
fn check_tag(tag: &str) -> (String, bool, &str) {
    let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).expect("a tag ends");
    let (name, mut rest) = tag.split_at(end);
    assert!(!name.is_empty(), "a tag has a name: <{}", &tag[..tag.len().min(40)]);
    loop {
        if let Some(behind) = rest.strip_prefix("/>") {
            return (name.to_owned(), true, behind);
        }
        if let Some(behind) = rest.strip_prefix('>') {
            return (name.to_owned(), false, behind);
        }
        let attribute = rest.strip_prefix(' ').expect("a blank stands before an attribute");
        let (key, value) = attribute.split_once("=\"").expect("a value is in quotes");
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "`{key}` is the name of an attribute");
        assert!(!key.starts_with("on"), "nothing listens");
        let (value, behind) = value.split_once('"').expect("quotes end");
        assert!(!value.contains('<'), "`{value}` is escaped");
        check_text(value);
        rest = behind;
    }
}

#[track_caller]
fn check_text(text: &str) {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        assert!(known.iter().any(|entity| text[at..].starts_with(entity)), "an entity: {}", &text[at..]);
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "no control characters: {text:?}");
}
