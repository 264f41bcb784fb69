//! Every text a person reads on our pages: one file per language, the same names in each.
//!
//! A `{name}` in a text is filled in by [`fill`]; templates escape the result.

mod english;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// English.
    English,
}

impl Language {
    /// All of them, in the order of their numbers (`as usize`).
    pub(crate) const ALL: [Self; 1] = [Self::English];

    /// Its texts.
    pub(crate) const fn text(self) -> &'static Text {
        match self {
            Self::English => &english::TEXT,
        }
    }

    /// Its tag (RFC 5646).
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
        }
    }
}

macro_rules! texts {
    ($($name:ident,)*) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub(crate) struct Text {
            $(pub(super) $name: &'static str,)*
        }

        #[cfg(test)]
        impl Text {
            /// Each text with its name.
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

texts! {
    skip_to_content, sign_in, sign_out, signed_in_as, administrator, welcome, welcome_more, degraded,

    waiting, waiting_none, waiting_none_more, recent, your_question, list_changed, back_to_list,

    asks_sudo, asks_sudo_own, asked_sudo, asked_sudo_own, asked_other, asked_other_own, asks_other, asks_other_own,
    command, command_as_typed, hidden_characters, caution, reason_given, requester, host, target, run_as, directory,
    terminal, service, asked, asked_ago, rule, time_left, ends_at, approvals, approved_by,

    code, code_compare, code_compare_own, number, number_help, number_hidden, approve, deny, add_reason, reason_label,
    sending,

    you_approved, missing_one, missing_many, not_your_own, admin_only, stale_sign_in, sign_in_again,

    error, wrong_number, already_voted, too_late, disabled, reason_too_long,

    approved, denied, expired, cancelled, refused, pending, approved_text, allowed_text, denied_text, expired_text,
    cancelled_text, refused_text, refused_by_rule, their_reason, why, may_close,

    not_found, not_found_more, foreign_form, foreign_form_more, signed_out, signed_out_more, sign_in_failed,
    sign_in_failed_more, stale_form, stale_form_more, bad_form, bad_form_more, too_large, too_large_more, too_slow,
    too_slow_more, too_fast, too_fast_more, unavailable, unavailable_more, try_again,

    seconds, minutes, minutes_seconds, hours_minutes, just_now,
}

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
    use super::{Language, fill};

    #[test]
    fn no_text_is_empty() {
        for language in Language::ALL {
            assert!(language.text().all().iter().all(|(_, text)| !text.trim().is_empty()));
        }
    }

    #[test]
    fn fills_each_place_once() {
        assert_eq!(fill("{a} and {b}", &[("a", "{b}"), ("b", "x")]), "{b} and x");
        assert_eq!(fill("{unknown} {", &[]), "{unknown} {");
    }
}
