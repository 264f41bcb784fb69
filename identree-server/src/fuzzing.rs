//! The private parsers of bytes from outside, opened for `identree-server/fuzz` alone. No part of what the crate promises.

use std::collections::BTreeMap;

use identree_core::id::GroupName;

use crate::config::{Settings, fuzzing};
pub use crate::login::fuzzing::{callback, own_path};
pub use crate::web::fuzzing::form;

/// The groups that an ID token's claims name; nothing if the claims cannot be read.
pub fn groups(claims: &[u8]) -> Option<Vec<GroupName>> {
    crate::login::fuzzing::groups(claims)
}

/// What is said about settings from these texts: warnings, and all that is wrong.
pub fn settings(environment: &BTreeMap<String, String>, conf: Option<&str>, toml: Option<&str>) -> String {
    let found = fuzzing::found(environment, conf, toml);
    let mut told = found.warnings.join("\n");
    if let Err(error) = Settings::from_found(&found) {
        told.push_str(&error.to_string());
    }
    told
}
