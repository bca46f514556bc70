//! The cfg of `start`, and the library's options that follow from it.
use libp2p::{gossipsub, identity::Keypair};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;

pub struct Config {
    q: Value,
    pub topics: Vec<String>,
    pub listen: Option<String>,
    pub nodes: usize,
    pub inbox: usize,
    pub threads: usize,
    pub max_msg: usize,
    pub queue: usize,
}

impl Config {
    pub fn read(q: &Value) -> Result<Config, String> {
        let mut q = q.clone();
        if let Some(Value::Object(nested)) = q.get("cfg").cloned() {
            q.as_object_mut().expect("a request is an object").extend(nested);
        }
        let topics: Vec<String> = q["topics"].as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect();
        let number = |name: &str, otherwise: u64| q[name].as_u64().unwrap_or(otherwise) as usize;
        let c = Config {
            topics: if topics.is_empty() { vec!["bench".into()] } else { topics },
            listen: match q.get("listen") {
                None => Some("/ip4/127.0.0.1/tcp/0".into()),
                Some(l) => l.as_str().map(str::to_owned),
            },
            nodes: number("nodes", 1),
            inbox: number("inbox", 4096),
            threads: number("threads", 0),
            max_msg: number("max_msg", 1 << 20),
            queue: number("queue", 4096),
            q,
        };
        if c.nodes < 1 || c.max_msg < 1 || c.queue < 1 {
            return Err("nodes, max_msg and queue must be positive".into());
        }
        if c.nodes > 1 && c.text("key", "") != "" {
            return Err(format!("one key cannot serve {} nodes", c.nodes));
        }
        if c.q["score"].as_bool() == Some(true) {
            return Err("score: not supported".into());
        }
        Ok(c)
    }

    fn text(&self, name: &str, otherwise: &str) -> String {
        self.q[name].as_str().unwrap_or(otherwise).to_owned()
    }

    fn number(&self, name: &str, otherwise: u64) -> usize {
        self.q[name].as_u64().unwrap_or(otherwise) as usize
    }

    fn ms(&self, name: &str, otherwise: u64) -> Duration {
        Duration::from_millis(self.number(name, otherwise) as u64)
    }

    /// Whether to ask points, whether to be one, and the bounds of its TTL.
    pub fn rendezvous(&self) -> (bool, bool, Option<(u64, u64)>) {
        let r = &self.q["rendezvous"];
        let flag = |name: &str| r[name].as_bool().unwrap_or(false);
        (flag("meet"), flag("point"), r["min_ttl_s"].as_u64().zip(r["max_ttl_s"].as_u64()))
    }

    /// mDNS: off, or whether whom it finds is dialled.
    pub fn mdns(&self) -> Result<Option<bool>, String> {
        match self.text("mdns", "").as_str() {
            "" => Ok(None),
            "find" => Ok(Some(false)),
            "connect" => Ok(Some(true)),
            other => Err(format!("mdns: find or connect, not {other}")),
        }
    }

    /// Whether mDNS speaks IPv6, and then nothing else.
    pub fn mdns_ipv6(&self) -> bool {
        self.q["mdns_ipv6"].as_bool().unwrap_or(false)
    }

    pub fn key(&self) -> Result<Keypair, String> {
        let key = self.text("key", "");
        if !key.is_empty() {
            let bytes = hex::decode(&key).map_err(|e| format!("key: {e}"))?;
            return Keypair::from_protobuf_encoding(&bytes).map_err(|e| format!("key: {e}"));
        }
        match self.text("key_type", "ed25519").as_str() {
            "ed25519" => Ok(Keypair::generate_ed25519()),
            "secp256k1" => Ok(Keypair::generate_secp256k1()),
            "ecdsa" => Ok(Keypair::generate_ecdsa()),
            "rsa" => Err("key_type rsa: the library makes none; give one as key".into()),
            other => Err(format!("unknown key_type {other}")),
        }
    }

    pub fn gossipsub(&self, key: &Keypair) -> Result<gossipsub::Behaviour, String> {
        let signs = match self.text("policy", if self.q["signed"].as_bool() == Some(true) { "strict_sign" } else { "strict_no_sign" }).as_str() {
            "strict_sign" => true,
            "strict_no_sign" => false,
            other => return Err(format!("policy {other}: the library has none such")),
        };
        let floodsub = match self.text("router", "gossipsub").as_str() {
            "gossipsub" => false,
            "floodsub" => true,
            other => return Err(format!("router {other}: the library has none such")),
        };
        let an_hour = Duration::from_secs(3600);
        let mut b = gossipsub::ConfigBuilder::default();
        b.mesh_n(self.number("D", 8))
            .mesh_n_low(self.number("Dlo", 6))
            .mesh_n_high(self.number("Dhi", 12))
            .mesh_outbound_min(self.number("Dout", 2))
            .retain_scores(self.number("Dscore", 4))
            .gossip_lazy(self.number("Dlazy", 6))
            .heartbeat_initial_delay(Duration::from_millis(100))
            .heartbeat_interval(self.ms("heartbeat_ms", 1000))
            .history_length(self.number("history", 5))
            .history_gossip(self.number("gossip_history", 3))
            .duplicate_cache_time(self.ms("seen_ms", 120_000))
            .flood_publish(self.q["flood_publish"].as_bool().unwrap_or(false))
            .idontwant_message_size_threshold(self.number("idontwant_min", 1000))
            .max_transmit_size(self.max_msg)
            .connection_handler_queue_len(self.queue)
            .publish_queue_duration(an_hour)
            .forward_queue_duration(an_hour)
            .validation_mode(if signs { gossipsub::ValidationMode::Strict } else { gossipsub::ValidationMode::Anonymous });
        if self.q["px"].as_bool() == Some(true) {
            b.do_px();
        }
        self.protocols(&mut b)?;
        if floodsub {
            b.support_floodsub();
        }
        match (signs, self.text("msgid", "header16").as_str()) {
            // The library's own id is text; the others' is the author's bytes and the sequence number, so it is made here as they make it.
            (true, _) => b.message_id_fn(|m| {
                let mut id = m.source.map(|p| p.to_bytes()).unwrap_or_default();
                id.extend(m.sequence_number.unwrap_or(0).to_be_bytes());
                id.into()
            }),
            (false, "header16") => b.message_id_fn(|m| m.data[..m.data.len().min(16)].to_vec().into()),
            (false, "sha256_20") => b.message_id_fn(|m| Sha256::digest(&m.data)[..20].to_vec().into()),
            (false, other) => return Err(format!("unknown msgid {other}")),
        };
        let authenticity =
            if signs { gossipsub::MessageAuthenticity::Signed(key.clone()) } else { gossipsub::MessageAuthenticity::Anonymous };
        let config = b.build().map_err(|e| e.to_string())?;
        gossipsub::Behaviour::new(authenticity, config).map_err(str::to_owned)
    }

    /// The library offers all it knows, 1.1 and 1.0, or one of these two.
    fn protocols(&self, b: &mut gossipsub::ConfigBuilder) -> Result<(), String> {
        let list: Vec<&str> = self.q["protocols"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match list[..] {
            [] | ["/meshsub/1.3.0", "/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0"] => b,
            ["/meshsub/1.1.0", "/meshsub/1.0.0"] => b.protocol_id_prefix("/meshsub"),
            ["/meshsub/1.1.0"] => b.protocol_id("/meshsub/1.1.0", gossipsub::Version::V1_1),
            ["/meshsub/1.0.0"] => b.protocol_id("/meshsub/1.0.0", gossipsub::Version::V1_0),
            _ => return Err(format!("protocols: the library cannot offer {list:?}")),
        };
        Ok(())
    }
}
