//! The steps of the schema: forward only, numbered without gaps, each in a transaction.

mod m0001_start;
mod m0002_log;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All steps, in order.
pub(super) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_start::Step), Box::new(m0002_log::Step)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SCHEMA;

    #[test]
    fn numbers_are_dense_and_every_step_is_one_transaction() {
        for (at, step) in Migrator::migrations().iter().enumerate() {
            assert!(step.name().starts_with(&format!("m{:04}_", at + 1)), "{}", step.name());
            assert_eq!(step.use_transaction(), Some(true), "{}", step.name());
        }
        assert_eq!(Migrator::migrations().last().map(|step| step.name().to_owned()).as_deref(), Some(SCHEMA));
    }
}
