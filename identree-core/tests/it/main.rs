//! Integration tests of identree-core.

mod backup;
mod corpora;
mod crash;
mod cut;
mod log;
mod postgres;
mod retention;
mod small;
mod sqlite;
mod store;
mod upgrade;
mod writers;
