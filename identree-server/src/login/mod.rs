//! Signing in with OpenID Connect.

mod flow;
mod http;
mod people;
mod provider;

/// What the fuzz targets see.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    pub use super::flow::fuzzing::{callback, own_path};
    pub(crate) use super::provider::groups_of as groups;
}

#[cfg(feature = "sqlite")]
pub(crate) use self::flow::SIGN_INS;
pub use self::flow::{Login, SignInFailure, routes};
pub(crate) use self::people::PEOPLE;
pub use self::people::{GROUPS_LIVE, LinkError, Linked, People};
pub use self::provider::{Authorization, Identity, Provider, ProviderError, ProviderSettings};
