//! Debian's files and others, with our lines and without.

use proptest::prelude::*;

use super::*;

const SUDO: &str = "#%PAM-1.0\n\n# limits\nsession    required   pam_limits.so\n\n@include common-auth\n@include common-account\n@include common-session-noninteractive\n";
const SU: &str = "auth       sufficient pam_rootok.so\n# auth       required   pam_wheel.so\nsession required pam_env.so readenv=1\n@include common-auth\n@include common-account\n@include common-session\n";

fn gate(password: Password) -> Gate {
    Gate { module: "/usr/libexec/identree/pam_identree.so".into(), password }
}

fn put(text: &str, root: Root) -> Result<String, StackError> {
    install(text.as_bytes(), &gate(Password::Replaced), root).map(|out| String::from_utf8(out).unwrap())
}

#[test]
fn debians_sudo_asks_first_and_takes_no_password() {
    let out = put(SUDO, Root::Asked).unwrap();
    let expected = "#%PAM-1.0\n\n# limits\n\
        # identree setup: begin (identree setup --remove takes this out)\n\
        auth     requisite  /usr/libexec/identree/pam_identree.so\n\
        auth     required   pam_permit.so\n\
        # identree setup: end\n\
        # identree setup: begin (identree setup --remove takes this out)\n\
        account  required   /usr/libexec/identree/pam_identree.so\n\
        # identree setup: end\n\
        session    required   pam_limits.so\n\n\
        #identree setup: @include common-auth\n\
        @include common-account\n@include common-session-noninteractive\n";
    assert_eq!(out, expected);
}

#[test]
fn su_lets_root_pass_in_both_phases_and_asks_all_others() {
    let out = put(SU, Root::Passes).unwrap();
    let lines: Vec<_> = out.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines[..5],
        [
            "account  [success=1 default=ignore] pam_rootok.so",
            "account  required   /usr/libexec/identree/pam_identree.so",
            "auth       sufficient pam_rootok.so",
            "auth     requisite  /usr/libexec/identree/pam_identree.so",
            "auth     required   pam_permit.so",
        ]
    );
    assert!(out.contains("#identree setup: @include common-auth\n"));
}

#[test]
fn what_is_not_certain_is_refused_with_its_line() {
    let by_hand = "auth requisite pam_exec.so seteuid /usr/libexec/identree/identree-pam\n@include common-auth\n";
    assert_eq!(put(by_hand, Root::Asked), Err(StackError::ByHand(1)));
    let jump = "auth [success=1 default=ignore] pam_u2f.so\nauth include system-auth\nauth required pam_deny.so\n";
    assert_eq!(put(jump, Root::Asked), Err(StackError::Jump(1)));
    assert!(install(jump.as_bytes(), &gate(Password::Kept), Root::Asked).is_ok());
    assert_eq!(put("auth required \\\n pam_unix.so\n", Root::Asked), Ok(put_top("auth required \\\n pam_unix.so\n")));
    assert_eq!(put("auth required pam_unix.so \\\n nullok\n", Root::Asked), Err(StackError::Continued(1)));
    let earlier = "auth sufficient pam_foo.so\nauth sufficient pam_rootok.so\n";
    assert_eq!(put(earlier, Root::Passes), Err(StackError::Earlier(1)));
    assert_eq!(remove(format!("{BEGIN}\nauth x y\n").as_bytes()), Err(StackError::Marker(1)));
    assert_eq!(remove(format!("a\n{END}\n").as_bytes()), Err(StackError::Marker(2)));
}

/// Our blocks on top, nothing set aside.
fn put_top(text: &str) -> String {
    let alone = put("", Root::Asked).unwrap();
    alone + text
}

#[test]
fn other_factors_and_restrictions_stay() {
    let text = "auth required pam_u2f.so\nauth required pam_wheel.so group=admin\nauth include system-auth\n";
    let out = put(text, Root::Asked).unwrap();
    assert!(out.contains("\nauth required pam_u2f.so\nauth required pam_wheel.so group=admin\n"), "{out}");
    assert!(out.ends_with("#identree setup: auth include system-auth\n"), "{out}");
}

#[test]
fn included_files_are_followed_by_type() {
    let load = |name: &str| match name {
        "su-l" => Some(b"auth include su\naccount include su\n".to_vec()),
        "su" => Some(put(SU, Root::Passes).unwrap().into_bytes()),
        "half" => Some(b"auth include su\n".to_vec()),
        "debian" => Some(b"@include su\n".to_vec()),
        "ring" => Some(b"@include ring\n".to_vec()),
        _ => None,
    };
    assert_eq!(asks("su-l", &load), Phases { auth: true, account: true });
    assert_eq!(asks("half", &load), Phases { auth: true, account: false });
    assert_eq!(asks("debian", &load), Phases { auth: true, account: true });
    assert_eq!(asks("ring", &load), Phases::default());
    assert_eq!(asks("none", &load), Phases::default());
}

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("auth required pam_unix.so".to_owned()),
        Just("@include common-auth".to_owned()),
        Just("auth sufficient pam_rootok.so".to_owned()),
        Just("auth include system-auth # x".to_owned()),
        Just("account required pam_unix.so \\".to_owned()),
        Just("#%PAM-1.0".to_owned()),
        Just(String::new()),
        "[ -~]{0,30}",
        "\\PC{0,12}",
    ]
}

proptest! {
    #[test]
    fn installing_is_idempotent_and_undone_byte_for_byte(
        lines in prop::collection::vec(any_line(), 0..12),
        newline in any::<bool>(),
        crlf in any::<bool>(),
        passes in any::<bool>(),
        kept in any::<bool>(),
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut text = lines.join(if crlf { "\r\n" } else { "\n" }).into_bytes();
        if newline { text.push(b'\n'); }
        text.extend_from_slice(&tail);
        let gate = gate(if kept { Password::Kept } else { Password::Replaced });
        let root = if passes { Root::Passes } else { Root::Asked };
        if let Ok(out) = install(&text, &gate, root) {
            prop_assert_eq!(&remove(&out).unwrap(), &text);
            prop_assert_eq!(&install(&out, &gate, root).unwrap(), &out);
            let found = asks("x", &|_| Some(out.clone()));
            prop_assert!(found.auth && found.account);
        }
    }
}
