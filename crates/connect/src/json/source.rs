//! Reading.

use domain::{Record, SkipReason, ports::SourceError};
use encoding_rs::Encoding;

use super::items::{Items, no_array};
use crate::{
    file::{Part, cannot},
    table::{About, Format, Started, Words, as_text},
};

/// Elements of an array as records.
pub(crate) struct ItemsFormat {
    pub(crate) encoding: Option<&'static Encoding>,
}

impl Format for ItemsFormat {
    type Shape = Items;

    fn words(&self) -> Words {
        Words { noun: "item", limit: "max_record" }
    }

    fn check(&self, part: &Part) -> Result<(), SourceError> {
        let name = &part.place.name;
        let broken = |error| SourceError(cannot("read", &part.place, &error));
        let mut opened = part.open(0)?;
        loop {
            let block = opened.reader.block(BLOCK).map_err(broken)?;
            if block.is_empty() {
                return Err(SourceError(format!("`{name}` is empty; it should hold an array of objects")));
            }
            match block.trim_ascii_start().first() {
                Some(b'[') => return Ok(()),
                Some(other) => return Err(SourceError(format!("cannot read `{name}`: {}", no_array(*other)))),
                None => {}
            }
        }
    }

    fn start(&self, part: &Part, offset: u64, _about: &mut About) -> Result<Started<Items>, SourceError> {
        let opened = part.open(offset)?;
        let items = if opened.offset <= opened.text_start { Items::new() } else { Items::within() };
        Ok(Started::at(opened, items))
    }

    fn continued(&self, part: &Part, old_length: u64) -> Result<Option<String>, SourceError> {
        let name = &part.place.name;
        let before = Part { length: old_length, ..part.clone() };
        let Ok(text_length) = before.text_length() else {
            return Ok(Some(format!("`{name}` was not whole when the run was begun")));
        };
        let mut opened = part.open(text_length)?;
        loop {
            let block = opened.reader.block(BLOCK).map_err(|error| SourceError(cannot("read", &part.place, &error)))?;
            if block.is_empty() {
                return Ok(None);
            }
            if !block.trim_ascii().is_empty() {
                return Ok(Some(format!("`{name}` has grown behind what was its end, which an array cannot")));
            }
        }
    }

    fn inspect<'r>(&self, record: &'r Record) -> Result<&'r str, (SkipReason, String)> {
        as_text(&record.bytes, "item", self.encoding)
    }
}

const BLOCK: usize = 64 << 10;
