//! The shared object in a program that calls it as sudo does: what it leaves behind, and that its memory is in order.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use identree_core::grant::Decision;
use identree_core::id::ChallengeId;
use identree_core::wire::v1::{Reply, Status};

use crate::place::plugin;
use crate::sandbox::require;
use crate::server::{Act, Seen, Server, State, problem};

/// Grants whatever is asked, each question by its own answer.
fn grant_each(state: &State, seen: &Seen, _: usize) -> Act {
    let Some(open) = seen.question.clone() else { return problem(404, "not asked") };
    let nonce = open.nonce;
    let mut answer = state.answer(Decision::Granted);
    let question = open.into_challenge(answer.target.clone(), vec![]).unwrap();
    answer.nonce = nonce;
    answer.challenge = ChallengeId::derive(&answer.target, &nonce);
    answer.payload_sha256 = identree_core::challenge::Challenge::payload(&question).sha256();
    let reply = Reply {
        v: 1,
        challenge_id: answer.challenge,
        status: Status::Approved,
        expires_in: 0,
        user_code: None,
        verification_url: None,
        current_approvals: 1,
        required_approvals: 1,
        answer: Some(state.sign(&answer)),
        statements: Vec::new(),
    };
    Act::Send(200, serde_json::to_vec(&reply).unwrap())
}

/// The compiled harness; `None` where there is no compiler or where root is not who runs this.
fn harness(folder: &Path) -> Option<PathBuf> {
    let there = require("cc", Path::new("/usr/bin/cc").exists());
    if !there || !require("root", rustix::process::geteuid().is_root()) {
        return None;
    }
    let program = folder.join("harness");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/harness.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-Wall", "-Wextra", "-Werror", "-O1", "-g", "-o"]).arg(&program).arg(source).arg("-ldl");
    let compiled = compiler.status().unwrap();
    assert!(compiled.success());
    Some(program)
}

/// Runs it; `prefix` may be another program that runs it. Returns exit code, what it printed and what was told.
fn calls(server: &Server, prefix: &[&str], count: u32, environment: &str) -> Option<(i32, String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let program = harness(folder.path())?;
    let conf = server.write_conf(&server.conf());
    let mut words: Vec<String> = prefix.iter().map(|word| (*word).to_owned()).collect();
    words.extend([program.display().to_string(), plugin().display().to_string(), count.to_string()]);
    words.push(format!("config={}", conf.display()));
    // The pid is known only when it runs: the shell keeps its own across exec.
    let lists = format!(
        "user=root\\0pid=%s\\0uid=0\\0cwd=/\\0\\0command=/usr/bin/true\\0runas_user=root\\0runas_uid=0\\0runas_gid=0\\0\
         runas_groups=0\\0umask=022\\0\\0true\\0-x\\0\\0TERM=xterm\\0{environment}\\0\\0"
    );
    let input = folder.path().join("lists");
    let script = format!("printf '{lists}' $$ >'{}'; exec \"$@\" <'{0}'", input.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).args(&words).stdin(Stdio::null());
    let output = command.output().unwrap();
    identree_evidence::output("harness", &output);
    std::io::stderr().write_all(&output.stderr).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
}

#[test]
fn a_thousand_calls_leave_nothing_behind() {
    let server = Server::start(grant_each);
    let Some((code, printed, _)) = calls(&server, &[], 1000, "A=1") else { return };
    assert_eq!(code, 0);
    let (counts, sizes) = printed.split_once(" loaded ").unwrap();
    let (_, grown) = sizes.split_once(" grown ").unwrap();
    let clean = "accepted 1000 denied 0 failed 0 descriptors 0 threads 1 mask 0 dispositions 0";
    assert_eq!(counts, clean);
    let grown: i64 = grown.trim_end().strip_suffix(" KiB").unwrap().parse().unwrap();
    assert!(grown <= 1024, "{grown} KiB");
    assert!(matches!(server.seen()[0].question.as_ref().map(|q| q.v), Some(1)));
    let nonces: std::collections::HashSet<_> =
        server.seen().iter().map(|s| s.question.as_ref().unwrap().nonce.to_string()).collect();
    assert_eq!(nonces.len(), 1000, "each call is a question of its own");
}

#[test]
fn its_memory_is_in_order() {
    if !require("valgrind", Path::new("/usr/bin/valgrind").exists()) {
        return;
    }
    let suppressions = format!("--suppressions={}/tests/it/valgrind.supp", env!("CARGO_MANIFEST_DIR"));
    let kinds = "--errors-for-leak-kinds=definite,indirect";
    let valgrind = ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", kinds, &suppressions];
    for (environment, accepted) in [("A=1", 2), ("LD_PRELOAD=/x.so", 0)] {
        let server = Server::start(grant_each);
        let Some((code, printed, told)) = calls(&server, &valgrind, 2, environment) else { return };
        assert_eq!(code, 0, "{told}");
        assert!(printed.starts_with(&format!("accepted {accepted} denied {}", 2 - accepted)), "{printed}{told}");
    }
}
