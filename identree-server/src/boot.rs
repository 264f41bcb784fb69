//! The composition root: configuration in, a running server out. Here and in [`database`] concrete backends have names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use identree_core::Engine;
use identree_core::engine::EngineBuilder;
use identree_core::grant::Signer as _;
use identree_core::rng::{DrawnAhead, Entropy, OsEntropy};
use identree_core::store::{Nudge, Store, StoreError};
use identree_core::time::{Clock, SteadyClock, SystemClock};
use identree_core::wire::settings::EXTRA;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use url::Url;

use crate::announced::{Announced, AnnouncedError};
use crate::api::health::Health;
use crate::api::log::LogApi;
use crate::api::metrics::Metrics;
use crate::api::{BearerToken, EnrolApi, HostApi, Waits};
use crate::clock_steps;
use crate::config::{Database, HostSettings, Settings};
use crate::data_lock::{DataLock, DataLockError};
use crate::database::{self, DatabaseError};
use crate::decision_key::{self, DecisionKeyError};
use crate::disk::Disk;
use crate::hosts::Hosts;
use crate::layer::browser::Browsers;
use crate::layer::client_ip::ClientIpLayer;
use crate::layer::cookie::Cookies;
use crate::layer::csrf::Csrf;
use crate::layer::headers::SecurityHeaders;
use crate::layer::host_auth::HostAuth;
use crate::layer::rate_limit::RateLimits;
use crate::life::Life;
use crate::listen::{Admission, Limits, ListenError, Listener};
use crate::log_key::{self, LogKeyError};
use crate::login::{Login, People, Provider, ProviderError, ProviderSettings};
use crate::parts::Parts;
use crate::refusals::Refusals;
use crate::replicas::Kept;
use crate::router::{Rooms, router};
use crate::session::Sessions;
use crate::sinks::{self, SinksError};
use crate::telemetry::{CountedStore, Telemetry};
use crate::versioned::{FileError, Followed, Own};
use crate::web::Web;
use crate::web::events::Events;

/// How soon a provider that did not answer is asked again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How often observations are folded into their buckets: what piles up meanwhile is a few kilobytes.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// Why the server does not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The data directory cannot be used.
    #[error("data directory {path}: {source}; create it, or set IDENTREE_DATA_DIR", path = .path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The store cannot be read.
    #[error("the database could not be read")]
    Store(#[from] StoreError),
    /// Another server has the data directory.
    #[error(transparent)]
    DataLock(#[from] DataLockError),
    /// The decision key cannot be used.
    #[error(transparent)]
    DecisionKey(#[from] DecisionKeyError),
    /// The log's key cannot be used.
    #[error(transparent)]
    LogKey(#[from] LogKeyError),
    /// What hosts are told of decision keys cannot be used.
    #[error(transparent)]
    Announced(#[from] AnnouncedError),
    /// A file of settings, or what is stored of them, cannot be used.
    #[error(transparent)]
    Setting(#[from] FileError),
    /// The provider's settings are unusable.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A sink of the audit log cannot be made.
    #[error(transparent)]
    Sinks(#[from] SinksError),
    /// A listener cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A bound socket does not tell its address.
    #[error("a listening socket does not tell its address")]
    Socket(#[from] std::io::Error),
}

/// Why a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Its clock was ahead and is right again, which time in this process does not follow: start it anew.
    OnlyARestartHelps,
}

/// A server that is bound and ready to run.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    hosts: Hosts,
    followed: Followed,
    announced: Announced,
    provider: Arc<Provider>,
    router: Router,
    telemetry: Option<Telemetry>,
    refusals: Refusals,
    life: Life,
    replicas: (Kept, Option<broadcast::Receiver<Nudge>>),
    plain: Option<Listener>,
    tls: Option<Listener>,
    _lock: Option<DataLock>,
}

impl Server {
    /// Binds the listeners, opens the data, reads the policy. The provider is looked for later: it may be down.
    ///
    /// # Errors
    /// [`BootError`] says what is wrong and how to mend it.
    pub async fn boot(settings: Settings) -> Result<Self, BootError> {
        let listeners = listeners(&settings).await?;
        Self::boot_on(settings, listeners).await
    }

    /// The same on listeners that stand already, whatever the settings say of addresses: plain, TLS.
    ///
    /// # Errors
    /// [`BootError`] says what is wrong and how to mend it.
    pub async fn boot_on(
        settings: Settings,
        listeners: (Option<Listener>, Option<Listener>),
    ) -> Result<Self, BootError> {
        check_dir(&settings.data_dir)?;
        // A database that several servers share keeps them apart by itself.
        let lock = match &settings.database {
            Database::Sqlite(_) => Some(DataLock::take(&settings.data_dir)?),
            Database::Postgres { .. } => None,
        };
        let store = database::open(&settings.database).await?;
        let server = Self::boot_over(settings, listeners, store).await?;
        Ok(Self { _lock: lock, ..server })
    }

    /// The same over a store that is open already, whatever the settings say of the database. That nobody else serves it is
    /// for the caller to know.
    ///
    /// # Errors
    /// [`BootError`] says what is wrong and how to mend it.
    pub async fn boot_over(
        settings: Settings,
        listeners: (Option<Listener>, Option<Listener>),
        store: Arc<dyn Store>,
    ) -> Result<Self, BootError> {
        Self::boot_with(settings, listeners, store, |engine| engine).await
    }

    /// The same with what an embedder adds to the engine: notifiers and their routes. Notices point to the list of what waits,
    /// unless the embedder names another page.
    ///
    /// # Errors
    /// [`BootError`] says what is wrong and how to mend it.
    pub async fn boot_with(
        settings: Settings,
        (plain, tls): (Option<Listener>, Option<Listener>),
        store: Arc<dyn Store>,
        extend: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Result<Self, BootError> {
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (Arc::new(SteadyClock::new()), Arc::new(DrawnAhead::new(OsEntropy)));
        check_dir(&settings.data_dir)?;
        let telemetry = settings.metrics_token.as_ref().map(|_| telemetry());
        let store = match &telemetry {
            Some(telemetry) => Arc::new(CountedStore::new(store, telemetry)),
            None => store,
        };
        let parts = Parts { store: Arc::clone(&store), clock: Arc::clone(&clock), entropy: Arc::clone(&entropy) };
        // Before the decision key: a start that ends for want of this one writes nothing down of the other.
        let log = log_key::settings(&*store, &settings.data_dir, &settings.external_url, &*entropy).await?;
        let signer = decision_key::recorded::signer(&parts, &settings.data_dir).await?;
        // Before anything is read: whatever changes meanwhile is told.
        let nudges = parts.store.nudges();
        let browsers = Browsers::load(&parts).await?;
        let people = Arc::new(People::load(parts.clone()).await?);
        let hosts = Hosts::load(parts.clone(), settings.master.clone()).await?;
        let followed = Followed::begin(parts.clone(), own(&settings), &hosts).await?;
        let announced = Announced::load(&settings.data_dir, signer.public_key(), settings.decision_root)?
            .following(followed.clone());
        let told = followed.clone();
        let sinks = sinks::make(&settings.audit, &clock, &*entropy)?;
        let list = settings.external_url.to_string();
        let builder = Engine::builder()
            .store(store)
            .policy(followed.policies())
            .directory(Arc::clone(&people))
            .signer(signer)
            .log(log)
            .clock(Arc::clone(&clock))
            .entropy(entropy)
            .admin_groups(settings.admin_groups.clone())
            .question_life(settings.question_life)
            .caps(settings.caps)
            .log_retention(settings.log_retention)
            .answer_extra_with(EXTRA, move || told.client().to_string())
            .page_url(move |_| list.clone());
        let builder = sinks.into_iter().fold(builder, EngineBuilder::audit);
        let engine = extend(builder).build().await?;
        let external_url = Arc::new(settings.external_url.clone());
        let provider = Arc::new(Provider::new(provider_settings(&settings), Arc::clone(&clock))?);
        let https = settings.external_url.scheme() == "https";
        let cookies = Cookies::new(https);
        let sessions = Sessions::new(parts.clone());
        let kept = Kept { sessions: sessions.clone(), people: Arc::clone(&people), hosts: hosts.clone() };
        let events = Events::start(&engine, sessions.clone());
        let insecure: Arc<[String]> = settings.insecure().into();
        for name in insecure.iter() {
            tracing::warn!("{name} is on: a security check is switched off");
        }
        let limits = RateLimits::new(&settings.rates, Arc::clone(&clock));
        let exempt = settings.trusted_proxies.and_loopback();
        let refusals = Refusals::new(parts.clone());
        let door = Admission::recording(Limits { exempt, ..Limits::default() }.within_descriptors(), refusals.clone());
        let metrics = telemetry.zip(settings.metrics_token.as_ref()).map(|(telemetry, token)| Metrics {
            telemetry,
            token: BearerToken::new(token),
            engine: engine.clone(),
            limits: limits.clone(),
            door: door.clone(),
            events: events.clone(),
            hosts: hosts.clone(),
        });
        let telemetry = metrics.as_ref().map(|metrics| metrics.telemetry.clone());
        let log = settings.audit_read_token.as_ref().map(|token| LogApi {
            store: Arc::clone(&parts.store),
            token: BearerToken::new(token),
            limits: limits.clone(),
        });
        let authorities = authorities(&settings, [plain.as_ref(), tls.as_ref()])?;
        let life = Life { parts: parts.clone(), replica: engine.replica().clone(), config: settings.digest.clone() };
        let router = router(Rooms {
            refusals: refusals.clone(),
            hosts: HostApi {
                engine: engine.clone(),
                external_url: Arc::clone(&external_url),
                waits: Waits::default(),
                announced: announced.clone(),
            },
            enrol: EnrolApi {
                hosts: hosts.clone(),
                announced: announced.clone(),
                limits: limits.clone(),
                clock: Arc::clone(&clock),
            },
            host_auth: HostAuth { hosts: hosts.clone(), authorities, limits, clock: Arc::clone(&clock) },
            login: Login { browsers, parts, sessions, cookies, provider: Arc::clone(&provider), people },
            web: Web { engine: engine.clone(), provider: Arc::clone(&provider), events, hosts: hosts.clone() },
            health: Health {
                engine: engine.clone(),
                provider: Arc::clone(&provider),
                hosts: hosts.clone(),
                insecure,
                disk: Disk::of(&settings, Arc::clone(&clock)),
                followed: Some(followed.clone()),
            },
            csrf: Csrf { origins: Arc::new([external_url.origin().ascii_serialization()]), clock },
            headers: SecurityHeaders { https },
            client_ip: ClientIpLayer { proxies: settings.trusted_proxies.clone() },
            metrics,
            log,
        });
        let (plain, tls) = (plain.map(|one| one.behind(door.clone())), tls.map(|one| one.behind(door)));
        life.started().await?;
        Ok(Self {
            engine,
            hosts,
            followed,
            announced,
            provider,
            router,
            telemetry,
            refusals,
            life,
            replicas: (kept, nudges),
            plain,
            tls,
            _lock: None,
        })
    }

    /// The engine.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The host registry.
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The settings that it follows.
    pub const fn followed(&self) -> &Followed {
        &self.followed
    }

    /// The addresses really bound: plain, TLS.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let address = |listener: &Option<Listener>| listener.as_ref().and_then(|listener| listener.address().ok());
        (address(&self.plain), address(&self.tls))
    }

    /// Runs until `stop` turns true, or until only a new process would decide again; then every waiting host is answered at
    /// once, requests under way finish, and everything committed is safe. Gives why it ended.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Ended {
        let (plain, tls) = self.addresses();
        let url =
            |scheme: &str, address: Option<SocketAddr>| address.map_or("-".to_owned(), |a| format!("{scheme}://{a}"));
        tracing::info!(
            replica = self.engine.replica().as_str(),
            "listening plain={} tls={}",
            url("http", plain),
            url("https", tls)
        );
        let mut background = JoinSet::new();
        let (hosts, provider, clock) = (self.hosts.clone(), self.provider, Arc::clone(self.engine.clock()));
        let engine = self.engine.clone();
        background.spawn(async move { hosts.follow(&engine).await });
        let followed = self.followed;
        background.spawn(async move { followed.follow().await });
        let (folding, telling, announced) = (Arc::clone(&clock), Arc::clone(&clock), self.announced);
        let heartbeats = self.hosts.heartbeats();
        background.spawn(async move { heartbeats.follow().await });
        background.spawn(async move { announced.follow(&*telling).await });
        background.spawn(async move { find_provider(&provider, &*clock).await });
        let (kept, nudges) = self.replicas;
        background.spawn(kept.follow(nudges));
        background.spawn(clock_steps::watch(Arc::clone(self.engine.clock())));
        let refusals = self.refusals.clone();
        background.spawn(async move { refusals.follow().await });
        if let Some(telemetry) = self.telemetry {
            background.spawn(async move { fold(&telemetry, &*folding).await });
        } else {
            tracing::info!("/metrics is not served; IDENTREE_METRICS_TOKEN opens it");
        }
        let mut serving = JoinSet::new();
        let (ending, ends) = watch::channel(false);
        for listener in [self.plain, self.tls].into_iter().flatten() {
            serving.spawn(listener.serve(self.router.clone(), ends.clone()));
        }
        let ended = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Ended::Stopped,
            off = self.engine.until_only_a_restart_helps() => {
                tracing::error!("{off}, and only a new process goes by the machine's clock again: stopping, to be started anew");
                Ended::OnlyARestartHelps
            }
        };
        ending.send_replace(true);
        self.engine.drain();
        while serving.join_next().await.is_some() {}
        background.shutdown().await;
        self.refusals.finish().await;
        self.life.stopped().await;
        self.engine.shutdown().await;
        ended
    }
}

/// A recorder, also for what is counted outside of the parts that are composed here.
fn telemetry() -> Telemetry {
    let telemetry = Telemetry::new();
    if !telemetry.install() {
        tracing::warn!("this process records metrics elsewhere already; some of those at /metrics stay 0");
    }
    telemetry
}

/// Folds what was observed, whether or not somebody scrapes.
async fn fold(telemetry: &Telemetry, clock: &dyn Clock) {
    loop {
        clock.sleep_until(clock.now() + FOLD_EVERY).await;
        telemetry.fold();
    }
}

/// Asks until the provider answers. Being down never stops the server: it is degraded meanwhile.
async fn find_provider(provider: &Provider, clock: &dyn Clock) {
    let mut pause = RETRY.0;
    while let Err(error) = provider.discover().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "nobody can sign in yet; trying again in {pause:?}");
        clock.sleep_until(clock.now() + pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
    tracing::info!("the identity provider {} answers", provider.issuer());
}

/// Opens the host registry for the host verbs, beside a running server or without one.
///
/// # Errors
/// [`BootError`] if data directory or database cannot be used.
pub async fn open_hosts(settings: &HostSettings) -> Result<Hosts, BootError> {
    Ok(Hosts::load(open_parts(settings).await?, settings.master.clone()).await?)
}

/// Opens the database for a verb, beside a running server or without one.
///
/// # Errors
/// [`BootError`] if data directory or database cannot be used.
pub async fn open_parts(settings: &HostSettings) -> Result<Parts, BootError> {
    check_dir(&settings.data_dir)?;
    let store = database::open(&settings.database).await?;
    Ok(Parts { store, clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) })
}

fn check_dir(path: &Path) -> Result<(), BootError> {
    let error = |source| BootError::DataDir { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(error)?;
    if found.is_dir() { Ok(()) } else { Err(error(std::io::ErrorKind::NotADirectory.into())) }
}

/// What this server has of its own beside what is stored for all.
fn own(settings: &Settings) -> Own {
    Own {
        data_dir: settings.data_dir.clone(),
        policies: settings.policies.clone(),
        policies_named: settings.policies_named,
        hosts: settings.hosts_file.clone(),
        client: settings.client,
    }
}

async fn listeners(settings: &Settings) -> Result<(Option<Listener>, Option<Listener>), ListenError> {
    match (&settings.tls_files, settings.tls_listen) {
        (Some((certificate, key)), Some(address)) => {
            let tls = Listener::tls(address, certificate, key).await?;
            Ok((Some(Listener::plain(settings.listen).await?), Some(tls)))
        }
        (Some((certificate, key)), None) => Ok((None, Some(Listener::tls(settings.listen, certificate, key).await?))),
        (None, _) => Ok((Some(Listener::plain(settings.listen).await?), None)),
    }
}

fn provider_settings(settings: &Settings) -> ProviderSettings {
    let mut redirect_uri = settings.external_url.clone();
    redirect_uri.set_path(&format!("{}/callback", redirect_uri.path().trim_end_matches('/')));
    ProviderSettings {
        issuer: settings.issuer.clone(),
        public_issuer: settings.public_issuer.clone(),
        client_id: settings.client_id.clone(),
        client_secret: settings.client_secret.clone(),
        redirect_uri,
        insecure_skip_verify: settings.insecure_skip_verify,
    }
}

/// The authorities a host may have been configured with: those of our URLs, and the loopback ones of our own listeners.
fn authorities(settings: &Settings, listeners: [Option<&Listener>; 2]) -> std::io::Result<Arc<[String]>> {
    let mut known: Vec<String> =
        [Some(&settings.external_url), settings.install_url.as_ref()].into_iter().flatten().map(authority).collect();
    for listener in listeners.into_iter().flatten() {
        let address = listener.address()?;
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            known.push(format!("127.0.0.1:{}", address.port()));
            known.push(format!("localhost:{}", address.port()));
        }
    }
    Ok(known.into())
}

/// Host and, unless it is the scheme's own, port: what a client puts in its `Host` header.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
