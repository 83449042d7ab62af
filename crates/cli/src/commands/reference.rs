//! `tidemill reference`: what is documented by the code itself.

use std::{fmt::Write as _, fs, path::Path};

use clap::CommandFactory as _;

use crate::{
    args::{Args, Reference},
    config,
    exit::Exit,
    pipeline::Pipeline,
    progress::Standing,
};

/// Writes the command line's reference and the schemas of the files.
pub(super) fn run(args: &Reference) -> anyhow::Result<Exit> {
    fs::create_dir_all(&args.out)?;
    write(&args.out, "cli.md", &command_line())?;
    write(&args.out, "pipeline.schema.json", &pretty(&config::schema::<Pipeline>())?)?;
    write(&args.out, "models.schema.json", &pretty(&config::schema::<gateway::ModelsFile>())?)?;
    write(&args.out, "progress.schema.json", &pretty(&schemars::schema_for!(Standing).to_value())?)?;
    write(&args.out, "script.schema.json", &pretty(&config::schema::<simulate::Script>())?)?;
    Ok(Exit::Done)
}

fn pretty(schema: &serde_json::Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(schema)? + "\n")
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    Ok(fs::write(folder.join(name), text)?)
}

fn command_line() -> String {
    let mut text = String::from("# The command line\n\nMade by `cargo xtask generate` from the program itself.\n");
    let mut command = Args::command().term_width(100);
    command.build();
    describe(&mut command, "tidemill", &mut text);
    text
}

fn describe(command: &mut clap::Command, name: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    // Writing into a string cannot fail.
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end());
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for sub in names {
        if let Some(command) = command.find_subcommand_mut(&sub) {
            describe(command, &format!("{name} {sub}"), text);
        }
    }
}
