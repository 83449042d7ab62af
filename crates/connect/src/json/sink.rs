//! Writing.

use domain::Record;
use serde_json::value::RawValue;

use crate::{
    file::Aside,
    table::{Composer, FileSource, Layout, Pen, PenError},
};

/// Records as elements of an array.
pub(crate) struct ItemsLayout;

impl Layout for ItemsLayout {
    fn file(&self) -> &'static str {
        "a JSON file"
    }

    fn pen(&self, composer: &Composer, _: &FileSource, _: &mut Aside) -> Result<Box<dyn Pen>, PenError> {
        Ok(Box::new(ItemsPen { composer: composer.clone(), scratch: Vec::new() }))
    }
}

struct ItemsPen {
    composer: Composer,
    scratch: Vec<u8>,
}

impl Pen for ItemsPen {
    fn write(&mut self, record: &Record, output: &RawValue, out: &mut Aside) -> Result<(), PenError> {
        self.scratch.clear();
        self.scratch.extend_from_slice(if out.n_records() == 0 { b"[\n" } else { b",\n" });
        self.composer.compose(&record.bytes, output, &mut self.scratch)?;
        Ok(out.add_json(&self.scratch)?)
    }

    fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        let end: &[u8] = if out.n_records() == 0 { b"[]\n" } else { b"\n]\n" };
        Ok(out.add(end)?)
    }
}
