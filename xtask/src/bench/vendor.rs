//! The scripted vendor in a process of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

pub(super) struct Vendor {
    child: Child,
    /// Up to the version: `http://127.0.0.1:PORT/v1`.
    pub(super) url: String,
}

impl Vendor {
    /// Starts `tidemill simulate` with a script.
    pub(super) fn start(binary: &Path, folder: &Path, script: &str) -> Result<Self> {
        fs::write(folder.join("script.yaml"), script)?;
        let mut child = Command::new(binary)
            .args(["simulate", "--script", "script.yaml"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().context("the vendor has no output")?;
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        Ok(Self { child, url: url.trim().to_owned() })
    }

    /// Returns one of its counts.
    pub(super) fn count(&self, name: &str) -> Result<u64> {
        let host = self.url.trim_start_matches("http://").trim_end_matches("/v1");
        let mut stream = TcpStream::connect(host)?;
        write!(stream, "GET /simulate/counts HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let text = answer.split(&format!("\"{name}\":")).nth(1).with_context(|| format!("no count `{name}`"))?;
        let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        // It keeps nothing; a vendor that is gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the pipeline of the benchmarks: 1 KB prompts, four checked fields.
pub(super) fn write_pipeline(folder: &Path, url: &str, in_flight: usize, records: u64, length: usize) -> Result<()> {
    fs::write(folder.join("pipeline.yaml"), include_str!("pipeline.yaml"))?;
    fs::write(
        folder.join("models.yaml"),
        format!(
            "channels: {{ v: {{ url: \"{url}\" }} }}\nmodels:\n  - {{ name: m, channel: v, max_in_flight: {in_flight} }}\n"
        ),
    )?;
    write_records(&folder.join("records.jsonl"), 0, records, length)
}

/// Writes (or adds) records of about `length` bytes.
pub(super) fn write_records(path: &Path, from: u64, to: u64, length: usize) -> Result<()> {
    let file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    let mut out = std::io::BufWriter::new(file);
    let filler =
        "the parcel came late and one of the cups was broken, what can you do for me? ".repeat(length / 70 + 1);
    for n in from..to {
        writeln!(out, r#"{{"id":{n},"text":"{}"}}"#, &filler[..length])?;
    }
    Ok(out.flush()?)
}
