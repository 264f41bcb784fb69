//! A question type of one's own: what approvers read, and what the answer binds.

use identree_core::canon::Writer;
use identree_core::challenge::{Challenge, Detail, Label, Payload, Summary};
use identree_core::id::{ChallengeKind, NameError, Target, TargetName, UserName};

/// May this clerk pay this much back for that order?
#[derive(Debug)]
pub(crate) struct Refund {
    clerk: UserName,
    order: Target,
    kind: ChallengeKind,
    cents: u64,
}

impl Refund {
    /// Names are parsed here, once.
    ///
    /// # Errors
    /// [`NameError`] says which name is not one.
    pub(crate) fn new(clerk: UserName, order: &str, cents: u64) -> Result<Self, NameError> {
        let order = Target::Named(TargetName::parse(order)?);
        Ok(Self { clerk, order, kind: ChallengeKind::parse("refund")?, cents })
    }

    fn amount(&self) -> String {
        format!("{}.{:02} EUR", self.cents / 100, self.cents % 100)
    }
}

impl Challenge for Refund {
    fn kind(&self) -> ChallengeKind {
        self.kind.clone()
    }

    fn requester(&self) -> &UserName {
        &self.clerk
    }

    fn target(&self) -> &Target {
        &self.order
    }

    fn summary(&self) -> Summary {
        let details = vec![Detail { label: Label::Other("Amount".into()), value: self.amount() }];
        Summary { action: format!("refund {} for {}", self.amount(), self.order), reason: None, details }
    }

    /// One form per meaning: the grant binds the SHA-256 of these bytes, so it is good for this amount of this order only.
    fn payload(&self) -> Payload {
        let mut writer = Writer::new(b"shop refund v1");
        writer.put_text(self.order.name());
        writer.put_number(self.cents);
        Payload::new(writer.finish())
    }
}
