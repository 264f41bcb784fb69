//! `identree dev`: the whole product in one process on loopback addresses, and one real question.

mod ca;
mod host_file;
mod place;
mod ports;
mod question;
mod run;
mod show;
mod start;

use std::path::{Path, PathBuf};

pub(crate) use self::run::run;

/// What one may choose.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DevArgs {
    /// Only serve; ask no question
    #[arg(long)]
    pub(crate) no_question: bool,
    /// Keep everything in this directory (made if missing, 0700) instead of a temporary one
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The browser's port [default: 8090, or any free one]; it must be free
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// The ordinary person of the development provider [default: you]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
}

/// Why the demonstration does not start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    /// A file or directory of the run.
    #[error("{}: {cause}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Others may enter the directory, or it is somebody else's.
    #[error("{} must be a directory of yours that nobody else may enter: chmod 700 it, or name another one", .0.display())]
    NotPrivate(PathBuf),
    /// A file in the kept directory is not what was written there.
    #[error("{} is damaged: remove it and start again", .0.display())]
    Damaged(PathBuf),
    /// A port that must be this one is taken.
    #[error(
        "port {0} on 127.0.0.1 is taken: end what listens there (`ss -ltnp`), or choose another with --port or without --data"
    )]
    PortTaken(u16),
    /// No socket.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(std::io::Error),
    /// No certificate.
    #[error("cannot make a certificate: {0}")]
    Certificate(rcgen::Error),
    /// Not a name for a person.
    #[error("--user: {0}")]
    User(#[from] identree_core::id::NameError),
    /// The development provider.
    #[error(transparent)]
    Provider(#[from] crate::devidp::DevIdpError),
    /// The server.
    #[error(transparent)]
    Boot(Box<crate::boot::BootError>),
    /// Another part of the server.
    #[error("{0}")]
    Server(String),
}

impl From<crate::boot::BootError> for DevError {
    fn from(error: crate::boot::BootError) -> Self {
        Self::Boot(Box::new(error))
    }
}

impl DevError {
    fn file(path: &Path, cause: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), cause }
    }

    fn server(cause: impl std::fmt::Display) -> Self {
        Self::Server(cause.to_string())
    }
}
