//! The recipes: the fenced blocks of `docs/operations.md`, with names, paths and ports put in the place of theirs.

use std::path::Path;

const MANUAL: &str = include_str!("../../../docs/operations.md");
/// Where the one server listens, and where several do, in the manual.
const ONE: [&str; 1] = ["127.0.0.1:8090"];
pub(crate) const SEVERAL: [&str; 3] = ["192.0.2.11:8090", "192.0.2.12:8090", "192.0.2.13:8090"];

/// What nginx may do with several servers, as the manual says.
const AGAIN: &str = "proxy_next_upstream error timeout;";

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
    /// Where the servers listen: one, or as many as the recipe for several names.
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

    /// The recipe for this place, by plain replacement of text. Of several servers each answer names the one that gave it, in
    /// `X-Served-By`.
    pub(crate) fn recipe(self, local: &Local<'_>) -> String {
        let Local { name, https, http, servers, folder } = local;
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
        let (mut text, named) = match servers.len() {
            1 => (self.block().to_owned(), &ONE[..]),
            _ => (self.block_of_several(), &SEVERAL[..]),
        };
        let common = [
            ("https://approve.example.org".to_owned(), format!("https://{name}:{https}")),
            ("approve.example.org".to_owned(), (*name).to_owned()),
            ("/etc/ssl/identree/".to_owned(), format!("{folder}/")),
        ];
        if self == Self::Caddy {
            let (from, to) = ("http://approve.example.org", format!("http://{name}:{http}"));
            text = replaced(&text, from, &to);
        }
        let servers = named.iter().map(|from| (*from).to_owned()).zip(servers.iter().cloned());
        for (from, to) in common.into_iter().chain(listen).chain(servers) {
            // Caddy's has no name beside those in URLs.
            if self != Self::Caddy || from != "approve.example.org" {
                text = replaced(&text, &from, &to);
            }
        }
        text
    }

    /// The block that stands in the manual.
    fn block(self) -> &'static str {
        block(match self {
            Self::Nginx => "```nginx\n",
            Self::Caddy => "```caddyfile\n",
            Self::Haproxy => "```haproxy\n",
        })
    }

    /// The same, with the manual's block for several servers in the place of the one's.
    fn block_of_several(self) -> String {
        match self {
            Self::Haproxy => {
                let (front, _) = self.block().split_once("\nbackend identree\n").unwrap();
                let back = block("```haproxy several servers\n");
                format!("{front}\n{back}    http-response set-header X-Served-By %si:%sp\n")
            }
            Self::Nginx => {
                let (_, site) = self.block().split_once("\n}\n").unwrap();
                let upstream = block("```nginx several servers\n");
                // Of those that were tried the last one has answered.
                let last = "map $upstream_addr $served_by { \"~(?<last>[^ ,]+)$\" $last; }\n";
                assert!(MANUAL.contains(&format!("in its `location /`, `{AGAIN}` in the place of `off`")));
                let added = format!("{AGAIN}\n        add_header X-Served-By $served_by always;");
                replaced(&format!("{last}{upstream}{site}"), "proxy_next_upstream off;", &added)
            }
            Self::Caddy => panic!("{self:?} has no test with several servers"),
        }
    }
}

/// The one block of this kind.
fn block(fence: &str) -> &'static str {
    let mut blocks = MANUAL.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.next().unwrap_or_else(|| panic!("no {fence} in docs/operations.md"));
    assert!(blocks.next().is_none(), "two {fence}");
    block
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the recipe has no {from:?}:\n{text}");
    text.replace(from, to)
}
