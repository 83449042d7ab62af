//! The command line in the language of the process: its help, and what is wrong with it.

use std::ffi::OsString;

use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use super::{Language, chinese, current, tr};
use crate::{args::Args, language};

/// How help is laid out, in Chinese.
const LAYOUT: &str = "{before-help}{about-with-newline}\n\x1b[1m\x1b[4m用法：\x1b[0m{usage}\n\n{all-args}{after-help}";

/// Reads the command line. Where that cannot be done, or help is asked for, it is told, and the process ends.
pub(crate) fn parse() -> Args {
    let given: Vec<OsString> = std::env::args_os().collect();
    language::choose(asked_for(&given));
    let mut command = Args::command();
    if current() == Language::Chinese {
        command = in_chinese(command);
    }
    let read = |matches: ArgMatches| Args::from_arg_matches(&matches);
    command.clone().try_get_matches_from(given).and_then(read).unwrap_or_else(|error| tell(&error.format(&mut command)))
}

/// Returns the language that the command line asks for. It is needed before the command line is read: what is wrong with
/// it is told in that language.
fn asked_for(given: &[OsString]) -> Option<Language> {
    let mut given = given.iter().skip(1).map_while(|word| word.to_str().filter(|word| *word != "--"));
    while let Some(word) = given.next() {
        let value = match word.strip_prefix("--lang") {
            Some("") => given.next(),
            Some(rest) => rest.strip_prefix('='),
            None => continue,
        };
        return value.and_then(|value| clap::ValueEnum::from_str(value, true).ok());
    }
    None
}

fn tell(error: &clap::Error) -> ! {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_help || current() == Language::English {
        error.exit();
    }
    crate::talk::text(&tr(&error.render().to_string()));
    std::process::exit(error.exit_code());
}

/// Puts every text of a command and those below it into Chinese.
pub(super) fn in_chinese(mut command: Command) -> Command {
    // Built first, so that what clap adds itself (`--help`, `help`) is there to be translated.
    command.build();
    translated(command)
}

fn translated(command: Command) -> Command {
    let words = |text: Option<String>| text.map(|text| chinese().exact(&text).unwrap_or(text));
    let about = words(command.get_about().map(ToString::to_string));
    let long_about = words(command.get_long_about().map(ToString::to_string));
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let mut command = command.help_template(LAYOUT).subcommand_help_heading("命令").subcommand_value_name("命令");
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(about) = long_about {
        command = command.long_about(about);
    }
    command = command.mut_args(|arg| {
        let help = words(arg.get_help().map(ToString::to_string));
        let long_help = words(arg.get_long_help().map(ToString::to_string));
        let heading = if arg.is_positional() { "参数" } else { "选项" };
        // clap writes these remarks in English, so they become part of the text.
        let defaults: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let values = arg.get_possible_values();
        let values: Vec<&str> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
        let takes_value = arg.get_action().takes_values();
        let mut remarks = String::new();
        if takes_value && !defaults.is_empty() && !arg.is_hide_default_value_set() {
            remarks.push_str(&format!(" [默认：{}]", defaults.join(" ")));
        }
        if takes_value && !values.is_empty() && !arg.is_hide_possible_values_set() {
            remarks.push_str(&format!(" [可选值：{}]", values.join(", ")));
        }
        let mut arg = arg.help_heading(heading).hide_default_value(true).hide_possible_values(true);
        if let Some(help) = help {
            arg = arg.help(format!("{help}{remarks}"));
        }
        if let Some(help) = long_help {
            arg = arg.long_help(format!("{help}{remarks}"));
        }
        arg
    });
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().replace("[OPTIONS]", "[选项]").replace("[COMMAND]", "[命令]");
    command = command.override_usage(usage.replace("<COMMAND>", "<命令>"));
    for name in names {
        command = command.mut_subcommand(name, translated);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_found_before_the_command_line_is_read() {
        let asked = |words: &[&str]| asked_for(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(asked(&["tidemill", "run", "--lang", "zh", "x.yaml"]), Some(Language::Chinese));
        assert_eq!(asked(&["tidemill", "--lang=en", "run"]), Some(Language::English));
        assert_eq!(asked(&["tidemill", "run", "--language", "zh"]), None);
        assert_eq!(asked(&["tidemill", "run", "--", "--lang", "zh"]), None);
        assert_eq!(asked(&["tidemill", "run", "--lang"]), None);
        assert_eq!(asked(&["--lang", "zh"]), None, "the first word is the program's name");
    }
}
