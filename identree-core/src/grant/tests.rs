//! Signed answers: what verifies, and that nothing else does.

#![cfg(feature = "engine")]

use proptest::prelude::*;

use super::*;
use crate::id::{HostName, TargetName};
use crate::rng::SeededEntropy;

fn answer(decision: Decision) -> Answer {
    Answer {
        decision,
        challenge: ChallengeId::from_bytes([1; 16]),
        target: Target::Host(HostName::parse("web1").unwrap()),
        nonce: Nonce::from_bytes([2; 32]),
        kind: ChallengeKind::parse("sudo").unwrap(),
        requester: UserName::parse("ann").unwrap(),
        run_as_user: Some(UserName::parse("root").unwrap()),
        run_as_group: None,
        payload_sha256: [3; 32],
        issued: Timestamp::from_secs(1000),
        expires: Timestamp::from_secs(1030),
        extras: vec![("by".into(), "bob".into())],
    }
}

fn expected(answer: &Answer) -> Expected<'_> {
    Expected {
        nonce: &answer.nonce,
        target: &answer.target,
        kind: &answer.kind,
        requester: &answer.requester,
        run_as_user: answer.run_as_user.as_ref(),
        run_as_group: answer.run_as_group.as_ref(),
        payload_sha256: &answer.payload_sha256,
    }
}

fn signed(answer: &Answer, seed: u64) -> (SignedAnswer, KeyRing) {
    let signer = LocalSigner::generate(&SeededEntropy::new(seed));
    let made =
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(SignedAnswer::make(answer, &signer));
    (made.unwrap(), KeyRing::new(vec![signer.public_key()]).unwrap())
}

#[test]
fn a_yes_is_a_grant_and_a_no_never_is() {
    for decision in [Decision::Granted, Decision::Denied, Decision::Expired, Decision::Cancelled, Decision::Refused] {
        let answer = answer(decision);
        let (signed, keys) = signed(&answer, 1);
        let proven = verify(&signed, &keys, &expected(&answer)).unwrap();
        assert_eq!(decision == Decision::Granted, matches!(proven, Proven::Grant(_)), "{decision:?}");
    }
}

#[test]
fn a_refusal_cannot_be_turned_into_a_grant_by_its_purpose() {
    let mut forged = answer(Decision::Denied).encode(KeyId::from_bytes([0; 8]));
    let at = forged.windows(7).position(|w| w == b"refusal").unwrap();
    forged.splice(at..at + 7, *b"grantXX");
    assert!(Answer::decode(&forged).is_err());
}

#[test]
fn a_foreign_answer_is_refused_whatever_differs() {
    let asked = answer(Decision::Granted);
    let differ: [fn(&mut Answer); 8] = [
        |a| a.nonce = Nonce::from_bytes([9; 32]),
        |a| a.target = Target::Host(HostName::parse("web2").unwrap()),
        |a| a.target = Target::Named(TargetName::parse("web1").unwrap()),
        |a| a.kind = ChallengeKind::parse("login").unwrap(),
        |a| a.requester = UserName::parse("eve").unwrap(),
        |a| a.run_as_user = None,
        |a| a.run_as_group = Some(UnixGroup::parse("adm").unwrap()),
        |a| a.payload_sha256 = [4; 32],
    ];
    for change in differ {
        let mut other = answer(Decision::Granted);
        change(&mut other);
        let (signed, keys) = signed(&other, 1);
        assert_eq!(verify(&signed, &keys, &expected(&asked)), Err(VerifyError::Foreign));
    }
}

#[test]
fn only_listed_keys_count() {
    let answer = answer(Decision::Granted);
    let (signed_by_other, _) = signed(&answer, 2);
    let (_, keys) = signed(&answer, 1);
    assert_eq!(verify(&signed_by_other, &keys, &expected(&answer)), Err(VerifyError::UnknownKey));
    assert_eq!(KeyRing::parse(" , "), Err(KeyRingError::Empty));
    assert!(KeyRing::parse(&"A".repeat(43)).is_err(), "the all-zero point is weak");
}

#[test]
fn keys_round_trip_as_text() {
    let key = LocalSigner::generate(&SeededEntropy::new(3)).public_key();
    assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
}

proptest! {
    #[test]
    fn one_flipped_bit_breaks_it(at in any::<prop::sample::Index>(), bit in 0..8u8, in_signature in any::<bool>()) {
        let answer = answer(Decision::Granted);
        let (mut signed, keys) = signed(&answer, 1);
        let bytes = if in_signature { &mut signed.signature } else { &mut signed.bytes };
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(verify(&signed, &keys, &expected(&answer)).is_err());
    }

    #[test]
    fn a_truncated_answer_breaks(keep in any::<prop::sample::Index>()) {
        let answer = answer(Decision::Granted);
        let (mut signed, keys) = signed(&answer, 1);
        signed.bytes.truncate(keep.index(signed.bytes.len()));
        prop_assert!(verify(&signed, &keys, &expected(&answer)).is_err());
    }

    #[test]
    fn encoding_round_trips(extras in prop::collection::vec((".{0,8}", ".{0,8}"), 0..4), issued in any::<i64>()) {
        let answer = Answer { extras, issued: Timestamp::from_millis(issued), ..answer(Decision::Denied) };
        let key = KeyId::from_bytes([5; 8]);
        prop_assert_eq!(Answer::decode(&answer.encode(key)), Ok((key, answer)));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Answer::decode(&bytes);
    }
}
