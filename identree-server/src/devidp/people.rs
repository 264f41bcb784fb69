//! Who one can be.

use identree_core::canon::sha256;
use identree_core::id::UserName;
use identree_core::text::hex;

/// Somebody to sign in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persona {
    /// Their `preferred_username`.
    pub name: UserName,
    /// Their `name`, as people write it.
    pub full_name: String,
    /// Their `groups`.
    pub groups: Vec<String>,
}

impl Persona {
    /// The group whose members administrate in development.
    pub const ADMIN_GROUP: &str = "admins";

    /// One ordinary person of the given name and two administrators of other names: `ada` and `grace`.
    pub fn cast(ordinary: UserName) -> Vec<Self> {
        let administrators = [("ada", "Ada Lovelace"), ("grace", "Grace Hopper"), ("edith", "Edith Clarke")];
        let mut cast: Vec<Self> = administrators
            .into_iter()
            .filter(|(name, _)| *name != ordinary.as_str())
            .take(2)
            .filter_map(|(name, full_name)| {
                let groups = vec![Self::ADMIN_GROUP.to_owned()];
                UserName::parse(name).ok().map(|name| Self { name, full_name: full_name.to_owned(), groups })
            })
            .collect();
        cast.insert(0, Self { full_name: ordinary.to_string(), name: ordinary, groups: Vec::new() });
        cast
    }

    /// Their `sub`: stable for the name, and nothing that anybody should take for it.
    pub(super) fn subject(&self) -> String {
        hex(&sha256(format!("identree development person {}", self.name).as_bytes())[..12])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_different_people_whatever_the_first_is_called() {
        for name in ["dev", "ada", "grace", "edith"] {
            let cast = Persona::cast(UserName::parse(name).unwrap());
            assert_eq!(cast.len(), 3);
            assert_eq!(cast[0].name.as_str(), name);
            assert!(cast[0].groups.is_empty());
            assert!(
                cast[1..].iter().all(|person| person.groups == [Persona::ADMIN_GROUP] && person.name.as_str() != name)
            );
            assert_ne!(cast[1].subject(), cast[2].subject());
        }
    }
}
