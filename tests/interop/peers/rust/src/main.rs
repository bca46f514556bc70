//! A rust-libp2p gossipsub node driven by JSON lines on stdin and stdout. The protocol is described in docs/benchmarks.md.
mod config;
mod counter;
mod inbox;
mod meeting;
mod node;
mod publish;

use config::Config;
use counter::Counter;
use inbox::Inbox;
use libp2p::{PeerId, gossipsub};
use node::Node;
use publish::{Credit, Publisher};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

const DIAL_WITHIN: Duration = Duration::from_secs(15);

/// CLOCK_MONOTONIC in ns.
pub fn clock() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: t is a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

fn emit(line: &Value) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0); // the driver is gone
    }
}

fn event(name: &str, mut fields: Value) {
    fields["ev"] = name.into();
    emit(&fields);
}

/// "libp2p-gossipsub 0.50.1, libp2p 0.57.1", as the lock file has them.
fn version() -> String {
    let lock = include_str!("../Cargo.lock");
    let of = |name: &str| {
        let entry = format!("name = \"{name}\"\nversion = \"");
        lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("?")
    };
    format!("libp2p-gossipsub {}, libp2p {}", of("libp2p-gossipsub"), of("libp2p"))
}

fn stats(gc: bool, recv: u64) -> Value {
    // SAFETY: plain queries of the C library into structures of ours.
    let (usage, heap) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        if gc {
            libc::malloc_trim(0);
        }
        (usage, libc::mallinfo2())
    };
    let us = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    json!({
        "cpu_us": us(usage.ru_utime) + us(usage.ru_stime), "user_us": us(usage.ru_utime), "sys_us": us(usage.ru_stime),
        "rss": kib("VmRSS:"), "hwm": kib("VmHWM:"), "heap": heap.uordblks + heap.hblkhd, "recv": recv,
    })
}

/// What the further nodes of a process do.
enum Order {
    Dial(String, oneshot::Sender<Result<(), String>>),
    Subscribe(Vec<String>, bool),
}

/// Dials and reports once it has ended.
async fn further(mut node: Node, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut dialling: Option<(PeerId, oneshot::Sender<Result<(), String>>)> = None;
    loop {
        tokio::select! {
            _ = node.next() => {}
            order = orders.recv() => match order {
                None => return,
                Some(Order::Subscribe(topics, on)) => drop(node.subscribe(&topics, on)),
                Some(Order::Dial(addr, done)) => match node.dial(&addr) {
                    Ok(peer) => dialling = Some((peer, done)),
                    Err(why) => drop(done.send(Err(why))),
                },
            }
        }
        if let Some(outcome) = dialling.as_ref().and_then(|(peer, _)| node.dialled(peer)) {
            let (_, done) = dialling.take().expect("looked at");
            let _ = done.send(outcome);
        }
    }
}

struct Peer {
    node: Node,
    topics: Vec<String>,
    others: Vec<mpsc::UnboundedSender<Order>>,
    counter: Counter,
    inbox: Inbox,
    credit: Arc<Credit>,
    publisher: Option<Publisher>,
}

impl Peer {
    async fn start(c: &Config) -> Result<(Peer, Value), String> {
        let mut node = Node::new(c).await?;
        while c.listen.is_some() && node.listening == 0 {
            node.next().await;
        }
        let mut others = vec![];
        for _ in 1..c.nodes {
            let (tx, rx) = mpsc::unbounded_channel();
            tokio::spawn(further(Node::new(c).await?, rx));
            others.push(tx);
        }
        let credit = Arc::new(Credit::default());
        let address = credit.open().await?;
        let reply = json!({ "peer": node.swarm.local_peer_id().to_string(), "credit": address });
        let topics = c.topics.clone();
        Ok((Peer { node, topics, others, counter: Counter::default(), inbox: Inbox::new(c.inbox), credit, publisher: None }, reply))
    }

    fn delivered(&mut self, e: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source, message_id, message } = e else { return };
        if message.topic.as_str() == self.topics[0]
            && let Some(done) = self.counter.add(&message.data)
        {
            event("done", done);
        }
        self.inbox.add(propagation_source, message_id, message);
    }

    async fn turn(&mut self) {
        if let Some(e) = self.node.next().await {
            self.delivered(e);
        }
    }

    async fn dial(&mut self, addr: &str) -> Result<(), String> {
        let mut pending = vec![];
        for other in &self.others {
            let (tx, rx) = oneshot::channel();
            let _ = other.send(Order::Dial(addr.to_owned(), tx));
            pending.push(rx);
        }
        let peer = self.node.dial(addr)?;
        loop {
            if let Some(outcome) = self.node.dialled(&peer) {
                outcome?;
                break;
            }
            self.turn().await;
        }
        // The first node lives on while the others connect.
        let all = async {
            for rx in pending {
                rx.await.map_err(|_| "a node is gone".to_owned())??;
            }
            Ok::<(), String>(())
        };
        tokio::pin!(all);
        loop {
            tokio::select! {
                outcome = &mut all => return outcome,
                e = self.node.next() => if let Some(e) = e { self.delivered(e) },
            }
        }
    }

    async fn listen(&mut self, addr: &str) -> Result<(), String> {
        let before = self.node.listening;
        self.node.swarm.listen_on(addr.parse().map_err(|e| format!("{addr}: {e}"))?).map_err(|e| e.to_string())?;
        while self.node.listening == before {
            self.turn().await;
        }
        Ok(())
    }

    async fn rendezvous(&mut self, op: &str, q: &Value) -> Result<Value, String> {
        if !self.node.ask(op, q)? {
            return Ok(json!({}));
        }
        loop {
            if let Some(outcome) = self.node.meeting.answer() {
                return outcome;
            }
            self.turn().await;
        }
    }

    fn subscribe(&mut self, q: &Value, on: bool) -> Result<Value, String> {
        let mut topics: Vec<String> = q["topics"].as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect();
        if topics.is_empty() {
            topics = self.topics.clone();
        }
        for other in &self.others {
            let _ = other.send(Order::Subscribe(topics.clone(), on));
        }
        self.node.subscribe(&topics, on).map(|()| json!({}))
    }

    async fn operation(&mut self, op: &str, q: &Value) -> Result<Value, String> {
        let text = |name: &str| q[name].as_str().ok_or(format!("{name}: missing"));
        let late = |_| "no connection within 15 s".to_owned();
        match op {
            "addrs" => Ok(json!({ "addrs": self.node.addrs() })),
            "dial" => tokio::time::timeout(DIAL_WITHIN, self.dial(text("addr")?)).await.map_err(late)?.map(|()| json!({})),
            "listen" => {
                tokio::time::timeout(DIAL_WITHIN, self.listen(text("addr")?)).await.map_err(late)??;
                Ok(json!({ "addrs": self.node.addrs() }))
            }
            "subscribe" => self.subscribe(q, true),
            "unsubscribe" => self.subscribe(q, false),
            "mesh" => Ok(self.node.mesh(q["topic"].as_str().unwrap_or(&self.topics[0]))),
            "rendezvous_register" | "rendezvous_unregister" | "rendezvous_discover" => {
                tokio::time::timeout(DIAL_WITHIN, self.rendezvous(op, q)).await.map_err(|_| "no answer within 15 s".to_owned())?
            }
            "rendezvous_events" => Ok(self.node.meeting.events()),
            "mdns" => Ok(self.node.neighbours()),
            "pushes" => Ok(json!({ "pushes": self.node.pushes })),
            "peers" => Ok(self.node.peers()),
            "topics" => Ok(self.node.topics()),
            "disconnect" => self.node.disconnect(text("peer")?).map(|()| json!({})),
            "send" => {
                let topic = gossipsub::TopicHash::from_raw(q["topic"].as_str().unwrap_or(&self.topics[0]));
                let data = hex::decode(text("data")?).map_err(|e| format!("data: {e}"))?;
                self.node.swarm.behaviour_mut().pubsub.publish(topic, data).map_err(|e| e.to_string())?;
                Ok(json!({ "recipients": null }))
            }
            "inbox" => Ok(self.inbox.take(q)),
            "reset" => self.counter.reset(q).await.map(|()| json!({})),
            "publish" if self.publisher.is_some() => Err("still publishing".into()),
            "publish" => {
                self.publisher = Some(Publisher::new(q, &self.topics[0], &self.credit)?);
                Ok(json!({}))
            }
            "lat" => Ok(self.counter.latencies()),
            _ => Err("unknown op".into()),
        }
    }
}

fn answer(q: &Value, outcome: Result<Value, String>) {
    let (mut reply, ok) = match outcome {
        Ok(fields) => (fields, true),
        Err(why) => (json!({ "error": why }), false),
    };
    reply["re"] = q["op"].clone();
    reply["id"] = q["id"].clone();
    reply["ok"] = ok.into();
    emit(&reply);
}

async fn run(first: Value, mut requests: mpsc::UnboundedReceiver<Value>) {
    let started = match Config::read(&first) {
        Ok(c) => Peer::start(&c).await,
        Err(why) => Err(why),
    };
    let mut peer = match started {
        Ok((peer, reply)) => {
            answer(&first, Ok(reply));
            peer
        }
        Err(why) => return answer(&first, Err(why)),
    };
    loop {
        let publishing = peer.publisher.is_some();
        tokio::select! {
            e = peer.node.next() => if let Some(e) = e { peer.delivered(e) },
            () = async { peer.publisher.as_ref().expect("publishing").ready().await }, if publishing => {
                let publisher = peer.publisher.as_mut().expect("publishing");
                match publisher.work(&mut peer.node.swarm.behaviour_mut().pubsub) {
                    Ok(None) => {}
                    Ok(Some(fields)) => {
                        event("published", fields);
                        peer.publisher = None;
                    }
                    Err(why) => {
                        event("error", json!({ "error": format!("publish: {why}") }));
                        peer.publisher = None;
                    }
                }
            }
            q = requests.recv() => {
                let Some(q) = q else { return };
                match q["op"].as_str().unwrap_or("") {
                    "stop" => {
                        answer(&q, Ok(json!({})));
                        return;
                    }
                    "stats" => answer(&q, Ok(stats(q["gc"].as_bool() == Some(true), peer.counter.n))),
                    op => {
                        let outcome = peer.operation(&op.to_owned(), &q).await;
                        answer(&q, outcome);
                    }
                }
            }
        }
    }
}

fn main() {
    event("hello", json!({ "proto": 1, "impl": "rust", "version": version(), "caps": ["interop", "nodes"] }));
    let mut lines = std::io::stdin().lock().lines().map_while(Result::ok).map(|line| match serde_json::from_str::<Value>(&line) {
        Ok(q) if q.is_object() => q,
        _ => {
            event("error", json!({ "error": "not a JSON object" }));
            std::process::exit(1);
        }
    });
    // The number of threads is only known with the cfg.
    let first = loop {
        let Some(q) = lines.next() else { return };
        match q["op"].as_str().unwrap_or("") {
            "start" => break q,
            "stop" => return answer(&q, Ok(json!({}))),
            "stats" => answer(&q, Ok(stats(false, 0))),
            _ => answer(&q, Err("not started".into())),
        }
    };
    let threads = Config::read(&first).map_or(0, |c| c.threads);
    drop(lines);
    let mut builder = if threads == 1 { tokio::runtime::Builder::new_current_thread() } else { tokio::runtime::Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build().expect("a runtime");
    let (tx, rx) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(q) => drop(tx.send(q)),
                Err(e) => event("error", json!({ "error": format!("not JSON: {e}") })),
            }
        }
    });
    runtime.block_on(run(first, rx));
    std::process::exit(0);
}
