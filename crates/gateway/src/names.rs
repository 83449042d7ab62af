//! From a requested name to a route.

use std::collections::HashMap;

/// The route that means every model, unless the file says otherwise.
pub(crate) const AUTO: &str = "auto";

/// What clients write when they do not care; each means `auto` where it is not somebody's own name.
const WHICHEVER: [&str; 4] = ["any", "default", "*", ""];

/// What requested names lead to: routes, by their numbers in [`crate::Resolved::routes`].
#[derive(Clone, Debug, Default)]
pub struct Names {
    exact: HashMap<Box<str>, usize>,
    /// Those with the longest beginning first.
    patterns: Vec<(Pattern, usize)>,
    default: Option<usize>,
}

impl Names {
    /// Makes a table of names that stand for routes as they are. Of two equal ones the first counts.
    pub(crate) fn new(exact: impl IntoIterator<Item = (String, usize)>) -> Self {
        let mut names = Self::default();
        for (name, route) in exact {
            names.exact.entry(name.into()).or_insert(route);
        }
        if let Some(&auto) = names.exact.get(AUTO) {
            for name in WHICHEVER {
                names.exact.entry(name.into()).or_insert(auto);
            }
        }
        names
    }

    /// Adds patterns and what they lead to, and what all other names lead to.
    pub(crate) fn with(mut self, patterns: Vec<(String, usize)>, default: Option<usize>) -> Self {
        self.patterns = patterns.into_iter().map(|(pattern, route)| (Pattern::new(pattern), route)).collect();
        self.patterns
            .sort_by(|(a, _), (b, _)| b.beginning().len().cmp(&a.beginning().len()).then_with(|| a.0.cmp(&b.0)));
        self.default = default;
        self
    }

    /// Returns the route that `asked` leads to: the one of that name, else that of the pattern with the longest
    /// beginning, else the one for all other names.
    #[must_use]
    pub fn find(&self, asked: &str) -> Option<usize> {
        self.exact.get(asked).copied().or_else(|| {
            let fitting = self.patterns.iter().find(|(pattern, _)| pattern.fits(asked));
            fitting.map(|(_, route)| *route).or(self.default)
        })
    }
}

/// A text in which `*` stands for any characters, or none.
#[derive(Clone, Debug)]
struct Pattern(String);

impl Pattern {
    fn new(text: String) -> Self {
        Self(text)
    }

    fn beginning(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|beginning| name.strip_prefix(beginning)) else { return false };
        let Some(end) = parts.next_back() else { return rest.is_empty() };
        // The first place at which a part fits leaves most for those behind it.
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(exact: &[&str], patterns: &[&str], default: Option<usize>) -> Names {
        let exact = exact.iter().enumerate().map(|(route, name)| ((*name).to_owned(), route));
        let patterns = patterns.iter().enumerate().map(|(n, pattern)| ((*pattern).to_owned(), 100 + n)).collect();
        Names::new(exact).with(patterns, default)
    }

    #[test]
    fn a_name_goes_before_patterns_and_patterns_before_the_default() {
        let names = names(&["gpt-4", "auto"], &["gpt-*"], Some(7));
        assert_eq!(names.find("gpt-4"), Some(0));
        assert_eq!(names.find("gpt-4o"), Some(100));
        assert_eq!(names.find("claude"), Some(7));
    }

    #[test]
    fn whoever_does_not_care_gets_auto_unless_that_is_a_name() {
        let plain = names(&["a", "auto"], &[], None);
        for asked in ["auto", "any", "default", "*", ""] {
            assert_eq!(plain.find(asked), Some(1), "{asked}");
        }
        assert_eq!(plain.find("b"), None);
        assert_eq!(names(&["auto", "any"], &[], None).find("any"), Some(1));
        assert_eq!(names(&["a"], &[], None).find("any"), None);
    }

    #[test]
    fn the_pattern_with_the_longest_beginning_counts() {
        let names = names(&[], &["*", "gpt-*", "gpt-4*-mini", "gpt-4*"], None);
        for (asked, route) in [("x", 100), ("gpt-3", 101), ("gpt-4o-mini", 103), ("gpt-4", 103)] {
            assert_eq!(names.find(asked), Some(route), "{asked}");
        }
    }

    #[test]
    fn a_pattern_fits_with_any_characters_for_its_stars() {
        let check = |pattern: &str, name: &str, fits: bool| {
            assert_eq!(Pattern::new(pattern.to_owned()).fits(name), fits, "{pattern} {name}");
        };
        check("a*c", "abc", true);
        check("a*c", "ac", true);
        check("a*c", "a", false);
        check("a*a", "a", false);
        check("*b*", "abc", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*bc*c", "abc", false);
        check("abc", "abc", true);
        check("abc", "abcd", false);
        check("模型*", "模型一", true);
    }
}
