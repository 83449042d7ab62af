//! Every format, stored in every way, goes on from every record.

use domain::ports::{Source as _, Starts};

use crate::{
    file::{gzip, zstd},
    tests::Job,
};

/// Three records whose texts are hard to cut, and one that is longer than a block.
fn content(format: &str) -> String {
    let long = "长".repeat(40_000);
    match format {
        "jsonl" => format!("{{\"k\":\"一\"}}\r\n\n{{\"k\":\"{long}\"}}\n{{\"k\":\"\\n\"}}"),
        "csv" => format!("k,值\r\n\"一\n二\",1\r\n\r\n{long},\"\"\"\"\r\n3"),
        "tsv" => format!("k\t值\n\"一\t二\"\t1\n\n{long}\t\"\"\"\"\n3"),
        _ => format!("[\n {{\"k\":\"一]\"}} ,\n{{\"k\":\"{long}\"}}\n,3,{{\n}}\n]\n"),
    }
}

#[test]
fn a_reading_goes_on_from_every_record() {
    for format in ["jsonl", "csv", "tsv", "json"] {
        let text = content(format);
        let plain = text.clone().into_bytes();
        let marked = format!("\u{feff}{text}").into_bytes();
        let wide: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let gb18030 = encoding_rs::GB18030.encode(&text).0.into_owned();
        for (name, stored, encoding) in [
            ("in.plain", plain.clone(), "utf-8"),
            ("in.marked", marked.clone(), "utf-8"),
            ("in.gz", gzip(&plain), "utf-8"),
            ("in.marked.gz", gzip(&marked), "utf-8"),
            ("in.zst", zstd(&plain), "utf-8"),
            ("in.gb18030", gb18030.clone(), "gb18030"),
            ("in.gb18030.gz", gzip(&gb18030), "gb18030"),
            ("in.wide", wide, "utf-8"),
        ] {
            let job = Job::of(format, name).file(name, stored).with("encoding", encoding);
            let whole = job.read();
            assert_eq!(whole.len(), 4, "{format} {name}");
            assert_eq!(job.source().count().unwrap(), Some(4), "{format} {name}");
            let told = |reads: &[domain::Read]| -> Vec<_> {
                let one = |read: &domain::Read| {
                    let record = &read.record;
                    (record.key, record.origin, record.bytes.clone(), record.row.clone(), read.next_offset)
                };
                reads.iter().map(one).collect()
            };
            for (i, read) in whole.iter().enumerate() {
                let here = Starts::from([(0, (i as u64, read.record.origin.offset))]);
                assert_eq!(told(&job.read_from(&here)), told(&whole[i..]), "{format} {name} from record {i}");
                let behind = Starts::from([(0, (i as u64 + 1, read.next_offset))]);
                assert_eq!(told(&job.read_from(&behind)), told(&whole[i + 1..]), "{format} {name} behind record {i}");
            }
            let first = job.source().first().unwrap().unwrap();
            assert_eq!(told(&whole)[0].2, first.bytes);
        }
    }
}

#[test]
fn what_records_say_does_not_depend_on_how_they_are_stored() {
    for format in ["jsonl", "csv", "tsv", "json"] {
        let text = content(format);
        let plain = Job::of(format, "in").file("in", &text);
        let packed = Job::of(format, "in.gz").file("in.gz", gzip(&encoding_rs::GB18030.encode(&text).0));
        let hashes = |job: &Job| -> Vec<_> { job.read().iter().map(|read| read.record.hash()).collect() };
        assert_eq!(hashes(&plain), hashes(&packed.with("encoding", "gb18030")), "{format}");
    }
}
