//! The sinks of the audit log that the settings name: the one place that makes them.

use std::sync::Arc;

use identree_core::audit::AuditSink;
use identree_core::egress::{HttpClient, HttpClientError, HttpLimits};
use identree_core::rng::Entropy;
use identree_core::time::Clock;
use identree_notify::jsonl::{FileError, JsonLines};
use identree_notify::loki::{LokiSettings, LokiSink};
use identree_notify::splunk::{SplunkSettings, SplunkSink};
use identree_notify::syslog::{SyslogError, SyslogSink};

use crate::config::{AuditLog, AuditSettings};

/// A sink cannot be made. Nothing was connected yet: whether it answers is seen when events are shipped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinksError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificates for syslog cannot be used.
    #[error("IDENTREE_AUDIT_SYSLOG_CA_FILE: {0}")]
    Syslog(#[from] SyslogError),
    /// The certificates for Splunk or Loki cannot be used.
    #[error("{0}: {1}")]
    Http(&'static str, #[source] HttpClientError),
    /// The address or a header cannot be used.
    #[error("{0}: {1}")]
    Endpoint(&'static str, #[source] identree_notify::EndpointError),
}

/// Makes them.
///
/// # Errors
/// [`SinksError`] names the setting.
pub fn make(
    settings: &AuditSettings,
    clock: &Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Vec<Arc<dyn AuditSink>>, SinksError> {
    let mut sinks: Vec<Arc<dyn AuditSink>> = Vec::new();
    // The name that each event of syslog and Splunk carries: which machine told it.
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match &settings.log {
        Some(AuditLog::Stdout) => sinks.push(Arc::new(JsonLines::stdout())),
        Some(AuditLog::File(file)) => sinks.push(Arc::new(JsonLines::file(file.clone())?)),
        None => {}
    }
    if let Some(syslog) = &settings.syslog {
        let (address, authorities) = (syslog.address.clone(), syslog.authorities.as_deref());
        sinks.push(Arc::new(SyslogSink::new(address, &host, authorities, Arc::clone(clock))?));
    }
    if let Some(splunk) = &settings.splunk {
        let client = client("IDENTREE_AUDIT_SPLUNK_CA_FILE", splunk.authorities.as_deref())?;
        let settings = SplunkSettings { url: splunk.url.clone(), token: splunk.token.clone(), host };
        let sink = SplunkSink::new(settings, client, Arc::clone(clock), entropy);
        sinks.push(Arc::new(sink.map_err(|error| SinksError::Endpoint("IDENTREE_AUDIT_SPLUNK_HEC_URL", error))?));
    }
    if let Some(loki) = &settings.loki {
        let client = client("IDENTREE_AUDIT_LOKI_CA_FILE", loki.authorities.as_deref())?;
        let settings = LokiSettings { url: loki.url.clone(), token: loki.token.clone(), tenant: loki.tenant.clone() };
        let sink = LokiSink::new(settings, client, Arc::clone(clock));
        sinks.push(Arc::new(sink.map_err(|error| SinksError::Endpoint("IDENTREE_AUDIT_LOKI_URL", error))?));
    }
    Ok(sinks)
}

/// One for each destination: what one trusts, the other does not.
fn client(name: &'static str, authorities: Option<&[u8]>) -> Result<Arc<HttpClient>, SinksError> {
    HttpClient::new(HttpLimits::default(), authorities).map(Arc::new).map_err(|error| SinksError::Http(name, error))
}

#[cfg(test)]
mod tests {
    use identree_core::rng::SeededEntropy;
    use identree_core::secret::Secret;
    use identree_core::time::ManualClock;
    use identree_notify::jsonl::{FileSettings, Fsync};

    use super::*;
    use crate::config::{Loki, Splunk, Syslog};

    fn made(settings: &AuditSettings) -> Result<Vec<String>, String> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let sinks = make(settings, &clock, &SeededEntropy::new(1)).map_err(|error| error.to_string())?;
        Ok(sinks.iter().map(|sink| sink.name().to_string()).collect())
    }

    #[test]
    fn each_setting_is_a_sink_under_the_name_that_its_place_is_kept_under() {
        let directory = tempfile::tempdir().unwrap();
        let file = FileSettings { path: directory.path().join("a"), max_size: None, max_files: 5, fsync: Fsync::Never };
        let splunk =
            Splunk { url: "https://s.example".parse().unwrap(), token: Secret::new("t".to_owned()), authorities: None };
        let loki = Loki { url: "http://l".parse().unwrap(), token: None, tenant: None, authorities: None };
        let mut all = AuditSettings {
            log: Some(AuditLog::File(file)),
            syslog: Some(Syslog { address: "udp://h".parse().unwrap(), authorities: None }),
            splunk: Some(splunk),
            loki: Some(loki),
        };
        assert_eq!(made(&all).unwrap(), ["jsonlog", "syslog", "splunk_hec", "loki"]);
        assert_eq!(made(&AuditSettings::default()).unwrap(), Vec::<String>::new());

        all.loki.as_mut().unwrap().authorities = Some(b"none".to_vec());
        assert!(made(&all).unwrap_err().starts_with("IDENTREE_AUDIT_LOKI_CA_FILE: no certificate"));
        all.syslog = Some(Syslog { address: "tls://h".parse().unwrap(), authorities: Some(b"none".to_vec()) });
        assert!(made(&all).unwrap_err().starts_with("IDENTREE_AUDIT_SYSLOG_CA_FILE: no certificate"));
        std::fs::remove_dir_all(directory.path()).unwrap();
        assert!(made(&all).unwrap_err().contains("set by IDENTREE_AUDIT_LOG"));
    }
}
