//! Standard input and output.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use domain::ports::Sink as _;
use serde_json::json;

use crate::{
    SinkPlaces, Stream, spool,
    tests::{Job, place, succeeded},
};

/// Takes so many bytes, and then says that nobody reads them any more.
struct Pipe {
    taken: Vec<u8>,
    most: usize,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.most - self.taken.len());
        self.taken.extend_from_slice(&bytes[..n]);
        if n == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(n) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_comes_in_once_is_kept_to_be_read_again() {
    let job = Job::of("jsonl", "-");
    let to = place(job.path(), "input-label");
    let lines = "{\"i\":1}\n".repeat(100_000);
    assert_eq!(spool(&mut lines.as_bytes(), &to).unwrap(), 800_000);
    assert_eq!((job.text("input-label"), job.names()), (lines, vec!["input-label".to_owned()]));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&to.path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it is its owner's alone");

    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is cut"))
        }
    }
    let to = place(job.path(), "other");
    let error = spool(&mut Broken, &to).unwrap_err();
    assert_eq!(error.0, "cannot copy `other`: the cable is cut");
    assert_eq!(job.names(), ["input-label"], "half of it is not taken for all");
}

#[test]
fn output_is_sent_when_it_is_whole_and_a_reader_may_leave() {
    let job = Job::of("jsonl", "in.jsonl")
        .file("in.jsonl", "{\"a\":1}\n{\"a\":2}\n")
        .into("csv", json!({"path": "-", "failures": "f.jsonl"}));
    for (most, expected) in [(1_000, "a,x\n1,9\n2,9\n"), (5, "a,x\n1"), (0, "")] {
        let pipe = Arc::new(Mutex::new(Pipe { taken: Vec::new(), most }));
        let stream: Stream = pipe.clone();
        let places = SinkPlaces {
            output: place(job.path(), "held"),
            failures: place(job.path(), "f.jsonl"),
            live: place(job.path(), "live.jsonl"),
            stream: Some(stream),
            in_place: None,
        };
        let mut sink = job.sink_at(places);
        sink.prepare().unwrap();
        sink.open(true).unwrap();
        let mut merge = sink.merge().unwrap();
        for read in job.read() {
            merge.write(&read.record, &succeeded(&read.record, r#"{"x":9}"#)).unwrap();
        }
        assert_eq!(pipe.lock().unwrap().taken, b"", "nothing is seen before it is whole");
        let artefacts = merge.finish().unwrap();
        assert_eq!((artefacts[0].records, artefacts[0].bytes), (2, 12));
        assert_eq!(String::from_utf8(pipe.lock().unwrap().taken.clone()).unwrap(), expected);
        assert_eq!(job.names(), ["f.jsonl", "in.jsonl"]);
    }
}
