//! The language in which people are spoken to.

use std::sync::OnceLock;

use crate::compose::environment;

/// A language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// English.
    #[default]
    #[value(name = "en")]
    English,
    /// Chinese, in simplified characters.
    #[value(name = "zh")]
    Chinese,
}

static CHOSEN: OnceLock<Language> = OnceLock::new();

/// Decides, once for the process: what the command line says, or the locale.
pub(crate) fn choose(given: Option<Language>) {
    // Whoever decides a second time has come too late.
    let _ = CHOSEN.set(given.unwrap_or_else(|| of_locale(environment::locale().as_deref())));
}

/// Returns what was decided.
pub(crate) fn chosen() -> Language {
    CHOSEN.get().copied().unwrap_or_default()
}

fn of_locale(locale: Option<&str>) -> Language {
    let is_chinese = locale.is_some_and(|locale| locale.to_ascii_lowercase().starts_with("zh"));
    if is_chinese { Language::Chinese } else { Language::English }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_names_a_language() {
        for (locale, language) in [
            (Some("zh_CN.UTF-8"), Language::Chinese),
            (Some("zh"), Language::Chinese),
            (Some("de_DE.UTF-8"), Language::English),
            (Some("C"), Language::English),
            (None, Language::English),
        ] {
            assert_eq!(of_locale(locale), language, "{locale:?}");
        }
    }
}
