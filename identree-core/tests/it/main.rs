//! Integration tests of identree-core.

mod backup;
mod corpora;
mod crash;
mod retention;
mod postgres;
mod small;
mod sqlite;
mod store;
mod upgrade;
