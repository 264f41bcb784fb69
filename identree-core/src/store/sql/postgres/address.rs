//! Where a PostgreSQL database is: what an address may say.

use std::net::IpAddr;
use std::str::FromStr as _;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::error::ConnectError;
use crate::text::visible;

/// What may follow the `?`: whatever else stands there would be of no effect, and might be a misspelt `sslmode`.
const WORDS: [&str; 8] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "application_name", "options", "options[search_path]"];

/// What the database does by itself with a connection that is not heard of: it gives up statements, locks and transactions in
/// which nothing happens, so that a server that was cut off holds nobody up. Milliseconds; keepalives in seconds.
const SERVER_SIDE: [(&str, &str); 8] = [
    ("statement_timeout", "10000"),
    ("lock_timeout", "4000"),
    ("idle_in_transaction_session_timeout", "10000"),
    ("tcp_user_timeout", "10000"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("client_min_messages", "warning"),
];

/// How to connect, and how to call it in words.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) options: PgConnectOptions,
    pub(super) place: String,
}

impl Address {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`.
    pub(super) fn parse(dsn: &str) -> Result<Self, ConnectError> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| dsn.strip_prefix(scheme));
        let rest = rest.ok_or(ConnectError::Address("it does not begin with postgres://"))?;
        let query = rest.split_once('?').map(|(_, query)| query).unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let word = pair.split('=').next().unwrap_or_default().replace("%5B", "[").replace("%5D", "]");
            if !WORDS.contains(&&*word) {
                return Err(ConnectError::Address(
                    "after the ? only sslmode, sslrootcert, sslcert, sslkey, host, \
                     application_name, options and options[search_path] may stand",
                ));
            }
        }
        let options = PgConnectOptions::from_str(dsn)
            .map_err(|_| ConnectError::Address("it is not an address, or its sslmode is unknown"))?;
        let name = options.get_database().ok_or(ConnectError::Address("it names no database"))?;
        let place = match options.get_socket() {
            Some(socket) => format!("{name} at {}", socket.display()),
            None => format!("{name} at {}:{}", options.get_host(), options.get_port()),
        };
        let place = visible(&place).into_owned();
        if !guarded(&options) {
            tracing::warn!(
                "the way to the database {place} may be read and changed by others: set sslmode=verify-full in its address"
            );
        }
        let named = options.get_application_name().is_some();
        let options = if named { options } else { options.application_name("identree") };
        let options = options.options(SERVER_SIDE).disable_statement_logging();
        Ok(Self { options, place })
    }
}

/// Whether nobody on the way can listen and answer in the database's place.
fn guarded(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let near = host.parse::<IpAddr>().map_or(host == "localhost" || host.starts_with('/'), |ip| ip.is_loopback());
    near || options.get_socket().is_some()
        || matches!(options.get_ssl_mode(), PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_called_without_its_password() {
        let dsn = "postgres://identree:hunter22hunter22@db.example:6432/approvals?sslmode=verify-full&sslrootcert=/etc/ca.pem";
        let address = Address::parse(dsn).unwrap();
        assert_eq!(address.place, "approvals at db.example:6432");
        assert!(matches!(address.options.get_ssl_mode(), PgSslMode::VerifyFull));
        let address = Address::parse("postgresql://identree@localhost/a?host=/run/postgresql").unwrap();
        assert_eq!(address.place, "a at /run/postgresql");
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_shown() {
        for dsn in [
            "mysql://identree:hunter22hunter22@db/identree",
            "/var/lib/identree/identree.db",
            "postgres://identree:hunter22hunter22@db/identree?sslmod=verify-full",
            "postgres://identree:hunter22hunter22@db/identree?sslmode=sure",
            "postgres://identree:hunter22hunter22@db:no/identree",
            "postgres://identree:hunter22hunter22@db/",
        ] {
            let Err(error) = Address::parse(dsn) else { panic!("{dsn} was taken") };
            assert!(matches!(error, ConnectError::Address(_)) && !error.to_string().contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn only_a_guarded_way_goes_without_a_warning() {
        for (dsn, fine) in [
            ("postgres://a@localhost/a", true),
            ("postgres://a@127.0.0.1/a", true),
            ("postgres://a@db.example/a?sslmode=require", true),
            ("postgres://a@db.example/a?sslmode=prefer", false),
            ("postgres://a@192.0.2.1/a?sslmode=disable", false),
        ] {
            assert_eq!(guarded(&Address::parse(dsn).unwrap().options), fine, "{dsn}");
        }
    }
}
