//! Archives of workbooks on their way out.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
};

use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::package::Entry;
use crate::{
    Place,
    file::{Aside, cannot_sink},
    table::PenError,
};

/// How much is copied at once.
const BLOCK: usize = 64 << 10;
/// From here on a file in an archive needs larger numbers for its length.
pub(super) const LARGE: u64 = 3 << 30;

/// A copy of a workbook, of which one sheet is written anew.
pub(super) struct BookCopy {
    zip: ZipArchive<BufReader<File>>,
    /// The workbook that is copied.
    from: Place,
    sheet: Entry,
    /// It is written beside the output, since its parts tell in front of themselves how long they are.
    spool: Option<ZipWriter<BufWriter<File>>>,
    place: Place,
}

impl BookCopy {
    pub(super) fn begin(
        zip: ZipArchive<BufReader<File>>,
        from: Place,
        sheet: Entry,
        out: &Aside,
    ) -> Result<Self, PenError> {
        let place = Place { path: out.place().path.with_extension("spool"), name: out.place().name.clone() };
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&place.path);
        let file = file.map_err(|error| cannot_sink("write", &place, &error))?;
        let spool = ZipWriter::new(BufWriter::with_capacity(1 << 18, file));
        let mut copy = Self { zip, from, sheet, spool: Some(spool), place };
        copy.parts(true)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(LEVEL))
            .large_file(copy.sheet.n_bytes > LARGE);
        let name = copy.sheet.name.clone();
        copy.zip_writer(|spool| spool.start_file(name, options))?;
        Ok(copy)
    }

    /// Copies the parts before the sheet, or those behind it, packed as they are.
    fn parts(&mut self, are_before: bool) -> Result<(), PenError> {
        let broken = |from: &Place, error: zip::result::ZipError| cannot_sink("read", from, &error.into());
        let sheet = self.zip.index_for_name(&self.sheet.name).unwrap_or(0);
        let range = if are_before { 0..sheet } else { sheet + 1..self.zip.len() };
        for index in range {
            let file = self.zip.by_index_raw(index).map_err(|error| broken(&self.from, error))?;
            let Some(spool) = &mut self.spool else { break };
            spool.raw_copy_file(file).map_err(|error| cannot_sink("write", &self.place, &error.into()))?;
        }
        Ok(())
    }

    fn zip_writer(
        &mut self,
        what: impl FnOnce(&mut ZipWriter<BufWriter<File>>) -> zip::result::ZipResult<()>,
    ) -> Result<(), PenError> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        what(spool).map_err(|error| cannot_sink("write", &self.place, &error.into()).into())
    }

    /// Adds to the sheet.
    pub(super) fn write(&mut self, xml: &[u8]) -> Result<(), PenError> {
        self.zip_writer(|spool| Ok(spool.write_all(xml)?))
    }

    pub(super) fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        self.parts(false)?;
        let broken = |error: io::Error| PenError::from(cannot_sink("write", &self.place, &error));
        let Some(spool) = self.spool.take() else { return Ok(()) };
        let file = spool.finish().map_err(|error| broken(error.into()))?;
        let file = file.into_inner().map_err(|error| broken(error.into_error()))?;
        hand_over(file, &self.place, out)
    }
}

/// Copies a file that is whole to `out`.
pub(super) fn hand_over(mut file: File, place: &Place, out: &mut Aside) -> Result<(), PenError> {
    let broken = |error: io::Error| PenError::from(cannot_sink("read", place, &error));
    file.seek(SeekFrom::Start(0)).map_err(broken)?;
    let mut block = vec![0; BLOCK];
    loop {
        let n = file.read(&mut block).map_err(broken)?;
        if n == 0 {
            return Ok(());
        }
        out.add_bytes(&block[..n])?;
    }
}

/// How hard the sheet is packed: as Excel does it. Twice the time would make it a few per cent smaller.
pub(super) const LEVEL: i64 = 3;

impl Drop for BookCopy {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next merge of the run writes over the file.
        let _ = fs::remove_file(&self.place.path);
    }
}
