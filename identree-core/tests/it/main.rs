//! Integration tests of identree-core.

mod store;
