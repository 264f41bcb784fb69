//! Every text a person reads on our pages: one file per language, the same names in each.
//!
//! A `{name}` in a text is filled in by [`fill`]; templates escape the result.

mod english;
mod german;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English, which whoever says nothing gets.
    #[default]
    English,
    /// German.
    German,
}

impl Language {
    /// All of them, in the order of their numbers (`as usize`).
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its texts.
    pub(crate) const fn text(self) -> &'static Text {
        match self {
            Self::English => &english::TEXT,
            Self::German => &german::TEXT,
        }
    }

    /// Its tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Its own name for itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// From its tag, in lower case.
    pub fn parse(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }
}

macro_rules! texts {
    ($($name:ident,)*) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub(crate) struct Text {
            $(pub(crate) $name: &'static str,)*
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
    skip_to_content, sign_in, sign_out, signed_in_as, administrator, choose_language, welcome, welcome_more, degraded,

    waiting, waiting_none, waiting_none_more, recent, your_question, list_changed, back_to_list,

    asks_sudo, asks_sudo_own, asked_sudo, asked_sudo_own,
    asks_login, asks_login_own, asked_login, asked_login_own, asked_other, asked_other_own, asks_other, asks_other_own,
    command, command_as_typed, command_bound, hidden_characters, caution, reason_given, requester, host, target, run_as, remote,
    directory,
    terminal, service, mode, called_as, starts_in, root_directory, umask, editor, file, folders, environment, setting,
    flag_writable, flag_inline_code, flag_shell, flag_shell_escape, flag_script, flag_relative_script, flag_environment,
    flag_edit, flag_root, asked, asked_ago, rule, time_left, ends_at, approvals, approved_by, vote_reason,

    code, code_compare, code_compare_own, number, number_help, number_hidden, approve, deny, add_reason, reason_label,
    sending,

    you_approved, missing_one, missing_many, not_your_own, admin_only, stale_sign_in, sign_in_again,

    error, wrong_number, already_voted, too_late, disabled, reason_too_long,

    approved, denied, expired, cancelled, refused, pending, approved_text, allowed_text, denied_text, expired_text,
    cancelled_text, refused_text, refused_by_rule, their_reason, why, why_no_policy, why_shut_out, why_wrong_numbers, why_window, may_close,

    not_found, not_found_more, foreign_form, foreign_form_more, signed_out, signed_out_more, sign_in_failed,
    sign_in_failed_more, provider_down, not_begun_here, provider_refused, not_accepted, no_name, bad_name, name_taken,
    store_down, stale_form, stale_form_more, bad_form, bad_form_more, too_large, too_large_more, too_slow,
    too_slow_more, too_fast, too_fast_more, unavailable, unavailable_more, try_again,

    hosts, hosts_none, host_seen, host_green, host_amber, host_red, host_no_gate, host_half_gate, host_no_plugin,
    host_no_break_glass, host_old_break_glass, host_used_break_glass, host_clock_off, host_quiet, host_never,

    seconds, minutes, minutes_seconds, hours_minutes, just_now,
}

/// The text with each `{key}` replaced by its value. Values are not looked into again, so one that contains `{…}` stays
/// as it is.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
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

    /// Texts that are the same in other languages.
    const SAME: &[&str] =
        &["host", "terminal", "code", "seconds", "minutes", "minutes_seconds", "hours_minutes", "umask", "editor"];

    fn places(text: &str) -> std::collections::BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(place, _)| place).collect()
    }

    #[test]
    fn every_text_says_the_same_in_each_language() {
        for language in Language::ALL {
            for ((name, english), (_, text)) in Language::English.text().all().into_iter().zip(language.text().all()) {
                assert!(!text.trim().is_empty(), "{name} is empty in {language:?}");
                assert_eq!(places(text), places(english), "{name} in {language:?}");
                let translated = language == Language::English || text != english || SAME.contains(&name);
                assert!(translated, "{name} is not translated into {language:?}");
                let straight = text.contains('"') || text.contains('\'') || text.contains("...");
                assert!(!straight, "{name} in {language:?} wants the proper signs: {text}");
            }
        }
    }

    #[test]
    fn tags_are_read_back() {
        for language in Language::ALL {
            assert_eq!(Language::parse(language.tag()), Some(language));
            assert_eq!(Language::ALL[language as usize], language);
        }
        assert_eq!(Language::parse("fr"), None);
    }

    #[test]
    fn fills_each_place_once() {
        assert_eq!(fill("{a} and {b}", &[("a", "{b}"), ("b", "x")]), "{b} and x");
        assert_eq!(fill("{unknown} {", &[]), "{unknown} {");
    }
}
