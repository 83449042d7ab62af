//! Writing.

use domain::Record;

use crate::{
    file::Aside,
    table::{Composer, FileSource, Layout, New, Pen, PenError},
};

/// Records as elements of an array.
pub(crate) struct ItemsLayout;

impl Layout for ItemsLayout {
    fn pen(&self, composer: &Composer, _: &FileSource, _: &mut Aside) -> Result<Box<dyn Pen>, PenError> {
        Ok(Box::new(ItemsPen { composer: composer.clone(), scratch: Vec::new() }))
    }
}

struct ItemsPen {
    composer: Composer,
    scratch: Vec<u8>,
}

impl Pen for ItemsPen {
    fn write(&mut self, record: &Record, new: New<'_>, out: &mut Aside) -> Result<(), PenError> {
        self.scratch.clear();
        self.scratch.extend_from_slice(if out.n_records() == 0 { b"[\n" } else { b",\n" });
        if new.is_nothing() {
            // It may be no object, and stays what it is.
            self.scratch.extend_from_slice(&record.bytes);
        } else {
            self.composer.compose(&record.bytes, new.output(), &mut self.scratch)?;
        }
        Ok(out.add_json(&self.scratch)?)
    }

    fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        let end: &[u8] = if out.n_records() == 0 { b"[]\n" } else { b"\n]\n" };
        Ok(out.add(end)?)
    }
}
