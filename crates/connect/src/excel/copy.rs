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
    /// What is still to be packed: rows are short, and packing many at once costs less.
    gathered: Vec<u8>,
}

/// How much is packed at once.
const GATHERED: usize = 64 << 10;

impl BookCopy {
    pub(super) fn begin(
        zip: ZipArchive<BufReader<File>>,
        from: Place,
        sheet: Entry,
        out: &Aside,
    ) -> Result<Self, PenError> {
        let mut copy = Self { zip, from, sheet, archive: Archive::begin(out)?, gathered: Vec::new() };
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
        self.gathered.extend_from_slice(xml);
        if self.gathered.len() < GATHERED { Ok(()) } else { self.pack() }
    }

    fn pack(&mut self) -> Result<(), PenError> {
        self.archive.write(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }

    pub(super) fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        self.pack()?;
        self.parts(false)?;
        self.archive.end(out)
    }
}
