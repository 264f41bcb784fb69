//! Everything that runs: the server on two listeners, the development provider, one registered host.

use std::sync::Arc;
use std::time::Duration;

use identree_core::Engine;
use identree_core::canon::sha256;
use identree_core::credential::MasterSecret;
use identree_core::engine::Caps;
use identree_core::grant::PublicKey;
use identree_core::id::{GroupName, HostName, UserName};
use identree_core::rng::{OsEntropy, bytes};
use identree_core::secret::Secret;
use identree_core::text::hex;
use identree_core::time::SystemClock;
use identree_core::wire::settings::ClientSettings;
use nix::unistd::{User, getuid};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;
use zeroize::Zeroizing;

use super::ca::Certificates;
use super::host_file::{HostFile, Registered};
use super::place::Place;
use super::ports::{Ports, address};
use super::{DevArgs, DevError};
use crate::boot::{Ended, Server};
use crate::config::{AuditSettings, Database, Settings};
use crate::devidp::{Client, DevIdpError, DevProvider, Persona};
use crate::layer::client_ip::TrustedProxies;
use crate::layer::rate_limit::Rates;
use crate::listen::Listener;

/// The name this machine is registered under.
const HOST: &str = "dev";
/// What the server is to the provider.
const CLIENT_ID: &str = "identree-dev";
/// How long a question waits: long enough to find the browser.
const QUESTION_LIFE: Duration = Duration::from_secs(300);

/// What runs.
#[derive(Debug)]
pub(super) struct Running {
    /// Where the browser goes.
    pub(super) external_url: Url,
    /// Where hosts go.
    pub(super) host_url: String,
    /// Where people sign in.
    pub(super) provider_url: String,
    /// Whom one can be; the first is the one who asks.
    pub(super) people: Vec<UserName>,
    pub(super) certificates: Certificates,
    pub(super) host_file: HostFile,
    pub(super) place: Place,
    pub(super) engine: Engine,
    stopping: watch::Sender<bool>,
    server: JoinHandle<Ended>,
    provider: JoinHandle<Result<(), DevIdpError>>,
}

/// Starts everything.
pub(super) async fn start(args: &DevArgs) -> Result<Running, DevError> {
    let people = Persona::cast(ordinary(args.user.as_deref())?);
    let place = args.data.as_deref().map_or_else(Place::temporary, Place::kept)?;
    let certificates = Certificates::in_place(&place)?;
    let mut ports = Ports::wanted(&place, args.port)?;
    let held = ports.hold()?;
    let (external_url, provider_url) = (url(ports.plain)?, url(ports.provider)?);
    let secret = Zeroizing::new(hex(&bytes::<32>(&OsEntropy)));
    let settings = settings(&place, &certificates, ports, &secret)?;
    let socket = |held| TcpListener::from_std(held).map_err(DevError::Listen);
    let plain = Listener::on(socket(held.plain)?, None).map_err(DevError::server)?;
    let files = Some((certificates.cert.as_path(), certificates.key.as_path()));
    let tls = Listener::on(socket(held.tls)?, files).map_err(DevError::server)?;
    let server = Server::boot_on(settings, (Some(plain), Some(tls))).await?;
    ports.remember(&place)?;

    let client = Client {
        id: CLIENT_ID.to_owned(),
        secret: Secret::new(secret.to_string()),
        redirect_uris: vec![external_url.join("/callback").map_err(DevError::server)?],
    };
    let names = people.iter().map(|person| person.name.clone()).collect();
    let provider = DevProvider::new(&provider_url, client, people, (Arc::new(SystemClock), Arc::new(OsEntropy)))?;

    let mut host_file = register(&server, &place, &certificates, ports.tls).await?;
    host_file.config.timeout = QUESTION_LIFE;
    let engine = server.engine().clone();
    let (stopping, stopped) = watch::channel(false);
    let mut until = stopped.clone();
    // Err: nobody is left who could stop it later.
    let until = async move { drop(until.wait_for(|stopped| *stopped).await) };
    Ok(Running {
        external_url,
        host_url: format!("https://127.0.0.1:{}", ports.tls),
        provider_url: provider.issuer().to_owned(),
        people: names,
        certificates,
        host_file,
        place,
        engine,
        provider: tokio::spawn(provider.serve(socket(held.provider)?, until)),
        server: tokio::spawn(server.run(stopped)),
        stopping,
    })
}

impl Running {
    /// Who asks.
    pub(super) fn person(&self) -> &UserName {
        &self.people[0]
    }

    /// Stops everything, and removes what is not to be kept.
    pub(super) async fn stop(self) -> Result<(), DevError> {
        self.stopping.send_replace(true);
        self.server.await.map_err(DevError::server)?;
        self.provider.await.map_err(DevError::server)??;
        self.place.clear()
    }
}

/// `--user`, else whoever runs this; root asks as `dev`, since nobody signs in as root.
fn ordinary(named: Option<&str>) -> Result<UserName, DevError> {
    if let Some(name) = named {
        return Ok(UserName::parse(name)?);
    }
    let me = User::from_uid(getuid()).ok().flatten().filter(|me| !me.uid.is_root());
    let me = me.and_then(|me| UserName::parse(&me.name).ok());
    me.map_or_else(|| Ok(UserName::parse("dev")?), Ok)
}

fn url(port: u16) -> Result<Url, DevError> {
    Url::parse(&format!("http://{}", address(port))).map_err(DevError::server)
}

/// What the environment would say to a real server.
fn settings(place: &Place, certificates: &Certificates, ports: Ports, secret: &str) -> Result<Settings, DevError> {
    Ok(Settings {
        issuer: format!("http://{}", address(ports.provider)),
        public_issuer: None,
        client_id: CLIENT_ID.to_owned(),
        client_secret: Secret::new(secret.to_owned()),
        insecure_skip_verify: false,
        digest: hex(&sha256(b"identree dev")),
        listen: address(ports.plain),
        tls_listen: Some(address(ports.tls)),
        tls_files: Some((certificates.cert.clone(), certificates.key.clone())),
        external_url: url(ports.plain)?,
        install_url: None,
        trusted_proxies: TrustedProxies::default(),
        rates: Rates::default(),
        master: master(place)?,
        decision_root: None,
        client: ClientSettings::default(),
        metrics_token: None,
        audit_read_token: None,
        question_life: QUESTION_LIFE,
        caps: Caps::default(),
        log_retention: None,
        admin_groups: vec![GroupName::parse(Persona::ADMIN_GROUP)?],
        policies: place.path("approval-policies.json"),
        hosts_file: None,
        policies_named: false,
        audit: AuditSettings::default(),
        data_dir: place.dir().to_owned(),
        database: Database::Sqlite(place.path("identree.db")),
    })
}

/// The master secret of a kept directory, else a new one.
fn master(place: &Place) -> Result<MasterSecret, DevError> {
    const FILE: &str = "master.secret";
    let text = match place.read(FILE)? {
        Some(text) => Zeroizing::new(text),
        None => {
            let text = Zeroizing::new(hex(&bytes::<32>(&OsEntropy)));
            place.write(FILE, text.as_bytes())?;
            text
        }
    };
    MasterSecret::parse(text.trim_end()).map_err(|_| DevError::Damaged(place.path(FILE)))
}

async fn register(server: &Server, place: &Place, certificates: &Certificates, tls: u16) -> Result<HostFile, DevError> {
    let name = HostName::parse(HOST)?;
    let hosts = server.hosts();
    let secret = match hosts.secret(&name) {
        Some(secret) => secret,
        None => hosts.add(&name, None, None, None).await.map_err(DevError::server)?,
    };
    let key: PublicKey = server.engine().decision_key();
    HostFile::write(place, &Registered { name: &name, secret: &secret, key: &key, tls_port: tls }, certificates)
}
