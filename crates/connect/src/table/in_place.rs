//! Writing answers into the file that the records were read from.
//!
//! The run keeps a copy of the file as it read it. The output is made of that copy, as long as the file is still that
//! or what the run itself put in its place; otherwise somebody has saved it meanwhile, and the output is made of what
//! they saved, row by row guarded by what the row was. Before the output takes the file's place, its hash is noted in
//! the run's folder: a process that was killed right behind that knows its own work again.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    time::SystemTime,
};

use domain::ports::{Artefact, SinkError};
use sha2::{Digest as _, Sha256};

use crate::{
    Place,
    file::{Aside, cannot_sink, sync_folder},
};

/// What a run needs to write in place.
#[derive(Clone, Debug)]
pub struct InPlace {
    /// Where the run notes what it is about to put in place.
    pub note: Place,
}

/// What the file was when the output was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looked {
    length: u64,
    modified: Option<SystemTime>,
}

/// An output on its way into the place of its source.
pub(super) struct Published {
    target: Place,
    note: Place,
    looked: Option<Looked>,
}

/// What stands in the place of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// What the run read, what it wrote itself, or nothing.
    Known,
    /// What somebody else saved.
    Changed,
}

impl InPlace {
    /// Looks at the file that is to be written, and says what stands there.
    pub(super) fn look(&self, target: &Place, kept: &Place) -> Result<(Published, Standing), SinkError> {
        refuse_if_open(target)?;
        let looked = look(target)?;
        let published = Published { target: target.clone(), note: self.note.clone(), looked };
        let is_known = is_as_left(target, kept, self)?;
        Ok((published, if is_known { Standing::Known } else { Standing::Changed }))
    }
}

impl Published {
    /// Tells what the file is that stands there, with `records` in it.
    pub(super) fn leave(&self, records: u64) -> Result<Artefact, SinkError> {
        let bytes = look(&self.target)?.map_or(0, |looked| looked.length);
        let sha256 = if bytes == 0 { String::new() } else { hash_of(&self.target)? };
        Ok(Artefact { path: self.target.name.clone(), records, bytes, sha256 })
    }

    /// Puts the output in place, unless the file was saved since it was looked at.
    pub(super) fn publish(&self, output: &mut Aside, artefact: &Artefact) -> Result<(), SinkError> {
        let broken = |error: io::Error| cannot_sink("write", &self.note, &error);
        let aside = self.note.beside(".note.tmp");
        let write = || {
            let mut file = File::create(&aside.path)?;
            file.write_all(artefact.sha256.as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside.path, &self.note.path)?;
            sync_folder(self.note.folder())
        };
        write().map_err(broken)?;
        if look(&self.target)? != self.looked {
            return Err(SinkError::environment(format!(
                "`{}` was saved by another program in this very moment; run the same command again: nothing is asked again",
                self.target.name
            )));
        }
        output.publish()
    }
}

/// Makes sure that no office program has the file open: what it saves next would undo what is written now.
pub(super) fn refuse_if_open(target: &Place) -> Result<(), SinkError> {
    let Some(lock) = lock_of(target) else { return Ok(()) };
    Err(SinkError::environment(format!(
        "`{}` is open in another program, which shows by `{lock}`; close it there and run the same command again: what is \
         settled is kept",
        target.name
    )))
}

/// Returns the name of the file by which an office program shows that it has this one open.
fn lock_of(target: &Place) -> Option<String> {
    let name = target.path.file_name()?.to_string_lossy();
    // LibreOffice puts `.~lock.NAME#` beside it, Excel `~$NAME`, which for long names lacks the first two characters.
    let behind_two: String = name.chars().skip(2).collect();
    let names = [format!(".~lock.{name}#"), format!("~${name}"), format!("~${behind_two}")];
    names.into_iter().find(|lock| target.path.with_file_name(lock).exists())
}

fn look(target: &Place) -> Result<Option<Looked>, SinkError> {
    match fs::metadata(&target.path) {
        Ok(about) => Ok(Some(Looked { length: about.len(), modified: about.modified().ok() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_sink("look at", target, &error)),
    }
}

/// Returns whether two files hold the same bytes.
fn is_alike(one: &Place, other: &Place) -> Result<bool, SinkError> {
    let length = |place: &Place| fs::metadata(&place.path).map(|about| about.len());
    if length(one).ok() != length(other).ok() {
        return Ok(false);
    }
    Ok(hash_of(one)? == hash_of(other)?)
}

/// Returns the SHA-256 of a file, in hexadecimal digits.
fn hash_of(place: &Place) -> Result<String, SinkError> {
    let broken = |error: io::Error| cannot_sink("read", place, &error);
    let mut file = File::open(&place.path).map_err(broken)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut block) {
            Ok(0) => break,
            Ok(n) => hash.update(&block[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns whether what stands at `target` is what the run that keeps `kept` read or wrote: nobody else saved it.
///
/// # Errors
/// Where it cannot be read.
pub fn is_as_left(target: &Place, kept: &Place, in_place: &InPlace) -> Result<bool, SinkError> {
    if look(target)?.is_none() || is_alike(target, kept)? {
        return Ok(true);
    }
    let noted = fs::read_to_string(&in_place.note.path).unwrap_or_default();
    Ok(!noted.is_empty() && noted.trim_end() == hash_of(target)?)
}
