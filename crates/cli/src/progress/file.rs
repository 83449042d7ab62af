//! Progress in a file, as AI-DataFlux writes it for those who watch it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::Clock;
use serde::Serialize;
use tokio::task::JoinHandle;

use super::{Standing, Watched};
use crate::talk;

/// How often the file is written. Whoever reads it takes one of 15 seconds ago for that of a process that is gone.
const EVERY: Duration = Duration::from_secs(5);

/// What stands in the file.
#[derive(Debug, PartialEq, Serialize)]
struct Told {
    /// Records in the source, as far as they are counted.
    total: u64,
    /// Records whose end is durable.
    processed: u64,
    /// Requests under way.
    active: u64,
    /// There are no shards: the one that there is.
    shard: &'static str,
    /// Records that failed for good.
    errors: u64,
    /// Seconds since 1970.
    ts: f64,
}

/// A file that is written while a run is at work.
pub(crate) struct ProgressFile {
    path: PathBuf,
    writing: JoinHandle<()>,
}

impl ProgressFile {
    /// Begins to write what is `watched`, on the run's runtime.
    pub(crate) fn begin(path: &Path, mut watched: Watched, clock: Arc<dyn Clock>) -> Self {
        let file = path.to_owned();
        let writing = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            let mut is_told = false;
            if watched.wait_for(Option::is_some).await.is_err() {
                return;
            }
            loop {
                ticks.tick().await;
                let Some(now) = watched.borrow().clone() else { continue };
                let told = told(&now, clock.now().0);
                let file = file.clone();
                let written = tokio::task::spawn_blocking(move || write(&file, &told)).await;
                // Once is enough: the run goes on all the same.
                if let Ok(Err(error)) = written
                    && !std::mem::replace(&mut is_told, true)
                {
                    talk::say(format!("warning: the progress file cannot be written: {error}"));
                }
            }
        });
        Self { path: path.to_owned(), writing }
    }

    /// Ends. The file is removed where the run is over; one that was interrupted leaves it as it was.
    pub(crate) async fn end(mut self, is_over: bool) {
        self.writing.abort();
        // What is on its way to the disk is there when it has ended.
        let _ = (&mut self.writing).await;
        if is_over {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for ProgressFile {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

fn told(now: &Standing, ms: u64) -> Told {
    Told {
        total: now.total.unwrap_or(now.settled),
        processed: now.settled,
        active: now.in_flight,
        shard: "1/1",
        errors: now.failed + now.missing,
        ts: ms as f64 / 1000.0,
    }
}

/// Writes the file aside and renames it, so that nobody reads half of one.
fn write(path: &Path, told: &Told) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".tmp");
    let mut file = fs::File::create(&aside)?;
    file.write_all(serde_json::to_string(told)?.as_bytes())?;
    drop(file);
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_the_old_tool_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/progress.json");
        let now = Standing { total: Some(9), settled: 4, in_flight: 2, failed: 1, ..Standing::default() };
        write(&path, &told(&now, 1_700_000_000_500)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let wanted = r#"{"total":9,"processed":4,"active":2,"shard":"1/1","errors":1,"ts":1700000000.5}"#;
        assert_eq!(text, wanted);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left aside");
    }
}
