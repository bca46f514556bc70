//! The closed loop, paced by credit, and the open loop, paced by a clock.
use crate::clock;
use libp2p::gossipsub::{self, PublishError};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

const HEADER: usize = 16;
const BATCH: usize = 16; // publishes between two looks at the network

#[derive(Default)]
pub struct Credit {
    receivers: Mutex<Vec<Arc<Mutex<(u64, u64)>>>>, // seed, count
    pub changed: Notify,
}

impl Credit {
    /// Accepts receivers for ever; returns the address.
    pub async fn open(self: &Arc<Self>) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| format!("credit: {e}"))?;
        let address = listener.local_addr().map_err(|e| format!("credit: {e}"))?;
        let credit = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let receiver = Arc::new(Mutex::new((u64::MAX, 0)));
                credit.receivers.lock().expect("no panic").push(receiver.clone());
                credit.changed.notify_one();
                let credit = credit.clone();
                tokio::spawn(async move {
                    let mut record = [0; 16];
                    while stream.read_exact(&mut record).await.is_ok() {
                        let half = |i: usize| u64::from_le_bytes(record[i..i + 8].try_into().expect("8 bytes"));
                        *receiver.lock().expect("no panic") = (half(0), half(8));
                        credit.changed.notify_one();
                    }
                    credit.receivers.lock().expect("no panic").retain(|r| !Arc::ptr_eq(r, &receiver));
                });
            }
        });
        Ok(address.to_string())
    }

    /// What the k receivers that are furthest have all counted; None: there are fewer.
    fn of(&self, seed: u64, k: usize) -> Option<u64> {
        let receivers = self.receivers.lock().expect("no panic");
        let mut counts: Vec<u64> = receivers.iter().map(|r| *r.lock().expect("no panic")).map(|(s, n)| if s == seed { n } else { 0 }).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        if k == 0 { Some(0) } else { counts.get(k - 1).copied() }
    }
}

pub struct Publisher {
    credit: Arc<Credit>,
    topic: gossipsub::TopicHash,
    seed: u64,
    count: u64,
    window: u64,
    rate: f64,
    receivers: usize,
    payload: Vec<u8>,
    i: u64,
    begin: u64,
    retries: u64,
    late: u64,
    refused: bool,
    tick: Arc<Notify>,
}

impl Publisher {
    pub fn new(q: &Value, topic: &str, credit: &Arc<Credit>) -> Result<Publisher, String> {
        let number = |name: &str| q[name].as_u64().unwrap_or(0);
        let size = number("size") as usize;
        if size < HEADER {
            return Err(format!("size: at least {HEADER}"));
        }
        let mut x = 1u32;
        let mut payload: Vec<u8> = (0..size).map(|_| { x = x.wrapping_mul(1_103_515_245).wrapping_add(12345); (x >> 24) as u8 }).collect();
        payload[..4].copy_from_slice(&(number("seed") as u32).to_be_bytes());
        let p = Publisher {
            credit: credit.clone(),
            topic: gossipsub::TopicHash::from_raw(topic),
            seed: number("seed"),
            count: number("count"),
            window: number("window"),
            rate: q["rate"].as_f64().unwrap_or(0.0),
            receivers: number("receivers") as usize,
            payload,
            i: 0,
            begin: clock(),
            retries: 0,
            late: 0,
            refused: false,
            tick: Arc::new(Notify::new()),
        };
        if p.rate > 0.0 {
            p.pace();
        }
        Ok(p)
    }

    /// The runtime's timer is no finer than a millisecond: a thread sleeps instead.
    fn pace(&self) {
        let (tick, begin, rate, count) = (Arc::downgrade(&self.tick), self.begin, self.rate, self.count);
        std::thread::spawn(move || {
            for i in 0..count {
                let due = begin + (i as f64 / rate * 1e9) as u64;
                std::thread::sleep(Duration::from_nanos(due.saturating_sub(clock())));
                match tick.upgrade() {
                    Some(tick) => tick.notify_one(),
                    None => return,
                }
            }
        });
    }

    fn due(&self) -> u64 {
        self.begin + (self.i as f64 / self.rate * 1e9) as u64
    }

    fn allowed(&self) -> bool {
        if self.rate > 0.0 {
            return clock() >= self.due();
        }
        self.credit.of(self.seed, self.receivers).is_some_and(|c| self.i.saturating_sub(c) < self.window)
    }

    /// Returns when it may be that a message can be published.
    pub async fn ready(&self) {
        if self.refused {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while !self.allowed() {
            if self.rate > 0.0 { self.tick.notified().await } else { self.credit.changed.notified().await }
        }
    }

    /// Publishes what is due and allowed, a batch at most. The fields of `published` after the last one.
    pub fn work(&mut self, pubsub: &mut gossipsub::Behaviour) -> Result<Option<Value>, String> {
        self.refused = false;
        for _ in 0..BATCH {
            if self.i == self.count {
                return Ok(Some(json!({
                    "seed": self.seed, "n": self.count, "ns": clock() - self.begin, "retries": self.retries, "late_ns": self.late
                })));
            }
            if !self.allowed() {
                break;
            }
            if self.rate > 0.0 {
                self.late = self.late.max(clock() - self.due());
            }
            let mut data = self.payload.clone();
            data[4..8].copy_from_slice(&(self.i as u32).to_be_bytes());
            data[8..16].copy_from_slice(&clock().to_be_bytes());
            match pubsub.publish(self.topic.clone(), data) {
                Ok(_) => self.i += 1,
                Err(PublishError::AllQueuesFull(_) | PublishError::NoPeersSubscribedToTopic) => {
                    self.retries += 1;
                    self.refused = true;
                    break;
                }
                Err(e) => return Err(e.to_string()),
            }
        }
        Ok(None)
    }
}
