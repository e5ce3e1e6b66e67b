//! Makes, secures, pools and destroys connections.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mysql_async::{
    ClientIdentity, Compression, DriverError, Error as Driver, IoError, Opts, OptsBuilder, Pool,
    PoolConstraints, PoolOpts, SslOpts,
};
use tokio_util::sync::CancellationToken;

use super::conn::Conn;
use super::login::{Login, connecting};
use super::options::{TargetConfig, Timeouts, is_loopback};
use super::server::{MAX_ALLOWED_PACKET_BYTES, Server, SqlMode, WAIT_TIMEOUT_SECONDS};
use super::server_error::{Phase, classify};
use super::watch::{IDENTITY, Watch, unless_panicked};
use crate::choices::{Compress, SslMode};
use crate::error::{Error, ErrorKind, Result};
use crate::small_file;

/// The driver sets no keepalive, and a NAT or firewall on the way forgets an idle connection after
/// minutes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// The time limit for destroying a connection. This is best effort: the server rolls back by itself
/// when the socket closes.
const DESTROY_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes connections to one target.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Everything but the password, which `login` adds.
    opts: OptsBuilder,
    login: Login,
    /// The name in messages: the user with `host:port` or the socket's path, without any secret.
    name: Arc<str>,
    ssl_mode: SslMode,
    is_local: bool,
    compress: Compress,
    timeouts: Timeouts,
    /// The beginning of the names of the advisory locks by which the sessions of this run are
    /// known.
    /// `None` on a server that has no such locks.
    mark: Option<Arc<str>>,
    /// Cancelled when the run gives everything up.
    abandoning: CancellationToken,
    init_sql: Vec<String>,
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
            server.pin(&mut conn, self.timeouts.stall).await?;
            Ok(server)
        };
        let server = read.await.map_err(|error| classify(Phase::Connect, &self.name, &error))?;
        Ok((conn, server))
    }

    /// Connects, after deciding how the password goes.
    async fn reach(&mut self) -> mysql_async::Result<mysql_async::Conn> {
        self.login.protect(&self.opts, self.timeouts.connect).await?;
        self.connect(self.login.apply(&self.opts)).await
    }

    async fn connect(&self, opts: OptsBuilder) -> mysql_async::Result<mysql_async::Conn> {
        self.watch(None).connect(opts).await
    }

    /// Returns the watch over connections to the server of this identity.
    fn watch(&self, identity: Option<String>) -> Arc<Watch> {
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
    fn loading_opts(&self, server: &Server, sql_mode: SqlMode) -> OptsBuilder {
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
        let pins = server.setup(sql_mode, self.timeouts.stall);
        let mut setup = vec![format!("{pins}; {}", self.watch(None).marking())];
        setup.extend(self.init_sql.iter().cloned());
        setup
    }

    /// Makes a pool of at most `size` connections that load.
    #[must_use]
    pub fn pool(&self, server: &Server, sql_mode: SqlMode, size: usize) -> Sessions {
        let opts = self.loading_opts(server, sql_mode);
        let mut pool_opts = PoolOpts::default();
        if let Some(constraints) = PoolConstraints::new(0, size.max(1)) {
            pool_opts = pool_opts.with_constraints(constraints);
        }
        Sessions {
            pool: Pool::new(opts.clone().pool_opts(pool_opts)),
            opts,
            connector: self.clone(),
            watch: self.watch(server.identity.clone()),
            pins: server.setup(sql_mode, self.timeouts.stall),
            server: Arc::new(server.clone()),
            in_use: Arc::default(),
        }
    }
}

/// A pool, with everything that is needed to destroy one of its connections.
#[derive(Clone, Debug)]
pub struct Sessions {
    pool: Pool,
    opts: OptsBuilder,
    connector: Connector,
    watch: Arc<Watch>,
    /// The statement that pins the session's variables.
    pins: String,
    server: Arc<Server>,
    in_use: Arc<AtomicUsize>,
}

impl Sessions {
    /// Returns a session to load with, for as long as nothing goes wrong on it.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn get(&self) -> Result<Session> {
        let timeout = self.connector.timeouts.connect;
        let getting = Box::pin(connecting(self.pool.get_conn()));
        let conn = match tokio::time::timeout(timeout, getting).await {
            Ok(connected) => {
                connected.map_err(|error| classify(Phase::Connect, &self.connector.name, &error))?
            }
            Err(_) => {
                let message = format!("{}: no connection within {timeout:?}", self.connector.name);
                return Err(Error::new(ErrorKind::TargetUnreachable, message));
            }
        };
        Ok(self.session(Conn::watched(conn, Arc::clone(&self.watch))))
    }

    fn session(&self, conn: Conn) -> Session {
        Session { conn, sessions: self.clone(), _in_use: InUse::new(&self.in_use) }
    }

    /// Returns a session outside the pool. The pool never resets it, so it keeps what it holds,
    /// such as advisory locks, until it ends.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn dedicated(&self) -> Result<Session> {
        let conn = self.connector.connect(self.opts.clone()).await;
        let conn = conn.map_err(|error| classify(Phase::Connect, &self.connector.name, &error))?;
        Ok(self.session(Conn::watched(conn, Arc::clone(&self.watch))))
    }

    /// Makes a session of the connection that probed the server. A new connection would take at
    /// least five round trips.
    ///
    /// # Errors
    /// Those of connecting.
    pub(crate) async fn adopt(&self, conn: Conn) -> Result<Session> {
        let mut session = self.session(conn);
        // The probe has pinned and marked it.
        let is_pinned = session.conn.pinned_by.as_ref() == Some(&self.pins);
        let pins = (!is_pinned).then_some(&self.pins);
        for statement in pins.into_iter().chain(&self.connector.init_sql) {
            if let Err(error) = session.conn.query_drop(statement).await {
                session.close().await;
                return Err(classify(Phase::Connect, &self.connector.name, &error));
            }
        }
        Ok(session)
    }

    /// Returns the size of the longest statement that the server accepts.
    pub(crate) fn max_packet_bytes(&self) -> usize {
        self.server.max_packet_bytes()
    }

    /// Returns the number of sessions in use. While it is above zero, a server that refuses another
    /// one is full, and not gone.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Closes the idle connections. Those in use must have been returned.
    pub async fn close(self) {
        // The server closes them anyway when the process ends.
        let _ = tokio::time::timeout(DESTROY_TIMEOUT, self.pool.disconnect()).await;
    }
}

/// One connection of the pool. After any error on it, call [`Session::destroy`].
#[derive(Debug)]
pub struct Session {
    pub(crate) conn: Conn,
    sessions: Sessions,
    _in_use: InUse,
}

/// Counts a session for as long as it exists.
#[derive(Debug)]
struct InUse(Arc<AtomicUsize>);

impl InUse {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    pub(crate) fn target_name(&self) -> &str {
        &self.sessions.connector.name
    }

    /// Returns the size of the longest statement that the server accepts.
    pub(crate) fn max_packet_bytes(&self) -> usize {
        self.sessions.max_packet_bytes()
    }

    /// Returns true if this session reaches the server on which the run began, as far as that is
    /// known. Behind a name or an address that moves, a new connection may reach another one.
    pub(crate) async fn is_where_the_run_began(&mut self) -> mysql_async::Result<bool> {
        let sql = format!("SELECT CONNECTION_ID(), {IDENTITY}");
        let row: Option<(u64, String)> = self.conn.query_first(sql).await?;
        let there = row.filter(|(id, _)| *id == u64::from(self.conn.id())).map(|(_, there)| there);
        let here = &self.sessions.server.identity;
        Ok(here.is_none() || there.is_none() || there == *here)
    }

    /// Closes a session on which nothing went wrong.
    pub async fn close(self) {
        let _ = tokio::time::timeout(DESTROY_TIMEOUT, self.conn.disconnect()).await;
    }

    /// Destroys the connection and everything that its transaction has done, on the server too.
    ///
    /// The connection must not return to the pool: in the middle of an infile, the server would
    /// take the pool's reset for more of the file. Closing the socket is enough for a server that
    /// reads or writes. KILL reaches one that waits for a lock.
    pub async fn destroy(self) {
        let Self { conn, sessions, _in_use } = self;
        let id = conn.id();
        // This closes the socket even if COM_QUIT cannot be sent.
        let _ = tokio::time::timeout(DESTROY_TIMEOUT, conn.disconnect()).await;
        let killing = Box::pin(unless_panicked(sessions.watch.kill(id)));
        let _ = tokio::time::timeout(DESTROY_TIMEOUT, killing).await;
    }
}

/// Reads the certificates.
fn ssl_opts(target: &TargetConfig, mode: SslMode) -> Result<SslOpts> {
    let read = |flag: &str, path: &Path| {
        small_file::read(path).map_err(|error| {
            let message = format!("{flag} {} cannot be read", path.display());
            Error::new(ErrorKind::Usage, message).caused_by(error)
        })
    };
    let mut opts = SslOpts::default();
    if let Some(ca) = &target.ssl_ca {
        // A configured CA replaces the public ones, as with the mysql client.
        opts = opts
            .with_root_certs(vec![read("--ssl-ca", ca)?.into()])
            .with_disable_built_in_roots(true);
    }
    if let (Some(cert), Some(key)) = (&target.ssl_cert, &target.ssl_key) {
        opts = opts.with_client_identity(Some(ClientIdentity::new(
            read("--ssl-cert", cert)?.into(),
            read("--ssl-key", key)?.into(),
        )));
    }
    Ok(match mode {
        SslMode::VerifyIdentity => opts,
        SslMode::VerifyCa => opts.with_danger_skip_domain_validation(true),
        // These modes encrypt but do not authenticate, as documented.
        SslMode::Disabled | SslMode::Preferred | SslMode::Required => {
            opts.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)
        }
    })
}

/// Returns a name for which the certificate is valid, from the error about a name for which it is
/// not.
fn name_in_certificate(error: &str) -> Option<String> {
    let names = error.split_once("certificate is only valid for ")?.1;
    let name = match names.strip_prefix("DnsName(\"") {
        Some(name) => name.split_once('"')?.0,
        None => names.strip_prefix("IpAddress(")?.split_once(')')?.0,
    };
    // A wildcard is not a name, but matches this one.
    Some(name.strip_prefix("*.").map_or_else(|| name.to_owned(), |domain| format!("any.{domain}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_what_the_certificate_is_valid_for() {
        let text = |names: &str| {
            format!(
                "invalid peer certificate: certificate not valid for name \"h\"; certificate is \
                 only valid for {names}"
            )
        };
        let found = |names: &str| name_in_certificate(&text(names));
        assert_eq!(
            found("DnsName(\"db.example\") or IpAddress(10.0.0.1)").as_deref(),
            Some("db.example")
        );
        assert_eq!(
            found("IpAddress(10.0.0.1) or DnsName(\"db.example\")").as_deref(),
            Some("10.0.0.1")
        );
        assert_eq!(found("DnsName(\"*.db.example\")").as_deref(), Some("any.db.example"));
        assert_eq!(name_in_certificate("invalid peer certificate: UnknownIssuer"), None);
    }
}
