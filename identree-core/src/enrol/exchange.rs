//! The request and its answer, both bound to the token.

use serde::{Deserialize, Serialize};

use super::Token;
use crate::canon::{Malformed, Reader, Writer, sha256};
use crate::credential::{HostKey, HostVerifier};
use crate::grant::{PublicKey, TrustedKey, base64url, put_keys, take_keys};
use crate::id::{HostName, Nonce, TokenId};
use crate::text::{hex, unhex};
use crate::time::Timestamp;
use crate::wire::settings::ClientSettings;
use crate::wire::v1::VERSION;

const POSSESSION: &[u8] = b"identree enrol possession v1";
const REQUEST: &[u8] = b"identree enrol request v1";
const ANSWER: &[u8] = b"identree enrol answer v1";

/// A host's wish to be known by its new key: the body of `POST /api/enroll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// [`VERSION`].
    pub v: u8,
    /// Who the host is to be; the token is for this name alone.
    pub host: HostName,
    /// With which token.
    pub token: TokenId,
    /// The new key.
    pub key: PublicKey,
    /// Made for this request; the answer names it.
    pub nonce: Nonce,
    /// The new key's signature over all of the above, base64url without padding.
    #[serde(with = "base64url")]
    pub possession: Vec<u8>,
    /// The token's MAC over all of the above, in hexadecimal digits.
    pub mac: String,
}

impl EnrolRequest {
    /// The request of a host that holds the key and the token.
    pub fn new(token: &Token, key: &HostKey, nonce: Nonce) -> Self {
        let mut request = Self {
            v: VERSION,
            host: token.host().clone(),
            token: token.id(),
            key: key.public(),
            nonce,
            possession: Vec::new(),
            mac: String::new(),
        };
        request.possession = key.sign(&request.facts(POSSESSION)).to_vec();
        request.mac = hex(&token.mac(&request.canonical()));
        request
    }

    /// Whether its sender knows the token.
    pub fn knows(&self, token: &Token) -> bool {
        let mut mac = [0; 32];
        let form = unhex(&self.mac, &mut mac) && self.host == *token.host() && self.token == token.id();
        token.holds(&self.canonical(), &mac) && form
    }

    /// Whether its sender holds the key; the key ready for use then.
    pub fn possessed(&self) -> Option<HostVerifier> {
        let signature: &[u8; 64] = self.possession.as_slice().try_into().ok()?;
        HostVerifier::new(&self.key).filter(|key| key.signed(&self.facts(POSSESSION), signature))
    }

    fn facts(&self, purpose: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new(purpose);
        writer.put_text(self.host.as_str());
        writer.put(self.token.as_bytes());
        writer.put(self.key.as_bytes());
        writer.put(self.nonce.as_bytes());
        writer.finish()
    }

    fn canonical(&self) -> Vec<u8> {
        let mut writer = Writer::new(REQUEST);
        writer.put(&self.facts(POSSESSION));
        writer.put(&self.possession);
        writer.finish()
    }
}

/// What a host that has enrolled must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The name it is registered under.
    pub host: HostName,
    /// The key it is known by now.
    pub key: PublicKey,
    /// Since when.
    pub since: Timestamp,
    /// Of the last statement about decision keys.
    pub epoch: u64,
    /// Whose answers count.
    pub keys: Vec<TrustedKey>,
    /// The offline key to pin beside them.
    pub root: Option<PublicKey>,
    /// What the server asks of its hosts.
    pub settings: ClientSettings,
}

/// The answer to an [`EnrolRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolReply {
    /// [`VERSION`].
    pub v: u8,
    /// The canonical bytes, base64url without padding.
    #[serde(with = "base64url")]
    pub bytes: Vec<u8>,
    /// The token's MAC over them, in hexadecimal digits.
    pub mac: String,
}

impl EnrolReply {
    /// The answer to this request.
    pub fn new(token: &Token, request: &EnrolRequest, enrolment: &Enrolment) -> Self {
        let mut writer = Writer::new(ANSWER);
        writer.put(&sha256(&request.canonical()));
        writer.put_text(enrolment.host.as_str());
        writer.put(enrolment.key.as_bytes());
        writer.put(&enrolment.since.as_millis().to_be_bytes());
        writer.put_number(enrolment.epoch);
        put_keys(&mut writer, &enrolment.keys);
        writer.put(enrolment.root.as_ref().map_or(&[][..], |root| root.as_bytes()));
        writer.put_text(&enrolment.settings.to_string());
        let bytes = writer.finish();
        let mac = hex(&token.mac(&bytes));
        Self { v: VERSION, bytes, mac }
    }

    /// What it says, if it comes from somebody who knows the token and answers this very request.
    ///
    /// # Errors
    /// [`Malformed`] for everything else; there is nothing to be had from such an answer.
    pub fn open(&self, token: &Token, request: &EnrolRequest) -> Result<Enrolment, Malformed> {
        let mut mac = [0; 32];
        if !unhex(&self.mac, &mut mac) || !token.holds(&self.bytes, &mac) {
            return Err(Malformed);
        }
        let mut reader = Reader::new(&self.bytes, ANSWER)?;
        let answered: [u8; 32] = reader.take_array()?;
        let host = HostName::parse(reader.take_text()?).map_err(|_| Malformed)?;
        let key = PublicKey::checked(reader.take_array()?).map_err(|_| Malformed)?;
        let since = Timestamp::from_millis(i64::from_be_bytes(reader.take_array()?));
        let epoch = reader.take_number()?;
        let keys = take_keys(&mut reader)?;
        let root = match reader.take()? {
            [] => None,
            bytes => {
                let bytes = bytes.try_into().map_err(|_| Malformed)?;
                Some(PublicKey::checked(bytes).map_err(|_| Malformed)?)
            }
        };
        let settings = ClientSettings::parse(reader.take_text()?);
        reader.end()?;
        if answered != sha256(&request.canonical()) || host != request.host || key != request.key {
            return Err(Malformed);
        }
        Ok(Enrolment { host, key, since, epoch, keys, root, settings })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::credential::MasterSecret;

    fn token(host: &str, generation: u32, id: u8) -> Token {
        let master = MasterSecret::parse(&"m".repeat(32)).unwrap();
        master.enrol_token(&HostName::parse(host).unwrap(), generation, TokenId::from_bytes([id; 8]))
    }

    fn request(token: &Token, seed: u8) -> EnrolRequest {
        EnrolRequest::new(token, &HostKey::from_seed(&[seed; 32]), Nonce::from_bytes([9; 32]))
    }

    fn enrolment(request: &EnrolRequest) -> Enrolment {
        let decides = HostKey::from_seed(&[5; 32]).public();
        Enrolment {
            host: request.host.clone(),
            key: request.key,
            since: Timestamp::from_secs(7),
            epoch: 3,
            keys: vec![TrustedKey { key: decides, until: None }],
            root: Some(HostKey::from_seed(&[6; 32]).public()),
            settings: ClientSettings { rotation_days: Some(9), ..ClientSettings::default() },
        }
    }

    #[test]
    fn the_token_round_trips_and_debug_shows_nothing() {
        let token = token("web1.example.org", 1, 7);
        let text = token.reveal();
        let again = Token::parse(&format!(" {}\n", text.expose())).unwrap();
        assert_eq!(again.reveal().expose(), text.expose());
        let secret = text.expose().split('.').nth(2).unwrap();
        assert!(!format!("{token:?}").contains(secret));
        for bad in ["", "x", &text.expose()[1..], &text.expose().replace("enroll-1", "enroll-2")] {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_exchange_between_those_who_know_the_token_holds() {
        let token = token("web1", 1, 7);
        let asked = request(&token, 1);
        let json = serde_json::to_string(&asked).unwrap();
        assert!(!json.contains(token.reveal().expose().split('.').nth(2).unwrap()), "the token stays at home");
        let asked: EnrolRequest = serde_json::from_str(&json).unwrap();
        assert!(asked.knows(&token) && asked.possessed().is_some());
        let reply = EnrolReply::new(&token, &asked, &enrolment(&asked));
        assert_eq!(reply.open(&token, &asked).unwrap(), enrolment(&asked));
    }

    #[test]
    fn a_token_of_another_host_generation_or_id_is_another_token() {
        let own = token("web1", 1, 7);
        for other in [token("web2", 1, 7), token("web1", 2, 7), token("web1", 1, 8)] {
            let mut asked = request(&other, 1);
            (asked.host, asked.token) = (own.host().clone(), own.id());
            assert!(!asked.knows(&own));
            assert!(!request(&own, 1).knows(&other));
        }
    }

    #[test]
    fn somebody_between_can_neither_swap_the_key_nor_plant_one() {
        let token = token("web1", 1, 7);
        let asked = request(&token, 1);
        // Another key under the old MAC, and a key that its sender does not hold.
        let thief = HostKey::from_seed(&[2; 32]);
        let swapped = EnrolRequest { key: thief.public(), ..asked.clone() };
        assert!(!swapped.knows(&token) && swapped.possessed().is_none());
        let mut renamed = EnrolRequest { host: HostName::parse("web2").unwrap(), ..asked.clone() };
        assert!(!renamed.knows(&token) && renamed.possessed().is_none());
        renamed.possession.clear();
        assert!(renamed.possessed().is_none());
        // Decision keys of their own, an answer to another request, an answer under another token.
        let mut planted = EnrolReply::new(&token, &asked, &enrolment(&asked));
        let at = planted.bytes.len() - 40;
        planted.bytes[at] ^= 1;
        assert!(planted.open(&token, &asked).is_err());
        let later = EnrolRequest::new(&token, &HostKey::from_seed(&[1; 32]), Nonce::from_bytes([8; 32]));
        assert!(EnrolReply::new(&token, &asked, &enrolment(&asked)).open(&token, &later).is_err());
        let forged = EnrolReply::new(&super::tests::token("web1", 1, 8), &asked, &enrolment(&asked));
        assert!(forged.open(&token, &asked).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_an_answer_unless_the_token_says_so(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let token = token("web1", 1, 7);
            let asked = request(&token, 1);
            let mac = hex(&token.mac(&bytes));
            let forged = EnrolReply { v: 1, bytes: bytes.clone(), mac: "0".repeat(64) };
            prop_assert!(forged.open(&token, &asked).is_err());
            // Even under the right MAC only the canonical form is read, and never with a panic.
            let odd = EnrolReply { v: 1, bytes, mac };
            prop_assert!(odd.open(&token, &asked).is_err());
        }
    }
}
