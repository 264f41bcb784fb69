//! Asking the person why, before the question goes out.

use identree_core::challenge::SudoChallenge;
use identree_core::text::is_hidden;

use crate::terminal::{Echo, Terminal};
use crate::text::Language;

/// How often somebody may mistype a number.
const TRIES: usize = 3;

/// Shows the usual reasons and takes a number of theirs or other words. `None`: nobody answered, or with nothing usable.
pub(crate) fn ask(language: Language, terminal: &mut dyn Terminal) -> Option<String> {
    let choices = language.reasons();
    let mut prompt = format!("identree: {}\n", language.why());
    for (at, choice) in choices.iter().enumerate() {
        prompt.push_str(&format!("  {}  {choice}\n", at + 1));
    }
    prompt.push_str(&format!("  {}: ", language.number_or_words()));
    for _ in 0..TRIES {
        let answer = terminal.ask(&prompt, Echo::On)?;
        if answer.expose().trim().is_empty() {
            return None;
        }
        if let Some(reason) = chosen(answer.expose(), &choices) {
            return Some(reason);
        }
    }
    None
}

/// What the answer stands for: a number of the list, or words that can be shown in full.
fn chosen(answer: &str, choices: &[&str]) -> Option<String> {
    let answer = answer.trim();
    if answer.bytes().all(|b| b.is_ascii_digit()) {
        let at = answer.parse::<usize>().ok()?.checked_sub(1)?;
        return choices.get(at).map(|choice| (*choice).to_owned());
    }
    let usable = answer.len() <= SudoChallenge::MAX_REASON_BYTES && !answer.chars().any(is_hidden);
    usable.then(|| answer.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_list_or_words() {
        let choices = Language::English.reasons();
        assert_eq!(chosen(" 2 ", &choices).as_deref(), Some("incident response"));
        assert_eq!(chosen("ticket 7", &choices).as_deref(), Some("ticket 7"));
        for odd in ["0", "7", "99999999999999999999", "a\u{202e}b", &"x".repeat(2001)] {
            assert_eq!(chosen(odd, &choices), None, "{odd}");
        }
        assert_eq!(Language::German.reasons().len(), choices.len());
    }
}
