//! Prints the catalogue of audit events as Markdown; `.ci/generate` keeps it in `docs/reference/events.md`.

use std::io::{self, Write as _};

use identree_core::audit::{DETAILS, EventKind, PERSONAL_DETAILS};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "# Audit events\n")?;
    writeln!(out, "Written by `.ci/generate` from `identree-core/src/audit/kind.rs`. Names are stable.\n")?;
    writeln!(
        out,
        "Each event has an `id`, a time (`at`) and a `kind`; an event about a question has its `challenge`. Where there is an actor, `via` tells how the actor came in."
    )?;
    writeln!(
        out,
        "Subject, actor and the details in *italics* may tell of persons: they stand beside the log's leaf and can be erased without touching its proofs.\n"
    )?;
    writeln!(out, "| Event | Meaning | Subject | Target | Actor | Details |\n|---|---|---|---|---|---|")?;
    for kind in EventKind::ALL {
        let tells = kind.tells();
        let part = |text: &'static str| if text.is_empty() { "–" } else { text };
        let (subject, target, actor) = (part(tells.subject), part(tells.target), part(tells.actor));
        let details: Vec<_> = tells.details.iter().map(|name| shown(name)).collect();
        let (name, meaning, details) = (kind.as_str(), kind.meaning(), details.join(", "));
        writeln!(out, "| `{name}` | {meaning} | {subject} | {target} | {actor} | {details} |")?;
    }
    writeln!(out, "\n## Details\n")?;
    writeln!(out, "| Detail | Meaning |\n|---|---|")?;
    for (name, meaning) in DETAILS {
        writeln!(out, "| {} | {meaning} |", shown(name))?;
    }
    Ok(())
}

/// As code, and in italics where it may tell of persons.
fn shown(name: &str) -> String {
    if PERSONAL_DETAILS.contains(&name) { format!("*`{name}`*") } else { format!("`{name}`") }
}
