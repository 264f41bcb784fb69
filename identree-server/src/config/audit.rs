//! Where the audit log is shipped.

use std::path::PathBuf;

use identree_core::secret::Secret;
use identree_core::text::visible;
use identree_notify::jsonl::{FileSettings, Fsync};
use identree_notify::syslog::SyslogAddress;
use url::Url;

use super::Reader;

/// Everything under `IDENTREE_AUDIT_…`.
#[derive(Debug, Clone, Default)]
pub struct AuditSettings {
    /// `IDENTREE_AUDIT_LOG` and what belongs to it.
    pub log: Option<AuditLog>,
    /// `IDENTREE_AUDIT_SYSLOG_URL`.
    pub syslog: Option<Syslog>,
    /// `IDENTREE_AUDIT_SPLUNK_HEC_URL`.
    pub splunk: Option<Splunk>,
    /// `IDENTREE_AUDIT_LOKI_URL`.
    pub loki: Option<Loki>,
}

/// Where the lines of JSON go.
#[derive(Debug, Clone)]
pub enum AuditLog {
    /// To standard output.
    Stdout,
    /// To a file.
    File(FileSettings),
}

/// Syslog.
#[derive(Debug, Clone)]
pub struct Syslog {
    /// Where it is.
    pub address: SyslogAddress,
    /// `IDENTREE_AUDIT_SYSLOG_CA_FILE`: its content.
    pub authorities: Option<Vec<u8>>,
}

/// Splunk's collector.
#[derive(Debug, Clone)]
pub struct Splunk {
    /// Where it is.
    pub url: Url,
    /// `IDENTREE_AUDIT_SPLUNK_TOKEN`.
    pub token: Secret<String>,
    /// `IDENTREE_AUDIT_SPLUNK_CA_FILE`: its content.
    pub authorities: Option<Vec<u8>>,
}

/// Loki.
#[derive(Debug, Clone)]
pub struct Loki {
    /// Where it is.
    pub url: Url,
    /// `IDENTREE_AUDIT_LOKI_TOKEN`.
    pub token: Option<Secret<String>>,
    /// `IDENTREE_AUDIT_LOKI_TENANT`.
    pub tenant: Option<String>,
    /// `IDENTREE_AUDIT_LOKI_CA_FILE`: its content.
    pub authorities: Option<Vec<u8>>,
}

impl Reader<'_> {
    pub(super) fn audit(&mut self) -> AuditSettings {
        AuditSettings { log: self.audit_log(), syslog: self.syslog(), splunk: self.splunk(), loki: self.loki() }
    }

    fn audit_log(&mut self) -> Option<AuditLog> {
        let name = "IDENTREE_AUDIT_LOG";
        let max_size = self.bytes("IDENTREE_AUDIT_LOG_MAX_SIZE")?;
        let max_files = self.number("IDENTREE_AUDIT_LOG_MAX_FILES", 0..=1000)?;
        let fsync = self.fsync()?;
        let text = self.text(name)?;
        let path = text.strip_prefix("file:").unwrap_or(&text);
        if text == "stdout" {
            return Some(AuditLog::Stdout);
        }
        if !path.starts_with('/') {
            self.problem(name, format!("\"{}\" is neither stdout nor file: with a path from the root", visible(&text)));
            return None;
        }
        Some(AuditLog::File(FileSettings {
            path: PathBuf::from(path),
            max_size: (max_size > 0).then_some(max_size),
            // As in the seeds: none is as many as usual.
            max_files: if max_files == 0 { 5 } else { max_files },
            fsync,
        }))
    }

    fn fsync(&mut self) -> Option<Fsync> {
        let name = "IDENTREE_AUDIT_LOG_FSYNC";
        match self.text(name).as_deref() {
            Some("batch") => Some(Fsync::Batch),
            Some("never") => Some(Fsync::Never),
            other => {
                self.problem(name, format!("\"{}\" is neither batch nor never", visible(other.unwrap_or_default())));
                None
            }
        }
    }

    fn syslog(&mut self) -> Option<Syslog> {
        let name = "IDENTREE_AUDIT_SYSLOG_URL";
        let authorities = self.authorities("IDENTREE_AUDIT_SYSLOG_CA_FILE");
        match self.text(name)?.parse() {
            Ok(address) => Some(Syslog { address, authorities }),
            Err(error) => {
                self.problem(name, format!("{error}"));
                None
            }
        }
    }

    fn splunk(&mut self) -> Option<Splunk> {
        let authorities = self.authorities("IDENTREE_AUDIT_SPLUNK_CA_FILE");
        let (url, _) = self.url("IDENTREE_AUDIT_SPLUNK_HEC_URL")?;
        let name = "IDENTREE_AUDIT_SPLUNK_TOKEN";
        let token = self.token(name);
        if self.text(name).is_none() {
            self.problem(name, "is not set: the collector takes nothing without the token of an input");
        }
        self.no_user("IDENTREE_AUDIT_SPLUNK_HEC_URL", &url);
        Some(Splunk { url, token: token?, authorities })
    }

    fn loki(&mut self) -> Option<Loki> {
        let authorities = self.authorities("IDENTREE_AUDIT_LOKI_CA_FILE");
        let (url, _) = self.url("IDENTREE_AUDIT_LOKI_URL")?;
        self.no_user("IDENTREE_AUDIT_LOKI_URL", &url);
        let token = self.token("IDENTREE_AUDIT_LOKI_TOKEN");
        let name = "IDENTREE_AUDIT_LOKI_TENANT";
        let tenant = self.text(name);
        if tenant.as_ref().is_some_and(|tenant| !tenant.bytes().all(|byte| byte.is_ascii_graphic())) {
            self.problem(name, "has a character that no header may have");
        }
        Some(Loki { url, token, tenant, authorities })
    }

    /// A credential that stands in a header.
    fn token(&mut self, name: &str) -> Option<Secret<String>> {
        let token = Secret::new(self.text(name)?);
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problem(name, "has a character that no header may have: a space, a line's end, or none of ASCII");
        }
        Some(token)
    }

    fn no_user(&mut self, name: &str, url: &Url) {
        if !url.username().is_empty() || url.password().is_some() {
            self.problem(name, "holds a user or a password, which would end up in logs: set the token instead");
        }
    }

    /// The content of a file of certificates; whether it holds any is seen when the sink is made.
    fn authorities(&mut self, name: &str) -> Option<Vec<u8>> {
        let path = self.text(name)?;
        match std::fs::read(&path) {
            Ok(content) => Some(content),
            Err(error) => {
                self.problem(name, format!("{}: {error}", visible(&path)));
                None
            }
        }
    }

    /// A number of bytes, also with KB, MB or GB of 1,024.
    fn bytes(&mut self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        let upper = text.trim().to_ascii_uppercase();
        let units = [("KB", 10), ("MB", 20), ("GB", 30)];
        let (number, shift) =
            units.iter().find_map(|(unit, shift)| Some((upper.strip_suffix(unit)?, *shift))).unwrap_or((&upper, 0));
        let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        if bytes.is_none() {
            self.problem(name, format!("\"{}\" is not a size, as in 100MB", visible(&text)));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Files;
    use super::*;

    fn audit(pairs: &[(&str, &str)]) -> Result<AuditSettings, String> {
        Files::new(pairs).settings().map(|settings| settings.audit)
    }

    #[test]
    fn nothing_is_shipped_unless_it_is_asked_for() {
        let audit = audit(&[]).unwrap();
        assert!(audit.log.is_none() && audit.syslog.is_none() && audit.splunk.is_none() && audit.loki.is_none());
    }

    #[test]
    fn a_file_has_its_size_its_number_and_its_fsync() {
        for (text, size, files) in
            [("100MB", Some(100 << 20), 5), ("64kb", Some(65_536), 5), ("0", None, 5), ("7", Some(7), 5)]
        {
            let log =
                audit(&[("IDENTREE_AUDIT_LOG", "file:/var/log/audit.jsonl"), ("IDENTREE_AUDIT_LOG_MAX_SIZE", text)])
                    .unwrap()
                    .log;
            let Some(AuditLog::File(file)) = log else { panic!("it is a file") };
            assert_eq!((file.max_size, file.max_files, file.fsync), (size, files, Fsync::Batch));
            assert_eq!(file.path.to_str(), Some("/var/log/audit.jsonl"));
        }
        let more = [
            ("IDENTREE_AUDIT_LOG", "/a"),
            ("IDENTREE_AUDIT_LOG_MAX_FILES", "9"),
            ("IDENTREE_AUDIT_LOG_FSYNC", "never"),
        ];
        let Some(AuditLog::File(file)) = audit(&more).unwrap().log else { panic!("it is a file") };
        assert_eq!((file.max_files, file.fsync, file.max_size), (9, Fsync::Never, Some(100 << 20)));
        assert!(matches!(audit(&[("IDENTREE_AUDIT_LOG", "stdout")]).unwrap().log, Some(AuditLog::Stdout)));
    }

    #[test]
    fn what_cannot_be_is_told_by_name_and_no_credential_with_it() {
        for (pairs, text) in [
            (
                &[("IDENTREE_AUDIT_LOG", "audit.jsonl")][..],
                "IDENTREE_AUDIT_LOG (the environment): \"audit.jsonl\" is neither stdout",
            ),
            (&[("IDENTREE_AUDIT_LOG_MAX_SIZE", "many")], "\"many\" is not a size"),
            (&[("IDENTREE_AUDIT_LOG_FSYNC", "always")], "\"always\" is neither batch nor never"),
            (
                &[("IDENTREE_AUDIT_SYSLOG_URL", "http://syslog")],
                "is not udp://host:514, tcp://host:601 or tls://host:6514",
            ),
            (
                &[("IDENTREE_AUDIT_SYSLOG_CA_FILE", "/nowhere/ca.pem")],
                "IDENTREE_AUDIT_SYSLOG_CA_FILE (the environment): /nowhere/ca.pem: ",
            ),
            (&[("IDENTREE_AUDIT_SPLUNK_HEC_URL", "https://splunk:8088")], "IDENTREE_AUDIT_SPLUNK_TOKEN: is not set"),
            (
                &[("IDENTREE_AUDIT_SPLUNK_HEC_URL", "splunk:8088"), ("IDENTREE_AUDIT_SPLUNK_TOKEN", "t")],
                "is not an http:// or https:// URL",
            ),
            (&[("IDENTREE_AUDIT_LOKI_URL", "http://ann:hunter2@loki:3100")], "holds a user or a password"),
            (
                &[("IDENTREE_AUDIT_LOKI_URL", "http://loki:3100"), ("IDENTREE_AUDIT_LOKI_TOKEN", "hunter2 x")],
                "has a character",
            ),
            (
                &[("IDENTREE_AUDIT_LOKI_URL", "http://loki:3100"), ("IDENTREE_AUDIT_LOKI_TENANT", "a b")],
                "has a character",
            ),
        ] {
            let error = audit(pairs).unwrap_err();
            assert!(error.contains(text) && !error.contains("hunter2"), "{text} is not in {error}");
        }
    }

    #[test]
    fn all_may_be_on_at_once() {
        let audit = audit(&[
            ("IDENTREE_AUDIT_LOG", "stdout"),
            ("IDENTREE_AUDIT_SYSLOG_URL", "tcp://syslog.local"),
            ("IDENTREE_AUDIT_SPLUNK_HEC_URL", "https://splunk.example:8088/services/collector"),
            ("IDENTREE_AUDIT_SPLUNK_TOKEN", "t"),
            ("IDENTREE_AUDIT_LOKI_URL", "http://loki:3100"),
            ("IDENTREE_AUDIT_LOKI_TENANT", "ops"),
        ])
        .unwrap();
        assert_eq!(audit.syslog.unwrap().address.to_string(), "tcp://syslog.local:601");
        assert!(audit.splunk.is_some() && audit.loki.unwrap().tenant.as_deref() == Some("ops"));
    }
}
