//! One compiled rule: what it matches, and what it then says.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use super::file::{Action, RuleText};
use super::matcher::{Case, Glob, GlobError};
use super::window::{Window, WindowError};
use super::{Outcome, PolicyInput, Requirement};
use crate::id::RuleName;
use crate::text::visible;

/// Why a rule does not compile. Each text says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not a name.
    #[error("{0}; a name is lower-case letters, digits, '.', '_' and '-'")]
    Name(#[from] crate::id::NameError),
    /// Two rules have one name.
    #[error("a policy of this name stands on line {first} already; give each its own name")]
    Duplicate {
        /// Where the other one begins.
        first: usize,
    },
    /// A list that can match nothing.
    #[error("{0} is an empty list, which would match nothing; leave it out to match everything")]
    EmptyList(&'static str),
    /// A pattern that is none.
    #[error("{field}: {error}")]
    Pattern {
        /// In which list.
        field: &'static str,
        /// What is wrong.
        error: GlobError,
    },
    /// A window that is none.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// No condition at all.
    #[error("it has no match_… field; give it one, or name it \"default\" to make it the last resort")]
    MatchesNothing,
    /// The last resort cannot have conditions.
    #[error("the policy named \"default\" is the last resort and takes no {0}; give the rule another name")]
    DefaultMatches(&'static str),
    /// Less than one approval.
    #[error("min_approvals must be at least 1; use action = \"allow\" for no approval at all")]
    NoApprovals,
    /// Not a duration.
    #[error("require_fresh_oidc = \"{}\" is not a duration in whole seconds, at least one, as in \"5m\"", visible(.0))]
    Duration(String),
    /// A field that contradicts the action.
    #[error("action = \"{action}\" does not go with {field}; remove one of the two")]
    Contradiction {
        /// The action.
        action: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    name: RuleName,
    pub(super) hosts: Option<Vec<Glob>>,
    pub(super) users: Option<Vec<Glob>>,
    host_groups: Option<Vec<String>>,
    kinds: Option<Vec<Glob>>,
    commands: Option<Vec<Glob>>,
    window: Option<Window>,
    verdict: Verdict,
    notices: Vec<String>,
}

#[derive(Debug, Clone)]
enum Verdict {
    Allow,
    Ask(Requirement),
    Refuse(String),
}

impl Rule {
    /// Its name.
    pub const fn name(&self) -> &RuleName {
        &self.name
    }

    pub(super) fn is_last_resort(&self) -> bool {
        self.name.as_str() == "default"
    }

    /// What is written in it and has no effect yet.
    pub(super) fn notices(&self) -> &[String] {
        &self.notices
    }

    pub(super) fn compile(written: &RuleText) -> Result<Self, RuleError> {
        let name = RuleName::parse(&written.name)?;
        let last_resort = name.as_str() == "default";
        let lists = [
            ("match_hosts", &written.match_hosts),
            ("match_users", &written.match_users),
            ("match_host_groups", &written.match_host_groups),
            ("match_kinds", &written.match_kinds),
            ("match_commands", &written.match_commands),
        ];
        for (field, list) in lists {
            match list {
                Some(_) if last_resort => return Err(RuleError::DefaultMatches(field)),
                Some(list) if list.is_empty() => return Err(RuleError::EmptyList(field)),
                _ => {}
            }
        }
        if !last_resort && lists.iter().all(|(_, list)| list.is_none()) {
            return Err(RuleError::MatchesNothing);
        }
        let window = match (&written.allowed_hours, &written.allowed_days) {
            (None, None) => None,
            (hours, days) => Some(Window::parse(hours.as_deref(), days.as_deref())?),
        };
        let verdict = verdict(written, &name)?;
        let notices = notices(written, &name);
        Ok(Self {
            name,
            hosts: globs("match_hosts", written.match_hosts.as_ref(), Case::Ignored)?,
            users: globs("match_users", written.match_users.as_ref(), Case::Counts)?,
            host_groups: written.match_host_groups.clone(),
            kinds: globs("match_kinds", written.match_kinds.as_ref(), Case::Counts)?,
            commands: globs("match_commands", written.match_commands.as_ref(), Case::Counts)?,
            window,
            verdict,
            notices,
        })
    }

    /// Each list that is there must match; within a list any entry. `target` is what [`folded`] gives.
    pub(super) fn matches(&self, input: &PolicyInput<'_>, target: &str) -> bool {
        let any = |globs: &Option<Vec<Glob>>, text: &str| {
            globs.as_ref().is_none_or(|globs| globs.iter().any(|glob| glob.matches(text)))
        };
        any(&self.users, input.requester.as_str())
            && any(&self.hosts, target)
            && any(&self.kinds, input.kind.as_str())
            && self.host_groups.as_ref().is_none_or(|groups| input.target_groups.iter().any(|g| groups.contains(g)))
            && self.commands.as_ref().is_none_or(|globs| match input.command {
                // What a person merely typed may be asked about or refused, but never allowed unseen.
                Some(_) if matches!(self.verdict, Verdict::Allow) && !input.command_is_exact => false,
                Some(command) => globs.iter().any(|glob| glob.matches(command)),
                None => false,
            })
    }

    /// What the rule says to a question that it matches.
    pub(super) fn outcome(&self, input: &PolicyInput<'_>) -> Outcome {
        let refuse = |text| Outcome::Refuse { rule: Some(self.name.clone()), text };
        if let Some(window) = self.window.as_ref().filter(|window| !window.is_open(input.now)) {
            return refuse(format!("allowed only {window}"));
        }
        match &self.verdict {
            Verdict::Allow => Outcome::Allow(self.name.clone()),
            Verdict::Ask(requirement) => Outcome::Ask(requirement.clone()),
            Verdict::Refuse(text) => refuse(text.clone()),
        }
    }
}

/// The target's name with ASCII letters in lower case, as patterns of hosts want it. Other things than hosts may have upper
/// case in their names, and a rule for `prod*` must not miss `Prod-1`.
pub(super) fn folded<'a>(input: &PolicyInput<'a>) -> Cow<'a, str> {
    let name = input.target.name();
    if name.bytes().any(|b| b.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

fn globs(field: &'static str, list: Option<&Vec<String>>, case: Case) -> Result<Option<Vec<Glob>>, RuleError> {
    list.map(|list| list.iter().map(|pattern| Glob::compile(pattern, case)).collect::<Result<_, _>>())
        .transpose()
        .map_err(|error| RuleError::Pattern { field, error })
}

fn verdict(written: &RuleText, name: &RuleName) -> Result<Verdict, RuleError> {
    let asking = [
        ("require_admin", written.require_admin.is_some()),
        ("min_approvals", written.min_approvals.is_some()),
        ("requester_may_approve", written.requester_may_approve.is_some()),
        ("number_match", written.number_match.is_some()),
        ("require_fresh_oidc", written.require_fresh_oidc.is_some()),
    ];
    let windows =
        [("allowed_hours", written.allowed_hours.is_some()), ("allowed_days", written.allowed_days.is_some())];
    let window = windows.iter().find(|(_, given)| *given).map(|(field, _)| *field);
    let asks = asking.iter().find(|(_, given)| *given).map(|(field, _)| *field);
    let contradiction = |action, field| Err(RuleError::Contradiction { action, field });
    match (written.action, asks, &written.reason) {
        (Action::Allow, Some(field), _) => contradiction("allow", field),
        (Action::Refuse, Some(field), _) => contradiction("refuse", field),
        (Action::Allow, None, Some(_)) => contradiction("allow", "reason"),
        (Action::Ask, _, Some(_)) => contradiction("ask", "reason"),
        (Action::Allow, None, None) => Ok(Verdict::Allow),
        (Action::Refuse, None, reason) => {
            if let Some(field) = window {
                return contradiction("refuse", field);
            }
            let reason = reason.as_ref().map(|reason| visible(reason).into_owned());
            Ok(Verdict::Refuse(reason.unwrap_or_else(|| format!("the policy \"{name}\" does not allow this"))))
        }
        (Action::Ask, _, None) => requirement(written, name).map(Verdict::Ask),
    }
}

fn requirement(written: &RuleText, name: &RuleName) -> Result<Requirement, RuleError> {
    let fresh = written.require_fresh_oidc.as_deref().map(seconds).transpose()?;
    Ok(Requirement {
        rule: Some(name.clone()),
        approvals: NonZeroU32::new(written.min_approvals.unwrap_or(1)).ok_or(RuleError::NoApprovals)?,
        require_admin: written.require_admin.unwrap_or(false),
        requester_may_approve: written.requester_may_approve.unwrap_or(true),
        number_match: written.number_match.unwrap_or(true),
        fresh_within_secs: fresh,
    })
}

fn seconds(text: &str) -> Result<u64, RuleError> {
    // `M` and `y` of the crate's grammar are months and years: nobody means them here.
    let odd = text.contains(['M', 'y']);
    let duration = humantime::parse_duration(text).unwrap_or(Duration::ZERO);
    if odd || duration.as_secs() == 0 || duration.subsec_nanos() != 0 {
        Err(RuleError::Duration(text.to_owned()))
    } else {
        Ok(duration.as_secs())
    }
}

fn notices(written: &RuleText, name: &RuleName) -> Vec<String> {
    let fields = [
        ("auto_approve_grace", written.auto_approve_grace.unwrap_or(false)),
        ("break_glass_bypass", written.break_glass_bypass.unwrap_or(false)),
        ("notify_channels", written.notify_channels.as_ref().is_some_and(|channels| !channels.is_empty())),
    ];
    let given = fields.into_iter().filter(|(_, given)| *given);
    given.map(|(field, _)| format!("policy \"{name}\": {field} has no effect yet")).collect()
}
