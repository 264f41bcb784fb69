//! What must never be found.

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal;)*) => {
        /// The kinds of secrets, as `.ci/check-secrets` calls them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Kind {
            /// The name in the file of secrets.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// `IDENTREE_SHARED_SECRET` of a server.
    Master = "master secret";
    /// A host's own secret.
    Host = "host secret";
    /// What the server proves itself with at the identity provider.
    Client = "client secret";
    /// The value of a session cookie.
    Session = "session cookie";
    /// The value of the cookie that ties a sign-in to its browser.
    SignIn = "sign-in cookie";
    /// What a form of a session carries.
    Csrf = "csrf token";
    /// An ID token.
    IdToken = "id token";
    /// An access token.
    AccessToken = "access token";
    /// An authorization code.
    Code = "authorization code";
    /// The `state` of a sign-in under way.
    State = "sign-in state";
    /// The MAC of a host's request.
    Mac = "host mac";
    /// The private half of a decision key.
    DecisionKey = "decision key";
    /// A host's own private key.
    HostKey = "host key";
    /// The secret part of an enrolment token.
    EnrolToken = "enrolment token";
    /// `IDENTREE_METRICS_TOKEN`.
    Metrics = "metrics token";
    /// The password of a PostgreSQL role.
    Database = "database password";
    /// The code of a question, with the number that an approver types.
    UserCode = "user code";
}
