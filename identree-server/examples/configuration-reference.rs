//! Prints every setting of the server as Markdown; `.ci/generate` keeps it in `docs/reference/configuration.md`.

use std::io::{self, Write as _};

use identree_server::config::table::{Entry, Kind, TABLE};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (used, later): (Vec<&Entry>, Vec<&Entry>) = TABLE.iter().partition(|entry| entry.help.is_some());
    writeln!(out, "# Server configuration\n")?;
    writeln!(
        out,
        "Written by `.ci/generate` from `identree-server/src/config/table.rs`. The environment wins over the KEY=VALUE file, that over the \
         TOML file, that over the default. A secret may also be given as a file, by its name with `_FILE`.\n"
    )?;
    writeln!(out, "| Name | TOML | Type | Default | Meaning |\n|---|---|---|---|---|")?;
    for entry in used {
        let toml = entry.toml.map(|key| format!("`{key}`")).unwrap_or_default();
        let default = if entry.default.is_empty() { String::new() } else { format!("`{}`", entry.default) };
        let help = entry.help.unwrap_or_default();
        writeln!(out, "| `{}` | {toml} | {} | {default} | {help} |", entry.name, kind(entry.kind))?;
    }
    writeln!(out, "\n## Accepted, without effect yet\n")?;
    writeln!(out, "The server says so at start when one of them is set.\n")?;
    for entry in later {
        writeln!(out, "- `{}`", entry.name)?;
    }
    Ok(())
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Secret => "secret",
        Kind::Bool => "`true` or `false`",
        Kind::Duration => "duration",
        Kind::Bytes => "bytes",
        Kind::Number => "number",
        Kind::List => "list",
        Kind::Url => "URL",
        Kind::Address => "address",
        Kind::Path => "path",
    }
}
