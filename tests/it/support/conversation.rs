//! A database server's side of whole runs: recorded from a real server, damaged, and played back.
//!
//! A recording keeps the answers to each question in their order. A question is a client's packet
//! without what differs from run to run: words with digits in them. The greeting answers the
//! opening of a connection, and the end of a file is a question of its own. Recordings are of
//! connections without TLS and without a password.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The time after a damaged answer for which a played-back server waits for the client. A client
/// that waits for the rest of a packet then learns that none comes.
const PATIENCE: Duration = Duration::from_millis(60);

/// A server's answers.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    answers: HashMap<String, Vec<Vec<u8>>>,
}

impl Recording {
    /// Returns the number of answers.
    pub fn answers(&self) -> usize {
        self.answers.values().map(Vec::len).sum()
    }

    /// Returns any of the answers.
    fn any(&self, rng: &mut Rng) -> Vec<u8> {
        let mut all: Vec<&Vec<u8>> = self.answers.values().flatten().collect();
        all.sort();
        rng.choice(all).cloned().unwrap_or_default()
    }
}

/// The damage to an answer.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    /// The number of the answer, over all connections.
    pub answer: usize,
    pub seed: u64,
}

impl Damage {
    /// Damages an answer in one to three ways.
    pub fn apply(self, mut answer: Vec<u8>, recording: &Recording) -> Vec<u8> {
        let mut rng = Rng::with_seed(self.seed);
        for _ in 0..rng.usize(1..=3) {
            let damaged = damage(answer.clone(), recording, &mut rng);
            if !claims_too_many_columns(&damaged) {
                answer = damaged;
            }
        }
        answer
    }
}

/// Returns true if an answer may claim so many columns that the driver cannot reserve the memory
/// for them. That aborts the process, the test's as well. `docs/security.md` says so.
fn claims_too_many_columns(answer: &[u8]) -> bool {
    const MANY: u64 = 1 << 24;
    let count = |packet: &Vec<u8>| {
        let (kind, count) = packet.get(4..13)?.split_first()?;
        (*kind == 0xFE).then_some(u64::from_le_bytes(count.try_into().ok()?))
    };
    split(answer).iter().filter_map(count).any(|count| count > MANY)
}

fn damage(mut answer: Vec<u8>, recording: &Recording, rng: &mut Rng) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 4, 0x0A, 0xFB, 0xFC, 0xFE, 0xFF];
    let length = answer.len();
    let place = rng.usize(0..=length);
    let few = rng.usize(1..=8);
    match rng.u8(0..12) {
        0 if place < length => answer[place] ^= 1 << rng.u8(0..8),
        1 if place < length => answer[place] = rng.choice(TELLING).unwrap_or_default(),
        2 => answer.truncate(place),
        3 => {
            let inserted: Vec<u8> = (0..few).map(|_| rng.u8(..)).collect();
            answer.splice(place..place, inserted);
        }
        4 => {
            answer.drain(place..length.min(place + few));
        }
        5 => answer = recording.any(rng),
        6 => answer.extend(recording.any(rng)),
        7.. => {
            let mut packets = split(&answer);
            let Some(number) = (!packets.is_empty()).then(|| rng.usize(0..packets.len())) else {
                return answer;
            };
            match rng.u8(0..6) {
                0 => packets.insert(number, packets[number].clone()),
                1 => {
                    packets.remove(number);
                }
                2 => packets[number][rng.usize(0..4)] = rng.choice(TELLING).unwrap_or_default(),
                // The rest keeps the packets whole: only what is in them is damaged.
                kind => {
                    let mut payload = packets[number].split_off(4);
                    let place = rng.usize(0..=payload.len());
                    match kind {
                        3 => payload.truncate(place),
                        4 => {
                            let inserted: Vec<u8> = (0..few).map(|_| rng.u8(..)).collect();
                            payload.splice(place..place, inserted);
                        }
                        _ if place < payload.len() => {
                            payload[place] = if rng.bool() {
                                rng.u8(..)
                            } else {
                                rng.choice(TELLING).unwrap_or_default()
                            };
                        }
                        _ => payload.clear(),
                    }
                    let [a, b, c, ..] = payload.len().to_le_bytes();
                    packets[number][..3].copy_from_slice(&[a, b, c]);
                    packets[number].extend(payload);
                }
            }
            answer = packets.concat();
        }
        _ => {}
    }
    answer
}

/// Splits bytes into packets, and drops what is no whole one.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some(length) = first_packet(bytes) {
        packets.push(bytes[..length].to_vec());
        bytes = &bytes[length..];
    }
    packets
}

/// Returns the length of the first packet with its header, if it is whole.
fn first_packet(bytes: &[u8]) -> Option<usize> {
    let [a, b, c, ..] = bytes else { return None };
    let length = 4 + (usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16);
    (bytes.len() >= length).then_some(length)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client's side of one connection.
#[derive(Default)]
struct Client {
    prepared: String,
    /// The statement that may ask for a file, and the file so far.
    load: Option<(String, Vec<u8>)>,
}

/// A packet of a client, by its meaning.
enum Sent {
    Question(String),
    /// The question at the end of this file.
    EndOfFile(String, Vec<u8>),
    /// Nothing that is answered.
    Other,
}

impl Client {
    fn take_in(&mut self, packet: &[u8]) -> Sent {
        let (header, payload) = packet.split_at(4);
        if header[3] != 0 {
            return match self.load.take() {
                None => Sent::Question("login".to_owned()),
                Some((statement, file)) if payload.is_empty() => {
                    Sent::EndOfFile(format!("end of {statement}"), file)
                }
                Some((statement, mut file)) => {
                    file.extend(payload);
                    self.load = Some((statement, file));
                    Sent::Other
                }
            };
        }
        self.load = None;
        let Some((&command, rest)) = payload.split_first() else { return Sent::Other };
        let text = words_without_digits(&String::from_utf8_lossy(rest));
        match command {
            // COM_QUIT and COM_STMT_CLOSE.
            0x01 | 0x19 => Sent::Other,
            0x03 => {
                if text.starts_with("LOAD DATA") {
                    self.load = Some((text.clone(), Vec::new()));
                }
                Sent::Question(text)
            }
            0x16 => {
                self.prepared = text;
                Sent::Question(format!("prepare {}", self.prepared))
            }
            0x17 => Sent::Question(format!("execute {}", self.prepared)),
            _ => Sent::Question(format!("command {command}")),
        }
    }
}

fn words_without_digits(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        out.push_str(if word.bytes().any(|byte| byte.is_ascii_digit()) { "# " } else { word });
    }
    out
}

/// A relay to a real server, that records its answers and may damage some bytes of them.
pub struct Relay {
    address: SocketAddr,
    recording: Arc<Mutex<Recording>>,
    accepting: JoinHandle<()>,
}

/// The number of the blocks of bytes that servers have sent, and the damage to one.
struct Live {
    damage: Option<Damage>,
    sent: usize,
}

impl Relay {
    pub async fn start(server_port: u16, damage: Option<Damage>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let recording: Arc<Mutex<Recording>> = Arc::default();
        let live = Arc::new(Mutex::new(Live { damage, sent: 0 }));
        let accepting = tokio::spawn({
            let recording = Arc::clone(&recording);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let (recording, live) = (Arc::clone(&recording), Arc::clone(&live));
                    tokio::spawn(
                        async move { relay(client, server_port, recording, live).await.ok() },
                    );
                }
            }
        });
        Ok(Self { address, recording, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn recording(&self) -> Recording {
        lock(&self.recording).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(
    client: TcpStream,
    server_port: u16,
    recording: Arc<Mutex<Recording>>,
    live: Arc<Mutex<Live>>,
) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut state, mut unread) = (Client::default(), Vec::new());
    let mut question = "greeting".to_owned();
    lock(&recording).answers.entry(question.clone()).or_default().push(Vec::new());
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            length = from_client.read(&mut asked) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                unread.extend(&asked[..length]);
                while let Some(length) = first_packet(&unread) {
                    let packet: Vec<u8> = unread.drain(..length).collect();
                    match state.take_in(&packet) {
                        Sent::Question(text) | Sent::EndOfFile(text, _) => {
                            question = text;
                            let mut recording = lock(&recording);
                            recording.answers.entry(question.clone()).or_default().push(Vec::new());
                        }
                        Sent::Other => {}
                    }
                    to_server.write_all(&packet).await?;
                }
            }
            length = from_server.read(&mut answered) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                let mut bytes = answered[..length].to_vec();
                let damage = {
                    let mut recording = lock(&recording);
                    let answers = recording.answers.entry(question.clone()).or_default();
                    if let Some(answer) = answers.last_mut() {
                        answer.extend(&bytes);
                    }
                    let mut live = lock(&live);
                    let number = live.sent;
                    live.sent += 1;
                    live.damage.filter(|damage| damage.answer == number)
                };
                if let Some(damage) = damage {
                    let recording = lock(&recording).clone();
                    bytes = damage.apply(bytes, &recording);
                }
                to_client.write_all(&bytes).await?;
            }
        }
    }
}

/// A server that answers from a recording, and damages one answer.
pub struct Playback {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    recording: Arc<Recording>,
    damage: Option<Damage>,
    /// The number of answers that were given, in all and to each question.
    given: usize,
    given_to: HashMap<String, usize>,
    is_damaged: bool,
    /// The files whose end was received.
    files: Vec<Vec<u8>>,
}

impl Playback {
    pub async fn start(recording: Arc<Recording>, damage: Option<Damage>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            recording,
            damage,
            given: 0,
            given_to: HashMap::new(),
            is_damaged: false,
            files: Vec::new(),
        }));
        let accepting = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    tokio::spawn(async move { play(client, state).await.ok() });
                }
            }
        });
        Ok(Self { address, state, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of answers so far.
    pub fn given(&self) -> usize {
        lock(&self.state).given
    }

    /// Returns the files that were received to their end, but for empty ones.
    pub fn files(&self) -> Vec<Vec<u8>> {
        lock(&self.state).files.iter().filter(|file| !file.is_empty()).cloned().collect()
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    /// Returns the answer, and true if it is damaged.
    fn answer(&mut self, question: &str) -> (Vec<u8>, bool) {
        const UNKNOWN: &[u8] = b"\x0B\0\0\x01\xFF\x51\x04#HY000no";
        let index = self.given_to.entry(question.to_owned()).or_default();
        let recorded = self.recording.answers.get(question);
        let answer = recorded.and_then(|all| all.get(*index).or(all.last())).cloned();
        *index += 1;
        let number = self.given;
        self.given += 1;
        let answer = answer.unwrap_or_else(|| UNKNOWN.to_vec());
        match self.damage.filter(|damage| damage.answer == number) {
            Some(damage) => {
                self.is_damaged = true;
                (damage.apply(answer, &self.recording), true)
            }
            None => (answer, false),
        }
    }
}

async fn play(mut client: TcpStream, state: Arc<Mutex<State>>) -> Result<()> {
    client.set_nodelay(true)?;
    let mut question = Some("greeting".to_owned());
    let (mut seen, mut was_damaged) = (Client::default(), false);
    loop {
        if let Some(question) = question.take() {
            let (answer, is_damaged) = lock(&state).answer(&question);
            client.write_all(&answer).await?;
            was_damaged |= is_damaged;
        }
        let mut header = [0; 4];
        if was_damaged {
            tokio::time::timeout(PATIENCE, client.read_exact(&mut header)).await??;
        } else {
            client.read_exact(&mut header).await?;
        }
        let [a, b, c, _] = header;
        let mut packet = header.to_vec();
        packet.resize(4 + (usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16), 0);
        client.read_exact(&mut packet[4..]).await.context("half a packet")?;
        match seen.take_in(&packet) {
            Sent::Question(text) => question = Some(text),
            Sent::EndOfFile(text, file) => {
                lock(&state).files.push(file);
                question = Some(text);
            }
            Sent::Other => {}
        }
    }
}
