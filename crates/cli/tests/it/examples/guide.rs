//! The guide is followed: what a page shows is put in place, its commands are run, and what it says of them is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
};

use super::{Block, blocks_of, documents, free_port, repository, with_examples};
use crate::story::{Running, Story};

/// The commands of a shell's block: lines, those that go on on the next one as one.
fn commands_of(block: &Block) -> Vec<String> {
    let joined = block.text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.replace("cargo run --release --", "tidemill")).collect()
}

/// The status with which a command ends: what its comment says (`# exit status 4`), else 0.
fn status_of(line: &str) -> i32 {
    let said = line.split_once("# exit status ").and_then(|(_, status)| status.split_whitespace().next());
    said.map_or(0, |status| status.parse().expect("an exit status is a number"))
}

/// Programs that a command needs and this machine does not have.
fn lacks(line: &str) -> Vec<&str> {
    const OTHERS: [&str; 6] = ["jq", "gzip", "zcat", "iconv", "curl", "timeout"];
    let is_there = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    line.split_whitespace().filter(|word| OTHERS.contains(word) && !is_there(word)).collect()
}

/// What people compare when they compare what is said: numbers, times and ids differ from run to run, and so does the
/// space that is left for them.
fn shape_of(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if shape.ends_with('0') => {}
            // A thousand may be written with a comma, a rate with a point.
            ',' | '.' if shape.ends_with('0') => {}
            '0'..='9' => shape.push('0'),
            c if c.is_whitespace() && shape.ends_with([' ', '-']) => {}
            c if c.is_whitespace() => shape.push(' '),
            c => shape.push(c),
        }
    }
    shape.trim().to_owned()
}

/// The port of a gateway, where nobody chooses another.
const GATEWAY: &str = "8787";
/// The port at which pages have a simulated vendor.
const VENDOR: &str = "8099";

/// Somebody who reads a page and does what it says, one thing after the other.
struct Reader {
    story: Story,
    /// Exported variables, as they were exported.
    exported: String,
    /// What the commands of the last block said, line by line.
    said: Vec<String>,
    /// Commands that go on behind the others. Dropped, they are killed.
    behind: Vec<Running>,
    /// Pipelines that no command has named yet, and where they are shown.
    pipelines: BTreeMap<String, String>,
    /// Where this reader has a gateway and a vendor: pages are followed side by side.
    ports: [u16; 2],
    n_run: usize,
}

impl Reader {
    fn new() -> Self {
        let mut story = with_examples();
        for name in ["in.jsonl", "pipeline.yaml", "models.yaml"] {
            fs::remove_file(story.path(name)).expect("every story begins with these");
        }
        let binary = Path::new(crate::story::TIDEMILL).parent().expect("the binary lies in a folder");
        let path = std::env::join_paths(
            std::iter::once(binary.to_owned())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        story.set("GUIDE_PATH", path.expect("folders can be joined").to_str().expect("they are text"));
        story.set("OPENAI_BASE_URL", &story.vendor.base_url());
        Self {
            story,
            exported: String::new(),
            said: Vec::new(),
            behind: Vec::new(),
            pipelines: BTreeMap::new(),
            ports: [free_port(), free_port()],
            n_run: 0,
        }
    }

    fn read(&mut self, block: &Block) {
        match (block.language.as_str(), block.about.as_str()) {
            ("sh", "") => {
                self.said.clear();
                for line in commands_of(block) {
                    self.run(&block.place, &line);
                }
            }
            ("sh", about) => assert_eq!(about, "by_hand", "{}", block.place),
            ("text", "") | (_, "") => {}
            ("text", "said") => self.compare(block),
            (_, file) => {
                let is_new = !self.story.has(file);
                self.story.write(file, self.with_own_ports(&block.text));
                if is_new && block.text.starts_with("version:") {
                    self.pipelines.insert(file.to_owned(), block.place.clone());
                }
            }
        }
    }

    #[expect(clippy::print_stderr, reason = "what is left out is never left out silently")]
    fn run(&mut self, place: &str, line: &str) {
        self.pipelines.retain(|file, _| !line.contains(file.as_str()));
        let lacking = lacks(line);
        if !lacking.is_empty() {
            assert!(std::env::var_os("CI").is_none(), "{place}: CI must have {lacking:?}");
            eprintln!("LEFT OUT: {place}: `{line}` needs {lacking:?}");
            return;
        }
        if line.starts_with("export ") {
            self.exported.push_str(line);
            self.exported.push('\n');
            return;
        }
        let line = &self.at_own_ports(line);
        let foreground = line.strip_suffix('&').map(str::trim_end);
        let mut command = Command::new("sh");
        let exec = if foreground.is_some() { "exec " } else { "" };
        let script = format!("export PATH=\"$GUIDE_PATH\"\n{}{exec}{}", self.exported, foreground.unwrap_or(line));
        command.args(["-c", &script]);
        let mut running = Running::of(self.story.at_home(command));
        self.n_run += 1;
        if foreground.is_some() {
            if line.starts_with("tidemill gateway") {
                let address = (Ipv4Addr::LOCALHOST, self.ports[0]);
                running.until("it listens", |_| TcpStream::connect(address).is_ok());
            } else {
                running.until("it says something", |running| !running.said().is_empty());
            }
            self.behind.push(running);
            return;
        }
        let ran = running.wait();
        assert_eq!(ran.status, status_of(line), "{place}: `{line}`:\n{}{}", ran.stderr, ran.stdout);
        self.said.extend(ran.stderr.lines().chain(ran.stdout.lines()).map(str::to_owned));
    }

    fn with_own_ports(&self, text: &str) -> String {
        let [gateway, vendor] = self.ports.map(|port| port.to_string());
        text.replace(GATEWAY, &gateway).replace(VENDOR, &vendor)
    }

    /// Returns a command with this reader's ports in the place of those that the page shows, or does not need to show.
    fn at_own_ports(&self, line: &str) -> String {
        let (line, port) = (self.with_own_ports(line), self.ports[0]);
        if let Some(rest) = line.strip_prefix("tidemill gateway top") {
            return format!("tidemill gateway top --url http://127.0.0.1:{port}{rest}");
        }
        match line.strip_prefix("tidemill gateway --") {
            Some(rest) => format!("tidemill gateway --port {port} --{rest}"),
            None => line,
        }
    }

    /// Makes sure that what a page shows is said, but for numbers, times and places.
    fn compare(&self, block: &Block) {
        let said: BTreeSet<String> = self.said.iter().map(|line| shape_of(line)).collect();
        for line in block.text.lines().filter(|line| !line.trim().is_empty() && line.trim() != "...") {
            let shape = shape_of(line);
            let is_said = match shape.strip_suffix("...") {
                Some(beginning) => said.iter().any(|said| said.starts_with(beginning.trim_end())),
                None => said.contains(&shape),
            };
            assert!(is_said, "{}: not said: {line}\nsaid:\n{}", block.place, self.said.join("\n"));
        }
    }
}

#[test]
fn every_page_of_the_guide_can_be_followed() {
    let pages = documents().into_iter().filter(|path| !path.to_string_lossy().ends_with(".zh-CN.md"));
    let pages: Vec<PathBuf> = pages.filter(|path| !path.ends_with("README.md")).collect();
    // Pages have nothing to do with each other, and most of their time is a simulated vendor's.
    let n_run: Vec<usize> = std::thread::scope(|scope| {
        let follow = |page: &PathBuf| {
            let page = page.clone();
            scope.spawn(move || {
                let mut reader = Reader::new();
                blocks_of(&page).iter().for_each(|block| reader.read(block));
                assert!(reader.pipelines.is_empty(), "nobody runs these: {:?}", reader.pipelines);
                reader.n_run
            })
        };
        let readers: Vec<_> = pages.iter().map(follow).collect();
        readers.into_iter().map(|reader| reader.join().unwrap_or_else(|what| std::panic::resume_unwind(what))).collect()
    });
    for (page, n) in pages.iter().zip(n_run) {
        assert!(n > 0, "{}: nothing in it is run", page.display());
    }
}

/// In the READMEs, what needs nothing but the examples is run.
#[test]
fn every_command_of_the_readme_on_an_example_works() {
    let mut reader = Reader::new();
    for block in blocks_of(&repository().join("README.md")).iter().filter(|block| block.language == "sh") {
        for line in commands_of(block) {
            let is_of_an_example = line.starts_with("tidemill ") && line.contains("examples/");
            if line.starts_with("export ") || is_of_an_example || line.contains(GATEWAY) {
                reader.run(&block.place, &line);
            }
        }
    }
    assert!(reader.n_run > 1, "the README shows how to begin");
}

#[test]
fn every_page_shows_the_same_in_both_languages() {
    for english in documents() {
        let name = english.to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".md").filter(|stem| !stem.ends_with(".zh-CN")) else {
            continue;
        };
        let chinese = PathBuf::from(format!("{stem}.zh-CN.md"));
        assert!(chinese.is_file(), "{name} has no twin in Chinese");
        let (ours, theirs) = (blocks_of(&english), blocks_of(&chinese));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let both = [ours, theirs].map(|block| (&block.language, &block.about, &block.text));
            assert_eq!(both[0], both[1], "{} and {} differ", ours.place, theirs.place);
        }
        assert_eq!(ours.len(), theirs.len(), "{name} and its twin do not show as much");
        let headings = |path: &Path| {
            let text = fs::read_to_string(path).expect("a page can be read");
            text.lines().filter(|line| line.starts_with("## ")).count()
        };
        assert_eq!(headings(&english), headings(&chinese), "{name} and its twin have other parts");
    }
}
