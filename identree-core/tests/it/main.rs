//! Integration tests of identree-core.

mod crash;
mod small;
mod sqlite;
mod store;
