//! The recipes: the fenced blocks of `docs/operations.md`, with names, paths and ports put in the place of theirs.

use std::path::Path;

const MANUAL: &str = include_str!("../../../docs/operations.md");

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Where the server listens.
    pub(crate) server: &'a str,
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

    /// The recipe for this place, by plain replacement of text.
    pub(crate) fn recipe(self, local: &Local<'_>) -> String {
        let Local { name, https, http, server, folder } = local;
        let folder = folder.display();
        let listen = match self {
            // In its recipe the ports stand in the URLs' schemes.
            Self::Caddy => vec![],
            Self::Nginx => vec![
                ("listen 443 ".to_owned(), format!("listen {name}:{https} ")),
                ("listen 80;".to_owned(), format!("listen {name}:{http};")),
                ("/var/log/nginx/".to_owned(), format!("{folder}/")),
            ],
            Self::Haproxy => vec![
                ("bind :443 ".to_owned(), format!("bind {name}:{https} ")),
                ("bind :80\n".to_owned(), format!("bind {name}:{http}\n")),
            ],
        };
        let mut text = self.block().to_owned();
        let common = [
            ("https://approve.example.org".to_owned(), format!("https://{name}:{https}")),
            ("approve.example.org".to_owned(), (*name).to_owned()),
            ("127.0.0.1:8090".to_owned(), (*server).to_owned()),
            ("/etc/ssl/identree/".to_owned(), format!("{folder}/")),
        ];
        if self == Self::Caddy {
            let (from, to) = ("http://approve.example.org", format!("http://{name}:{http}"));
            text = replaced(&text, from, &to);
        }
        for (from, to) in common.iter().chain(&listen) {
            // Caddy's has no name beside those in URLs.
            if self != Self::Caddy || from != "approve.example.org" {
                text = replaced(&text, from, to);
            }
        }
        text
    }

    /// The block that stands in the manual.
    fn block(self) -> &'static str {
        let fence = match self {
            Self::Nginx => "```nginx\n",
            Self::Caddy => "```caddyfile\n",
            Self::Haproxy => "```haproxy\n",
        };
        let mut blocks = MANUAL.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap());
        let block = blocks.next().unwrap_or_else(|| panic!("no {fence} in docs/operations.md"));
        assert!(blocks.next().is_none(), "two recipes for {self:?}");
        block
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the recipe has no {from:?}:\n{text}");
    text.replace(from, to)
}
