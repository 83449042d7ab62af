//! Reading.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use domain::{Record, SkipReason, ports::SourceError};

use super::{
    head::Head,
    package::{Chosen, Package},
    row::Rows,
    strings::Strings,
};
use crate::{
    file::{Part, Reader},
    table::{About, Format, Started, Words},
};

/// Rows of a sheet as records.
pub(crate) struct SheetFormat {
    chosen: Chosen,
    /// What was read of the workbook that was opened last: a run reads its source more than once.
    last: Mutex<Option<(Part, Arc<Sheet>)>>,
}

/// A sheet of which all is known but its rows.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub(super) package: Package,
    pub(super) head: Arc<Head>,
    pub(super) strings: Strings,
    /// The last column that holds anything, once somebody wanted to know it.
    last_used: OnceLock<u32>,
}

impl SheetFormat {
    pub(crate) fn new(chosen: Chosen) -> Self {
        Self { chosen, last: Mutex::new(None) }
    }

    fn opened(&self, part: &Part) -> Result<Arc<Sheet>, SourceError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, opened)) = &*last
            && of.place == part.place
            && of.length == part.length
        {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(Sheet::of(part, &self.chosen)?);
        *last = Some((part.clone(), Arc::clone(&opened)));
        Ok(opened)
    }
}

impl Sheet {
    fn of(part: &Part, chosen: &Chosen) -> Result<Self, SourceError> {
        let package = Package::open(part, chosen)?;
        let wrong = |e| SourceError(format!("cannot read `{}`: {e}", part.place.name));
        let strings = match package.read_strings()? {
            Some(xml) => Strings::of(xml).map_err(wrong)?,
            None => Strings::none(),
        };
        let head = Head::of(part, &package, &strings, chosen)?;
        Ok(Self { package, head: Arc::new(head), strings, last_used: OnceLock::new() })
    }

    /// Returns the last column that holds anything in any row, from 0. The sheet may be read through for that, once.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn last_used(&self) -> io::Result<u32> {
        if let Some(last) = self.last_used.get() {
            return Ok(*last);
        }
        let found = self.head.last_used(&self.package)?;
        Ok(*self.last_used.get_or_init(|| found))
    }
}

impl Format for SheetFormat {
    type Shape = Rows;

    fn words(&self) -> Words {
        Words { noun: "row", limit: "max_record" }
    }

    fn check(&self, part: &Part) -> Result<(), SourceError> {
        self.opened(part).map(|_| ())
    }

    fn start(&self, part: &Part, offset: u64, about: &mut About) -> Result<Started<Rows>, SourceError> {
        let Sheet { package, head, strings, .. } = &*self.opened(part)?;
        about.first = head.row_number + 1;
        let offset = offset.max(head.xml.len() as u64);
        let reader = Reader::from_offset(package.read_sheet()?, offset, &part.place)?;
        let shape =
            Rows::new(Arc::clone(head), strings.reader(), package.styles.clone(), part.place.name.clone(), about.max);
        let shape = if self.chosen.text { shape.with_text() } else { shape };
        Ok(Started { reader, offset, shape })
    }

    fn continued(&self, part: &Part, _: u64) -> Result<Option<String>, SourceError> {
        // A workbook is never written behind its end.
        Ok(Some(format!("`{}` was saved again", part.place.name)))
    }

    fn inspect<'r>(&self, record: &'r Record) -> Result<&'r str, (SkipReason, String)> {
        match str::from_utf8(&record.bytes) {
            Ok("") => Err((SkipReason::Blank, "the row is empty".to_owned())),
            Ok(text) => Ok(text),
            // Rows that are no text are found out when they are read.
            Err(error) => Err((SkipReason::BadText, error.to_string())),
        }
    }

    fn is_empty_missing(&self) -> bool {
        true
    }

    fn sheet(&self, part: &Part) -> Option<Result<Arc<Sheet>, SourceError>> {
        Some(self.opened(part))
    }
}
