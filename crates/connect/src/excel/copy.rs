//! A copy of a workbook, of which one sheet is written anew.

use std::{fs::File, io::BufReader};

use zip::ZipArchive;

use super::{archive::Archive, package::Entry};
use crate::{
    Place,
    file::{Aside, cannot_sink},
    table::PenError,
};

/// A copy of a workbook on its way out.
pub(super) struct BookCopy {
    zip: ZipArchive<BufReader<File>>,
    /// The workbook that is copied.
    from: Place,
    sheet: Entry,
    archive: Archive,
}

impl BookCopy {
    pub(super) fn begin(
        zip: ZipArchive<BufReader<File>>,
        from: Place,
        sheet: Entry,
        out: &Aside,
    ) -> Result<Self, PenError> {
        let mut copy = Self { zip, from, sheet, archive: Archive::begin(out)? };
        copy.parts(true)?;
        copy.archive.part(&copy.sheet.name, copy.sheet.n_bytes)?;
        Ok(copy)
    }

    /// Copies the parts before the sheet, or those behind it, packed as they are.
    fn parts(&mut self, are_before: bool) -> Result<(), PenError> {
        let sheet = self.zip.index_for_name(&self.sheet.name).unwrap_or(0);
        let range = if are_before { 0..sheet } else { sheet + 1..self.zip.len() };
        for index in range {
            let part = self.zip.by_index_raw(index);
            self.archive.copy(part.map_err(|error| cannot_sink("read", &self.from, &error.into()))?)?;
        }
        Ok(())
    }

    /// Adds to the sheet.
    pub(super) fn write(&mut self, xml: &[u8]) -> Result<(), PenError> {
        self.archive.write(xml)
    }

    pub(super) fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        self.parts(false)?;
        self.archive.end(out)
    }
}
