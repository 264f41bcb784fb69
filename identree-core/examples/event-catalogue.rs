//! Prints the catalogue of audit events as Markdown; `.ci/generate` keeps it in `docs/reference/events.md`.

use std::io::{self, Write as _};

use identree_core::audit::EventKind;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "# Audit events\n")?;
    writeln!(out, "Written by `.ci/generate` from `identree-core/src/audit/event.rs`. Names are stable.\n")?;
    writeln!(out, "| Event | Meaning |\n|---|---|")?;
    for kind in EventKind::ALL {
        writeln!(out, "| `{}` | {} |", kind.as_str(), kind.meaning())?;
    }
    Ok(())
}
