//! Integration tests of identree-core.

mod crash;
mod sqlite;
mod store;
