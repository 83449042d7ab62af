//! What was tried out, as a table for people.

use unicode_width::UnicodeWidthStr as _;

use super::{Key, Tried, Trouble};
use crate::{
    lang::{colon, phrase, tr},
    talk,
};

/// Prints a line for each model, and below the table what is wrong with some of them.
pub(super) fn print(tried: &[Tried], asks: bool) {
    let word = |word: &str| phrase(word).into_owned();
    let yes_or_no = |is: Option<bool>| is.map_or("-".to_owned(), |is| word(if is { "yes" } else { "no" }));
    let mut rows = vec![["model", "channel", "reached", "key", "listed", "answers"].map(word).to_vec()];
    rows.extend(tried.iter().map(|one| {
        let reached = one.reached.map_or_else(|| word("no"), |took| word(&format!("{} ms", took.as_millis())));
        let key = if one.key == Key::Unknown { "-".to_owned() } else { word(one.key.word()) };
        let names = [one.model.clone(), one.channel.clone()];
        names.into_iter().chain([reached, key, yes_or_no(one.is_listed), yes_or_no(one.answers)]).collect()
    }));
    if !asks {
        rows.iter_mut().for_each(|row: &mut Vec<String>| row.truncate(5));
    }
    let n_columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..n_columns).map(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0)).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width())));
        talk::data(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    for one in tried {
        let Some(Trouble { what, help, .. }) = &one.trouble else { continue };
        talk::data("");
        talk::data(format!("`{}`{}{}", one.model, colon(), tr(what)));
        if let Some(place) = &one.place {
            talk::data(format!("  --> {place}"));
        }
        talk::data(format!("  {}", tr(help)));
    }
    if tried.iter().any(|one| one.reached.is_some() && one.is_listed.is_none() && one.trouble.is_none() && !asks) {
        talk::data("");
        talk::data(tr(
            "where nothing stands under `listed`, the vendor has no list of models: --ask tries such a model out",
        ));
    }
}
