//! `deploy/grafana` and `deploy/prometheus`: every metric, label and value that a panel or a rule asks for exists, and the rules
//! do what they say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use identree_core::audit::EventKind;
use identree_server::telemetry::catalogue::{CATALOGUE, Kind, Metric};
use serde_json::Value;

/// What Prometheus itself knows of every target.
const OF_THE_SCRAPE: [&str; 2] = ["instance", "job"];
const KEYWORDS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "by", "without", "atan2"];

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// What an expression asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Metrics, each with the labels it is picked by and their values.
    metrics: Vec<(String, Vec<(String, String)>)>,
    /// Labels that results are grouped by.
    grouped: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    Sign(char),
}

/// Names, texts and signs; numbers, times in brackets and operators are nothing that names anything.
fn tokens(expression: &str) -> Vec<Token> {
    let (mut found, mut rest) = (Vec::new(), expression);
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => rest[1..].find('"').expect("a text ends") + 2,
            '[' => rest.find(']').expect("a range ends") + 1,
            c if c.is_ascii_alphabetic() || c == '_' => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len())
            }
            c if c.is_ascii_digit() => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        match first {
            '"' => found.push(Token::Text(token.trim_matches('"').to_owned())),
            c if c.is_ascii_alphabetic() || c == '_' => found.push(Token::Name(token.to_owned())),
            '{' | '}' | '(' | ')' | ',' => found.push(Token::Sign(first)),
            _ => {}
        }
        rest = after;
    }
    found
}

fn asked(expression: &str) -> Asked {
    let tokens = tokens(expression);
    let (mut asked, mut at) = (Asked::default(), 0);
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Name(name) = token else { continue };
        let next = tokens.get(at);
        if ["by", "without", "on", "ignoring", "group_left", "group_right"].contains(&&**name) {
            while let Some(token) = tokens.get(at).filter(|token| **token != Token::Sign(')')) {
                if let Token::Name(label) = token {
                    asked.grouped.insert(label.clone());
                }
                at += 1;
            }
        } else if next == Some(&Token::Sign('{')) {
            let mut picked = Vec::new();
            while tokens.get(at).is_some_and(|token| *token != Token::Sign('}')) {
                if let (Some(Token::Name(label)), Some(Token::Text(value))) = (tokens.get(at), tokens.get(at + 1)) {
                    picked.push((label.clone(), value.clone()));
                }
                at += 1;
            }
            asked.metrics.push((name.clone(), picked));
        } else {
            let function = matches!(next, Some(Token::Sign('(')))
                || matches!(next, Some(Token::Name(next)) if next == "by" || next == "without");
            if !function && !KEYWORDS.contains(&&**name) {
                asked.metrics.push((name.clone(), Vec::new()));
            }
        }
    }
    asked
}

fn find(name: &str) -> Option<(&'static Metric, bool)> {
    let found = |name: &str| CATALOGUE.iter().find(|metric| metric.name == name);
    let histogram = |end| found(name.strip_suffix(end)?).filter(|metric| matches!(metric.kind, Kind::Histogram(_)));
    match found(name).filter(|metric| !matches!(metric.kind, Kind::Histogram(_))) {
        Some(metric) => Some((metric, false)),
        None => histogram("_bucket")
            .map(|metric| (metric, true))
            .or_else(|| histogram("_sum").or_else(|| histogram("_count")).map(|metric| (metric, false))),
    }
}

/// What is wrong with an expression.
fn wrong(expression: &str) -> Vec<String> {
    let asked = asked(expression);
    let (mut wrong, mut labels) = (Vec::new(), BTreeSet::from(OF_THE_SCRAPE));
    for (name, picked) in &asked.metrics {
        if name == "up" {
            continue;
        }
        let Some((metric, bucket)) = find(name) else {
            wrong.push(format!("no metric {name}"));
            continue;
        };
        labels.extend(metric.labels.iter().map(|label| label.name));
        labels.extend(bucket.then_some("le"));
        for (label, values) in picked {
            let known = metric.labels.iter().find(|known| known.name == label);
            if known.is_none() && !OF_THE_SCRAPE.contains(&&**label) {
                wrong.push(format!("{name} has no label {label}"));
            }
            for value in values.split('|') {
                let kinds = label == "kind" && !EventKind::ALL.iter().any(|kind| kind.as_str() == value);
                if kinds || known.is_some_and(|known| !known.values.is_empty() && !known.values.contains(&value)) {
                    wrong.push(format!("{name}: {label} is never {value}"));
                }
            }
        }
    }
    if asked.metrics.is_empty() {
        wrong.push("asks for nothing".to_owned());
    }
    wrong.extend(
        asked.grouped.iter().filter(|label| !labels.contains(&***label)).map(|label| format!("no label {label}")),
    );
    wrong
}

fn expressions(panels: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in panels.as_array().into_iter().flatten() {
        let targets = panel["targets"].as_array().into_iter().flatten();
        found.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
        found.extend(expressions(&panel["panels"]));
    }
    found
}

#[test]
fn every_panel_asks_for_what_there_is() {
    for (file, uid) in [("identree-overview", "identree-overview"), ("identree-audit-health", "identree-audit-health")]
    {
        let text = std::fs::read_to_string(deploy(&format!("grafana/{file}.json"))).unwrap();
        let board: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&board["uid"], &board["refresh"], &board["time"]["from"]),
            (&uid.into(), &"30s".into(), &"now-6h".into())
        );
        assert_eq!(
            board["__inputs"][0]["name"], "DS_PROMETHEUS",
            "{file} asks for its data source when it is imported"
        );
        let expressions = expressions(&board["panels"]);
        assert!(expressions.len() > 10, "{file}");
        for expression in expressions {
            assert_eq!(wrong(&expression), Vec::<String>::new(), "{file}: {expression}");
            let quantile = expression.contains("histogram_quantile");
            assert!(!quantile || expression.contains("sum by (le)"), "{file}: over all servers: {expression}");
        }
        assert!(!text.contains("\"uid\": \"prometheus\""), "{file}: no data source of ours");
    }
}

#[test]
fn every_rule_asks_for_what_there_is_and_does_what_it_says() {
    let rules = std::fs::read_to_string(deploy("prometheus/alerts.yml")).unwrap();
    let lines = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let expressions: Vec<_> = lines.collect();
    assert!(expressions.len() > 10 && expressions.len() == rules.matches("- alert: ").count());
    assert_eq!(rules.matches("runbook: ").count(), expressions.len(), "each says what to do");
    for expression in expressions {
        assert_eq!(wrong(expression), Vec::<String>::new(), "{expression}");
    }
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let Ok(output) = Command::new("promtool").args(arguments).current_dir(deploy("prometheus")).output() else {
            return crate::metrics::missing("promtool");
        };
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn names_are_read_as_prometheus_reads_them() {
    let quantile = "histogram_quantile(0.99, sum by (le) (rate(identree_store_commit_duration_seconds_bucket[5m])))";
    assert_eq!(wrong(quantile), Vec::<String>::new());
    assert_eq!(
        asked("sum(rate(a_total{x=\"1\", y=~\"b|c\"}[5m])) by (z) / on (w) d > 1e3 and e offset 5m"),
        Asked {
            metrics: vec![
                ("a_total".to_owned(), vec![("x".to_owned(), "1".to_owned()), ("y".to_owned(), "b|c".to_owned())]),
                ("d".to_owned(), vec![]),
                ("e".to_owned(), vec![]),
            ],
            grouped: ["w", "z"].map(str::to_owned).into(),
        }
    );
    for (expression, told) in [
        ("identree_invented", "no metric identree_invented"),
        ("identree_store_commit_duration_seconds", "no metric identree_store_commit_duration_seconds"),
        ("sum by (who) (identree_active_challenges)", "no label who"),
        ("identree_store_errors_total{who=\"ann\"}", "identree_store_errors_total has no label who"),
        ("identree_store_errors_total{error=\"odd\"}", "identree_store_errors_total: error is never odd"),
        ("identree_journal_events_total{kind=~\"signed_in|odd\"}", "identree_journal_events_total: kind is never odd"),
        ("vector(0)", "asks for nothing"),
    ] {
        assert_eq!(wrong(expression), [told], "{expression}");
    }
}
