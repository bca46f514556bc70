//! Messages delivered since the last call, within bounds; beyond them they are only counted. Digests are made when asked for.
use libp2p::{PeerId, gossipsub};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const INBOX_BYTES: usize = 16 << 20;

pub struct Inbox {
    limit: usize,
    bytes: usize,
    dropped: u64,
    kept: Vec<(PeerId, gossipsub::MessageId, gossipsub::Message)>,
}

impl Inbox {
    pub fn new(limit: usize) -> Inbox {
        Inbox { limit, bytes: 0, dropped: 0, kept: vec![] }
    }

    pub fn add(&mut self, source: PeerId, id: gossipsub::MessageId, m: gossipsub::Message) {
        if self.kept.len() >= self.limit || self.bytes + m.data.len() > INBOX_BYTES {
            self.dropped += 1;
            return;
        }
        self.bytes += m.data.len();
        self.kept.push((source, id, m));
    }

    pub fn take(&mut self, q: &Value) -> Value {
        let topic = q["topic"].as_str().unwrap_or("");
        let max = q["max"].as_u64().filter(|&n| n > 0).map_or(usize::MAX, |n| n as usize);
        let data = q["data"].as_bool().unwrap_or(false);
        let mut messages = vec![];
        let bytes = &mut self.bytes;
        self.kept.retain(|(source, id, m)| {
            if (!topic.is_empty() && m.topic.as_str() != topic) || messages.len() >= max {
                return true;
            }
            *bytes -= m.data.len();
            let mut v = json!({
                "from": m.source.map_or(String::new(), |p| p.to_string()),
                "seqno": m.sequence_number.map_or(String::new(), |s| hex::encode(s.to_be_bytes())),
                "id": hex::encode(&id.0), "size": m.data.len(), "sha256": hex::encode(Sha256::digest(&m.data)),
                "received_from": source.to_string(), "topic": m.topic.as_str(),
            });
            if data {
                v["data"] = hex::encode(&m.data).into();
            }
            messages.push(v);
            false
        });
        json!({ "messages": messages, "dropped": std::mem::take(&mut self.dropped) })
    }
}
