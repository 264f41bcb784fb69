//! Signing in with OpenID Connect.

mod flow;
mod http;
mod people;
mod provider;

pub use self::flow::{Login, SignInFailure, routes};
pub use self::people::{GROUPS_LIVE, LinkError, Linked, People};
pub use self::provider::{Authorization, Identity, Provider, ProviderError, ProviderSettings};
