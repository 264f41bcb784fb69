//! `identree config …`: what is kept in the database for all servers, beside running ones.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use identree_core::diff::between;
use identree_core::id::UserName;
use identree_core::syntax::is_json;
use identree_core::text::visible;

use super::Done;
use crate::config::{self, HostSettings};
use crate::hosts::file::HostsFile;
use crate::hosts::{HostsImport, Others};
use crate::versioned::{Author, Change, Changed, Name, Take as _, Version, VersionError, Versions, comparable};
use crate::{boot, hosts::Hosts};

/// The largest file that is read, in bytes.
const MOST: u64 = 16 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Tell which version of each setting is in force.
    List,
    /// Print a setting: as it is in force, or one version of it.
    Show {
        /// policies, client, hosts or sudo-rules.
        name: Name,
        /// Which version.
        #[arg(long)]
        version: Option<u64>,
    },
    /// List the versions that are kept: when, by whom.
    History {
        /// policies, client, hosts or sudo-rules.
        name: Name,
    },
    /// Tell the difference between two versions, or between one and what is in force.
    Diff {
        /// policies, client, hosts or sudo-rules.
        name: Name,
        /// The one.
        a: u64,
        /// The other.
        b: Option<u64>,
    },
    /// Say whether a file can be used, with the line of what is wrong; nothing is changed and no server is needed.
    Check {
        /// The file; `-` reads standard input.
        file: PathBuf,
        /// What it is of: policies, client, hosts or sudo-rules.
        #[arg(long = "as", default_value = "policies")]
        name: Name,
    },
    /// Put a file in force as a new version; every server follows within a second.
    Import {
        /// policies, client, hosts or sudo-rules.
        name: Name,
        /// The file; `-` reads standard input.
        file: PathBuf,
        /// Only if this version is in force; 0 for none yet.
        #[arg(long, value_name = "VERSION")]
        expect: Option<u64>,
        /// Print what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Of hosts: remove those that the file does not name.
        #[arg(long)]
        remove_others: bool,
    },
    /// Print what is in force, or write it to a file.
    Export {
        /// policies, client, hosts or sudo-rules.
        name: Name,
        /// The file.
        file: Option<PathBuf>,
    },
    /// Put an older version in force again, as a new one.
    Rollback {
        /// policies, client, hosts or sudo-rules.
        name: Name,
        /// Which version.
        version: u64,
    },
}

pub(super) async fn run(verb: ConfigVerb) -> Done {
    if let ConfigVerb::Check { file, name } = verb {
        let text = read(&file)?;
        tell_all(&name.check(&file, &text)?);
        tell(&format!("{} can be used as {name}", shown(&file)));
        return Ok(());
    }
    let settings = HostSettings::from_found(&config::read())?;
    let parts = boot::open_parts(&settings).await?;
    let versions = Versions::new(parts.clone());
    let hosts = Hosts::load(parts, settings.master.clone()).await?;
    let verbs = Verbs { versions, hosts, others: Others::Stay };
    match verb {
        ConfigVerb::List => verbs.list().await,
        ConfigVerb::Show { name, version } => verbs.show(name, version).await,
        ConfigVerb::History { name } => verbs.history(name).await,
        ConfigVerb::Diff { name, a, b } => verbs.diff(name, a, b).await,
        ConfigVerb::Check { .. } => Ok(()),
        ConfigVerb::Import { name, file, expect, dry_run, remove_others } => {
            let others = if remove_others { Others::Go } else { Others::Stay };
            if remove_others && name != Name::Hosts {
                return Err("--remove-others goes with hosts alone".into());
            }
            let text = read(&file)?;
            tell_all(&name.check(&file, &text)?);
            let change = Change { expect, ..Change::new(name, text, by()?) };
            let verbs = Verbs { others, ..verbs };
            if dry_run { verbs.try_out(&change, &file).await } else { verbs.change(change).await }
        }
        ConfigVerb::Export { name, file } => verbs.export(name, file.as_deref()).await,
        ConfigVerb::Rollback { name, version } => {
            let text = verbs.text(name, version).await?;
            verbs.change(Change::new(name, text, by()?)).await
        }
    }
}

struct Verbs {
    versions: Versions,
    hosts: Hosts,
    others: Others,
}

impl Verbs {
    async fn list(&self) -> Done {
        for name in Name::ALL {
            let state = match self.versions.current(name).await? {
                Some(version) => line(&version),
                None => "no version yet".to_owned(),
            };
            print(&format!("{:<11}{state}\n{:<11}{}\n", name.as_str(), "", name.meaning()));
        }
        Ok(())
    }

    async fn show(&self, name: Name, version: Option<u64>) -> Done {
        let text = match version {
            Some(number) => self.text(name, number).await?,
            None => self.in_force(name).await?,
        };
        print(&text);
        Ok(())
    }

    async fn history(&self, name: Name) -> Done {
        let history = self.versions.history(name).await?;
        if history.is_empty() {
            return Err(VersionError::Unset(name).into());
        }
        for version in &history {
            print(&format!("{}  sha256={}\n", line(version), version.digest));
        }
        if name == Name::Hosts {
            tell("these are imported files; changes of single hosts are events in the journal");
        }
        Ok(())
    }

    async fn diff(&self, name: Name, a: u64, b: Option<u64>) -> Done {
        let before = self.text(name, a).await?;
        let (after, label) = match b {
            Some(b) => (self.text(name, b).await?, format!("{name} version {b}")),
            None => (self.in_force(name).await?, format!("{name} in force")),
        };
        difference((&format!("{name} version {a}"), &before), (&label, &after));
        Ok(())
    }

    async fn try_out(&self, change: &Change, file: &Path) -> Done {
        self.versions.expected(change).await?;
        if change.name == Name::Hosts {
            let plan = self.import().plan(&HostsFile::parse(file, &change.text)?).await?;
            for step in &plan {
                print(&format!("{step}\n"));
                tell_all(&step.notice.iter().map(|notice| format!("{}: {notice}", step.name)).collect::<Vec<_>>());
            }
            if plan.is_empty() {
                tell("nothing would change");
            }
            return Ok(());
        }
        let before = match self.versions.in_force(change.name).await {
            Ok((_, text)) => text,
            Err(VersionError::Unset(_)) => String::new(),
            Err(error) => return Err(error.into()),
        };
        difference((&format!("{} in force", change.name), &before), (&shown(file), &change.text));
        Ok(())
    }

    async fn change(&self, change: Change) -> Done {
        let name = change.name;
        let changed = match name {
            Name::Hosts => self.import().take(change).await?,
            _ => self.versions.take(change).await?,
        };
        let number = changed.version().number;
        tell(&match changed {
            Changed::Now(_) if name == Name::SudoRules => {
                format!("{name}: version {number} is kept now; no server serves sudo rules yet")
            }
            Changed::Now(_) => format!("{name}: version {number} is in force now; servers follow within a second"),
            Changed::Already(_) => format!("{name}: version {number} says the same already; nothing was changed"),
        });
        Ok(())
    }

    async fn export(&self, name: Name, file: Option<&Path>) -> Done {
        let text = self.in_force(name).await?;
        match file {
            None => print(&text),
            Some(file) => {
                let (is, named) = (is_json(Path::new(""), &text), is_json(file, &text));
                if is != named && matches!(name, Name::Policies | Name::Client) {
                    let ending = if is { "json" } else { "toml" };
                    return Err(format!(
                        "{}: {name} in force is {}, and under that name it could not be read again: end it in .{ending}",
                        shown(file),
                        ending.to_uppercase()
                    )
                    .into());
                }
                std::fs::write(file, text).map_err(|error| format!("{}: {error}", shown(file)))?;
            }
        }
        Ok(())
    }

    fn import(&self) -> HostsImport {
        HostsImport { hosts: self.hosts.clone(), versions: self.versions.clone(), others: self.others }
    }

    /// The text in force; of hosts the registry as it is.
    async fn in_force(&self, name: Name) -> Result<String, VersionError> {
        match name {
            Name::Hosts => Ok(HostsFile::of(self.hosts.list()).to_string()),
            _ => self.versions.in_force(name).await.map(|(_, text)| text),
        }
    }

    async fn text(&self, name: Name, number: u64) -> Result<String, VersionError> {
        self.versions.text(name, number).await?.ok_or(VersionError::Unknown { name, number })
    }
}

/// Who runs the verb, as the system knows them.
fn by() -> Result<Author, Box<dyn std::error::Error>> {
    let uid = rustix::process::getuid().as_raw();
    Ok(Author::command_line(&UserName::parse(&format!("uid:{uid}"))?))
}

fn read(file: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let wrong = |error: std::io::Error| format!("{}: {error}", shown(file));
    let mut text = String::new();
    if file == Path::new("-") {
        if std::io::stdin().is_terminal() {
            tell("reading from standard input; end with Ctrl-D");
        }
        std::io::stdin().take(MOST).read_to_string(&mut text).map_err(wrong)?;
    } else {
        std::fs::File::open(file).map_err(wrong)?.take(MOST).read_to_string(&mut text).map_err(wrong)?;
    }
    Ok(text)
}

fn line(version: &Version) -> String {
    let Version { number, at, author, bytes, .. } = version;
    format!("version {number}  {at}  {}  {bytes} bytes", visible(&author.to_string()))
}

fn shown(file: &Path) -> String {
    visible(&file.display().to_string()).into_owned()
}

fn difference((old, before): (&str, &str), (new, after): (&str, &str)) {
    let (before, after) = comparable(before, after);
    let text = between((old, before.as_bytes()), (new, after.as_bytes()));
    if text.is_empty() {
        tell("no difference but spaces and the order of names");
    }
    print(&text);
}

fn tell_all(notices: &[String]) {
    for notice in notices {
        tell(notice);
    }
}

#[expect(clippy::print_stdout, reason = "what was asked for is what the verb is for")]
fn print(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stderr, reason = "what a verb did is told beside what it prints")]
fn tell(text: &str) {
    eprintln!("{text}");
}
