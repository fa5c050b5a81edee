//! `arame ssh NAME [-- command]`: finds the address and the key, then becomes ssh.
//!
//! Rule: host keys are remembered by the instance's id, not by its address: addresses are given out again.

use super::instance::addresses;
use crate::failure::{CliError, REFUSED, USAGE};
use crate::names;
use crate::session::Session;
use crate::words::Message;
use arame_schema::api::{Image, Instance};
use clap::Args;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds ssh waits for the guest's answer, and how often it asks: a guest that just started is not listening yet.
const CONNECT_TIMEOUT: &str = "ConnectTimeout=5";
const CONNECT_ATTEMPTS: &str = "ConnectionAttempts=6";

/// Who logs in where the image does not say.
const USER: &str = "root";

#[derive(Debug, Args)]
pub struct Ssh {
    /// Name or id / 名前または ID
    pub instance: String,
    /// Private key / 秘密鍵 [default: keys/<name of the key> in --dir]
    #[arg(long, short = 'i', value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Who logs in / ログインするユーザー [default: the image's, else root]
    #[arg(long, short = 'l')]
    pub user: Option<String>,
    /// What runs there / 実行するコマンド
    #[arg(last = true)]
    pub command: Vec<String>,
}

pub async fn run(session: &mut Session<'_>, ssh: Ssh) -> Result<(), CliError> {
    let instance: Instance = names::get(&session.client, &ssh.instance).await?;
    let address = addresses(&instance).into_iter().next().ok_or_else(|| {
        let words = [Message::NoAddress, Message::NoAddressCause, Message::NoAddressNext];
        CliError::own(REFUSED, session.language(), words, &[("name", &ssh.instance)])
    })?;
    let user = match &ssh.user {
        Some(user) => user.clone(),
        None => image_user(session, &instance).await,
    };
    let dir = session.client.settings().dir.clone();
    let arguments = arguments(&ssh, &instance, &dir, &format!("{user}@{address}"));
    // Returns only when ssh could not be run.
    let source = Command::new("ssh").args(arguments).exec();
    let sentence = session.word(Message::SshMissing).to_owned();
    Err(CliError::because(USAGE, sentence, source, session.word(Message::SshMissingNext).into()))
}

/// The image may be deleted or hidden by now: that is no reason not to log in.
async fn image_user(session: &Session<'_>, instance: &Instance) -> String {
    let image = session.client.get::<Image>(&format!("/images/{}", instance.image_id)).await;
    image.ok().and_then(|image| image.login_user).filter(|user| !user.is_empty()).unwrap_or_else(|| USER.into())
}

fn arguments(ssh: &Ssh, instance: &Instance, dir: &Path, target: &str) -> Vec<String> {
    let known_hosts = dir.join("run/known_hosts");
    let mut arguments = vec![
        "-o".into(),
        format!("UserKnownHostsFile={}", known_hosts.display()),
        "-o".into(),
        format!("HostKeyAlias={}", instance.id),
        "-o".into(),
        "StrictHostKeyChecking=accept-new".into(),
        "-o".into(),
        CONNECT_TIMEOUT.into(),
        "-o".into(),
        CONNECT_ATTEMPTS.into(),
    ];
    if let Some(identity) = ssh.identity.clone().or_else(|| key_of(instance, dir)) {
        arguments.extend(["-o".into(), "IdentitiesOnly=yes".into(), "-i".into(), identity.display().to_string()]);
    }
    arguments.push(target.to_owned());
    if !ssh.command.is_empty() {
        arguments.push("--".into());
        arguments.extend(ssh.command.iter().cloned());
    }
    arguments
}

/// The private key beside the data center, under the key's name.
fn key_of(instance: &Instance, dir: &Path) -> Option<PathBuf> {
    let key = instance.ssh_key_pair.as_ref()?;
    let names = [key.display_name.as_deref(), Some(key.uuid.as_str()), key.uuid.strip_prefix("ssh-")];
    let plain = |name: &&str| !name.is_empty() && !name.contains('/') && *name != "." && *name != "..";
    names.into_iter().flatten().filter(plain).map(|name| dir.join("keys").join(name)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::KeyOfInstance;

    fn instance(key_name: &str) -> Instance {
        let text = include_str!("ssh/instance.json");
        let mut instance: Instance = serde_json::from_str(text).unwrap();
        instance.ssh_key_pair =
            Some(KeyOfInstance { uuid: "ssh-demo".into(), display_name: Some(key_name.to_owned()) });
        instance
    }

    fn ssh(command: &[&str]) -> Ssh {
        let command = command.iter().map(|word| word.to_string()).collect();
        Ssh { instance: "web1".into(), identity: None, user: None, command }
    }

    #[test]
    fn the_host_key_is_kept_under_the_instances_id_and_the_command_comes_last() {
        let dir = tempfile::tempdir().unwrap();
        let arguments = arguments(&ssh(&["ls", "-l"]), &instance("demo"), dir.path(), "root@10.100.0.10");
        assert!(arguments.contains(&"HostKeyAlias=i-a".to_owned()), "{arguments:?}");
        assert_eq!(arguments[arguments.len() - 4..], ["root@10.100.0.10", "--", "ls", "-l"]);
        assert!(!arguments.contains(&"-i".to_owned()), "there is no key: {arguments:?}");
    }

    #[test]
    fn the_key_beside_the_data_center_is_found_by_its_name_and_nothing_outside_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        std::fs::write(dir.path().join("keys/demo"), "").unwrap();
        std::fs::write(dir.path().join("secret"), "").unwrap();
        assert_eq!(key_of(&instance("mine"), dir.path()), Some(dir.path().join("keys/demo")));
        assert_eq!(key_of(&instance("../secret"), dir.path()), Some(dir.path().join("keys/demo")));
        std::fs::remove_file(dir.path().join("keys/demo")).unwrap();
        assert_eq!(key_of(&instance("../secret"), dir.path()), None);
    }
}
