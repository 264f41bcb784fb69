//! The file a host is given: `/etc/identree/client.conf`.

use std::path::Path;

use identree_core::credential::HostSecret;
use identree_core::grant::PublicKey;
use identree_core::id::HostName;
use url::Url;

/// The text of the file. It holds the host's secret: give it owner root and mode 0600.
pub fn text(server: &Url, name: &HostName, secret: &HostSecret, keys: &[PublicKey], ca: Option<&Path>) -> String {
    let server = server.as_str().trim_end_matches('/');
    let keys = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let ca = ca.map(|ca| format!("IDENTREE_CA_CERT={}\n", ca.display())).unwrap_or_default();
    format!(
        "# /etc/identree/client.conf: owner root, mode 0600. Made by identree for {name}.\n\
         IDENTREE_SERVER_URL={server}\n\
         IDENTREE_HOSTNAME={name}\n\
         IDENTREE_SHARED_SECRET={}\n\
         IDENTREE_DECISION_KEYS={keys}\n{ca}",
        secret.reveal().expose()
    )
}
