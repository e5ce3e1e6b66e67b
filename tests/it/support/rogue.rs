//! A fake MySQL server that asks for files: as much of the protocol as the program needs to begin a
//! load, and malice.
//!
//! It answers by itself like a well-meaning server with one table of one column. A test chooses the
//! statements to which it answers "send me this file" instead, and looks at the data that arrives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The answer to statements with a certain beginning.
#[derive(Clone, Copy, Debug)]
pub struct Malice {
    /// The beginning of the statement.
    pub statement: &'static str,
    /// The number of such statements that get a good answer first.
    pub after: usize,
    pub what: Answer,
}

#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// "Send me the file of this name."
    AskFor(&'static str),
    /// OK, with this info text, without ever asking for the file.
    Ok(&'static str),
    /// Error 1105.
    Error,
    /// A row of one column, whatever the question.
    OneColumn,
    /// A row of this many columns, each with a byte that is not UTF-8, whatever the question.
    NotUtf8(usize),
    /// Rows of one column, without an end.
    Endless,
    /// OK, and that another answer follows, without an end.
    EndlessOk,
}

/// The data that a client sent in answer to a request for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The statement that the server answered with the request.
    pub statement: String,
    pub bytes: Vec<u8>,
}

pub struct Rogue {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    statements: Arc<Mutex<Vec<String>>>,
    accepting: tokio::task::JoinHandle<()>,
}

/// The number of matching statements that each malice has skipped, over all connections.
type Skipped = Arc<Mutex<Vec<usize>>>;

impl Rogue {
    pub async fn start(malice: &'static [Malice]) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (received, statements) = (Arc::default(), Arc::default());
        let skipped: Skipped = Arc::new(Mutex::new(vec![0; malice.len()]));
        let accepting = tokio::spawn({
            let (received, statements) = (Arc::clone(&received), Arc::clone(&statements));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (received, statements) = (Arc::clone(&received), Arc::clone(&statements));
                    let skipped = Arc::clone(&skipped);
                    let client = Client {
                        stream,
                        sequence: 0,
                        more_results: false,
                        malice,
                        skipped,
                        received,
                        statements,
                    };
                    // A client may hang up.
                    tokio::spawn(async move { client.serve().await.ok() });
                }
            }
        });
        Ok(Self { address, received, statements, accepting })
    }

    pub fn url(&self) -> String {
        format!("mysql://loader@127.0.0.1:{}/db", self.address.port())
    }

    /// Returns the answers to the requests for files, in order.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns every statement that arrived.
    pub fn statements(&self) -> Vec<String> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Client {
    stream: TcpStream,
    sequence: u8,
    /// True if the statement that is being answered is not the last one of its packet.
    more_results: bool,
    malice: &'static [Malice],
    skipped: Skipped,
    received: Arc<Mutex<Vec<Received>>>,
    statements: Arc<Mutex<Vec<String>>>,
}

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;

const CAPABILITIES: u32 = 0x1 // long password
    | 0x4 // long flag
    | 0x8 // connect with database
    | 0x80 // LOCAL INFILE
    | 0x200 // protocol 4.1
    | 0x2000 // transactions
    | 0x8000 // authentication of 4.1
    | 0x0008_0000; // authentication by plugin
const AUTOCOMMIT: u16 = 2;
const MORE_RESULTS: u16 = 8;

impl Client {
    async fn serve(mut self) -> Result<()> {
        self.greet().await?;
        let mut prepared = String::new();
        loop {
            self.sequence = 0;
            let packet = self.read().await?;
            let Some((&command, rest)) = packet.split_first() else { bail!("an empty command") };
            match command {
                COM_QUIT => return Ok(()),
                COM_STMT_CLOSE => {}
                COM_QUERY => {
                    let text = String::from_utf8_lossy(rest).into_owned();
                    self.statements
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(text.clone());
                    let mut statements = text.split("; ").peekable();
                    while let Some(statement) = statements.next() {
                        self.more_results = statements.peek().is_some();
                        self.answer(statement).await?;
                    }
                }
                COM_STMT_PREPARE => {
                    prepared = String::from_utf8_lossy(rest).into_owned();
                    self.answer_prepare(&prepared).await?;
                }
                COM_STMT_EXECUTE => {
                    let result = result_of(&prepared);
                    self.rows(result.columns, &result.rows, true).await?;
                }
                _ => self.ok("").await?,
            }
        }
    }

    async fn greet(&mut self) -> Result<()> {
        let mut greeting = vec![10];
        greeting.extend(b"8.4.0-rogue\0");
        greeting.extend(77_u32.to_le_bytes());
        greeting.extend(b"12345678\0");
        greeting.extend((CAPABILITIES as u16).to_le_bytes());
        greeting.push(255);
        greeting.extend(AUTOCOMMIT.to_le_bytes());
        greeting.extend(((CAPABILITIES >> 16) as u16).to_le_bytes());
        greeting.push(21);
        greeting.extend([0; 10]);
        greeting.extend(b"123456789012\0");
        greeting.extend(b"mysql_native_password\0");
        self.write(&greeting).await?;
        self.read().await?;
        self.ok("").await
    }

    async fn answer(&mut self, statement: &str) -> Result<()> {
        if let Some(what) = self.malice_for(statement) {
            return match what {
                Answer::AskFor(file) => self.ask_for(file, statement).await,
                Answer::Ok(info) => self.ok(info).await,
                Answer::Error => self.write(b"\xFF\x51\x04#HY000no").await,
                Answer::OneColumn => self.rows(1, &[vec!["x"]], false).await,
                Answer::Endless => self.rows_without_end().await,
                Answer::EndlessOk => self.answers_without_end().await,
                Answer::NotUtf8(columns) => {
                    self.rows(columns, &[vec![b"\xFFx"; columns]], false).await
                }
            };
        }
        if statement.starts_with("LOAD DATA") {
            return self.ask_for("s3-to-mysql", statement).await;
        }
        let result = result_of(statement);
        if result.columns == 0 {
            self.ok("").await
        } else {
            self.rows(result.columns, &result.rows, false).await
        }
    }

    fn malice_for(&self, statement: &str) -> Option<Answer> {
        let index =
            self.malice.iter().position(|malice| statement.starts_with(malice.statement))?;
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        if skipped[index] < self.malice[index].after {
            skipped[index] += 1;
            return None;
        }
        Some(self.malice[index].what)
    }

    /// Asks for a file, receives it, and counts its lines.
    async fn ask_for(&mut self, file: &str, statement: &str) -> Result<()> {
        self.write(&[&[0xFB], file.as_bytes()].concat()).await?;
        let index = {
            let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
            received.push(Received { statement: statement.to_owned(), bytes: Vec::new() });
            received.len() - 1
        };
        let mut rows = 0;
        loop {
            let packet = self.read().await?;
            if packet.is_empty() {
                break;
            }
            rows += packet.iter().filter(|byte| **byte == b'\n').count();
            // Record it at once: the client may hang up before the file is complete.
            let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
            received[index].bytes.extend(packet);
        }
        self.ok(&format!("Records: {rows}  Deleted: 0  Skipped: 0  Warnings: 0")).await
    }

    async fn answer_prepare(&mut self, statement: &str) -> Result<()> {
        let parameters = u16::try_from(statement.matches('?').count())?;
        let columns = u16::try_from(result_of(statement).columns)?;
        let mut ok = vec![0];
        ok.extend(1_u32.to_le_bytes());
        ok.extend(columns.to_le_bytes());
        ok.extend(parameters.to_le_bytes());
        ok.extend([0, 0, 0]);
        self.write(&ok).await?;
        for count in [parameters, columns] {
            for _ in 0..count {
                self.column().await?;
            }
            if count > 0 {
                self.end_of_rows().await?;
            }
        }
        Ok(())
    }

    async fn rows(
        &mut self,
        columns: usize,
        rows: &[Vec<impl AsRef<[u8]>>],
        binary: bool,
    ) -> Result<()> {
        self.write(&[u8::try_from(columns)?]).await?;
        for _ in 0..columns {
            self.column().await?;
        }
        self.end_of_rows().await?;
        for row in rows {
            let mut packet = if binary { vec![0; 1 + (columns + 9) / 8] } else { Vec::new() };
            for value in row {
                let value = value.as_ref();
                packet.push(u8::try_from(value.len())?);
                packet.extend(value);
            }
            self.write(&packet).await?;
        }
        self.end_of_rows().await
    }

    /// Sends rows until the client leaves.
    async fn rows_without_end(&mut self) -> Result<()> {
        self.write(&[1]).await?;
        self.column().await?;
        self.end_of_rows().await?;
        let mut row = vec![b'x'; 100_000];
        let [a, b, c, _] = u32::try_from(row.len())?.to_le_bytes();
        row.splice(0..0, [0xFD, a, b, c]);
        loop {
            self.write(&row).await?;
        }
    }

    /// Sends OK after OK until the client leaves.
    async fn answers_without_end(&mut self) -> Result<()> {
        self.more_results = true;
        loop {
            self.ok("").await?;
        }
    }

    /// Sends the definition of a text column. The program does not look at its name.
    async fn column(&mut self) -> Result<()> {
        let mut packet = Vec::new();
        for text in ["def", "", "", "", "c", "c"] {
            packet.push(text.len() as u8);
            packet.extend(text.as_bytes());
        }
        packet.push(0x0C);
        packet.extend(45_u16.to_le_bytes());
        packet.extend(1024_u32.to_le_bytes());
        packet.push(0xFD);
        packet.extend([0; 5]);
        self.write(&packet).await
    }

    fn status(&self) -> [u8; 2] {
        (AUTOCOMMIT | if self.more_results { MORE_RESULTS } else { 0 }).to_le_bytes()
    }

    async fn end_of_rows(&mut self) -> Result<()> {
        let [low, high] = self.status();
        self.write(&[0xFE, 0, 0, low, high]).await
    }

    async fn ok(&mut self, info: &str) -> Result<()> {
        let [low, high] = self.status();
        let length = u8::try_from(info.len())?;
        self.write(&[&[0, 0, 0, low, high, 0, 0, length], info.as_bytes()].concat()).await
    }

    async fn write(&mut self, payload: &[u8]) -> Result<()> {
        let [a, b, c, _] = u32::try_from(payload.len())?.to_le_bytes();
        let packet = [&[a, b, c, self.sequence], payload].concat();
        self.sequence = self.sequence.wrapping_add(1);
        Ok(self.stream.write_all(&packet).await?)
    }

    async fn read(&mut self) -> Result<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).await?;
        let [a, b, c, sequence] = header;
        self.sequence = sequence.wrapping_add(1);
        let mut payload = vec![0; usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16];
        self.stream.read_exact(&mut payload).await?;
        Ok(payload)
    }
}

struct ResultSet {
    columns: usize,
    rows: Vec<Vec<&'static str>>,
}

/// Returns the result of the program's own queries, for one InnoDB table `t` with one column `a`.
fn result_of(statement: &str) -> ResultSet {
    let (columns, rows) = if statement.starts_with("SHOW GLOBAL VARIABLES") {
        (
            2,
            vec![
                vec!["local_infile", "ON"],
                vec!["time_zone", "+00:00"],
                vec!["transaction_isolation", "x"],
            ],
        )
    } else if statement.starts_with("SHOW SESSION VARIABLES") {
        (2, vec![vec!["transaction_isolation", "REPEATABLE-READ"]])
    } else if statement.starts_with("SHOW WARNINGS") {
        (3, Vec::new())
    } else if statement.contains("VERSION(), CONNECTION_ID()") {
        (3, vec![vec!["8.4.0-rogue", "77", "rogue"]])
    } else if statement.contains("@@max_allowed_packet") {
        (2, vec![vec!["67108864", "28800"]])
    } else if statement.contains("information_schema.TABLES") {
        (5, vec![vec!["db", "t", "BASE TABLE", "InnoDB", ""]])
    } else if statement.contains("information_schema.COLUMNS") {
        (11, vec![vec!["a", "int", "int", "", "", "YES", "", "0", "0", "0", ""]])
    } else if statement.contains("STATISTICS") || statement.contains("TABLE_CONSTRAINTS") {
        (1, Vec::new())
    } else if statement.contains("TRIGGERS") {
        (3, Vec::new())
    } else {
        (0, Vec::new())
    };
    ResultSet { columns, rows }
}
