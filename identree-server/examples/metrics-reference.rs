//! Prints every metric of the server as Markdown; `.ci/generate` keeps it in `docs/reference/metrics.md`.

use std::io::{self, Write as _};

use identree_server::telemetry::catalogue::{CATALOGUE, Kind, Label};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "# Metrics\n")?;
    writeln!(
        out,
        "Written by `.ci/generate` from `identree-server/src/telemetry/catalogue.rs`. How to open and scrape them: \
         [operations](../operations.md#metrics). No label ever holds a name, an address or a path that somebody chose.\n"
    )?;
    writeln!(out, "| Metric | Type | Labels | Meaning |\n|---|---|---|---|")?;
    for metric in CATALOGUE {
        let labels: Vec<_> = metric.labels.iter().map(label).collect();
        writeln!(out, "| `{}` | {} | {} | {} |", metric.name, kind(metric.kind), labels.join("; "), metric.help)?;
    }
    Ok(())
}

fn label(label: &Label) -> String {
    let values: Vec<_> = label.values.iter().map(|value| format!("`{value}`")).collect();
    let colon = if values.is_empty() { "" } else { ": " };
    format!("`{}`{colon}{}", label.name, values.join(", "))
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Counter => "counter".to_owned(),
        Kind::Gauge => "gauge".to_owned(),
        Kind::Histogram(bounds) => {
            let bounds: Vec<_> = bounds.iter().map(f64::to_string).collect();
            format!("histogram: {}", bounds.join(", "))
        }
    }
}
