//! Messages counted as they are delivered, and the receiver's end of the credit channel.
use crate::clock;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

#[derive(Default)]
pub struct Counter {
    pub n: u64,
    seed: u32,
    size: Option<usize>,
    expect: u64,
    ack_every: u64,
    first: u64,
    last: u64,
    latencies: Option<Vec<u64>>,
    address: String,
    records: Option<mpsc::UnboundedSender<[u8; 16]>>,
    credited: bool,
}

impl Counter {
    pub async fn reset(&mut self, q: &Value) -> Result<(), String> {
        if let Some(address) = q["credit"].as_str().filter(|a| *a != self.address) {
            let mut stream = TcpStream::connect(address).await.map_err(|e| format!("credit: {e}"))?;
            stream.set_nodelay(true).map_err(|e| format!("credit: {e}"))?;
            let (tx, mut rx) = mpsc::unbounded_channel::<[u8; 16]>();
            tokio::spawn(async move {
                while let Some(record) = rx.recv().await {
                    if stream.write_all(&record).await.is_err() {
                        return;
                    }
                }
            });
            self.records = Some(tx);
            self.address = address.to_owned();
        }
        self.credited = q["credit"].is_string();
        self.seed = q["seed"].as_u64().ok_or("seed: missing")? as u32;
        self.size = Some(q["size"].as_u64().ok_or("size: missing")? as usize);
        self.expect = q["expect"].as_u64().ok_or("expect: missing")?;
        self.ack_every = q["ack_every"].as_u64().unwrap_or(1).max(1);
        self.latencies = (q["lat"].as_bool() == Some(true)).then(Vec::new);
        (self.n, self.first, self.last) = (0, 0, 0);
        Ok(())
    }

    /// The fields of `done` when this was the last one.
    pub fn add(&mut self, data: &[u8]) -> Option<Value> {
        if self.size != Some(data.len()) || data.len() < 16 || data[..4] != self.seed.to_be_bytes() {
            return None;
        }
        self.last = clock();
        if self.n == 0 {
            self.first = self.last;
        }
        self.n += 1;
        if let Some(list) = &mut self.latencies {
            list.push(self.last.saturating_sub(u64::from_be_bytes(data[8..16].try_into().expect("8 bytes"))));
        }
        if self.credited && (self.n % self.ack_every == 0 || self.n == self.expect) {
            let mut record = [0; 16];
            record[..8].copy_from_slice(&u64::from(self.seed).to_le_bytes());
            record[8..].copy_from_slice(&self.n.to_le_bytes());
            if let Some(tx) = &self.records {
                let _ = tx.send(record); // the publisher is gone: nobody waits
            }
        }
        (self.n == self.expect)
            .then(|| json!({ "seed": self.seed, "n": self.n, "bytes": self.n * data.len() as u64, "ns": self.last - self.first }))
    }

    pub fn latencies(&mut self) -> Value {
        let mut sorted = self.latencies.clone().unwrap_or_default();
        sorted.sort_unstable();
        let rank = |q: f64| match sorted.len() {
            0 => 0,
            n => sorted[((q * n as f64).ceil() as usize).clamp(1, n) - 1],
        };
        json!({ "n": sorted.len(), "p50": rank(0.5), "p90": rank(0.9), "p99": rank(0.99), "p999": rank(0.999), "max": rank(1.0) })
    }
}

