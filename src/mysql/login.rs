//! Decides which connections may carry the password, and how.
//!
//! The rules are those of the `mysql` client. The password itself goes only to a server that is
//! reached by TLS or through a unix socket, to the holder of a key that the user has named
//! (`--server-public-key-path`), or, if the user says so, to the holder of whatever key comes
//! (`--get-server-public-key`). On all other connections, the account proves that it knows the
//! password by a hash, or the login is refused.
//!
//! If TLS is only preferred, somebody between us and another host can make the server seem to
//! offer none, and send a key of their own. So there, no key counts that merely came.
//!
//! The options of the driver have no password until this module puts it in. A connection that is
//! none of these has no password to lose.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use mysql_async::{Error as Driver, Opts, OptsBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::codes;
use super::login_guard::LoginGuard;
use super::options::TargetConfig;
use super::public_key::PublicKey;
use crate::choices::SslMode;

/// The password, and the way it goes.
#[derive(Clone, Debug)]
pub(super) struct Login {
    password: Option<SecretString>,
    key: Option<PublicKey>,
    /// True if the user accepts whatever key the server sends.
    gets_key: bool,
    /// True if TLS was not wanted, so that nobody can have made the server seem to offer none.
    is_without_tls: bool,
    is_local: bool,
    guard: Option<Arc<LoginGuard>>,
}

impl Login {
    /// Returns the login for `target`. Nothing is guarded yet.
    pub(super) fn new(target: &TargetConfig, is_local: bool) -> Self {
        Self {
            // An empty password is none, and every server gets that.
            password: target
                .password
                .clone()
                .filter(|password| !password.expose_secret().is_empty()),
            key: target.server_public_key.clone(),
            gets_key: target.get_server_public_key,
            is_without_tls: target.ssl_mode == SslMode::Disabled,
            is_local,
            guard: None,
        }
    }

    /// Returns the login of the same account at another server, which has a key of its own.
    pub(super) fn elsewhere(&self, is_local: bool) -> Self {
        Self { guard: None, is_local, ..self.clone() }
    }

    /// Returns true if `opts` may carry the password to whoever answers.
    fn is_free(&self, opts: &Opts) -> bool {
        let is_plain_tcp = opts.socket().is_none() && opts.ssl_opts().is_none();
        let accepts_any_key =
            self.gets_key && self.key.is_none() && (self.is_local || self.is_without_tls);
        !is_plain_tcp || accepts_any_key
    }

    /// Opens a guard for the connections that `opts` make, if they need one.
    ///
    /// # Errors
    /// The errors of opening a port on the loopback address.
    pub(super) async fn protect(&mut self, opts: &OptsBuilder, limit: Duration) -> io::Result<()> {
        let opts = Opts::from(opts.clone());
        self.guard = None;
        if self.password.is_some() && !self.is_free(&opts) {
            let keepalive = opts.tcp_keepalive().unwrap_or_default();
            let (host, port) = (opts.ip_or_hostname(), opts.tcp_port());
            let guard = LoginGuard::start(host, port, self.key.clone(), limit, keepalive).await?;
            self.guard = Some(Arc::new(guard));
        }
        Ok(())
    }

    /// Returns `opts` with the password, and by way of the guard if there is one.
    pub(super) fn apply(&self, opts: &OptsBuilder) -> OptsBuilder {
        let Some(password) = &self.password else { return opts.clone() };
        let with_password = opts.clone().pass(Some(password.expose_secret()));
        match &self.guard {
            Some(guard) => with_password
                .ip_or_hostname(LoginGuard::HOST.to_string())
                .resolved_ips(Some(vec![IpAddr::V4(LoginGuard::HOST)]))
                .tcp_port(guard.port()),
            None if self.is_free(&Opts::from(opts.clone())) => with_password,
            None => opts.clone(),
        }
    }
}

/// Connects, and turns what the guard says of an unreachable server into an error of the network. A
/// refused login is an answer of the server, and this is not.
///
/// A panic of the driver, which takes the form of some packets of a login for granted, is an error
/// as well. A server may also make the driver compute for as long as it likes: `parsec` takes the
/// number of rounds from it. So the driver has a thread of its own, and the caller's limits hold.
pub(super) async fn connecting<T: Send + 'static>(
    connecting: impl Future<Output = mysql_async::Result<T>> + Send + 'static,
) -> mysql_async::Result<T> {
    let (mut caller, connected) = oneshot::channel();
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        runtime.block_on(async move {
            let connecting = std::panic::AssertUnwindSafe(connecting).catch_unwind();
            let connected = tokio::select! {
                connected = connecting => connected,
                () = caller.closed() => return,
            };
            // The caller may have left at this moment. Then this closes the connection.
            let _ = caller.send(connected.ok());
        });
    });
    let connected = connected.await.ok().flatten();
    match connected.unwrap_or_else(|| {
        Err(Driver::Other("the server's packets make no sense to the driver".into()))
    }) {
        Err(Driver::Server(error)) if error.code == codes::CLIENT_CANNOT_CONNECT => {
            Err(io::Error::other(error.message).into())
        }
        connected => connected,
    }
}
