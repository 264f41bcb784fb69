use super::*;

#[tokio::test]
async fn the_story_ends_as_the_rules_say() {
    let mut out = Vec::new();
    story(&mut out).await.unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "staging: go, a rule allows it\nproduction: go, approved by ada\nrefund: no, denied by grace\n"
    );
}

#[tokio::test]
async fn the_requester_alone_does_not_get_there() {
    let ann = UserName::parse("ann").unwrap();
    let engine = engine(&[]).await.unwrap();
    let refund = Refund::new(ann.clone(), "order:1", 5).unwrap();
    let opened = engine.open(Ask::new(&refund)).await.unwrap();
    let actor = Actor::vouched("test", ann, engine.clock().now(), Strength::SignedIn);
    let verdict = engine.vote(opened.record.question().id, &actor, yes()).await.unwrap();
    assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    let now = engine.wait(opened.record.question().id, engine.clock().now()).await.unwrap();
    assert_eq!(now, Verdict::Pending { have: 0, need: 2 });
}

#[test]
fn the_amount_is_bound() {
    let refund = |cents| Refund::new(UserName::parse("ann").unwrap(), "order:1", cents).unwrap().payload().sha256();
    assert_eq!(refund(500), refund(500));
    assert_ne!(refund(500), refund(501));
}
