//! Every text a person reads on our pages, one value per language.
//!
//! A `{name}` in a text is filled in by [`fill`]; templates escape the result.

/// The texts of one language.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) language: &'static str,
    pub(super) skip_to_content: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) signed_in_as: &'static str,
    pub(super) administrator: &'static str,
    pub(super) welcome: &'static str,
    pub(super) welcome_more: &'static str,
    pub(super) degraded: &'static str,

    pub(super) waiting: &'static str,
    pub(super) waiting_none: &'static str,
    pub(super) waiting_none_more: &'static str,
    pub(super) recent: &'static str,
    pub(super) your_question: &'static str,
    pub(super) list_changed: &'static str,
    pub(super) back_to_list: &'static str,

    pub(super) asks_sudo: &'static str,
    pub(super) asks_sudo_own: &'static str,
    pub(super) asked_sudo: &'static str,
    pub(super) asked_sudo_own: &'static str,
    pub(super) asked_other: &'static str,
    pub(super) asked_other_own: &'static str,
    pub(super) asks_other: &'static str,
    pub(super) asks_other_own: &'static str,
    pub(super) command: &'static str,
    pub(super) command_as_typed: &'static str,
    pub(super) hidden_characters: &'static str,
    pub(super) caution: &'static str,
    pub(super) reason_given: &'static str,
    pub(super) requester: &'static str,
    pub(super) host: &'static str,
    pub(super) target: &'static str,
    pub(super) run_as: &'static str,
    pub(super) directory: &'static str,
    pub(super) terminal: &'static str,
    pub(super) service: &'static str,
    pub(super) asked: &'static str,
    pub(super) asked_ago: &'static str,
    pub(super) rule: &'static str,
    pub(super) time_left: &'static str,
    pub(super) ends_at: &'static str,
    pub(super) approvals: &'static str,
    pub(super) approved_by: &'static str,

    pub(super) code: &'static str,
    pub(super) code_compare: &'static str,
    pub(super) code_compare_own: &'static str,
    pub(super) number: &'static str,
    pub(super) number_help: &'static str,
    pub(super) number_hidden: &'static str,
    pub(super) approve: &'static str,
    pub(super) deny: &'static str,
    pub(super) add_reason: &'static str,
    pub(super) reason_label: &'static str,
    pub(super) sending: &'static str,

    pub(super) you_approved: &'static str,
    pub(super) missing_one: &'static str,
    pub(super) missing_many: &'static str,
    pub(super) not_your_own: &'static str,
    pub(super) admin_only: &'static str,
    pub(super) stale_sign_in: &'static str,
    pub(super) sign_in_again: &'static str,

    pub(super) error: &'static str,
    pub(super) wrong_number: &'static str,
    pub(super) already_voted: &'static str,
    pub(super) too_late: &'static str,
    pub(super) disabled: &'static str,
    pub(super) reason_too_long: &'static str,

    pub(super) approved: &'static str,
    pub(super) denied: &'static str,
    pub(super) expired: &'static str,
    pub(super) cancelled: &'static str,
    pub(super) refused: &'static str,
    pub(super) pending: &'static str,
    pub(super) approved_text: &'static str,
    pub(super) allowed_text: &'static str,
    pub(super) denied_text: &'static str,
    pub(super) expired_text: &'static str,
    pub(super) cancelled_text: &'static str,
    pub(super) refused_text: &'static str,
    pub(super) refused_by_rule: &'static str,
    pub(super) their_reason: &'static str,
    pub(super) why: &'static str,
    pub(super) may_close: &'static str,

    pub(super) not_found: &'static str,
    pub(super) not_found_more: &'static str,
    pub(super) foreign_form: &'static str,
    pub(super) foreign_form_more: &'static str,
    pub(super) signed_out: &'static str,
    pub(super) signed_out_more: &'static str,
    pub(super) sign_in_failed: &'static str,
    pub(super) sign_in_failed_more: &'static str,
    pub(super) stale_form: &'static str,
    pub(super) stale_form_more: &'static str,
    pub(super) bad_form: &'static str,
    pub(super) bad_form_more: &'static str,
    pub(super) too_large: &'static str,
    pub(super) too_large_more: &'static str,
    pub(super) unavailable: &'static str,
    pub(super) unavailable_more: &'static str,
    pub(super) try_again: &'static str,

    pub(super) seconds: &'static str,
    pub(super) minutes: &'static str,
    pub(super) minutes_seconds: &'static str,
    pub(super) hours_minutes: &'static str,
    pub(super) just_now: &'static str,
}

/// English.
pub(super) static ENGLISH: Text = Text {
    language: "en",
    skip_to_content: "Skip to the content",
    sign_in: "Sign in",
    sign_out: "Sign out",
    signed_in_as: "Signed in as",
    administrator: "administrator",
    welcome: "Approvals",
    welcome_more: "Sign in to see what waits for your answer.",
    degraded: "The identity provider does not answer at the moment. Signing in may not work; the server keeps trying.",

    waiting: "Waiting for an answer",
    waiting_none: "Nothing is waiting",
    waiting_none_more: "New questions appear here by themselves.",
    recent: "Recent",
    your_question: "yours",
    list_changed: "The list of questions has changed.",
    back_to_list: "All questions",

    asks_sudo: "{requester} wants to run a command as {run_as} on {target}",
    asks_sudo_own: "Run this as {run_as} on {target}?",
    asked_sudo: "{requester} asked to run this as {run_as} on {target}:",
    asked_sudo_own: "You asked to run this as {run_as} on {target}:",
    asked_other: "{requester} asked for “{kind}” on {target}:",
    asked_other_own: "You asked for “{kind}” on {target}:",
    asks_other: "{requester} asks for “{kind}” on {target}",
    asks_other_own: "Allow “{kind}” on {target}?",
    command: "What",
    command_as_typed: "As typed at the terminal. What it may run, sudo’s own rules decide afterwards.",
    hidden_characters: "It contains characters that cannot be seen. They are written out and marked.",
    caution: "Careful",
    reason_given: "Reason",
    requester: "Asked by",
    host: "Host",
    target: "Target",
    run_as: "Runs as",
    directory: "Directory",
    terminal: "Terminal",
    service: "Service",
    asked: "Asked",
    asked_ago: "{time} ago",
    rule: "Rule",
    time_left: "{time} left",
    ends_at: "until",
    approvals: "Approvals",
    approved_by: "{name} approved",

    code: "Code",
    code_compare: "Compare with the code on {requester}’s terminal.",
    code_compare_own: "The same code stands on your terminal.",
    number: "Number on {requester}’s terminal",
    number_help: "Ask {requester} for the six digits behind {letters}.",
    number_hidden: "six digits, to be typed",
    approve: "Approve",
    deny: "Deny",
    add_reason: "Add a reason",
    reason_label: "Your reason (optional)",
    sending: "Sending…",

    you_approved: "You have approved this.",
    missing_one: "One more approval is needed.",
    missing_many: "{count} more approvals are needed.",
    not_your_own: "Somebody else must approve your question.",
    admin_only: "An administrator must approve this.",
    stale_sign_in: "To approve this, you must have signed in a moment ago.",
    sign_in_again: "Sign in again",

    error: "Error",
    wrong_number: "That is not the number on the requester’s terminal. Nothing was decided. Five wrong numbers end the question.",
    already_voted: "You have approved this already.",
    too_late: "Your answer came too late and did not count: the question was settled before.",
    disabled: "Your account is disabled. Nothing was decided.",
    reason_too_long: "A reason has at most {max} characters. Nothing was decided.",

    approved: "Approved",
    denied: "Denied",
    expired: "Expired",
    cancelled: "Cancelled",
    refused: "Refused",
    pending: "Waiting",
    approved_text: "Approved by {names}.",
    allowed_text: "Allowed by the rule “{rule}” without asking.",
    denied_text: "Denied by {name}.",
    expired_text: "Nobody answered in time.",
    cancelled_text: "Taken back by {name}.",
    refused_text: "Refused.",
    refused_by_rule: "Refused by the rule “{rule}”.",
    their_reason: "{name}’s reason",
    why: "Why",
    may_close: "You may close this page.",

    not_found: "Not found",
    not_found_more: "There is no such page, or no question of yours under this address. It may be mistyped, or too old.",
    foreign_form: "Not from here",
    foreign_form_more: "This did not come from a page of this server. Nothing was decided.",
    signed_out: "You are signed out",
    signed_out_more: "Your session had ended before the answer arrived. Nothing was decided. Sign in and answer again.",
    sign_in_failed: "Signing in failed",
    sign_in_failed_more: "Nothing was changed. You can try again.",
    stale_form: "This page was too old",
    stale_form_more: "Your session has changed since the page was opened. Nothing was decided. Open it again and answer there.",
    bad_form: "That could not be read",
    bad_form_more: "The form arrived damaged or incomplete. Nothing was decided. Go back and try again.",
    too_large: "That was too much",
    too_large_more: "The form is larger than any of ours. Nothing was decided.",
    unavailable: "Not available right now",
    unavailable_more: "The server could not reach what it needs, so nothing was decided. Try again in a moment.",
    try_again: "Try again",

    seconds: "{s} s",
    minutes: "{m} min",
    minutes_seconds: "{m} min {s} s",
    hours_minutes: "{h} h {m} min",
    just_now: "just now",
};

/// The text with each `{key}` replaced by its value. Values are not looked into again, so one that contains `{…}` stays
/// as it is.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((key, after)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        if let Some((_, value)) = values.iter().find(|(name, _)| *name == key) {
            out.push_str(value);
        } else {
            out.push('{');
            out.push_str(key);
            out.push('}');
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn fills_each_place_once() {
        assert_eq!(fill("{a} and {b}", &[("a", "{b}"), ("b", "x")]), "{b} and x");
        assert_eq!(fill("{unknown} {", &[]), "{unknown} {");
    }
}
