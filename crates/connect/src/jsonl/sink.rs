//! Writing.

use domain::Record;

use crate::{
    file::Aside,
    table::{Composer, FileSource, Layout, New, Pen, PenError},
};

/// Records as lines.
pub(crate) struct LinesLayout;

impl Layout for LinesLayout {
    fn pen(&self, composer: &Composer, _: &FileSource, _: &mut Aside) -> Result<Box<dyn Pen>, PenError> {
        Ok(Box::new(LinesPen { composer: composer.clone(), scratch: Vec::new() }))
    }
}

struct LinesPen {
    composer: Composer,
    scratch: Vec<u8>,
}

impl Pen for LinesPen {
    fn write(&mut self, record: &Record, new: New<'_>, out: &mut Aside) -> Result<(), PenError> {
        self.scratch.clear();
        if new.is_nothing() {
            // It may be no object, and stays what it is.
            self.scratch.extend_from_slice(&record.bytes);
        } else {
            self.composer.compose(&record.bytes, new.output(), &mut self.scratch)?;
        }
        self.scratch.push(b'\n');
        Ok(out.add_json(&self.scratch)?)
    }
}
