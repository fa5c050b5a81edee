//! `arame join` and `arame leave`: this machine becomes part of a data center, and is none of it any more.
//!
//! ```text
//! join:   package, settings ─► secrets drawn and kept ─► asked ─► authority, manager, settings written ─► started ─► joined
//! leave:  may it? ─► stopped ─► told ─► secrets, what the join wrote, the agent's memory removed
//! ```
//!
//! Rule: stopped after any line and typed again it ends whole: the secrets are on the disk before they are sent, by which the
//! manager knows the same machine; the settings are written last, and a leave that the manager knows of goes on without asking.
//! What is refused has changed nothing but the two secrets, which nobody else knows.

pub mod machine;
pub mod settings;
pub mod wire;

use crate::failure::{CliError, REFUSED, Told, UNREACHABLE, USAGE, WAIT_FAILED};
use crate::words::{Message, say};
use arame_schema::api::join::host_and_port;
use arame_schema::api::{Invitation, Join, Joined, Language, Leave, Left};
use arame_schema::model::{AgentId, AgentKind, Secret};
use clap::Args;
use machine::{Machine, Started, place, remove};
use settings::{Facts, Settings};
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use wire::{NotBelieved, Trust, WireError};

#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The line of `arame join-token create`; without it the first line of standard input / 招待の行
    #[arg(value_name = "INVITATION")]
    pub invitation: Option<String>,
    /// A setting of this machine, such as hva.switch.trunk=eth1 / この機械の設定
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// Which agent, where this machine is several: hva.h3 / どのエージェントか
    #[arg(value_name = "AGENT")]
    pub agent: Option<AgentId>,
}

/// What is said on the way: on standard error, in one language.
struct Voice(Language);

impl Voice {
    fn say(&self, message: Message, values: &[(&str, &str)]) {
        eprintln!("{}", say(self.0, message, values));
    }

    fn refuse(&self, status: u8, words: [Message; 3], values: &[(&str, &str)]) -> CliError {
        CliError::own(status, self.0, words, values)
    }

    fn file(&self, path: &Path, error: &std::io::Error) -> CliError {
        let shown = path.display().to_string();
        let sentence = say(self.0, Message::FileUnwritable, &[("path", &shown)]);
        CliError::because(USAGE, sentence, error, say(self.0, Message::FileNext, &[]))
    }

    fn services(&self, told: String) -> CliError {
        let sentence = say(self.0, Message::JoinServices, &[]);
        CliError::because(REFUSED, sentence, told, say(self.0, Message::JoinServicesNext, &[]))
    }

    /// `away`: what to do when nobody is there.
    fn wire(&self, manager: &str, away: Message, error: WireError) -> CliError {
        let values = &[("manager", manager)];
        match error {
            WireError::Refused(body) => CliError::Refused(body),
            WireError::Unreached(cause) => {
                let sentence = say(self.0, Message::JoinUnreached, values);
                CliError::because(UNREACHABLE, sentence, cause, say(self.0, away, values))
            }
            WireError::Unreadable(cause) => {
                let sentence = say(self.0, Message::BadAnswer, &[("url", manager)]);
                CliError::because(UNREACHABLE, sentence, cause, say(self.0, Message::BadAnswerNext, &[]))
            }
            WireError::NotBelieved(why) => {
                let [cause, next] = match why {
                    NotBelieved::AnotherAuthority => [Message::DistrustAuthority, Message::DistrustAuthorityNext],
                    NotBelieved::AnotherName => [Message::DistrustName, Message::DistrustNameNext],
                    NotBelieved::Time => [Message::DistrustTime, Message::DistrustTimeNext],
                    NotBelieved::Other => [Message::DistrustOther, Message::DistrustNameNext],
                };
                self.refuse(REFUSED, [Message::JoinDistrusted, cause, next], values)
            }
        }
    }
}

/// `arame join`.
///
/// # Errors
/// What stopped it, with what to do; typed again it goes on.
pub async fn join(args: JoinArgs, language: Language) -> Result<(), CliError> {
    let voice = Voice(language);
    if !machine::is_root() {
        return Err(voice.refuse(USAGE, [Message::NotRoot, Message::NotRootCause, Message::NotRootNext], &[]));
    }
    let machine = Machine { root: "/".into() };
    let invitation = invitation(&voice, args.invitation)?;
    join_on(&machine, &voice, &invitation, &args.set).await
}

/// From the argument, or the first line of standard input.
fn invitation(voice: &Voice, given: Option<String>) -> Result<Invitation, CliError> {
    let text = match given {
        Some(text) => text,
        None => {
            let input = std::io::stdin();
            if input.is_terminal() {
                eprint!("{}: ", say(voice.0, Message::AskInvitation, &[]));
                let _ = std::io::stderr().flush();
            }
            let mut line = String::new();
            input.lock().read_line(&mut line)?;
            line
        }
    };
    text.parse().map_err(|_| {
        voice.refuse(USAGE, [Message::NoInvitation, Message::NoInvitationCause, Message::NoInvitationNext], &[])
    })
}

async fn join_on(machine: &Machine, voice: &Voice, invitation: &Invitation, set: &[String]) -> Result<(), CliError> {
    let (agent, kind) = (&invitation.agent, invitation.agent.kind());
    let mut settings = ready(machine, voice, agent, set)?;
    let (key, password) = (machine.key(kind), machine.password(kind));
    let secret = |path: &Path| machine.secret(path).map_err(|error| voice.file(path, &error));
    let body = Join {
        secret: invitation.secret.clone(),
        agent_key: Secret::new(secret(&key)?),
        broker_password: Secret::new(secret(&password)?),
        machine: machine.id(),
    };
    let place_of = invitation.host_and_port().unwrap_or_default();
    let trust = Trust::Pin(invitation.pin.clone());
    let asked = wire::post::<Joined>(place_of, trust, ("/join", &body), voice.0).await;
    let answered = asked.map_err(|error| voice.wire(&invitation.manager, Message::JoinUnreachedNext, error))?;
    believe(machine, voice, &answered.authority)?;
    let manager = machine.manager(kind);
    place(&manager, &format!("{}\n", invitation.manager), 0o644).map_err(|error| voice.file(&manager, &error))?;
    let has_kvm = Path::new("/dev/kvm").exists();
    let facts = Facts { agent, joined: &answered.value, own_address: answered.own_address, has_kvm };
    settings.fill_in(&facts).map_err(|unsettable| unset(voice, &unsettable.0))?;
    let path = machine.settings(kind);
    place(&path, &settings.text(), 0o640).map_err(|error| voice.file(&path, &error))?;
    voice.say(Message::JoinWritten, &[("path", &path.display().to_string())]);
    start(voice, agent).await?;
    voice.say(Message::JoinDone, &[("agent", agent.as_str()), ("node", &answered.value.node_id)]);
    Ok(())
}

fn unset(voice: &Voice, name: &str) -> CliError {
    let words = [Message::Unsettable, Message::UnsettableCause, Message::UnsettableNext];
    voice.refuse(USAGE, words, &[("name", name)])
}

/// The settings as they are before, with what was said now; everything that must be there is.
fn ready(machine: &Machine, voice: &Voice, agent: &AgentId, set: &[String]) -> Result<Settings, CliError> {
    let kind = agent.kind();
    if !machine.has_package(kind) {
        let words = [Message::NoPackage, Message::NoPackageCause, Message::NoPackageNext];
        return Err(voice.refuse(USAGE, words, &[("package", &format!("arame-{kind}"))]));
    }
    let path = machine.settings(kind);
    let mut settings = read(voice, &path, kind)?;
    match settings.text_of("common.agent") {
        Some(other) if other != agent.as_str() => {
            let words = [Message::JoinedAlready, Message::JoinedAlreadyCause, Message::JoinedAlreadyNext];
            return Err(voice.refuse(REFUSED, words, &[("agent", other), ("path", &path.display().to_string())]));
        }
        _ => {}
    }
    for one in set {
        settings.set_said(one).map_err(|unsettable| unset(voice, &unsettable.0))?;
    }
    if let Some(name) = settings.missing() {
        let words = [Message::SettingMissing, Message::SettingMissingCause, Message::SettingMissingNext];
        return Err(voice.refuse(USAGE, words, &[("name", name), ("path", &path.display().to_string())]));
    }
    Ok(settings)
}

fn read(voice: &Voice, path: &Path, kind: AgentKind) -> Result<Settings, CliError> {
    let unreadable = |error: String| {
        let sentence = say(voice.0, Message::FileUnreadable, &[("path", &path.display().to_string())]);
        CliError::because(USAGE, sentence, error, say(voice.0, Message::FileNext, &[]))
    };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    Settings::read(kind, &text).map_err(unreadable)
}

/// Writes the authority down. Another one that is there belongs to other agents of this machine.
fn believe(machine: &Machine, voice: &Voice, authority: &[u8]) -> Result<(), CliError> {
    let path = machine.authority();
    if path.exists() {
        if wire::authority_of(&path).is_ok_and(|known| known == authority) {
            return Ok(());
        }
        let words = [Message::AnotherCenter, Message::AnotherCenterCause, Message::AnotherCenterNext];
        return Err(voice.refuse(REFUSED, words, &[("path", &path.display().to_string())]));
    }
    place(&path, &wire::pem(authority), 0o644).map_err(|error| voice.file(&path, &error))
}

async fn start(voice: &Voice, agent: &AgentId) -> Result<(), CliError> {
    let kind = agent.kind();
    machine::start(kind).map_err(|told| voice.services(told))?;
    voice.say(Message::JoinStarted, &[("agent", agent.as_str())]);
    let (sentence, told) = match machine::joined(kind, agent).await.map_err(|told| voice.services(told))? {
        Started::Joined => return Ok(()),
        Started::Ended(told) => (Message::JoinEnded, told),
        Started::Late(told) => (Message::JoinLate, told),
    };
    let values = [("agent", agent.as_str()), ("unit", &format!("arame-{kind}"))];
    let sentence = say(voice.0, sentence, &values);
    let next_step = say(voice.0, Message::JoinEndedNext, &values);
    Err(CliError::Own { status: WAIT_FAILED, told: Box::new(Told { sentence, cause: told, next_step }) })
}

/// `arame leave`.
///
/// # Errors
/// What stopped it, with what to do; typed again it goes on.
pub async fn leave(args: LeaveArgs, language: Language) -> Result<(), CliError> {
    let voice = Voice(language);
    if !machine::is_root() {
        return Err(voice.refuse(USAGE, [Message::NotRoot, Message::NotRootCause, Message::NotRootNext], &[]));
    }
    let machine = Machine { root: "/".into() };
    let agent = which(&machine, &voice, args.agent)?;
    leave_from(&machine, &voice, &agent).await
}

/// The agents of this machine that joined by a token.
fn agents(machine: &Machine) -> Vec<AgentId> {
    let kinds = [AgentKind::Hva, AgentKind::Sta, AgentKind::Nsa].into_iter();
    let agent = |kind: AgentKind| {
        let text = std::fs::read_to_string(machine.settings(kind)).ok()?;
        let settings = Settings::read(kind, &text).ok()?;
        settings.text_of("common.agent")?.parse::<AgentId>().ok()
    };
    kinds.filter(|kind| machine.manager(*kind).exists()).filter_map(agent).collect()
}

fn which(machine: &Machine, voice: &Voice, wanted: Option<AgentId>) -> Result<AgentId, CliError> {
    let known = agents(machine);
    let shown: Vec<&str> = known.iter().map(AgentId::as_str).collect();
    let values = [("known", &*shown.join(", "))];
    match wanted {
        Some(wanted) if known.contains(&wanted) => Ok(wanted),
        None if known.len() == 1 => Ok(known[0].clone()),
        None if known.len() > 1 => {
            let words = [Message::LeaveWhich, Message::LeaveWhichCause, Message::LeaveWhichNext];
            Err(voice.refuse(USAGE, words, &values))
        }
        Some(_) | None => {
            let words = [Message::NotJoined, Message::NotJoinedCause, Message::NotJoinedNext];
            Err(voice.refuse(USAGE, words, &values))
        }
    }
}

async fn leave_from(machine: &Machine, voice: &Voice, agent: &AgentId) -> Result<(), CliError> {
    let kind = agent.kind();
    let manager = std::fs::read_to_string(machine.manager(kind)).unwrap_or_default().trim().to_owned();
    let place_of = host_and_port(&manager).unwrap_or_default();
    let authority = wire::authority_of(&machine.authority()).map_err(|error| {
        let sentence = say(voice.0, Message::FileUnreadable, &[("path", &machine.authority().display().to_string())]);
        CliError::because(USAGE, sentence, error, say(voice.0, Message::FileNext, &[]))
    })?;
    let key = std::fs::read_to_string(machine.key(kind)).unwrap_or_default().trim().to_owned();
    let ask = async |check: bool| {
        let body = Leave { agent: agent.to_string(), agent_key: Secret::new(key.clone()), check };
        match wire::post::<Left>(place_of, Trust::Authority(authority.clone()), ("/leave", &body), voice.0).await {
            Ok(_) => Ok(()),
            // It has left before, and was stopped on its way: what is here is only to be removed.
            Err(WireError::Refused(refusal)) if refusal.reason == UNKNOWN => Ok(()),
            Err(error) => Err(voice.wire(&manager, Message::LeaveUnreachedNext, error)),
        }
    };
    ask(true).await?;
    machine::stop(kind).map_err(|told| voice.services(told))?;
    if let Err(refused) = ask(false).await {
        // Something was placed on it meanwhile: it goes on as before.
        machine::start(kind).map_err(|told| voice.services(told))?;
        return Err(refused);
    }
    clean(machine, voice, kind)?;
    let data = format!("/var/lib/arame/{kind}");
    voice.say(Message::Left, &[("agent", agent.as_str()), ("data", &data)]);
    Ok(())
}

/// The wire's word for what is not there.
const UNKNOWN: &str = "unknown_resource";

/// What a join wrote. The settings go last of what names the agent: by them the next try knows that there is something to do.
fn clean(machine: &Machine, voice: &Voice, kind: AgentKind) -> Result<(), CliError> {
    for path in [machine.key(kind), machine.password(kind)] {
        remove(&path).map_err(|error| voice.file(&path, &error))?;
    }
    let state = machine.state(kind);
    if let Ok(entries) = std::fs::read_dir(&state) {
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
            remove(&path).map_err(|error| voice.file(&path, &error))?;
        }
    }
    let manager = machine.manager(kind);
    let path = machine.settings(kind);
    let mut settings = read(voice, &path, kind)?;
    settings.forget();
    place(&path, &settings.text(), 0o640).map_err(|error| voice.file(&path, &error))?;
    remove(&manager).map_err(|error| voice.file(&manager, &error))
}

#[cfg(test)]
mod tests;
