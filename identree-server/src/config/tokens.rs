//! Tokens that programs show.

use identree_core::secret::Secret;

use super::Reader;

impl Reader<'_> {
    /// What a program must show.
    pub(super) fn bearer_token(&mut self, name: &str) -> Option<Secret<String>> {
        let token = Secret::new(self.text(name)?);
        // What cannot stand in a header could never be shown.
        if token.expose().len() < 16 || !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let text =
                "must have at least 16 letters, digits and signs, without spaces; make one with: openssl rand -hex 32";
            self.problem(name, text);
        }
        Some(token)
    }
}
