//! Days as workbooks count them.

/// How a number is to be read, by the look of its cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    #[default]
    Number,
    Date,
}

/// Returns whether a format shows dates or times (ECMA-376 part 1, 18.8.30 and 18.8.31). Elapsed time (`[h]:mm`) is a number.
pub(super) fn look_of(id: u32, code: Option<&str>) -> Look {
    let is_date = match code {
        Some(code) => shows_dates(code),
        None => matches!(id, 14..=22 | 27..=36 | 45 | 47 | 50..=58),
    };
    if is_date { Look::Date } else { Look::Number }
}

fn shows_dates(code: &str) -> bool {
    let mut rest = code.chars();
    let mut found = false;
    while let Some(character) = rest.next() {
        match character {
            '"' => {
                rest.by_ref().find(|other| *other == '"');
            }
            '\\' | '_' | '*' => {
                rest.next();
            }
            // Colours, conditions, places; or hours, minutes and seconds that do not start again.
            '[' => {
                let inner: String = rest.by_ref().take_while(|other| *other != ']').collect();
                if matches!(inner.to_ascii_lowercase().trim_matches(|c| c == 'h' || c == 'm' || c == 's'), "")
                    && !inner.is_empty()
                {
                    return false;
                }
            }
            // Behind it stands what is shown of negative numbers.
            ';' => return found,
            'd' | 'D' | 'm' | 'M' | 'y' | 'Y' | 'h' | 'H' | 's' | 'S' => found = true,
            'G' | 'g' if rest.as_str().to_ascii_lowercase().starts_with("eneral") => return false,
            _ => {}
        }
    }
    found
}

/// Returns a day and time as ISO 8601 has it: `2024-02-29`, `2024-02-29T13:05:00` or, of less than a day, `13:05:00`. Nothing for
/// what is none.
pub(super) fn iso(serial: f64, is_1904: bool) -> Option<String> {
    /// The last day of the year 9999.
    const LAST: f64 = 2_958_466.0;
    if !(0.0..LAST).contains(&serial) {
        return None;
    }
    // Times are kept to the millisecond: further digits are what a binary fraction leaves.
    let ms = (serial * 86_400_000.0).round();
    let (days, ms) = ((ms / 86_400_000.0).floor() as i64, (ms % 86_400_000.0) as u64);
    let time = || {
        let (s, ms) = (ms / 1_000, ms % 1_000);
        let fraction = if ms > 0 { format!(".{ms:03}") } else { String::new() };
        format!("{:02}:{:02}:{:02}{fraction}", s / 3_600, s / 60 % 60, s % 60)
    };
    if days == 0 && !is_1904 {
        return Some(time());
    }
    // Day 60 is 29 February 1900, which there was not; those before it are counted from a day later.
    let since_1970 = match (is_1904, days) {
        (true, days) => days - 24_107,
        (false, 60) => return Some(if ms > 0 { format!("1900-02-29T{}", time()) } else { "1900-02-29".to_owned() }),
        (false, days) if days < 60 => days - 25_568,
        (false, days) => days - 25_569,
    };
    let (year, month, day) = civil(since_1970);
    let date = format!("{year:04}-{month:02}-{day:02}");
    Some(if ms > 0 { format!("{date}T{}", time()) } else { date })
}

/// Returns year, month and day of the days since 1970 (Howard Hinnant's `civil_from_days`,
/// <https://howardhinnant.github.io/date_algorithms.html>).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (serial, expected) in [
            (0.5, Some("12:00:00")),
            (1.0, Some("1900-01-01")),
            (59.0, Some("1900-02-28")),
            (60.0, Some("1900-02-29")),
            (61.0, Some("1900-03-01")),
            (45_351.0, Some("2024-02-29")),
            (45_351.545_138_888_9, Some("2024-02-29T13:05:00")),
            (45_351.000_011_574, Some("2024-02-29T00:00:01")),
            (2_958_465.0, Some("9999-12-31")),
            (2_958_466.0, None),
            (-1.0, None),
            (f64::NAN, None),
        ] {
            assert_eq!(iso(serial, false).as_deref(), expected, "{serial}");
        }
        assert_eq!(iso(0.0, true).as_deref(), Some("1904-01-01"));
        assert_eq!(iso(43_889.0, true).as_deref(), Some("2024-02-29"));
    }

    #[test]
    fn formats_show_dates_or_they_do_not() {
        for code in ["yyyy-mm-dd", "d/m/yy h:mm", "[$-409]mmm\\-yy;@", "yyyy\"年\"m\"月\"", "h:mm AM/PM", "[Red]dd"] {
            assert_eq!(look_of(164, Some(code)), Look::Date, "{code}");
        }
        for code in
            ["General", "0.00", "#,##0\" days\"", "0\\d", "[h]:mm:ss", "@", "0.00E+00", "[Red]0;[Blue]-0", "_d0"]
        {
            assert_eq!(look_of(164, Some(code)), Look::Number, "{code}");
        }
        assert_eq!((look_of(14, None), look_of(46, None), look_of(1, None)), (Look::Date, Look::Number, Look::Number));
    }
}
