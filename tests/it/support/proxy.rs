//! A TCP proxy in front of a database server that breaks a connection at a chosen step of the
//! protocol.
//!
//! It reads the client's side packet by packet, which is possible only without TLS: tests give
//! `--ssl-mode DISABLED`. The server's side is passed on unchanged, except that the greeting does
//! not offer compression: on a busy machine a server looks so far away that the program would ask
//! for it, and the proxy could not read the packets. A prepared statement counts when it is
//! executed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::round_trip_log::{Packet, Recorder};

/// The time limit for a step, far beyond any need on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// A step of the protocol, seen from the client's side.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A statement that starts with this text is about to be passed on.
    Statement(&'static str),
    /// A statement, or several in one packet, with this text in it is about to be passed on.
    StatementWith(&'static str),
    /// A statement with the first text and, somewhere after it, the second.
    StatementWithBoth(&'static str, &'static str),
    /// This many bytes of a file have been passed on, or all of a shorter file that is not empty.
    /// Each file counts once.
    InfileBytes(usize),
    /// The packet that ends a file that is not empty is about to be passed on. The server's answer
    /// to it is LOAD's OK.
    InfileEnd,
    /// The COMMIT of a transaction that sent a file that is not empty is about to be passed on.
    LoadCommit,
    /// A connection is opened.
    Connect,
    /// The client's answer to the greeting, with the name of the account, is about to be passed on.
    Login,
}

/// The action at a step. At [`Step::InfileBytes`] only `Cut`, `Hold` and `Watch` are possible.
#[derive(Clone, Copy, Debug)]
pub enum Break {
    /// Closes both sides without passing the packet on.
    Cut,
    /// Passes the packet on and closes both sides without waiting for the server's reaction.
    CutBehind,
    /// Passes the packet on, waits for the server's answer (the last one to several statements),
    /// keeps it back and closes both sides.
    SwallowAnswer,
    /// Passes nothing more on, not even the client's end, until [`Broken::release`].
    Hold,
    /// Passes the packet on, waits for the server's answer (the last one), and keeps it back until
    /// [`Broken::release`].
    HoldAnswer,
    /// Does the same without waiting for the answer: the statement may still be running.
    HoldUnanswered,
    /// Does nothing but count, and makes the connection known to [`Broken::cut`].
    Watch,
}

/// The proxy. It listens until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    rules: Arc<Mutex<Vec<Arc<Rule>>>>,
    recorder: Recorder,
    accepting: tokio::task::JoinHandle<()>,
}

struct Rule {
    step: Step,
    what: Break,
    skip: Mutex<u32>,
    left: Mutex<u32>,
    effects: watch::Sender<u32>,
    released: watch::Sender<bool>,
    /// The connections that met it.
    met: Mutex<Vec<CancellationToken>>,
}

/// One rule, and how a test learns that it took effect.
pub struct Broken(Arc<Rule>);

impl Proxy {
    /// Starts a proxy in front of the server on this port of this machine.
    pub async fn start(server_port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let rules: Arc<Mutex<Vec<Arc<Rule>>>> = Arc::default();
        let recorder = Recorder::default();
        let accepting = tokio::spawn({
            let (rules, recorder) = (Arc::clone(&rules), recorder.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let (rules, recorder) = (Arc::clone(&rules), recorder.clone());
                    // Broken connections are the purpose.
                    tokio::spawn(
                        async move { serve(client, server_port, rules, recorder).await.ok() },
                    );
                }
            }
        });
        Ok(Self { address, rules, recorder, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the record of what was sent to the server.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Breaks the next connection that reaches this step.
    pub fn next(&self, step: Step, what: Break) -> Broken {
        self.times(1, step, what)
    }

    pub fn times(&self, times: u32, step: Step, what: Break) -> Broken {
        self.add(0, times, step, what)
    }

    /// Breaks the connection that reaches this step after `skip` others have.
    pub fn after(&self, skip: u32, step: Step, what: Break) -> Broken {
        self.add(skip, 1, step, what)
    }

    fn add(&self, skip: u32, times: u32, step: Step, what: Break) -> Broken {
        let rule = Arc::new(Rule {
            step,
            what,
            skip: Mutex::new(skip),
            left: Mutex::new(times),
            effects: watch::Sender::new(0),
            released: watch::Sender::new(false),
            met: Mutex::default(),
        });
        lock(&self.rules).push(Arc::clone(&rule));
        Broken(rule)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Broken {
    pub fn count(&self) -> u32 {
        *self.0.effects.borrow()
    }

    pub async fn wait(&self) -> Result<()> {
        let mut effects = self.0.effects.subscribe();
        let waited = tokio::time::timeout(STEP_LIMIT, effects.wait_for(|count| *count > 0)).await;
        waited.with_context(|| format!("no connection got to {:?}", self.0.step))??;
        Ok(())
    }

    pub fn release(&self) {
        self.0.released.send_replace(true);
    }

    /// Closes both sides of the connections that met this rule, whatever they are doing now. A held
    /// packet is never passed on.
    pub fn cut(&self) {
        lock(&self.0.met).iter().for_each(CancellationToken::cancel);
    }

    /// Removes the rule. It releases what it holds.
    pub fn remove(&self) {
        *lock(&self.0.left) = 0;
        self.release();
    }
}

impl Rule {
    /// Takes one of the remaining times.
    fn take(&self) -> bool {
        let mut skip = lock(&self.skip);
        if *skip > 0 {
            *skip -= 1;
            return false;
        }
        let mut left = lock(&self.left);
        if *left == 0 {
            return false;
        }
        *left -= 1;
        true
    }

    fn took_effect(&self) {
        self.effects.send_modify(|count| *count += 1);
    }

    async fn released(&self) {
        let mut released = self.released.subscribe();
        // The sender lives in the rule.
        let _ = released.wait_for(|released| *released).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fate of the server's answers.
#[derive(Clone, Debug)]
enum Answers {
    PassOn,
    /// They are kept back until the rule is released.
    Hold(Arc<Rule>),
    /// They end here.
    Swallow,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {:?}", self.what, self.step)
    }
}

async fn serve(
    client: TcpStream,
    server_port: u16,
    rules: Arc<Mutex<Vec<Arc<Rule>>>>,
    recorder: Recorder,
) -> Result<()> {
    let ending = CancellationToken::new();
    let ended = ending.clone();
    let number = recorder.connection();
    let connection = Connection {
        server_port,
        rules,
        recorder,
        number,
        has_answered: AtomicBool::new(false),
        ending,
    };
    // Both sockets close when this ends.
    tokio::select! {
        served = connection.serve(client) => served,
        () = ended.cancelled() => Ok(()),
    }
}

struct Connection {
    server_port: u16,
    rules: Arc<Mutex<Vec<Arc<Rule>>>>,
    recorder: Recorder,
    number: u64,
    /// True if the server has sent something since the client's last packet.
    has_answered: AtomicBool,
    ending: CancellationToken,
}

/// The state of the client's side.
#[derive(Default)]
struct Progress {
    /// The bytes of the file so far, if one is being sent.
    infile_bytes: Option<usize>,
    /// True if the transaction has sent a file that is not empty.
    loaded: bool,
    prepared: Vec<u8>,
}

impl Connection {
    /// Returns the first rule that this step meets and that has a time left.
    fn rule_for(&self, met: impl Fn(Step) -> bool) -> Option<Arc<Rule>> {
        let rule = lock(&self.rules).iter().find(|rule| met(rule.step) && rule.take()).cloned()?;
        lock(&rule.met).push(self.ending.clone());
        Some(rule)
    }

    async fn serve(&self, client: TcpStream) -> Result<()> {
        if let Some(rule) = self.rule_for(|step| matches!(step, Step::Connect)) {
            rule.took_effect();
            match rule.what {
                Break::Hold => rule.released().await,
                Break::Watch => {}
                Break::Cut
                | Break::CutBehind
                | Break::SwallowAnswer
                | Break::HoldAnswer
                | Break::HoldUnanswered => {
                    return Ok(());
                }
            }
        }
        let server = TcpStream::connect(("127.0.0.1", self.server_port)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        let (answers, mode) = watch::channel(Answers::PassOn);
        let (answered, answer) = watch::channel(false);
        let has_answered = &self.has_answered;
        let back = async move {
            to_client.write_all(&greeting(&mut from_server).await?).await?;
            has_answered.store(true, Ordering::Relaxed);
            let mut block = vec![0; 64 * 1024];
            loop {
                let length = from_server.read(&mut block).await?;
                if length == 0 {
                    return Ok(());
                }
                has_answered.store(true, Ordering::Relaxed);
                let mode = mode.borrow().clone();
                match mode {
                    Answers::PassOn => {}
                    Answers::Hold(rule) => {
                        if is_last_answer(&block[..length]) {
                            if *rule.effects.borrow() == 0 {
                                rule.took_effect();
                            }
                            rule.released().await;
                        }
                    }
                    Answers::Swallow if !is_last_answer(&block[..length]) => continue,
                    Answers::Swallow => {
                        answered.send_replace(true);
                        std::future::pending::<()>().await;
                    }
                }
                to_client.write_all(&block[..length]).await?;
            }
        };
        tokio::select! {
            ended = self.forward(from_client, to_server, &answers, answer) => ended,
            ended = back => ended,
        }
    }

    async fn forward(
        &self,
        mut client: OwnedReadHalf,
        mut server: OwnedWriteHalf,
        answers: &watch::Sender<Answers>,
        mut answer: watch::Receiver<bool>,
    ) -> Result<()> {
        let mut progress = Progress::default();
        let mut is_login = true;
        loop {
            let mut header = [0; 4];
            client.read_exact(&mut header).await?;
            let [a, b, c, sequence] = header;
            let mut packet = vec![0; usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16];
            client.read_exact(&mut packet).await?;

            let bytes_before = progress.infile_bytes;
            let statement = progress.take_in(sequence, &packet);
            let is_of_file = bytes_before.is_some_and(|bytes| bytes > 0 || sequence != 0);
            let sent = if is_of_file {
                Packet::File { bytes: packet.len() }
            } else {
                Packet::Command { sequence, packet: &packet }
            };
            self.recorder.packet(
                self.number,
                self.has_answered.swap(false, Ordering::Relaxed),
                sent,
            );
            let bytes_now = progress.infile_bytes;
            let is_end_of_file = bytes_before.is_some_and(|bytes| bytes > 0) && packet.is_empty();
            let rule = self.rule_for(|step| match step {
                Step::Statement(start) => {
                    statement.as_ref().is_some_and(|text| text.starts_with(start.as_bytes()))
                }
                Step::StatementWith(part) => statement
                    .as_ref()
                    .is_some_and(|text| String::from_utf8_lossy(text).contains(part)),
                Step::StatementWithBoth(first, second) => statement.as_ref().is_some_and(|text| {
                    let text = String::from_utf8_lossy(text);
                    text.split_once(first).is_some_and(|(_, behind)| behind.contains(second))
                }),
                Step::InfileBytes(limit) => {
                    bytes_before.is_some_and(|before| before < limit)
                        && (is_end_of_file || bytes_now.is_some_and(|now| now >= limit))
                }
                Step::InfileEnd => is_end_of_file,
                Step::LoadCommit => {
                    progress.loaded && statement.as_ref().is_some_and(|text| text == b"COMMIT")
                }
                Step::Login => is_login,
                Step::Connect => false,
            });
            is_login = false;
            if statement.as_ref().is_some_and(|text| text == b"COMMIT" || text == b"ROLLBACK") {
                progress.loaded = false;
            }
            // The rule passes on exactly this much of a file before it breaks.
            let mut passed_on = 0;
            if let (Some(rule), Some(before)) = (&rule, bytes_before)
                && let Step::InfileBytes(limit) = rule.step
                && !is_end_of_file
            {
                passed_on = limit - before;
                server.write_all(&header).await?;
                server.write_all(&packet[..passed_on]).await?;
            }
            match rule.as_ref().map(|rule| (rule, rule.what)) {
                None => {}
                Some((rule, Break::Watch)) => rule.took_effect(),
                Some((rule, Break::Cut)) => {
                    rule.took_effect();
                    return Ok(());
                }
                Some((rule, Break::Hold)) => {
                    rule.took_effect();
                    rule.released().await;
                }
                Some((rule, Break::HoldAnswer | Break::HoldUnanswered)) => {
                    answers.send_replace(Answers::Hold(Arc::clone(rule)));
                    server.write_all(&header).await?;
                    server.write_all(&packet).await?;
                    if matches!(rule.what, Break::HoldUnanswered) {
                        rule.took_effect();
                    }
                    // Until then the server does not learn that the client has gone either.
                    rule.released().await;
                    continue;
                }
                Some((rule, Break::CutBehind)) => {
                    server.write_all(&header).await?;
                    server.write_all(&packet).await?;
                    rule.took_effect();
                    return Ok(());
                }
                Some((rule, Break::SwallowAnswer)) => {
                    answers.send_replace(Answers::Swallow);
                    server.write_all(&header).await?;
                    server.write_all(&packet).await?;
                    answer.wait_for(|answered| *answered).await?;
                    rule.took_effect();
                    return Ok(());
                }
            }
            if passed_on == 0 {
                server.write_all(&header).await?;
            }
            server.write_all(&packet[passed_on..]).await?;
        }
    }
}

/// Reads the server's first packet, and takes out of it the offer to compress.
async fn greeting(server: &mut OwnedReadHalf) -> Result<Vec<u8>> {
    const CLIENT_COMPRESS: u8 = 0x20;
    /// The packet's header and the number of the protocol.
    const BEFORE_VERSION: usize = 5;
    /// The end of the version, the connection's id, half of the scramble, and a filler.
    const BEFORE_CAPABILITIES: usize = 1 + 4 + 8 + 1;
    let mut packet = vec![0; 4];
    server.read_exact(&mut packet).await?;
    let length =
        usize::from(packet[0]) | usize::from(packet[1]) << 8 | usize::from(packet[2]) << 16;
    packet.resize(4 + length, 0);
    server.read_exact(&mut packet[4..]).await?;
    // Anything else is a refusal.
    if packet.get(4) == Some(&10)
        && let Some(version_bytes) = packet[BEFORE_VERSION..].iter().position(|byte| *byte == 0)
        && let Some(low) = packet.get_mut(BEFORE_VERSION + version_bytes + BEFORE_CAPABILITIES)
    {
        *low &= !CLIENT_COMPRESS;
    }
    Ok(packet)
}

/// Returns true if these packets end with one after which nothing more follows. Result sets are not
/// parsed.
fn is_last_answer(mut packets: &[u8]) -> bool {
    const SERVER_MORE_RESULTS_EXISTS: u8 = 0x08;
    let mut is_last = true;
    while let [a, b, c, _, rest @ ..] = packets {
        let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
        let (packet, behind) = rest.split_at(length.min(rest.len()));
        is_last = ok_flags(packet).is_none_or(|flags| flags & SERVER_MORE_RESULTS_EXISTS == 0);
        packets = behind;
    }
    is_last
}

/// Returns the low byte of an OK packet's status flags, which come after the affected rows and the
/// last id.
fn ok_flags(packet: &[u8]) -> Option<u8> {
    const OK: u8 = 0x00;
    let mut rest = packet.strip_prefix(&[OK])?;
    for _ in 0..2 {
        let count_bytes = match rest.first()? {
            0xFC => 3,
            0xFD => 4,
            0xFE => 9,
            _ => 1,
        };
        rest = rest.get(count_bytes..)?;
    }
    rest.first().copied()
}

impl Progress {
    /// Takes in a packet of the client, and returns its statement if it runs one.
    fn take_in(&mut self, sequence: u8, packet: &[u8]) -> Option<Vec<u8>> {
        const COM_QUERY: u8 = 0x03;
        const COM_STMT_PREPARE: u8 = 0x16;
        const COM_STMT_EXECUTE: u8 = 0x17;
        // Every command restarts the numbers. A file's packets go on from the server's answer, and
        // past 255.
        if sequence != 0 || self.infile_bytes.is_some_and(|bytes| bytes > 0) {
            if let Some(bytes) = &mut self.infile_bytes {
                *bytes += packet.len();
                self.loaded |= !packet.is_empty();
                if packet.is_empty() {
                    self.infile_bytes = None;
                }
            }
            return None;
        }
        self.infile_bytes = None;
        let (&command, text) = packet.split_first()?;
        let statement = match command {
            COM_QUERY => text.to_vec(),
            COM_STMT_PREPARE => {
                self.prepared = text.to_vec();
                return None;
            }
            COM_STMT_EXECUTE => self.prepared.clone(),
            _ => return None,
        };
        if statement.starts_with(b"LOAD DATA") {
            self.infile_bytes = Some(0);
        }
        Some(statement)
    }
}
