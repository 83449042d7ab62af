//! Real database servers, each for one test: `MariaDB` and PostgreSQL on a free port of the loopback.
//!
//! Making an empty database takes seconds, so it is done once and copied for each test. A server dies with the thread that
//! started it, however that ends.

#![expect(clippy::disallowed_methods, reason = "it starts the servers that tests need")]

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::sync_channel,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// The password of every server here.
pub const PASSWORD: &str = "planted-database-password-4711";

/// How long a server may take to start on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    MariaDb,
    Postgres,
}

/// A running server. Dropped, it is gone, with all that was in it.
pub struct Server {
    which: Which,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

/// Starts a `MariaDB` whose database `app` the user `app` owns; nothing where it is not installed, which in CI is a failure.
#[must_use]
pub fn mariadb() -> Option<Server> {
    start(Which::MariaDb, "mariadbd")
}

/// Starts a PostgreSQL whose database `postgres` the user `postgres` owns; nothing where it is not installed, which in CI
/// is a failure.
#[must_use]
pub fn postgres() -> Option<Server> {
    start(Which::Postgres, "postgres")
}

fn start(which: Which, program: &str) -> Option<Server> {
    let Some(binary) = find(program) else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "`cargo xtask test` installs `{program}`");
        #[expect(clippy::print_stderr, reason = "a test that leaves itself out says so")]
        {
            eprintln!("left out: `{program}` is not installed; `cargo xtask test` installs it");
        }
        return None;
    };
    let template = template(which, &binary);
    let folder = databases().join(format!("{program}-{}-{}", std::process::id(), free_port()));
    copy(&template, &folder);
    certify(&folder);
    if which == Which::Postgres {
        own(&folder);
    }
    let mut server = Server { which, folder, port: free_port(), child: None };
    server.start();
    Some(server)
}

impl Server {
    /// Returns the address, without the password.
    #[must_use]
    pub fn url(&self) -> String {
        match self.which {
            Which::MariaDb => format!("mysql://app@127.0.0.1:{}/app", self.port),
            Which::Postgres => format!("postgres://postgres@127.0.0.1:{}/postgres", self.port),
        }
    }

    /// Returns the file of the authority that vouches for the server.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        // PostgreSQL keeps its folder to itself.
        self.folder.with_extension("ca.pem")
    }

    /// Kills the server as a crash of the machine would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.which == Which::Postgres {
            // Its children end when they see that it is gone; until then they hold the data.
            let _ = fs::remove_file(self.folder.join("postmaster.pid"));
        }
    }

    /// Starts it again, on the same port, with the same data.
    pub fn start(&mut self) {
        let binary =
            find(if self.which == Which::MariaDb { "mariadbd" } else { "postgres" }).expect("it was there before");
        for attempt in 0..10 {
            let mut command = self.command(&binary);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the server starts");
            let stderr = child.stderr.take().expect("it is piped");
            let (sender, ready) = sync_channel(1);
            let which = self.which;
            std::thread::spawn(move || {
                let mut lines = Vec::new();
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    let sign =
                        if which == Which::MariaDb { "ready for connections" } else { "ready to accept connections" };
                    if line.contains(sign) {
                        let _ = sender.try_send(Ok(()));
                    }
                    if lines.len() < 200 {
                        lines.push(line);
                    }
                }
                let _ = sender.try_send(Err(lines.join("\n")));
            });
            match ready.recv_timeout(PATIENCE) {
                Ok(Ok(())) => {
                    self.child = Some(child);
                    return;
                }
                other => {
                    let _ = child.kill();
                    let _ = child.wait();
                    assert!(attempt < 9, "the server does not start: {other:?}");
                    // What is left of the one before lets go of the data soon.
                    std::thread::sleep(Duration::from_millis(300));
                }
            }
        }
    }

    fn command(&self, binary: &Path) -> Command {
        let data = self.folder.display();
        let port = self.port;
        let (user, arguments): (&str, Vec<String>) = match self.which {
            Which::MariaDb => (
                "root",
                vec![
                    "--no-defaults".to_owned(),
                    "--user=root".to_owned(),
                    format!("--datadir={data}"),
                    format!("--socket={data}/s"),
                    format!("--port={port}"),
                    "--bind-address=127.0.0.1".to_owned(),
                    format!("--pid-file={data}/pid"),
                    // Temporary tables of several servers have the same names.
                    format!("--tmpdir={data}"),
                    "--skip-log-bin".to_owned(),
                    format!("--ssl-cert={data}/server.pem"),
                    format!("--ssl-key={data}/server.key"),
                    "--innodb-flush-log-at-trx-commit=2".to_owned(),
                    "--innodb-buffer-pool-size=32M".to_owned(),
                    "--innodb-log-file-size=8M".to_owned(),
                    "--innodb-use-native-aio=0".to_owned(),
                ],
            ),
            Which::Postgres => (
                "postgres",
                vec![
                    "-D".to_owned(),
                    data.to_string(),
                    "-p".to_owned(),
                    port.to_string(),
                    "-k".to_owned(),
                    String::new(),
                    "-c".to_owned(),
                    "listen_addresses=127.0.0.1".to_owned(),
                    "-c".to_owned(),
                    "shared_buffers=16MB".to_owned(),
                    "-c".to_owned(),
                    "ssl=on".to_owned(),
                    "-c".to_owned(),
                    "ssl_cert_file=server.pem".to_owned(),
                    "-c".to_owned(),
                    "ssl_key_file=server.key".to_owned(),
                ],
            ),
        };
        as_user(user, binary, &arguments)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(self.authority());
    }
}

/// Gives the server in `folder` a certificate of an authority of its own, which lies beside it.
fn certify(folder: &Path) {
    let of = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        (KeyPair::generate().expect("there is randomness"), CertificateParams::new(names).expect("the names are names"))
    };
    let (key, mut params) = of(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("the parameters are sound");
    let (own_key, own) = of(&["localhost", "127.0.0.1"]);
    let own = own.signed_by(&own_key, &Issuer::new(params, key)).expect("the parameters are sound");
    let write = |path: PathBuf, text: String| fs::write(path, text).expect("the target folder can be written");
    write(folder.with_extension("ca.pem"), authority.pem());
    write(folder.join("server.pem"), own.pem());
    let path = folder.join("server.key");
    write(path.clone(), own_key.serialize_pem());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

/// Makes an empty database, once.
fn template(which: Which, binary: &Path) -> PathBuf {
    let name = if which == Which::MariaDb { "mariadb" } else { "postgres" };
    let folder = databases();
    let template = folder.join(format!("empty-{name}"));
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("the target folder can be written");
    lock.lock().expect("it can be locked");
    if template.exists() {
        return template;
    }
    let aside = folder.join(format!("making-{name}"));
    let _ = fs::remove_dir_all(&aside);
    fs::create_dir_all(&aside).expect("the target folder can be written");
    let mut command = match which {
        Which::MariaDb => {
            let mut command = Command::new(binary.with_file_name("mariadb-install-db"));
            if !command.get_program().to_string_lossy().is_empty() && !Path::new(command.get_program()).exists() {
                command = Command::new("mariadb-install-db");
            }
            command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
            command.arg("--innodb-log-file-size=8M").arg(format!("--datadir={}", aside.display()));
            if is_root() {
                command.arg("--user=root");
            }
            command
        }
        Which::Postgres => {
            let password = folder.join("password");
            fs::write(&password, PASSWORD).expect("the target folder can be written");
            own(&aside);
            let arguments = [
                "-D".to_owned(),
                aside.display().to_string(),
                "-U".to_owned(),
                "postgres".to_owned(),
                "-A".to_owned(),
                "scram-sha-256".to_owned(),
                format!("--pwfile={}", password.display()),
                "--no-sync".to_owned(),
                "-E".to_owned(),
                "UTF8".to_owned(),
                "--locale=C.UTF-8".to_owned(),
            ];
            as_user("postgres", &binary.with_file_name("initdb"), &arguments)
        }
    };
    let made = command.output().expect("the program is there");
    assert!(
        made.status.success(),
        "{}{}",
        String::from_utf8_lossy(&made.stdout),
        String::from_utf8_lossy(&made.stderr)
    );
    if which == Which::MariaDb {
        let statements = format!(
            "CREATE DATABASE app CHARACTER SET utf8mb4;\nCREATE USER 'app'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO \
             'app'@'%';\n"
        );
        let file = folder.join("users.sql");
        fs::write(&file, statements).expect("the target folder can be written");
        certify(&aside);
        let mut server = Server { which, folder: aside.clone(), port: free_port(), child: None };
        let mut command = server.command(binary);
        let mut child =
            command.arg(format!("--init-file={}", file.display())).stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        for line in lines.map_while(Result::ok) {
            if line.contains("ready for connections") {
                break;
            }
        }
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let _ = child.wait();
        // Nothing of it is removed.
        server.folder = folder.join("nothing");
    }
    fs::rename(&aside, &template).expect("it can be renamed");
    template
}

/// A command as another user where we are root, which PostgreSQL refuses to be; it dies with us.
fn as_user(user: &str, program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if is_root() && user != "root" {
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
    }
    command.arg(program).args(arguments);
    command
}

/// Gives a folder to the user that PostgreSQL runs as.
fn own(folder: &Path) {
    if is_root() {
        let done = Command::new("chown").arg("-R").arg("postgres").arg(folder).status();
        assert!(done.is_ok_and(|status| status.success()), "`{}` is given to `postgres`", folder.display());
    }
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args([OsStr::new("-a"), from.as_os_str(), to.as_os_str()]).status();
    assert!(done.is_ok_and(|status| status.success()), "`{}` is copied", from.display());
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn databases() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/databases");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let folder = fs::canonicalize(folder).expect("it was made");
    let is_open = |folder: &Path| fs::metadata(folder).is_ok_and(|about| about.permissions().mode() & 0o001 != 0);
    if !is_root() || folder.ancestors().all(is_open) {
        return folder;
    }
    // PostgreSQL runs as another user, who cannot come to where we are.
    let folder = std::env::temp_dir().join("tidemill-databases");
    fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    folder
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback is there");
    listener.local_addr().expect("it is bound").port()
}

/// Finds a server's program, which Debian keeps out of the way.
fn find(program: &str) -> Option<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")];
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    folders.splice(0..0, versions.map(|version| version.path().join("bin")));
    folders.into_iter().map(|folder| folder.join(program)).find(|path| path.exists())
}
