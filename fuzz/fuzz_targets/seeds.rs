//! What a fuzzer starts from.

use std::{fs, path::Path};

/// Writes each input into the folder that the fuzzer of `target` is about to read.
pub fn write(target: &str, inputs: impl IntoIterator<Item = Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("the folder of inputs can be written");
    for (number, input) in inputs.into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), input).expect("an input can be written");
    }
}
