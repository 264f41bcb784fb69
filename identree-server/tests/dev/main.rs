//! `identree dev` as a newcomer meets it: the real binary, its output, its pages, its end.

mod approve;
mod browser;
mod demo;

use std::net::TcpListener;

use self::demo::Demo;

/// How long anything here may take before the test gives up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn ctrl_c_while_a_question_waits_leaves_nothing_behind() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut demo = Demo::start(&["--user", "ann", "--port", &port.to_string()]);
    assert!(demo.until("Waiting").contains(&format!("http://127.0.0.1:{port}/approve/")));
    demo.end();
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the port is free again");
}

#[test]
fn a_kept_directory_goes_on_where_it_was() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    let arguments = ["--no-question", "--data", data.to_str().unwrap()];
    let read = |name: &str| std::fs::read(data.join(name)).unwrap();
    let mut demo = Demo::start(&arguments);
    demo.until("Ctrl-C ends it.");
    let before = ["client.conf", "ca.pem", "decision.key"].map(read);
    demo.end();
    let mut demo = Demo::start(&arguments);
    demo.until("Ctrl-C ends it.");
    assert_eq!(["client.conf", "ca.pem", "decision.key"].map(read), before);
    demo.end();
}

#[test]
fn the_host_file_is_one_that_the_helper_takes() {
    let mut demo = Demo::start(&["--no-question"]);
    let shown = demo.until("Ctrl-C ends it.");
    let line = shown.lines().find(|line| line.contains("install -D") && line.contains("client.conf")).unwrap();
    let path = line.split_whitespace().find(|word| word.ends_with("/client.conf")).unwrap();
    if rustix::process::geteuid().is_root() {
        let config = identree_pam::Config::load(path.as_ref(), 0).unwrap();
        assert!(config.ca_pem.is_some());
    } else {
        let text = std::fs::read_to_string(path).unwrap();
        identree_pam::Config::parse(&text, path.as_ref()).unwrap();
    }
    demo.end();
}
