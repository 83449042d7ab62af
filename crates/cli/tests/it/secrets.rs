//! A planted key is found in no file, no word and no process list, whoever repeats it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
};

use simulate::Script;

use crate::story::{Pipeline, Ran, Story, loopback, models, records, slow};

const PLANTED: &str = "sk-planted-4711-do-not-print";

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a story has a folder") {
        let path = entry.expect("its files can be listed").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn holds(bytes: &[u8]) -> bool {
    bytes.windows(PLANTED.len()).any(|window| window == PLANTED.as_bytes())
}

/// Looks for the key in everything that a run and the commands around it leave and say.
#[track_caller]
fn is_nowhere(story: &Story, ran: &[Ran]) {
    let found = files(story.folder());
    assert!(found.iter().any(|path| path.extension().is_some_and(|e| e == "seg")), "there is a journal to look into");
    for path in found {
        let is_where_it_belongs = path.ends_with("key.txt");
        let bytes = fs::read(&path).expect("a file that was listed can be read");
        assert!(is_where_it_belongs || !holds(&bytes), "the key stands in {}", path.display());
    }
    let id = story.run_id();
    let shown = [
        story.tidemill(["runs", "--json"]),
        story.tidemill(["runs", "show", &id, "--json", "--verify"]),
        story.tidemill(["runs", "export", &id]),
        story.tidemill(["check", "pipeline.yaml"]),
    ];
    for ran in ran.iter().chain(&shown) {
        ran.does_not_say(PLANTED);
    }
}

fn with_vendor(more: &str, script: Script) -> Story {
    let script = Script { require_key: Some(PLANTED.to_owned()), ..script };
    let story = Story::with(records(24), script, &Pipeline::default());
    story.models(more);
    story
}

fn command_line(id: u32) -> Vec<u8> {
    fs::read(format!("/proc/{id}/cmdline")).expect("a process that runs has a command line")
}

#[test]
fn a_key_from_the_environment_is_used_and_nowhere_else() {
    let mut story = with_vendor(", key: { env: KEY }", slow(200));
    story.set("KEY", PLANTED);
    let mut running = story.start(["--json"]);
    running.until("it is under way", |_| story.asked() > 0);
    let line = command_line(running.id());
    assert!(!line.is_empty() && !holds(&line), "the process list tells the key");
    let ran = running.wait();
    ran.says(0, &["24 succeeded"]);
    is_nowhere(&story, &[ran]);
}

#[test]
fn a_key_from_a_file_is_used_and_nowhere_else() {
    let story = with_vendor(", key: { file: key.txt }", slow(200));
    story.write("key.txt", format!("{PLANTED}\n"));
    let mut running = story.start(["--json"]);
    running.until("it is under way", |_| story.asked() > 0);
    for of in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{}/{of}", running.id())).unwrap();
        assert!(!bytes.is_empty() && !holds(&bytes), "/proc tells the key in {of}");
    }
    let ran = running.wait();
    ran.says(0, &["24 succeeded"]);
    is_nowhere(&story, &[ran]);
}

#[test]
fn a_key_file_lies_relative_to_the_models_file() {
    let story = with_vendor("", Script::default());
    story.write("keys/key.txt", PLANTED);
    story.write("keys/models.yaml", models(story.vendor.address(), ", key: { file: key.txt }"));
    let ran = story.run(["--models", "keys/models.yaml"]);
    ran.says(0, &["24 succeeded"]);
    is_nowhere(&story, &[ran]);
}

/// A vendor that answers everything with this status, and repeats the key that it was sent in its error and its headers.
fn parrot(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).expect("a port on loopback is free");
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that goes away is no matter.
            let _ = repeat(stream, status);
        }
    });
    address
}

fn repeat(mut stream: TcpStream, status: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut block = [0; 4096];
    let (head, length) = loop {
        let n = stream.read(&mut block)?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&block[..n]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).into_owned();
        let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        break (head, end + 4 + length);
    };
    while request.len() < length {
        let n = stream.read(&mut block)?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&block[..n]);
    }
    let key = header(&head, "authorization").unwrap_or_default();
    let bare = key.trim_start_matches("Bearer ");
    let body = serde_json::json!({
        "error": { "message": format!("Incorrect API key provided: {bare}. Sent: {key}"), "code": bare, "type": key },
    });
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-request-id: {bare}\r\nx-echo: {bare}\r\ncontent-length: \
         {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn header(head: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    head.lines().find_map(value)
}

#[track_caller]
fn repeated(status: &'static str, exit: i32, said: &[&str]) {
    let flow = "{ retries: { api: 1 }, backoff: { first: 1ms, max: 1ms } }";
    let mut story = Story::with(records(3), Script::default(), &Pipeline { flow, ..Pipeline::default() });
    story.write("models.yaml", models(parrot(status), ", key: { env: KEY }"));
    story.set("KEY", PLANTED);
    let ran = story.run(["--json"]);
    ran.says(exit, said);
    assert!(ran.stderr.contains("Incorrect API key provided") || story.has("out/labels.failures.jsonl"), "{ran:?}");
    is_nowhere(&story, &[ran]);
}

#[test]
fn a_vendor_that_repeats_the_key_while_refusing_it_is_not_repeated() {
    repeated("401 Unauthorized", 4, &["stopped:", "Incorrect API key provided"]);
}

#[test]
fn a_vendor_that_repeats_the_key_while_rejecting_a_record_is_not_repeated() {
    repeated("400 Bad Request", 1, &["3 failed (rejected 3)"]);
}

#[test]
fn a_vendor_that_repeats_the_key_while_it_is_down_is_not_repeated() {
    repeated("500 Internal Server Error", 1, &["3 failed (unavailable 3)"]);
}

#[test]
fn a_vendor_that_repeats_the_key_in_what_is_no_answer_is_not_repeated() {
    repeated("200 OK", 1, &["3 failed"]);
}

/// Everything that people write by mistake where a key belongs: refused, and never repeated.
#[test]
fn a_key_that_stands_in_the_models_file_is_refused_and_not_repeated() {
    let entry = |rest: &str| format!("models:\n  - {{ name: model, channel: vendor{rest} }}\n");
    let cases = [
        ("as it is", entry(&format!(", key: {PLANTED}"))),
        ("quoted", entry(&format!(", key: \"{PLANTED}\""))),
        ("under an unknown name", entry(&format!(", key: {{ value: {PLANTED} }}"))),
        ("in a list", entry(&format!(", key: [{PLANTED}]"))),
        ("as the name of a variable", entry(&format!(", key: {{ env: {PLANTED} }}"))),
        ("under another spelling", entry(&format!(", api_key: {PLANTED}"))),
        ("before another mistake", entry(&format!(", key: {PLANTED}, wieght: 2"))),
        ("behind another mistake", entry(&format!(", wieght: 2, key: {PLANTED}"))),
        ("as a block", format!("models:\n  - name: model\n    channel: vendor\n    key: {PLANTED}\n")),
        (
            "in a file that is no YAML",
            format!("models:\n  - {{ name: model, channel: vendor, key: {PLANTED}\nroutes: {{}}\n"),
        ),
        ("twice", entry(&format!(", key: {PLANTED}, key: {PLANTED}"))),
    ];
    let mut repeated = Vec::new();
    for (how, entry) in cases {
        let story = Story::of(records(3));
        let text = models(story.vendor.address(), "");
        let channels = text.split("models:").next().expect("the usual file has models");
        story.write("models.yaml", format!("{channels}{entry}"));
        for ran in [
            story.run([]),
            story.tidemill(["check", "pipeline.yaml"]),
            story.tidemill(["check", "pipeline.yaml", "--json"]),
        ] {
            assert_eq!(ran.status, 2, "{how}: {ran:?}");
            if ran.stderr.contains("planted") || ran.stdout.contains("planted") {
                repeated.push(format!("{how}: {}{}", ran.stderr, ran.stdout));
            }
        }
        assert_eq!((story.asked(), story.has(".tidemill")), (0, false), "{how}");
    }
    assert!(repeated.is_empty(), "{}", repeated.join("\n"));
}

#[test]
fn a_key_that_stands_among_the_headers_is_refused_and_not_repeated() {
    for header in [format!("Authorization: Bearer {PLANTED}"), format!("authorization: \"Bearer {PLANTED}\"")] {
        let story = Story::of(records(3));
        let text = models(story.vendor.address(), "").replace("/v1\" }", &format!("/v1\", headers: {{ {header} }} }}"));
        story.write("models.yaml", text);
        let ran = story.run([]);
        ran.says(2, &["a key never stands among the headers", "key: { env: NAME }", "models.yaml:2:"]);
        ran.does_not_say("planted");
        assert_eq!(story.asked(), 0);
    }
}

#[test]
fn a_literal_key_is_told_with_what_to_write_instead() {
    let story = Story::of(records(3));
    story.models(&format!(", key: {PLANTED}"));
    let ran = story.run([]);
    ran.says(2, &["models.yaml:4:", "never stands in the file itself", "key: { env: "]);
    ran.does_not_say("planted");
}

#[test]
fn the_state_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let story = Story::of(records(3));
    story.run([]).says(0, &[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&story.path(".tidemill")), 0o700);
    let open: Vec<PathBuf> =
        files(&story.path(".tidemill")).into_iter().filter(|path| mode(path) & 0o077 != 0).collect();
    let run = story.path(".tidemill/runs").join(story.run_id());
    // The folder keeps others out of whatever lies below it.
    assert!(mode(&run) == 0o700 || open.is_empty(), "{open:?}");
}
