//! Links against the libpam that every host has (`libpam.so.0`), not against a development package.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-l:libpam.so.0");
}
