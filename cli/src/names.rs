//! Names where an id is wanted.
//!
//! Rule: a text that is an id is taken as it is; any other must name exactly one thing of the list. A name that fits
//! two is refused with both: guessing would delete the wrong one.

use crate::client::Client;
use crate::failure::{CliError, REFUSED};
use crate::words::{Message, word};
use arame_schema::api::{
    HostNode, Image, Instance, InstanceType, Network, SecurityGroup, SshKeyPair, StorageNode, Volume, VolumeSnapshot,
};
use serde::de::DeserializeOwned;

/// Something that can be called by a name.
pub trait Named: DeserializeOwned {
    const PATH: &'static str;
    const PREFIX: &'static str;
    const KIND: Message;

    fn id(&self) -> &str;

    /// What people call it; the first is shown.
    fn names(&self) -> Vec<&str>;

    /// Whether it still answers to its name. A deleted one may have left it to another.
    fn is_there(&self) -> bool {
        true
    }
}

macro_rules! named {
    ($view:ty, $path:literal, $prefix:literal, $kind:ident, $($there:expr)?) => {
        impl Named for $view {
            const PATH: &'static str = $path;
            const PREFIX: &'static str = $prefix;
            const KIND: Message = Message::$kind;
            fn id(&self) -> &str {
                &self.id
            }
            fn names(&self) -> Vec<&str> {
                self.display_name.as_deref().into_iter().filter(|name| !name.is_empty()).collect()
            }
            $(fn is_there(&self) -> bool {
                $there(self)
            })?
        }
    };
}

named!(Volume, "/volumes", "vol-", KindVolume, |one: &Volume| one.deleted_at.is_none());
named!(VolumeSnapshot, "/volume_snapshots", "snap-", KindSnapshot, |one: &VolumeSnapshot| one.deleted_at.is_none());
named!(Image, "/images", "wmi-", KindImage, |one: &Image| one.deleted_at.is_none());
named!(Network, "/networks", "nw-", KindNetwork,);
named!(SecurityGroup, "/security_groups", "sg-", KindGroup,);
named!(SshKeyPair, "/ssh_key_pairs", "ssh-", KindKey,);
named!(HostNode, "/host_nodes", "hn-", KindHost,);
named!(StorageNode, "/storage_nodes", "sn-", KindStorage,);

impl Named for Instance {
    const PATH: &'static str = "/instances";
    const PREFIX: &'static str = "i-";
    const KIND: Message = Message::KindInstance;

    fn id(&self) -> &str {
        &self.id
    }

    fn names(&self) -> Vec<&str> {
        let shown = self.display_name.as_deref().filter(|name| !name.is_empty() && *name != self.hostname);
        [self.hostname.as_str()].into_iter().chain(shown).collect()
    }

    fn is_there(&self) -> bool {
        self.terminated_at.is_none()
    }
}

impl Named for InstanceType {
    const PATH: &'static str = "/instance_types";
    const PREFIX: &'static str = "it-";
    const KIND: Message = Message::KindType;

    fn id(&self) -> &str {
        &self.id
    }

    fn names(&self) -> Vec<&str> {
        vec![&self.name]
    }
}

/// The id that a text means.
pub async fn id_of<T: Named>(client: &Client, text: &str) -> Result<String, CliError> {
    if is_id(text, T::PREFIX) {
        return Ok(text.to_owned());
    }
    Ok(find::<T>(client, text).await?.id().to_owned())
}

/// The id of whatever has a timeline: an instance or a volume by its name, anything by its id.
pub async fn id_of_any(client: &Client, text: &str) -> Result<String, CliError> {
    let dashed = text.split_once('-').is_some_and(|(prefix, _)| PREFIXES.contains(&format!("{prefix}-").as_str()));
    if dashed && is_id(text, "") {
        return Ok(text.to_owned());
    }
    let volumes: Vec<Volume> = client.list(Volume::PATH).await?;
    if volumes.iter().any(|one| one.is_there() && one.names().contains(&text)) {
        return Ok(choose(client, volumes, text)?.id().to_owned());
    }
    id_of::<Instance>(client, text).await
}

/// Of ids that events and jobs are about.
const PREFIXES: [&str; 12] = [
    Instance::PREFIX,
    Volume::PREFIX,
    VolumeSnapshot::PREFIX,
    Image::PREFIX,
    Network::PREFIX,
    SecurityGroup::PREFIX,
    HostNode::PREFIX,
    StorageNode::PREFIX,
    "att-",
    "bo-",
    "rep-",
    "a-",
];

/// The one thing of the list that a text means.
pub async fn find<T: Named>(client: &Client, text: &str) -> Result<T, CliError> {
    let known: Vec<T> = client.list(T::PATH).await?;
    choose(client, known, text)
}

/// The thing a text means: by its id from the API, so that deleted ones are found too, else by name.
pub async fn get<T: Named>(client: &Client, text: &str) -> Result<T, CliError> {
    if is_id(text, T::PREFIX) {
        return client.get(&format!("{}/{text}", T::PATH)).await;
    }
    find(client, text).await
}

/// The rest is for the API to refuse, but what would change the URL's path is no id.
fn is_id(text: &str, prefix: &str) -> bool {
    text.starts_with(prefix) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn choose<T: Named>(client: &Client, known: Vec<T>, text: &str) -> Result<T, CliError> {
    let language = client.language();
    let kind = word(language, T::KIND);
    let all = shown(known.iter().filter(|one| one.is_there()));
    let fits = |one: &T| one.is_there() && (one.id() == text || one.names().contains(&text));
    let mut found: Vec<T> = known.into_iter().filter(fits).collect();
    if found.len() > 1 {
        let words = [Message::AmbiguousName, Message::AmbiguousNameCause, Message::AmbiguousNameNext];
        let values = [("kind", kind), ("name", text), ("known", &shown(found.iter()))];
        return Err(CliError::own(REFUSED, language, words, &values));
    }
    let words = [Message::UnknownName, Message::UnknownNameCause, Message::UnknownNameNext];
    let values = [("kind", kind), ("name", text), ("known", all.as_str())];
    found.pop().ok_or_else(|| CliError::own(REFUSED, language, words, &values))
}

/// Names that are listed in an error: enough to see the misspelling.
const SHOWN_MAX: usize = 20;

fn shown<'a, T: Named + 'a>(things: impl Iterator<Item = &'a T>) -> String {
    let name = |one: &T| match one.names().first() {
        Some(name) => format!("{name} ({})", one.id()),
        None => one.id().to_owned(),
    };
    let mut names: Vec<String> = things.take(SHOWN_MAX + 1).map(name).collect();
    if names.len() > SHOWN_MAX {
        names.truncate(SHOWN_MAX);
        names.push("…".into());
    }
    if names.is_empty() { "-".into() } else { names.join(", ") }
}
