//! The rendezvous protocol: who asks a point, and being one.
use crate::config::Config;
use libp2p::rendezvous::{Cookie, Namespace, Registration, client, server};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{PeerId, identity::Keypair};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// What the behaviours said and nobody has asked for yet.
#[derive(Default)]
pub struct Meeting {
    answers: VecDeque<Result<Value, String>>,
    cookie: Option<Cookie>,
    events: Vec<Value>,
}

pub fn behaviours(c: &Config, key: &Keypair) -> (Toggle<client::Behaviour>, Toggle<server::Behaviour>) {
    let (meet, point, ttl) = c.rendezvous();
    let mut limits = server::Config::default();
    if let Some((min, max)) = ttl {
        limits = limits.with_min_ttl(min).with_max_ttl(max);
    }
    (meet.then(|| client::Behaviour::new(key.clone())).into(), point.then(|| server::Behaviour::new(limits)).into())
}

fn registration(r: &Registration) -> Value {
    let addrs: Vec<String> = r.record.addresses().iter().map(ToString::to_string).collect();
    json!({ "ns": r.namespace.to_string(), "peer": r.record.peer_id().to_string(), "addrs": addrs, "ttl": r.ttl })
}

impl Meeting {
    pub fn answered(&mut self, e: client::Event) {
        match e {
            client::Event::Registered { ttl, .. } => self.answers.push_back(Ok(json!({ "ttl": ttl }))),
            client::Event::RegisterFailed { error, .. } | client::Event::DiscoverFailed { error, .. } => self.answers.push_back(Err(format!("{error:?}"))),
            client::Event::Discovered { registrations, cookie, .. } => {
                self.cookie = Some(cookie);
                self.answers.push_back(Ok(json!({ "found": registrations.iter().map(registration).collect::<Vec<_>>() })));
            }
            client::Event::Expired { .. } => {}
        }
    }

    pub fn served(&mut self, e: server::Event) {
        self.events.push(match e {
            server::Event::PeerRegistered { registration: r, .. } => json!({ "event": "registered", "of": registration(&r) }),
            server::Event::PeerNotRegistered { peer, namespace, error } => {
                json!({ "event": "refused", "peer": peer.to_string(), "ns": namespace.to_string(), "error": format!("{error:?}") })
            }
            server::Event::PeerUnregistered { peer, namespace } => json!({ "event": "unregistered", "peer": peer.to_string(), "ns": namespace.to_string() }),
            server::Event::RegistrationExpired(r) => json!({ "event": "expired", "of": registration(&r) }),
            server::Event::DiscoverServed { enquirer, registrations } => json!({ "event": "discovered", "peer": enquirer.to_string(), "n": registrations.len() }),
            server::Event::DiscoverNotServed { enquirer, error } => json!({ "event": "not_discovered", "peer": enquirer.to_string(), "error": format!("{error:?}") }),
        });
    }

    pub fn answer(&mut self) -> Option<Result<Value, String>> {
        self.answers.pop_front()
    }

    pub fn events(&mut self) -> Value {
        json!({ "events": std::mem::take(&mut self.events) })
    }

    /// Begins what is asked; true: an answer comes.
    pub fn ask(&mut self, meet: &mut client::Behaviour, op: &str, q: &Value) -> Result<bool, String> {
        let point: PeerId = q["point"].as_str().unwrap_or("").parse().map_err(|e| format!("point: {e}"))?;
        let ns = q["ns"].as_str().map(|ns| Namespace::new(ns.to_owned())).transpose().map_err(|e| format!("ns: {e:?}"))?;
        self.answers.clear();
        match op {
            "rendezvous_register" => {
                meet.register(ns.ok_or("ns: missing")?, point, q["ttl"].as_u64()).map_err(|e| e.to_string())?;
                Ok(true)
            }
            "rendezvous_unregister" => {
                meet.unregister(ns.ok_or("ns: missing")?, point);
                Ok(false)
            }
            _ => {
                let cookie = if q["go_on"].as_bool() == Some(true) { self.cookie.clone() } else { None };
                meet.discover(ns, cookie, q["limit"].as_u64(), point);
                Ok(true)
            }
        }
    }
}
