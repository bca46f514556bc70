//! One host: its swarm, its topics, what it knows of its peers.
use crate::config::Config;
use crate::meeting::{self, Meeting};
use futures::StreamExt;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, gossipsub, identify, mdns, multiaddr::Protocol, noise, rendezvous, tcp, yamux};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub identify: identify::Behaviour,
    pub pubsub: gossipsub::Behaviour,
    pub meet: Toggle<rendezvous::client::Behaviour>,
    pub point: Toggle<rendezvous::server::Behaviour>,
    pub near: Toggle<mdns::tokio::Behaviour>,
}

struct Connection {
    peer: PeerId,
    addr: Multiaddr,
    inbound: bool,
}

pub struct Node {
    pub swarm: Swarm<Behaviour>,
    connections: HashMap<ConnectionId, Connection>,
    identified: HashMap<PeerId, identify::Info>,
    pub listening: usize,
    pub pushes: u64,
    pub meeting: Meeting,
    neighbours: HashMap<String, Vec<String>>,
    dials_neighbours: bool,
    pub failed: Option<(PeerId, String)>,
}

impl Node {
    pub async fn new(c: &Config) -> Result<Node, String> {
        let key = c.key()?;
        let pubsub = c.gossipsub(&key)?;
        let (meet, point) = meeting::behaviours(c, &key);
        let mdns = c.mdns()?;
        let family = mdns::Config { enable_ipv6: c.mdns_ipv6(), ..Default::default() };
        let near = mdns.map(|_| mdns::tokio::Behaviour::new(family, key.public().to_peer_id()));
        let near: Toggle<_> = near.transpose().map_err(|e| format!("mdns: {e}"))?.into();
        let about = identify::Config::new("ipfs/0.1.0".into(), key.public())
            .with_agent_version("msub-rust-peer".into())
            .with_push_listen_addr_updates(true);
        let behaviour = |_: &_| Behaviour { identify: identify::Behaviour::new(about), pubsub, meet, point, near };
        let patient = |s: libp2p::swarm::Config| s.with_idle_connection_timeout(Duration::from_secs(3600));
        let tcp = libp2p::SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .map_err(|e| e.to_string())?;
        // WebSocket brings a resolver with it, for each node: only where it is asked for.
        let mut swarm = if c.listen.as_ref().is_some_and(|l| l.ends_with("/ws")) {
            let both = tcp.with_websocket(noise::Config::new, yamux::Config::default).await.map_err(|e| e.to_string())?;
            both.with_behaviour(behaviour).map_err(|e| e.to_string())?.with_swarm_config(patient).build()
        } else {
            tcp.with_behaviour(behaviour).map_err(|e| e.to_string())?.with_swarm_config(patient).build()
        };
        if let Some(listen) = &c.listen {
            swarm.listen_on(listen.parse().map_err(|e| format!("listen: {e}"))?).map_err(|e| format!("listen: {e}"))?;
        }
        Ok(Node {
            swarm,
            connections: HashMap::new(),
            identified: HashMap::new(),
            listening: 0,
            pushes: 0,
            meeting: Meeting::default(),
            neighbours: HashMap::new(),
            dials_neighbours: mdns == Some(true),
            failed: None,
        })
    }

    /// Handles one event of the swarm; a delivered message is returned.
    pub async fn next(&mut self) -> Option<gossipsub::Event> {
        match self.swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Pubsub(e)) => return Some(e),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                self.identified.insert(peer_id, info);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Pushed { .. })) => self.pushes += 1,
            SwarmEvent::Behaviour(BehaviourEvent::Meet(e)) => self.meeting.answered(e),
            SwarmEvent::Behaviour(BehaviourEvent::Point(e)) => self.meeting.served(e),
            SwarmEvent::Behaviour(BehaviourEvent::Near(mdns::Event::Discovered(found))) => {
                for (peer, addr) in found {
                    self.neighbours.entry(peer.to_string()).or_default().push(addr.to_string());
                    if self.dials_neighbours && !self.swarm.is_connected(&peer) {
                        let options = DialOpts::peer_id(peer).addresses(vec![addr]).condition(PeerCondition::DisconnectedAndNotDialing).build();
                        let _ = self.swarm.dial(options); // whoever waits for the connection sees that there is none
                    }
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                if self.swarm.behaviour().meet.is_enabled() {
                    self.swarm.add_external_address(address); // what a registration tells
                }
                self.listening += 1;
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let (addr, inbound) = (endpoint.get_remote_address().clone(), endpoint.is_listener());
                self.connections.insert(connection_id, Connection { peer: peer_id, addr, inbound });
            }
            SwarmEvent::ConnectionClosed { connection_id, peer_id, num_established, .. } => {
                self.connections.remove(&connection_id);
                if num_established == 0 {
                    self.identified.remove(&peer_id);
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => self.failed = Some((peer, error.to_string())),
            _ => {}
        }
        None
    }

    /// Begins to dial; the peer that is dialled.
    pub fn dial(&mut self, addr: &str) -> Result<PeerId, String> {
        let addr: Multiaddr = addr.parse().map_err(|e| format!("{addr}: {e}"))?;
        let Some(Protocol::P2p(peer)) = addr.iter().last() else { return Err(format!("{addr}: no /p2p at its end")) };
        self.failed = None;
        if !self.swarm.is_connected(&peer) {
            let options = DialOpts::peer_id(peer).addresses(vec![addr]).condition(PeerCondition::Disconnected).build();
            self.swarm.dial(options).map_err(|e| e.to_string())?;
        }
        Ok(peer)
    }

    /// Whether the dial has ended, and how.
    pub fn dialled(&self, peer: &PeerId) -> Option<Result<(), String>> {
        match &self.failed {
            _ if self.swarm.is_connected(peer) => Some(Ok(())),
            Some((failed, why)) if failed == peer => Some(Err(why.clone())),
            _ => None,
        }
    }

    /// Asks a point; true: an answer comes.
    pub fn ask(&mut self, op: &str, q: &Value) -> Result<bool, String> {
        let Some(meet) = self.swarm.behaviour_mut().meet.as_mut() else { return Err("rendezvous.meet: not in cfg".into()) };
        self.meeting.ask(meet, op, q)
    }

    pub fn neighbours(&self) -> Value {
        json!({ "found": self.neighbours })
    }

    pub fn subscribe(&mut self, topics: &[String], on: bool) -> Result<(), String> {
        for t in topics {
            let t = gossipsub::IdentTopic::new(t);
            if on {
                self.swarm.behaviour_mut().pubsub.subscribe(&t).map_err(|e| e.to_string())?;
            } else {
                self.swarm.behaviour_mut().pubsub.unsubscribe(&t);
            }
        }
        Ok(())
    }

    pub fn addrs(&self) -> Vec<String> {
        self.swarm.listeners().map(|a| format!("{a}/p2p/{}", self.swarm.local_peer_id())).collect()
    }

    fn subscribers(&self, topic: &gossipsub::TopicHash) -> Vec<String> {
        let all = self.swarm.behaviour().pubsub.all_peers();
        all.filter(|(_, topics)| topics.contains(&topic)).map(|(p, _)| p.to_string()).collect()
    }

    pub fn mesh(&self, topic: &str) -> Value {
        let topic = gossipsub::TopicHash::from_raw(topic);
        let mesh: Vec<String> = self.swarm.behaviour().pubsub.mesh_peers(&topic).map(PeerId::to_string).collect();
        json!({ "mesh": mesh.len(), "mesh_peers": mesh, "subs": self.subscribers(&topic).len(), "conns": self.connections.len() })
    }

    pub fn topics(&self) -> Value {
        let topics = self.swarm.behaviour().pubsub.topics();
        json!({ "topics": topics.map(|t| (t.to_string(), self.subscribers(t))).collect::<HashMap<_, _>>() })
    }

    pub fn peers(&self) -> Value {
        let kinds: HashMap<_, _> = self.swarm.behaviour().pubsub.peer_protocol().collect();
        let describe = |c: &Connection| {
            let info = self.identified.get(&c.peer);
            json!({
                "peer": c.peer.to_string(), "addr": c.addr.to_string(), "inbound": c.inbound,
                "protocol": kinds.get(&c.peer).map_or("", |k| protocol(k)),
                "agent": info.map_or("", |i| i.agent_version.as_str()),
                "protocols": info.map_or(vec![], |i| i.protocols.iter().map(ToString::to_string).collect()),
                "addrs": info.map_or(vec![], |i| i.listen_addrs.iter().map(ToString::to_string).collect()),
            })
        };
        json!({ "peers": self.connections.values().map(describe).collect::<Vec<_>>() })
    }

    pub fn disconnect(&mut self, peer: &str) -> Result<(), String> {
        let peer: PeerId = peer.parse().map_err(|e| format!("{peer}: {e}"))?;
        self.swarm.disconnect_peer_id(peer).map_err(|()| "not connected".to_owned())
    }
}

/// The library keeps the type's name to itself, its text is all there is.
fn protocol(kind: &impl std::fmt::Debug) -> &'static str {
    match format!("{kind:?}").as_str() {
        "Floodsub" => "/floodsub/1.0.0",
        "Gossipsub" => "/meshsub/1.0.0",
        "Gossipsubv1_1" => "/meshsub/1.1.0",
        "Gossipsubv1_2" => "/meshsub/1.2.0",
        "Gossipsubv1_3" => "/meshsub/1.3.0",
        _ => "",
    }
}
