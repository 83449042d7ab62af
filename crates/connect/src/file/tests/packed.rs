//! gzip and zstd.

use std::io::Write as _;

use domain::ports::{Change, Source as _, Starts};

use crate::tests::{Job, try_all};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}

const LINES: &str = "{\"i\":1}\n{\"i\":2}\n";

#[test]
fn a_packed_file_is_told_by_its_ending_or_declared() {
    for (name, content) in [("in.jsonl.gz", gzip(LINES.as_bytes())), ("in.jsonl.zst", zstd(LINES.as_bytes()))] {
        assert_eq!(Job::of("jsonl", name).file(name, &content).texts(), ["{\"i\":1}", "{\"i\":2}"]);
    }
    let job = Job::of("jsonl", "in").file("in", gzip(LINES.as_bytes())).with("compression", "gzip");
    assert_eq!(job.texts().len(), 2);
    let job = Job::of("jsonl", "in.gz").file("in.gz", LINES).with("compression", "none");
    assert_eq!(job.texts().len(), 2);
    for (content, word) in [(gzip(b"{}"), "gzip"), (zstd(b"{}"), "zstd")] {
        let job = Job::of("jsonl", "in").file("in", content);
        let expected = format!("cannot read `in`: it is packed with {word}; say so with `compression: {word}`");
        assert_eq!(job.error(), expected);
    }
    let error = Job::of("jsonl", "in.gz").file("in.gz", LINES).error();
    assert!(error.starts_with("cannot read `in.gz`: its gzip data is damaged, or it is not gzip at all"), "{error}");
}

#[test]
fn several_members_and_frames_are_one_text() {
    for pack in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
        let content = [pack(b"{\"i\":1}\n{\"i\""), pack(b""), pack(b":2}\n{\"i\":3}")].concat();
        let job = Job::of("jsonl", "in").file("in", content);
        let job = job.with("compression", if pack(b"")[0] == 0x1f { "gzip" } else { "zstd" });
        assert_eq!(job.texts(), ["{\"i\":1}", "{\"i\":2}", "{\"i\":3}"]);
    }
}

#[test]
fn a_file_that_was_cut_short_is_never_taken_for_a_whole_one() {
    let lines: String = (0..2_000).map(|i| format!("{{\"i\":{i},\"h\":{}}}\n", i * 7919 % 1009)).collect();
    for (name, whole) in [("in.jsonl.gz", gzip(lines.as_bytes())), ("in.jsonl.zst", zstd(lines.as_bytes()))] {
        let word = if name.ends_with("gz") { "gzip" } else { "zstd" };
        // A file of no bytes at all is cut short, too, where it has to begin with something.
        for n in (1..whole.len()).step_by(7).chain([whole.len() - 1]) {
            let job = Job::of("jsonl", name).file(name, &whole[..n]);
            let error = job.error();
            let expected = format!(
                "cannot read `{name}`: its {word} data ends in the middle: the file was cut short, or is still being written"
            );
            assert_eq!(error, expected, "{n} of {} bytes", whole.len());
            assert!(job.source().count().is_err());
        }
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x55;
        let error = Job::of("jsonl", name).file(name, &damaged).error();
        assert!(error.contains(&format!("its {word} data is damaged")), "{error}");
    }
}

#[test]
fn whole_members_behind_a_packed_file_are_more_records() {
    for (pack, name) in [(gzip as fn(&[u8]) -> Vec<u8>, "in.jsonl.gz"), (zstd, "in.jsonl.zst")] {
        let job = Job::of("jsonl", name).file(name, pack(LINES.as_bytes()));
        let before = job.source().fingerprint().unwrap();
        let old = job.read();
        let grown = [pack(LINES.as_bytes()), pack(b"{\"i\":3}\n")].concat();
        job.write(name, &grown);
        let source = job.source();
        assert!(matches!(source.compare(&before).unwrap(), Change::Appended { .. }));
        let more = try_all(source.open(&Starts::from([(0, (2, old[1].next_offset))])).unwrap()).unwrap();
        assert_eq!((more.len(), &more[0].record.bytes[..]), (1, b"{\"i\":3}".as_slice()));

        let open_line = [pack(b"{\"i\":1}"), pack(b",\n")].concat();
        job.write(name, pack(b"{\"i\":1}"));
        let before = job.source().fingerprint().unwrap();
        job.write(name, open_line);
        let Change::Changed(what) = job.source().compare(&before).unwrap() else { panic!("the line was continued") };
        assert!(what.contains("had no line end and was continued"), "{what}");

        job.write(name, &grown[..20]);
        let before = job.source().fingerprint().unwrap();
        job.write(name, &grown);
        let Change::Changed(what) = job.source().compare(&before).unwrap() else { panic!("it was not whole") };
        assert!(what.contains("was not whole when the run was begun"), "{what}");
    }
}

#[test]
fn what_is_appended_to_a_packed_file_during_a_run_is_not_read_by_it() {
    let job = Job::of("jsonl", "in.gz").file("in.gz", gzip(LINES.as_bytes()));
    let source = job.source();
    source.fingerprint().unwrap();
    job.write("in.gz", [gzip(LINES.as_bytes()), gzip(LINES.as_bytes())].concat());
    assert_eq!(try_all(source.open(&Starts::new()).unwrap()).unwrap().len(), 2);
    assert_eq!(source.count().unwrap(), Some(2));
}
