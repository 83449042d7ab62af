//! Which cells look like dates.

use std::collections::HashMap;

use super::{
    dates::{Look, look_of},
    package::elements,
};

/// The looks of a workbook's cells, as far as they say what a number is.
#[derive(Clone, Debug, Default)]
pub(super) struct Styles {
    looks: Vec<Look>,
    pub(super) is_1904: bool,
}

impl Styles {
    /// Those of a workbook that has none.
    pub(super) fn none(is_1904: bool) -> Self {
        Self { looks: Vec::new(), is_1904 }
    }

    /// Reads `styles.xml`.
    pub(super) fn of(xml: &str, is_1904: bool) -> Result<Self, String> {
        let (mut codes, mut looks) = (HashMap::new(), Vec::new());
        // The formats of cells stand in `cellXfs`; the same element stands before it in `cellStyleXfs`.
        let mut is_in_cells = false;
        elements(xml, |tag, attribute| match tag {
            "numFmt" => {
                if let (Some(id), Some(code)) = (attribute("numFmtId"), attribute("formatCode")) {
                    codes.insert(id, code);
                }
            }
            "cellXfs" => is_in_cells = true,
            "xf" if is_in_cells => {
                let id = attribute("numFmtId").unwrap_or_default();
                looks.push(look_of(id.parse().unwrap_or(0), codes.get(&id).map(String::as_str)));
            }
            "cellStyles" | "dxfs" => is_in_cells = false,
            _ => {}
        })?;
        Ok(Self { looks, is_1904 })
    }

    /// Returns how the number in a cell of a look is to be read.
    pub(super) fn look(&self, style: usize) -> Look {
        self.looks.get(style).copied().unwrap_or_default()
    }
}
