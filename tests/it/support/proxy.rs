//! A TCP proxy in front of a database server that breaks a connection at a chosen step of the protocol.
//!
//! It reads the client's side packet by packet, which it can only without TLS: tests give `--ssl-mode DISABLED`. What
//! the server sends is passed on as it is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Far beyond what any step needs on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// A step of the protocol, seen from the client's side.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A statement that starts with this is about to be passed on.
    Statement(&'static str),
    /// A statement that has this in it is about to be passed on.
    StatementWith(&'static str),
    /// So many bytes of the file have been passed on after a LOAD DATA statement.
    InfileBytes(usize),
    /// A connection is opened.
    Connect,
}

/// What happens there.
#[derive(Clone, Copy, Debug)]
pub enum Break {
    /// Both sides are closed; the packet is not passed on.
    Cut,
    /// The packet is passed on, the server's answer is awaited and kept back, and both sides are closed.
    SwallowAnswer,
    /// The packet is passed on, the server's answer is awaited and kept back, and both sides stay as they are until
    /// [`Broken::cut`].
    HoldAnswer,
    /// As [`Break::HoldAnswer`], but the answer is not awaited: the statement may still be running.
    HoldUnanswered,
    /// Nothing more is passed on until [`Broken::release`] or [`Broken::cut`].
    Hold,
}

/// The proxy; it listens for as long as this lives.
pub struct Proxy {
    address: SocketAddr,
    rules: Arc<Mutex<Vec<Arc<Rule>>>>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Rule {
    step: Step,
    what: Break,
    left: Mutex<u32>,
    effects: watch::Sender<u32>,
    released: watch::Sender<Option<Then>>,
}

/// What becomes of a connection that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Cut,
}

/// One kind of breakage, and how a test learns that it happened.
pub struct Broken(Arc<Rule>);

impl Proxy {
    /// In front of the server on this port of this machine.
    pub async fn start(server_port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let rules: Arc<Mutex<Vec<Arc<Rule>>>> = Arc::default();
        let accepting = tokio::spawn({
            let rules = Arc::clone(&rules);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let rules = Arc::clone(&rules);
                    // A connection that breaks is what this is for.
                    tokio::spawn(async move { serve(client, server_port, rules).await.ok() });
                }
            }
        });
        Ok(Self { address, rules, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Breaks the next connection that gets to this step.
    pub fn next(&self, step: Step, what: Break) -> Broken {
        self.times(1, step, what)
    }

    pub fn times(&self, times: u32, step: Step, what: Break) -> Broken {
        let rule = Arc::new(Rule {
            step,
            what,
            left: Mutex::new(times),
            effects: watch::Sender::new(0),
            released: watch::Sender::new(None),
        });
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&rule));
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
        self.0.released.send_replace(Some(Then::GoOn));
    }

    /// Closes both sides of what is held; a packet that was not passed on never is.
    pub fn cut(&self) {
        self.0.released.send_replace(Some(Then::Cut));
    }
}

impl Rule {
    /// Takes one of the times that are left.
    fn take(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if *left == 0 {
            return false;
        }
        *left -= 1;
        true
    }

    async fn hold(&self) -> Then {
        self.effects.send_modify(|count| *count += 1);
        let mut released = self.released.subscribe();
        // The sender lives in the rule.
        released.wait_for(Option::is_some).await.ok().and_then(|then| *then).unwrap_or(Then::Cut)
    }
}

fn rule_for(rules: &Mutex<Vec<Arc<Rule>>>, met: impl Fn(Step) -> bool) -> Option<Arc<Rule>> {
    let rules = rules.lock().unwrap_or_else(PoisonError::into_inner);
    rules.iter().find(|rule| met(rule.step) && rule.take()).cloned()
}

async fn serve(client: TcpStream, server_port: u16, rules: Arc<Mutex<Vec<Arc<Rule>>>>) -> Result<()> {
    if let Some(rule) = rule_for(&rules, |step| matches!(step, Step::Connect)) {
        match rule.what {
            Break::Hold if rule.hold().await == Then::GoOn => {}
            Break::Hold => return Ok(()),
            Break::Cut | Break::SwallowAnswer | Break::HoldAnswer | Break::HoldUnanswered => {
                rule.effects.send_modify(|count| *count += 1);
                return Ok(());
            }
        }
    }
    let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    // While the answer is kept back its bytes end here.
    let (swallow, swallowing) = watch::channel(false);
    let (answered, answer) = watch::channel(false);
    let back = async move {
        let mut block = vec![0; 64 * 1024];
        loop {
            let length = from_server.read(&mut block).await?;
            if length == 0 {
                return Ok(());
            }
            if *swallowing.borrow() {
                answered.send_replace(true);
                std::future::pending::<()>().await;
            }
            to_client.write_all(&block[..length]).await?;
        }
    };
    // Both sockets close when either direction has ended.
    tokio::select! {
        ended = forward(from_client, to_server, &rules, &swallow, answer) => ended,
        ended = back => ended,
    }
}

async fn forward(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    rules: &Mutex<Vec<Arc<Rule>>>,
    swallow: &watch::Sender<bool>,
    mut answer: watch::Receiver<bool>,
) -> Result<()> {
    const COM_QUERY: u8 = 3;
    // Bytes of the file so far, where one is being sent.
    let mut infile_bytes = None;
    let mut logged_in = false;
    loop {
        let mut header = [0; 4];
        client.read_exact(&mut header).await?;
        let [a, b, c, sequence] = header;
        let mut packet = vec![0; usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16];
        client.read_exact(&mut packet).await?;

        // Every command starts the numbers anew; a file's packets go on from the server's answer.
        let is_command = sequence == 0;
        logged_in |= is_command;
        let statement = (logged_in && is_command && packet.first() == Some(&COM_QUERY)).then(|| &packet[1..]);
        if is_command {
            infile_bytes = None;
        } else if let Some(bytes) = &mut infile_bytes {
            *bytes += packet.len();
        }
        let rule = rule_for(rules, |step| match step {
            Step::Statement(start) => statement.is_some_and(|statement| statement.starts_with(start.as_bytes())),
            Step::StatementWith(part) => {
                statement.is_some_and(|statement| statement.windows(part.len()).any(|window| window == part.as_bytes()))
            }
            Step::InfileBytes(limit) => infile_bytes.is_some_and(|bytes| bytes >= limit),
            Step::Connect => false,
        });
        if statement.is_some_and(|statement| statement.starts_with(b"LOAD DATA")) {
            infile_bytes = Some(0);
        }
        match rule.as_deref() {
            None => {}
            Some(rule) => match rule.what {
                Break::Cut => {
                    rule.effects.send_modify(|count| *count += 1);
                    return Ok(());
                }
                Break::Hold => {
                    if rule.hold().await == Then::Cut {
                        return Ok(());
                    }
                }
                Break::SwallowAnswer | Break::HoldAnswer | Break::HoldUnanswered => {
                    swallow.send_replace(true);
                    server.write_all(&header).await?;
                    server.write_all(&packet).await?;
                    if !matches!(rule.what, Break::HoldUnanswered) {
                        answer.wait_for(|answered| *answered).await?;
                    }
                    if matches!(rule.what, Break::SwallowAnswer) {
                        rule.effects.send_modify(|count| *count += 1);
                    } else {
                        rule.hold().await;
                    }
                    return Ok(());
                }
            },
        }
        server.write_all(&header).await?;
        server.write_all(&packet).await?;
    }
}
