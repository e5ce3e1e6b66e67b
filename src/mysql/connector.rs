//! Makes connections to one target, with its encryption, login and compression.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::{Compression, DriverError, Error as Driver, IoError, Opts, OptsBuilder};
use tokio_util::sync::CancellationToken;

use super::conn::Conn;
use super::login::Login;
use super::options::{TargetConfig, Timeouts, is_loopback};
use super::server::{MAX_ALLOWED_PACKET_BYTES, Server, SqlMode, WAIT_TIMEOUT_SECONDS};
use super::server_error::{Phase, classify};
use super::session_variables::FRESH;
use super::tls::{name_in_certificate, ssl_opts};
use super::watch::Watch;
use crate::choices::{Compress, SslMode};
use crate::error::{Error, ErrorKind, Result};

/// The driver sets no keepalive, and a NAT or firewall on the way forgets an idle connection after
/// minutes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Makes connections to one target.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Everything but the password, which `login` adds.
    opts: OptsBuilder,
    login: Login,
    /// The name in messages: the user with `host:port` or the socket's path, without any secret.
    pub(super) name: Arc<str>,
    ssl_mode: SslMode,
    is_local: bool,
    compress: Compress,
    pub(super) timeouts: Timeouts,
    /// The beginning of the names of the advisory locks by which the sessions of this run are
    /// known.
    /// `None` on a server that has no such locks.
    mark: Option<Arc<str>>,
    /// Cancelled when the run gives everything up.
    abandoning: CancellationToken,
    pub(super) init_sql: Vec<String>,
}

impl Connector {
    /// Makes a connector for `target`. Does not connect.
    ///
    /// # Errors
    /// `Usage` for TLS settings that contradict the transport.
    pub fn new(target: &TargetConfig, timeouts: Timeouts) -> Result<Self> {
        let mut opts = OptsBuilder::default()
            .user(Some(&target.user))
            .db_name(target.database.as_ref())
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            .tcp_nodelay(true)
            // The driver's default is true, and would leave the requested host for any socket that
            // the server names.
            .prefer_socket(false)
            // Otherwise the driver reads both from each new connection. The first becomes the
            // server's as soon as that is known, and the setup statement sets the second.
            .max_allowed_packet(Some(MAX_ALLOWED_PACKET_BYTES))
            .wait_timeout(Some(WAIT_TIMEOUT_SECONDS as usize))
            // Only the preflight prepares its few queries.
            .stmt_cache_size(0);
        let place = match &target.socket {
            Some(socket) => {
                if matches!(
                    target.ssl_mode,
                    SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity
                ) {
                    let message = "TLS over a unix socket is not supported: its bytes do not leave \
                                   the machine";
                    return Err(Error::new(ErrorKind::Usage, message).with_hint(
                        "use --ssl-mode PREFERRED, or --host and --port instead of --socket",
                    ));
                }
                opts = opts.socket(socket.to_str());
                socket.display().to_string()
            }
            None => {
                opts = opts.ip_or_hostname(&target.host).tcp_port(target.port);
                format!("{}:{}", target.host, target.port)
            }
        };
        let ssl_mode = if target.socket.is_some() { SslMode::Disabled } else { target.ssl_mode };
        if ssl_mode != SslMode::Disabled {
            opts = opts.ssl_opts(ssl_opts(target, ssl_mode)?);
        }
        let is_local = target.socket.is_some() || is_loopback(&target.host);
        Ok(Self {
            opts,
            login: Login::new(target, is_local),
            name: format!("{}@{place}", target.user).into(),
            ssl_mode,
            is_local,
            // Compression is useless on a socket: its bytes do not leave the machine.
            compress: if target.socket.is_some() { Compress::Off } else { target.compress },
            timeouts,
            mark: Some(format!("s3_to_mysql.{:016x}.", fastrand::u64(..)).into()),
            abandoning: CancellationToken::new(),
            init_sql: target.init_sql.clone(),
        })
    }

    /// Makes every wait for the server end soon after `abandoning` is cancelled.
    #[must_use]
    pub fn until(self, abandoning: &CancellationToken) -> Self {
        Self { abandoning: abandoning.clone(), ..self }
    }

    /// The name of the server in messages, with the user.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a connector to another server by TCP, with the same user and encryption.
    #[must_use]
    pub fn elsewhere(&self, host: &str, port: u16) -> Self {
        let (user, _) = self.name.rsplit_once('@').unwrap_or_default();
        let no_socket: Option<&str> = None;
        Self {
            // Nothing is known about a replica except that it can be asked for its state, so no
            // database is selected.
            opts: self
                .opts
                .clone()
                .socket(no_socket)
                .ip_or_hostname(host)
                .tcp_port(port)
                .db_name(None::<&str>),
            login: self.login.elsewhere(is_loopback(host)),
            name: format!("{user}@{host}:{port}").into(),
            is_local: is_loopback(host),
            init_sql: Vec::new(),
            ..self.clone()
        }
    }

    /// Connects, and reads the facts about the server. If TLS is only preferred, this decides for
    /// all later connections if it is used.
    pub(crate) async fn probe(&mut self) -> Result<(Conn, Server)> {
        let conn =
            match self.reach().await {
                Err(Driver::Driver(DriverError::NoClientSslFlagFromServer))
                    if self.ssl_mode == SslMode::Preferred =>
                {
                    if self.is_local {
                        tracing::info!(
                            "the server offers no TLS; the connection stays on this machine"
                        );
                    } else {
                        tracing::warn!("the server offers no TLS: rows travel unencrypted");
                    }
                    self.opts = self.opts.clone().ssl_opts(None);
                    self.reach().await
                }
                Err(Driver::Io(IoError::Io(error))) if self.ssl_mode == SslMode::VerifyCa => {
                    match name_in_certificate(&error.to_string()) {
                        // The driver's own option to skip the check of the name does not recognize
                        // the text of this error. Asking for a name that the certificate contains
                        // has the same effect: any of them will do, and the issuer is still
                        // verified.
                        Some(name) => {
                            let ssl_opts = Opts::from(self.opts.clone()).ssl_opts().cloned();
                            self.opts =
                                self.opts.clone().ssl_opts(ssl_opts.map(|opts| {
                                    opts.with_danger_tls_hostname_override(Some(name))
                                }));
                            self.reach().await
                        }
                        None => Err(Driver::Io(IoError::Io(error))),
                    }
                }
                other => other,
            }
            .map_err(|error| classify(Phase::Connect, &self.name, &error))?;
        let mut conn = Conn::watched(conn, self.watch(None));
        // The server answers these at once. The watch cannot tell that an answer is lost before it
        // knows the server's identity, so this has a time limit of its own.
        let limit = self.timeouts.connect + self.timeouts.stall;
        let read = async {
            let mut server = match Server::read(&mut conn, &self.watch(None).marking()).await {
                // Some clusters forbid advisory locks. The ledger needs them, a run without it does
                // not.
                Err(Driver::Server(_)) => {
                    self.mark = None;
                    Server::read(&mut conn, &self.watch(None).marking()).await?
                }
                read => read?,
            };
            conn.watch_with(self.watch(server.identity.clone()));
            server.pin(&mut conn, self.timeouts).await?;
            Ok(server)
        };
        let server = match tokio::time::timeout(limit, read).await {
            Ok(read) => read.map_err(|error| classify(Phase::Connect, &self.name, &error))?,
            Err(_) => {
                let message = format!("{}: no answer within {limit:?}", self.name);
                return Err(Error::new(ErrorKind::TargetUnreachable, message));
            }
        };
        Ok((conn, server))
    }

    /// Connects, after deciding how the password goes.
    async fn reach(&mut self) -> mysql_async::Result<mysql_async::Conn> {
        self.login.protect(&self.opts, self.timeouts.connect).await?;
        self.connect(self.login.apply(&self.opts)).await
    }

    pub(super) async fn connect(
        &self,
        opts: OptsBuilder,
    ) -> mysql_async::Result<mysql_async::Conn> {
        self.watch(None).connect(opts).await
    }

    /// Returns the watch over connections to the server of this identity.
    pub(super) fn watch(&self, identity: Option<String>) -> Arc<Watch> {
        Arc::new(Watch {
            opts: self.login.apply(&self.opts),
            name: Arc::clone(&self.name),
            connect_timeout: self.timeouts.connect,
            stall_timeout: self.timeouts.stall,
            mark: self.mark.clone(),
            abandoning: self.abandoning.clone(),
            identity,
        })
    }

    /// Returns true if connections that load ask for compression. Only the round trip time tells if
    /// the server is far: a tunnel to a far server ends on this machine too.
    fn asks_for_compression(&self, server: &Server) -> bool {
        match self.compress {
            Compress::Off => false,
            Compress::Zlib => true,
            Compress::Auto => server.is_far(),
        }
    }

    /// Logs if connections that load are compressed, if compression is wanted.
    pub(crate) fn tell_of_compression(&self, server: &Server) {
        if !self.asks_for_compression(server) {
            return;
        }
        if server.offers_zlib() {
            tracing::info!("the connection to the server is compressed");
        } else {
            tracing::warn!(
                "the server does not offer zlib compression, so nothing is compressed; add zlib to \
                 its protocol_compression_algorithms"
            );
        }
    }

    /// Returns the options of connections that load: the pinned settings, then the user's own
    /// statements.
    pub(super) fn loading_opts(&self, server: &Server, sql_mode: SqlMode) -> OptsBuilder {
        let mut setup = self.setup(server, sql_mode);
        // The driver runs the last one first.
        setup.reverse();
        // `setup` runs again after every reset of the connection, `init` does not. A higher
        // compression level takes several times as long, for a few percent.
        let compression = self.asks_for_compression(server).then(Compression::fast);
        self.login
            .apply(&self.opts)
            .setup(setup)
            .compression(compression)
            .max_allowed_packet(Some(server.max_packet_bytes()))
    }

    /// Returns the statements that a connection that loads begins with.
    fn setup(&self, server: &Server, sql_mode: SqlMode) -> Vec<String> {
        let pins = server.setup(sql_mode, self.timeouts);
        let mut setup = vec![format!("{FRESH}; {pins}; {}", self.watch(None).marking())];
        setup.extend(self.init_sql.iter().cloned());
        setup
    }
}
