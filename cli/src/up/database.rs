//! The private MariaDB: installed once below `--dir`, reached by a unix socket only, run by an unprivileged user.
//!
//! What must stay true: no password on a command line; the accounts are set by an init file at every start, so a
//! changed password file takes effect and a half-made database heals. A data folder without its mark is made anew:
//! it never held anything.

use super::children::{ChildSpec, Stage};
use super::command::{Call, CommandError};
use super::files;
use super::layout::Layout;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The path the server sees its private folder under: exists wherever the package is installed.
const INSIDE: &str = "/var/lib/mysql";

/// `mariadb-install-db` took 0.9 to 3.7 s; a slow disk may need many times that.
const INSTALL_LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("the database folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("installing the database: {0}")]
    Install(#[from] CommandError),
}

/// The unprivileged user, or none when this program itself has no privileges.
pub type User = Option<(u32, u32)>;

/// Where the server finds its folder: an unprivileged user may not be able to walk to `--dir` (`/root`), so with
/// privileges the folder is bound to a public path.
fn seen_from_inside(outside: &Path, user: User) -> PathBuf {
    if user.is_some() { PathBuf::from(INSIDE) } else { outside.to_owned() }
}

/// Makes the data folder if there is none, and writes the server's files.
pub async fn prepare(layout: &Layout, hosts: u16, user: User, arame: &Path) -> Result<(), DatabaseError> {
    let outside = layout.path("db");
    let inside = seen_from_inside(&outside, user);
    let wrap = |source| DatabaseError::Folder { path: outside.clone(), source };
    write_files(layout, hosts, &outside, &inside, user).map_err(wrap)?;
    let (data, mark) = (outside.join("data"), outside.join("installed"));
    if mark.exists() {
        return Ok(());
    }
    if data.exists() {
        std::fs::remove_dir_all(&data).map_err(wrap)?;
    }
    let mut call = Call::new(arame).arg("enter");
    if let Some((uid, gid)) = user {
        call = call.arg("--uid").arg(uid.to_string()).arg("--gid").arg(gid.to_string());
        call = call.arg("--bind").arg(format!("{}={INSIDE}", outside.display()));
    }
    let options =
        ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"];
    let call = call.args(["--", "mariadb-install-db"]).args(options).arg(format!("--innodb-log-file-size={LOG_MIB}M"));
    let folders = [("datadir", "data"), ("tmpdir", "tmp")];
    let folders = folders.map(|(option, name)| format!("--{option}={}", inside.join(name).display()));
    let call = call.args(folders).directory("/").limit(INSTALL_LIMIT);
    call.run().await?;
    files::replace(&mark, b"1\n", 0o600).map_err(wrap)
}

/// Pages kept in memory, for the rows of few hosts and for each of many: what is not kept is read from the disk for every
/// question, as the server's own reads do not go through the machine's cache.
const POOL_MIB: u64 = 64;
const POOL_KIB_OF_A_HOST: u64 = 256;

/// Room of the log: when it is full, changed pages have to be written before anything else can be committed.
const LOG_MIB: u64 = 64;

fn write_files(layout: &Layout, hosts: u16, outside: &Path, inside: &Path, user: User) -> io::Result<()> {
    files::folder(outside, 0o700)?;
    files::give(outside, user)?;
    // Not /tmp: temporary tables are named by process id, and a stranger's leftover of that name stops the server.
    files::folder(&outside.join("tmp"), 0o700)?;
    files::give(&outside.join("tmp"), user)?;
    let root = files::secret(&layout.secret("db-root"))?;
    let arame = files::secret(&layout.secret("db-arame"))?;
    let inside = inside.display();
    let pool_mib = POOL_MIB + POOL_KIB_OF_A_HOST * u64::from(hosts) / 1024;
    let config = format!(
        "[mariadbd]\ndatadir={inside}/data\nsocket={inside}/s.sock\npid-file={inside}/pid\ninit-file={inside}/init.sql\ntmpdir={inside}/tmp\n\
         skip-networking\nskip-name-resolve\nskip-log-bin\nperformance-schema=OFF\ncharacter-set-server=utf8mb4\n\
         innodb-buffer-pool-size={pool_mib}M\ninnodb-log-file-size={LOG_MIB}M\ninnodb-flush-log-at-trx-commit=1\n\
         innodb-buffer-pool-load-at-startup=0\ninnodb-buffer-pool-dump-at-shutdown=0\n\
         aria-pagecache-buffer-size=4M\nkey-buffer-size=1M\nmax-connections=200\nmax-allowed-packet=16M\n"
    );
    // One statement a line: the server's own rule for init files.
    let init = format!(
        "ALTER USER 'root'@'localhost' IDENTIFIED BY '{root}';\n\
         DELETE FROM mysql.global_priv WHERE User='';\n\
         FLUSH PRIVILEGES;\n\
         CREATE DATABASE IF NOT EXISTS arame CHARACTER SET utf8mb4;\n\
         CREATE USER IF NOT EXISTS 'arame'@'localhost' IDENTIFIED BY '{arame}';\n\
         ALTER USER 'arame'@'localhost' IDENTIFIED BY '{arame}';\n\
         GRANT ALL PRIVILEGES ON arame.* TO 'arame'@'localhost';\n\
         GRANT ALL PRIVILEGES ON `arame\\_restore`.* TO 'arame'@'localhost';\n\
         GRANT ALL PRIVILEGES ON `arame\\_before`.* TO 'arame'@'localhost';\n"
    );
    for (name, text) in [("my.cnf", &config), ("init.sql", &init)] {
        let path = outside.join(name);
        files::replace_if_different(&path, text.as_bytes(), 0o600)?;
        files::give(&path, user)?;
    }
    Ok(())
}

pub fn child(layout: &Layout, user: User) -> ChildSpec {
    let outside = layout.path("db");
    let inside = seen_from_inside(&outside, user);
    let program = super::command::find("mariadbd").unwrap_or_else(|| "mariadbd".into());
    let mut spec = ChildSpec::new("mariadb", program, layout.log("mariadb"), Stage::Database)
        .args([format!("--defaults-file={}", inside.join("my.cnf").display())]);
    spec.user = user;
    if user.is_some() {
        spec.binds = vec![(outside, PathBuf::from(INSIDE))];
    }
    spec.grace = Duration::from_secs(30);
    spec
}

/// Whether it answers: its greeting is a packet that begins with protocol version 10. Sent only after the init file.
pub async fn is_ready(layout: &Layout) -> bool {
    use tokio::io::AsyncReadExt;
    let Ok(mut stream) = tokio::net::UnixStream::connect(layout.database_socket()).await else { return false };
    let mut head = [0u8; 5];
    let greeting = tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut head)).await;
    matches!(greeting, Ok(Ok(_))) && head[4] == 10
}
