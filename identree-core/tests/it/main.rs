//! Integration tests of identree-core.

mod corpora;
mod crash;
mod small;
mod sqlite;
mod store;
mod upgrade;
