//! Files that are not what the pipeline takes them for: told once and plainly, before every record fails for it.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// So much of a file tells what it is.
const LOOKED_AT: usize = 4096;

/// What a file that is read as JSON Lines really is, and what to do about it.
pub(super) fn of_lines(path: &Path) -> Option<(String, &'static str)> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LOOKED_AT as u64).read_to_end(&mut bytes).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let text = match bytes.as_slice() {
        [b'P', b'K', 3, 4, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            return Some((
                format!("`{name}` is an Excel file (or an archive)"),
                "read it with `excel:` in place of `jsonl:`",
            ));
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return Some((format!("`{name}` is in UTF-16"), "say so with `encoding: utf-16le`, or save it in UTF-8"));
        }
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => return None,
        // The last character may be cut, and a table may be in another encoding.
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => String::from_utf8_lossy(rest),
    };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
    let first = lines.first()?.trim();
    if first == "[" || first.starts_with("[{") {
        return Some((
            format!("`{name}` holds one JSON array, not a JSON object a line"),
            "read it with `json:` in place of `jsonl:`",
        ));
    }
    if first == "{" {
        let help = "JSON Lines has each object on one line, as `jq -c .` writes it";
        return Some((format!("`{name}` holds JSON objects over several lines, not one a line"), help));
    }
    let n_cells = |line: &str, mark: char| line.split(mark).count();
    let is_table = |mark| {
        n_cells(first, mark) > 1
            && lines.len() > 1
            && lines.iter().all(|line| n_cells(line, mark) >= n_cells(first, mark))
    };
    if lines.iter().any(|line| line.contains('{')) {
        return None;
    }
    match (is_table(','), is_table('\t')) {
        (true, _) => {
            Some((format!("`{name}` looks like CSV, not like JSON Lines"), "read it with `csv:` in place of `jsonl:`"))
        }
        (_, true) => {
            Some((format!("`{name}` looks like TSV, not like JSON Lines"), "read it with `tsv:` in place of `jsonl:`"))
        }
        _ => None,
    }
}

/// Returns the name beside `path` that differs least from it, if one is near.
pub(super) fn near(path: &Path) -> Option<PathBuf> {
    /// Below this, suggestions are noise (Jaro-Winkler).
    const NEAR: f64 = 0.85;
    let wanted = path.file_name()?.to_string_lossy().to_lowercase();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = std::fs::read_dir(folder).ok()?.take(1000).flatten().map(|entry| entry.file_name());
    let like = |name: &str| strsim::jaro_winkler(&wanted, &name.to_lowercase());
    let names = names.filter_map(|name| name.into_string().ok()).filter(|name| like(name) >= NEAR);
    let best = names.max_by(|a, b| like(a).total_cmp(&like(b)))?;
    Some(path.with_file_name(best))
}

/// Returns the places of fields whose `enum` has one value, in the output of any step.
pub(super) fn lonely_enums(pipeline: &Value) -> Vec<Vec<String>> {
    fn look(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
        for (key, inner) in value.as_object().into_iter().flatten() {
            let path = [path, std::slice::from_ref(key)].concat();
            match inner.as_array() {
                Some(values) if key == "enum" && values.len() == 1 => found.push(path),
                _ => look(inner, &path, found),
            }
        }
    }
    let mut found = Vec::new();
    for (name, step) in pipeline["steps"].as_object().into_iter().flatten() {
        let path = ["steps", name, "work", "prompt", "output"].map(str::to_owned);
        look(&step["work"]["prompt"]["output"], &path, &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_json_lines_is_told_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.jsonl");
        for (bytes, wanted) in [
            (&b"[\n {\"a\": 1},\n {\"a\": 2}\n]\n"[..], Some("JSON array")),
            (b"[{\"a\": 1}, {\"a\": 2}]", Some("JSON array")),
            (b"\xef\xbb\xbf[{\"a\": 1}]", Some("JSON array")),
            (b"{\n  \"a\": 1\n}\n", Some("several lines")),
            (b"id,text\n1,hello\n2,\"a, b\"\n", Some("CSV")),
            ("编号,内容\n1,你好\n".as_bytes(), Some("CSV")),
            (b"id\ttext\n1\thello\n", Some("TSV")),
            (b"PK\x03\x04\x14\x00", Some("Excel")),
            (b"\xff\xfe{\x00}\x00", Some("UTF-16")),
            (b"{\"a\": 1}\n{\"a\": 2}\n", None),
            (b"junk, that is\n{\"a\": 1, \"b\": 2}\n", None),
            (b"[1, 2]\n{\"a\": 1}\n", None),
            (b"", None),
            (b"one line, and no more", None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let told = of_lines(&path).map(|(what, _)| what);
            let is_so = match (&told, wanted) {
                (Some(told), Some(wanted)) => told.contains(wanted),
                (told, wanted) => told.is_none() && wanted.is_none(),
            };
            assert!(is_so, "{}: {told:?}, {wanted:?}", String::from_utf8_lossy(bytes));
        }
    }
}
