//! Writing.

use domain::Record;
use serde_json::value::RawValue;

use crate::{
    file::Aside,
    table::{Composer, FileSource, Layout, Pen, PenError},
};

/// Records as lines.
pub(crate) struct LinesLayout;

impl Layout for LinesLayout {
    fn file(&self) -> &'static str {
        "a JSONL file"
    }

    fn pen(&self, composer: &Composer, _: &FileSource, _: &mut Aside) -> Result<Box<dyn Pen>, PenError> {
        Ok(Box::new(LinesPen { composer: composer.clone(), scratch: Vec::new() }))
    }
}

struct LinesPen {
    composer: Composer,
    scratch: Vec<u8>,
}

impl Pen for LinesPen {
    fn write(&mut self, record: &Record, output: &RawValue, out: &mut Aside) -> Result<(), PenError> {
        self.scratch.clear();
        self.composer.compose(&record.bytes, output, &mut self.scratch)?;
        self.scratch.push(b'\n');
        Ok(out.add_json(&self.scratch)?)
    }
}
