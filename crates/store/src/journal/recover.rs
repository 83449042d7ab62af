//! Opening: what the journal knows, without reading it whole.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{
    EndClass, Entry, FailureGroup, FailureKind, Header, Located, RecordKey,
    ports::{Damage, Disk, DiskFile, JournalError, Recovered},
};

use super::{
    commit::Tail,
    failed,
    index::{self, Index, IndexEntry, Kind},
    items::Items,
    segment::{self, Beginning, Scanned},
};

/// What opening brings.
pub(super) struct Opened {
    pub(super) recovered: Recovered,
    pub(super) tail: Tail,
    /// Whether the last process stopped in good order.
    pub(super) stopped: bool,
}

/// Opens the journal in `folder`.
pub(super) fn open(disk: &Arc<dyn Disk>, folder: &Path, tag: u64, accept_damage: bool) -> Result<Opened, JournalError> {
    let disk = &**disk;
    disk.create_folder(folder).map_err(|e| failed(folder, "create the journal in", &e))?;
    let mut paths = segments(disk, folder)?;
    if paths.is_empty() {
        let path = segment::path_of(folder, 1);
        let file = segment::begin(disk, &path, 1, tag).map_err(|e| failed(&path, "create", &e))?;
        if let Some(parent) = folder.parent() {
            disk.sync_folder(parent).map_err(|e| failed(parent, "sync", &e))?;
        }
        let tail = Tail { file, number: 1, end: segment::FIRST_FRAME, index: Index::default() };
        return Ok(Opened { recovered: Recovered::default(), tail, stopped: true });
    }
    let (last_number, last_path) = paths.remove(paths.len() - 1);
    let mut fold = Fold::default();
    for (number, path) in &paths {
        let index = sealed_index(disk, path, *number, tag, accept_damage, &mut fold.recovered.damage)?;
        fold.take(&index);
    }
    let tail = open_tail(disk, &last_path, last_number, tag, &mut fold.recovered)?;
    fold.take(&tail.index);
    let files: Vec<PathBuf> = paths.into_iter().map(|(_, path)| path).chain([last_path]).collect();
    let stopped = fold.stopped;
    let recovered = fold.finish(disk, &files, &tail)?;
    Ok(Opened { recovered, tail, stopped })
}

/// Lists the segments in order, each with its number.
pub(super) fn segments(disk: &dyn Disk, folder: &Path) -> Result<Vec<(u32, PathBuf)>, JournalError> {
    let files = disk.list(folder).map_err(|e| failed(folder, "list", &e))?;
    let mut segments: Vec<(u32, PathBuf)> =
        files.into_iter().filter_map(|path| segment::number_of(&path).map(|n| (n, path))).collect();
    segments.sort_unstable();
    Ok(segments)
}

/// See [`super::Journal::last_segment`].
pub(super) fn last_segment(disk: &dyn Disk, folder: &Path) -> Result<u32, JournalError> {
    Ok(segments(disk, folder)?.last().map_or(0, |(number, _)| *number))
}

/// Reads the index of a sealed segment, or builds it again.
fn sealed_index(
    disk: &dyn Disk,
    path: &Path,
    number: u32,
    tag: u64,
    accept_damage: bool,
    damage: &mut Vec<Damage>,
) -> Result<Index, JournalError> {
    let file = disk.open(path, false).map_err(|e| failed(path, "open", &e))?;
    let begins = segment::check_beginning(&*file, number, tag).map_err(|e| failed(path, "read", &e))?;
    if let Beginning::Foreign(why) = begins {
        return Err(JournalError(format!("`{}` cannot be used: {why}", path.display())));
    }
    let index_path = index::path_of(path);
    let length = file.length().map_err(|e| failed(path, "read", &e))?;
    if let Some(index) = Index::read(disk, &index_path).map_err(|e| failed(&index_path, "read", &e))?
        && index.summary.length == length
    {
        return Ok(index);
    }
    let mut index = Index::default();
    let scanned = segment::scan(&*file, path, length, &mut |entry, offset, end| index.add(&entry, offset, end))
        .map_err(|e| failed(path, "read", &e))?;
    let is_sound = scanned.damage.is_empty() && scanned.torn == 0;
    damage.extend(scanned.damage);
    if scanned.torn > 0 {
        // Only the last segment can have been torn by a crash: another one was sealed after its last sync.
        let file = path.display().to_string();
        damage.push(Damage { file, offset: scanned.end, bytes: scanned.torn, key: None });
    }
    // An index of damaged bytes would hide the damage from the next opening.
    if is_sound || accept_damage {
        index.summary.length = length;
        index.write(disk, &index_path).map_err(|e| failed(&index_path, "write", &e))?;
    }
    Ok(index)
}

/// Opens the last segment: scans it, keeps and cuts its torn tail.
fn open_tail(
    disk: &dyn Disk,
    path: &Path,
    number: u32,
    tag: u64,
    recovered: &mut Recovered,
) -> Result<Tail, JournalError> {
    let file = disk.open(path, false).map_err(|e| failed(path, "open", &e))?;
    let length = file.length().map_err(|e| failed(path, "read", &e))?;
    match segment::check_beginning(&*file, number, tag).map_err(|e| failed(path, "read", &e))? {
        Beginning::Sound => {}
        Beginning::Torn if length <= segment::FIRST_FRAME => {
            let file = segment::begin(disk, path, number, tag).map_err(|e| failed(path, "create", &e))?;
            return Ok(Tail { file, number, end: segment::FIRST_FRAME, index: Index::default() });
        }
        Beginning::Torn => {
            let file = path.display().to_string();
            recovered.damage.push(Damage { file, offset: 0, bytes: segment::FIRST_FRAME, key: None });
        }
        Beginning::Foreign(why) => {
            return Err(JournalError(format!("`{}` cannot be used: {why}", path.display())));
        }
    }
    let mut index = Index::default();
    let scanned = segment::scan(&*file, path, 0, &mut |entry, offset, end| index.add(&entry, offset, end))
        .map_err(|e| failed(path, "read", &e))?;
    recovered.damage.extend(scanned.damage);
    recovered.torn_bytes = scanned.torn;
    let end = scanned.end.max(segment::FIRST_FRAME);
    let settle = || -> io::Result<()> {
        if scanned.torn > 0 {
            keep_torn(disk, path, &*file, end, length)?;
            file.cut(end)?;
        }
        // A killed process may have left sound frames that no sync has reached: from here on they count.
        file.sync()
    };
    settle().map_err(|e| failed(path, "repair the end of", &e))?;
    Ok(Tail { file, number, end, index })
}

/// Copies a torn tail into a file of its own: nothing is deleted.
fn keep_torn(disk: &dyn Disk, path: &Path, file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let kept = disk.open(&path.with_extension(format!("torn-{from}")), true)?;
    kept.cut(0)?;
    let mut block = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let wanted = usize::try_from(to - at).unwrap_or(usize::MAX).min(block.len());
        let read = file.read_at(&mut block[..wanted], at)?;
        if read == 0 {
            break;
        }
        kept.write_at(&block[..read], at - from)?;
        at += read as u64;
    }
    Ok(())
}

/// Adds up the indexes, oldest first.
#[derive(Default)]
struct Fold {
    recovered: Recovered,
    /// Attempts and items: looked at once all outcomes are known. (segment, entry)
    unsettling: Vec<(u32, IndexEntry)>,
    /// Records that were settled more than once: the last time counts.
    again: HashSet<RecordKey>,
    classes: HashMap<RecordKey, Vec<EndClass>>,
    n_segments: u32,
    stopped: bool,
}

impl Fold {
    fn take(&mut self, index: &Index) {
        let segment = self.n_segments;
        self.n_segments += 1;
        let recovered = &mut self.recovered;
        for entry in &index.entries {
            if entry.kind != Kind::Outcome {
                self.unsettling.push((segment, *entry));
                if entry.kind == Kind::Reopened {
                    recovered.settled.remove(&entry.key);
                    recovered.succeeded.remove(&entry.key);
                    self.again.insert(entry.key);
                }
                continue;
            }
            let Some(class) = EndClass::from_code(entry.code) else { continue };
            recovered.tally.entry(entry.key.step).or_default().add(class);
            if !recovered.settled.insert(&entry.key) {
                self.again.insert(entry.key);
            }
            if class == EndClass::Succeeded {
                recovered.succeeded.insert(&entry.key);
            } else {
                recovered.succeeded.remove(&entry.key);
            }
        }
        for (step, billed) in &index.summary.billed {
            recovered.billed.entry(*step).or_default().extend(billed);
        }
        for (step, n) in &index.summary.attempts {
            *recovered.attempts.entry(*step).or_default() += n;
        }
        for (step, end) in &index.summary.derived {
            let next = recovered.next_derived.entry(*step).or_default();
            *next = (*end).max(*next);
        }
        recovered.n_processes += index.summary.started;
        recovered.n_asked_again_before += index.summary.asked_again;
        if !index.entries.is_empty() || index.summary.started > 0 || index.summary.stopped {
            self.stopped = index.summary.stopped;
        }
        // Attempts of records that are settled by now need not be remembered: this is what keeps resume small.
        if self.unsettling.len() > 1 << 20 {
            let settled = &self.recovered.settled;
            self.unsettling.retain(|(_, e)| e.kind != Kind::Attempted || !settled.contains(&e.key));
        }
    }

    fn finish(mut self, disk: &dyn Disk, files: &[PathBuf], tail: &Tail) -> Result<Recovered, JournalError> {
        if !self.again.is_empty() {
            let last = files.len() - 1;
            self.count_once(files.len(), &mut |n| {
                if n == last {
                    return Ok(tail.index.clone());
                }
                let index_path = index::path_of(&files[n]);
                let index = Index::read(disk, &index_path).map_err(|e| failed(&index_path, "read", &e))?;
                Ok(index.unwrap_or_default())
            })?;
        }
        // An index is sorted by key; what happened to an item must be told in the order in which it happened.
        let mut unsettling = std::mem::take(&mut self.unsettling);
        unsettling.sort_unstable_by_key(|(segment, entry)| (*segment, entry.offset));
        let mut items = Items::default();
        let Recovered { settled, spent, .. } = &mut self.recovered;
        let mut refuted: HashMap<RecordKey, (u32, u32)> = HashMap::new();
        for (segment, entry) in unsettling {
            if entry.kind == Kind::Reopened {
                // It begins anew: with whole budgets, and on its own.
                spent.remove(&entry.key);
                refuted.remove(&entry.key);
                items.leave(&entry.key);
                continue;
            }
            if entry.kind == Kind::Attempted {
                if settled.contains(&entry.key) {
                    continue;
                }
                let kind = FailureKind::ALL.get(usize::from(entry.code & !index::LEFT));
                if let Some(group) = kind.and_then(|kind| kind.group()) {
                    spent.entry(entry.key).or_default().add(group);
                    if group == FailureGroup::Content {
                        refuted.insert(entry.key, (segment, entry.offset));
                    }
                }
                if entry.code & index::LEFT != 0 {
                    items.leave(&entry.key);
                }
                continue;
            }
            let is_chunk = entry.code == 1;
            if !is_chunk && settled.contains(&entry.key) {
                continue;
            }
            let path = &files[segment as usize];
            let read = disk.open(path, false).and_then(|file| segment::read_one(&*file, entry.offset));
            let Some(entry) = read.map_err(|e| failed(path, "read", &e))? else { continue };
            items.take(entry, settled, spent);
        }
        self.recovered.open = items.finish(settled);
        for (key, (segment, offset)) in refuted {
            let path = &files[segment as usize];
            let read = disk.open(path, false).and_then(|file| segment::read_one(&*file, offset));
            let read = read.map_err(|e| failed(path, "read", &e))?;
            if let Some(Entry { header: Header::Attempted(attempted), raw }) = read {
                self.recovered.refuted.insert(key, (attempted.failure, raw));
            }
        }
        self.find_resume_points(disk, files, tail)?;
        Ok(self.recovered)
    }

    /// A record settled twice (restored, retried, judged again, or asked again after damage) is counted by its last end
    /// only.
    fn count_once(
        &mut self,
        n_segments: usize,
        index_of: &mut dyn FnMut(usize) -> Result<Index, JournalError>,
    ) -> Result<(), JournalError> {
        for n in 0..n_segments {
            let mut index = index_of(n)?;
            index.entries.sort_unstable_by_key(|e| e.offset);
            for entry in index.entries.iter().filter(|e| e.kind == Kind::Outcome && self.again.contains(&e.key)) {
                if let Some(class) = EndClass::from_code(entry.code) {
                    self.classes.entry(entry.key).or_default().push(class);
                }
            }
        }
        for (key, mut classes) in self.classes.drain() {
            // One that was opened again and is not settled since counts in no way.
            if self.recovered.settled.contains(&key) {
                classes.pop();
            }
            let tally = self.recovered.tally.entry(key.step).or_default();
            for class in classes {
                tally.subtract(class);
            }
        }
        Ok(())
    }

    /// For each step and part: a byte offset of the source from which nothing unsettled is passed over.
    fn find_resume_points(&mut self, disk: &dyn Disk, files: &[PathBuf], tail: &Tail) -> Result<(), JournalError> {
        for (step, part, sample) in self.recovered.settled.lanes() {
            let lowest = self.recovered.settled.lowest_unsettled(step, part, sample);
            let Some(position) = lowest.checked_sub(1) else {
                self.recovered.resume_at.insert((step, part), (0, 0));
                continue;
            };
            let point = self.offset_of(disk, files, tail, &RecordKey { step, part, sample, position })?;
            let found = self.recovered.resume_at.entry((step, part)).or_insert(point);
            *found = (*found).min(point);
        }
        Ok(())
    }

    fn offset_of(
        &self,
        disk: &dyn Disk,
        files: &[PathBuf],
        tail: &Tail,
        key: &RecordKey,
    ) -> Result<(u64, u64), JournalError> {
        let last = files.len() - 1;
        for (n, path) in files.iter().enumerate().rev() {
            let offset = if n == last {
                tail.index.entries.iter().rev().find(|e| e.key == *key && e.kind == Kind::Outcome).map(|e| e.offset)
            } else {
                let index_path = index::path_of(path);
                Index::read(disk, &index_path).map_err(|e| failed(&index_path, "read", &e))?.and_then(|i| i.find(key))
            };
            let Some(offset) = offset else { continue };
            let read = disk.open(path, false).and_then(|file| segment::read_one(&*file, offset));
            if let Some(Entry { header: Header::Outcome(outcome), .. }) = read.map_err(|e| failed(path, "read", &e))? {
                return Ok((key.position, outcome.offset));
            }
        }
        // The frame is damaged: start from the beginning, which is slower and as right.
        Ok((0, 0))
    }
}

/// See [`super::Journal::peek`].
pub(super) fn peek(disk: &dyn Disk, folder: &Path) -> Result<(Recovered, bool), JournalError> {
    let mut fold = Fold::default();
    let paths = segments(disk, folder)?;
    for (n, (_, path)) in paths.iter().enumerate() {
        let (index, scanned) = index_of(disk, path, n + 1 < paths.len())?;
        if let Some(scanned) = scanned {
            fold.recovered.damage.extend(scanned.damage);
            fold.recovered.torn_bytes += scanned.torn;
        }
        fold.take(&index);
    }
    if !fold.again.is_empty() {
        fold.count_once(paths.len(), &mut |n| Ok(index_of(disk, &paths[n].1, n + 1 < paths.len())?.0))?;
    }
    Ok((fold.recovered, fold.stopped))
}

/// Reads or makes the index of a segment, in memory only; with what the scan found, where one was needed.
pub(super) fn index_of(
    disk: &dyn Disk,
    path: &Path,
    is_sealed: bool,
) -> Result<(Index, Option<Scanned>), JournalError> {
    let index_path = index::path_of(path);
    let file = disk.open(path, false).map_err(|e| failed(path, "open", &e))?;
    let length = file.length().map_err(|e| failed(path, "read", &e))?;
    if let Some(index) = Index::read(disk, &index_path).map_err(|e| failed(&index_path, "read", &e))?
        && index.summary.length == length
    {
        return Ok((index, None));
    }
    let mut index = Index::default();
    let durable = if is_sealed { length } else { 0 };
    let scanned = segment::scan(&*file, path, durable, &mut |entry, offset, end| index.add(&entry, offset, end))
        .map_err(|e| failed(path, "read", &e))?;
    Ok((index, Some(scanned)))
}

/// See [`super::Journal::ended`].
pub(super) fn ended(
    disk: &dyn Disk,
    folder: &Path,
    wanted: &dyn Fn(&RecordKey, EndClass) -> bool,
) -> Result<Vec<(RecordKey, Located)>, JournalError> {
    let mut found: BTreeMap<RecordKey, Located> = BTreeMap::new();
    let paths = segments(disk, folder)?;
    let last = paths.len().saturating_sub(1);
    for (n, (segment, path)) in paths.iter().enumerate() {
        let (mut index, _) = index_of(disk, path, n < last)?;
        index.entries.sort_unstable_by_key(|e| e.offset);
        for entry in &index.entries {
            match (entry.kind, EndClass::from_code(entry.code)) {
                (Kind::Outcome, Some(class)) if wanted(&entry.key, class) => {
                    found.insert(entry.key, Located { segment: *segment, offset: entry.offset });
                }
                (Kind::Outcome | Kind::Reopened, _) => {
                    found.remove(&entry.key);
                }
                _ => {}
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// See [`super::Journal::verify`].
pub(super) fn verify(disk: &dyn Disk, folder: &Path) -> Result<Vec<Damage>, JournalError> {
    // A record that was settled again is as good as its last outcome.
    let mut damaged: BTreeMap<RecordKey, Damage> = BTreeMap::new();
    for (_, path) in segments(disk, folder)? {
        let index_path = index::path_of(&path);
        let index = Index::read(disk, &index_path).map_err(|e| failed(&index_path, "read", &e))?;
        let Some(mut index) = index else { continue };
        index.entries.sort_unstable_by_key(|e| e.offset);
        let file = disk.open(&path, false).map_err(|e| failed(&path, "open", &e))?;
        for entry in index.entries.iter().filter(|e| e.kind == Kind::Outcome) {
            if segment::read_one(&*file, entry.offset).map_err(|e| failed(&path, "read", &e))?.is_some() {
                damaged.remove(&entry.key);
                continue;
            }
            let (file, offset) = (path.display().to_string(), u64::from(entry.offset));
            damaged.insert(entry.key, Damage { file, offset, bytes: 0, key: Some(entry.key) });
        }
    }
    Ok(damaged.into_values().collect())
}

/// See [`super::Journal::replay`].
pub(super) fn replay(
    disk: &dyn Disk,
    folder: &Path,
    from: u32,
    on_entry: &mut dyn FnMut(Entry, Located),
) -> Result<Vec<Damage>, JournalError> {
    let mut damage = Vec::new();
    let mut paths = segments(disk, folder)?;
    let last = paths.len().saturating_sub(1);
    // 0 is the first one, whatever its number; a number beyond the last one means the last one.
    let from = paths.partition_point(|(number, _)| *number < from).min(last);
    for (n, (segment, path)) in paths.drain(..).enumerate().skip(from) {
        let file = disk.open(&path, false).map_err(|e| failed(&path, "open", &e))?;
        let length = file.length().map_err(|e| failed(&path, "read", &e))?;
        // A segment with an index, or with another one behind it, was sealed: every byte of it was synced.
        let index_path = index::path_of(&path);
        let index = Index::read(disk, &index_path).map_err(|e| failed(&index_path, "read", &e))?;
        let sealed = index.map_or(0, |index| index.summary.length);
        let durable = if n < last { length } else { sealed };
        let scanned =
            segment::scan(&*file, &path, durable, &mut |entry, offset, _| on_entry(entry, Located { segment, offset }))
                .map_err(|e| failed(&path, "read", &e))?;
        damage.extend(scanned.damage);
    }
    Ok(damage)
}
