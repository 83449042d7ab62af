//! Tables of databases, measured: `cargo xtask bench tables databases` runs it against real servers.
//!
//! `serve mariadb|postgres` starts a server, prints its address and its version, and ends with its input. `fill ADDRESS ROWS
//! integer|text` makes a table, `reset ADDRESS` puts it back to what it was, `check ADDRESS` counts the rows that have answers. `read` and `write` are ours, as a run does it;
//! `plain-read` and `plain-write` issue the same statements and no more; `plain-each` is what most people would write. Each
//! prints how many rows it saw. An address is a URL, or `sqlite:` and a path.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod client;
mod ours;
mod plain;
mod table;

use std::{error::Error, io::Read as _};

use testkit::servers;

use self::client::Flavor;

// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> Fallible<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let n = match words[..] {
        ["serve", which] => return serve(which),
        ["version", address] => return version(address),
        ["fill", address, n, key] => table::fill(address, n.parse()?, key == "text")?,
        ["reset", address] => table::reset(address)?,
        ["check", address] => table::check(address)?,
        ["read", address] => ours::read(address)?,
        ["write", address] => ours::write(address)?,
        ["plain-read", address] => plain::read(address)?,
        ["plain-write", address] => plain::write(address)?,
        ["plain-each", address] => plain::each(address)?,
        _ => {
            return Err(
                "serve WHICH | version, fill, reset, check, read, write, plain-read, plain-write, plain-each ADDRESS"
                    .into(),
            );
        }
    };
    println!("{n} rows");
    Ok(())
}

/// Starts a server, which dies with us.
fn serve(which: &str) -> Fallible<()> {
    let server = match which {
        "mariadb" => servers::mariadb(),
        "postgres" => servers::postgres(),
        _ => return Err("serve mariadb|postgres".into()),
    };
    let server = server.ok_or("it is not installed")?;
    println!("{}", server.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn version(address: &str) -> Fallible<()> {
    let sql = match client::flavor(address) {
        Flavor::Sqlite => "SELECT 'SQLite ' || sqlite_version()",
        Flavor::Mysql => "SELECT VERSION()",
        Flavor::Postgres => "SELECT split_part(version(), ' (', 1)",
    };
    println!("{}", client::connect(address)?.text(sql)?);
    Ok(())
}
