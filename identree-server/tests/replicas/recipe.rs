//! The recipe: HAProxy's from `docs/operations.md`, with the backend for several servers.

use std::path::Path;

const MANUAL: &str = include_str!("../../../docs/operations.md");

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(dead_code, reason = "the code that starts a proxy knows all of them")]
pub(crate) enum Kind {
    Nginx,
    Caddy,
    Haproxy,
}

/// What differs from the recipe's own example.
pub(crate) struct Local<'a> {
    /// The name in all URLs.
    pub(crate) name: &'a str,
    pub(crate) https: u16,
    pub(crate) http: u16,
    /// Where the servers listen.
    pub(crate) servers: &'a [String],
    pub(crate) folder: &'a Path,
}

impl Kind {
    /// The program.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
        }
    }

    /// The recipe for this place, by plain replacement of text. Each answer names the server that gave it.
    pub(crate) fn recipe(self, local: &Local<'_>) -> String {
        let Local { name, https, http, servers, folder } = local;
        let (front, _) = block("```haproxy\n").split_once("\nbackend identree\n").unwrap();
        let back = block("```haproxy several servers\n");
        let mut text = format!("{front}\n{back}    http-response set-header X-Served-By %s\n");
        let mut put = |from: &str, to: &str| {
            assert!(text.contains(from), "the recipe has no {from:?}:\n{text}");
            text = text.replace(from, to);
        };
        put("https://approve.example.org", &format!("https://{name}:{https}"));
        put("approve.example.org", name);
        put("/etc/ssl/identree/", &format!("{}/", folder.display()));
        put("bind :443 ", &format!("bind {name}:{https} "));
        put("bind :80\n", &format!("bind {name}:{http}\n"));
        for (from, to) in ["192.0.2.11:8090", "192.0.2.12:8090", "192.0.2.13:8090"].iter().zip(*servers) {
            put(from, to);
        }
        text
    }
}

/// The one block of this kind.
fn block(fence: &str) -> &'static str {
    let mut blocks = MANUAL.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.next().unwrap_or_else(|| panic!("no {fence} in docs/operations.md"));
    assert!(blocks.next().is_none(), "two {fence}");
    block
}
