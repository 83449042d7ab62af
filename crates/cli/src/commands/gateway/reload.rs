//! Another configuration without a restart.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::Clock;
use gateway::{FaceConfig, face::Live};

use super::{
    change,
    opening::{self, Opened},
};
use crate::{
    args::{GatewayServe, LogChoice},
    exit::ConfigurationError,
    talk,
};

/// Why the files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody asked for it.
    Asked,
    /// They may have changed.
    Noticed,
}

/// What is served now, and how it becomes something else.
pub(super) struct Reload {
    file: PathBuf,
    door: Door,
    log: Option<LogChoice>,
    clock: Arc<dyn Clock>,
    live: Arc<Live>,
    now: Opened,
    /// Requests that began with these have not all ended.
    retiring: Vec<Opened>,
    /// What the files held before they were read last, each as a number.
    seen: BTreeMap<PathBuf, u64>,
}

impl Reload {
    /// Reads the models file for the first time. Nothing where it has mistakes, which are told.
    ///
    /// # Errors
    /// Where it cannot be read, or not be served.
    pub(super) fn first(args: &GatewayServe, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Self>> {
        let seen = contents(std::slice::from_ref(&args.config));
        let Some(models) = opening::read(&args.config)? else { return Ok(None) };
        let door = Door { host: args.host, is_open: args.allow_anonymous };
        let now = opening::open(models, &args.config, None, (args.log, clock), |settings| door.check(settings))?;
        let live = Arc::new(Live::new(Arc::clone(&now.serving)));
        let (file, log, clock) = (args.config.clone(), args.log, Arc::clone(clock));
        let mut first = Self { file, door, log, clock, live, now, retiring: Vec::new(), seen };
        first.note_others();
        Ok(Some(first))
    }

    /// Returns what requests find.
    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Returns the files that decide what is served.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        opening::files(&self.file, &self.now.models)
    }

    /// Reads the files again, and serves what they say if there is no mistake in them.
    pub(super) fn again(&mut self, why: Why) {
        if why == Why::Asked
            && let (_, Some(log)) = self.now.serving.seen()
        {
            // Whoever moves logs away says so with the same signal.
            log.reopen();
        }
        let files = self.files();
        // Before they are read: what is written meanwhile is another change.
        let seen = contents(&files);
        if why == Why::Noticed && seen == self.seen {
            return;
        }
        self.seen = seen;
        match self.other() {
            Ok(Some(other)) => self.swap(other),
            Ok(None) => talk::say("what was served before stays"),
            Err(error) => {
                talk::error(&error);
                talk::say("what was served before stays");
            }
        }
        self.note_others();
    }

    /// Notes what those files hold that count only since the last reading, and forgets those that count no more.
    fn note_others(&mut self) {
        let files = self.files();
        self.seen.retain(|file, _| files.contains(file));
        for file in files {
            self.seen.entry(file).or_insert_with_key(|file| content(file));
        }
    }

    fn other(&self) -> anyhow::Result<Option<Opened>> {
        let Some(models) = opening::read(&self.file)? else { return Ok(None) };
        let may_be_served = |settings: &FaceConfig| self.door.check(settings);
        Ok(Some(opening::open(models, &self.file, Some(&self.now), (self.log, &self.clock), may_be_served)?))
    }

    fn swap(&mut self, other: Opened) {
        let changes = change::told(&self.now, &other);
        self.live.swap(Arc::clone(&other.serving));
        self.retiring.push(std::mem::replace(&mut self.now, other));
        let file = self.file.display();
        match &*changes {
            [] => talk::say(format!("`{file}` was read again: nothing has changed")),
            _ => talk::say(format!("`{file}` was read again, and is served from now on:")),
        }
        for change in changes {
            talk::say(format!("  {change}"));
        }
        self.retire();
    }

    /// Lets go of configurations whose requests have all ended; returns whether there are others.
    pub(super) fn retire(&mut self) -> bool {
        self.retiring.retain(|old| Arc::strong_count(&old.serving) > 1);
        !self.retiring.is_empty()
    }
}

/// Who may come in.
#[derive(Clone, Copy, Debug)]
struct Door {
    host: IpAddr,
    is_open: bool,
}

impl Door {
    /// Sees to it that nobody from elsewhere comes in without a key, unless that is wanted.
    fn check(self, settings: &FaceConfig) -> anyhow::Result<()> {
        if self.host.is_loopback() || self.is_open || !settings.keys.is_empty() {
            return Ok(());
        }
        let message = format!(
            "{} can be reached by others, and the models file has no keys for clients: list them under `gateway: keys:`, or \
             say --allow-anonymous",
            self.host
        );
        Err(ConfigurationError(message).into())
    }
}

fn contents(files: &[PathBuf]) -> BTreeMap<PathBuf, u64> {
    files.iter().map(|file| (file.clone(), content(file))).collect()
}

/// Returns a number that is another one when a file holds something else, is gone, or is there again.
fn content(file: &Path) -> u64 {
    std::fs::read(file).map_or(0, |bytes| xxhash_rust::xxh3::xxh3_64(&bytes).max(1))
}
