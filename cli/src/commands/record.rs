//! The verbs that every record of the data center has: list, show, create, update, delete, and those of its own.
//!
//! Rule: fields are given as the API names them (`allow_new_networks=true`), so that its document is the one reference; a
//! name it does not know is refused by it. What is shown to people are the columns of a noun, `--json` shows all.

use crate::failure::CliError;
use crate::names::{self, Named};
use crate::session::Session;
use crate::table::{fields, plain, table};
use crate::words::{Message, word};
use arame_schema::api::{Language, UsageInterval};
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

/// A kind of record: where it is, and what people see of it.
pub struct Noun {
    pub path: &'static str,
    pub columns: &'static [(Message, &'static str)],
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List them; state=…, display_name=… and so on narrow / 一覧
    List(Given),
    /// Show one / 詳細を表示する
    Show { id: String },
    /// Make one / 作成する
    Create(Given),
    /// Change one / 変更する
    Update {
        id: String,
        #[command(flatten)]
        given: Given,
    },
    /// Delete one / 削除する
    Delete {
        id: String,
        #[command(flatten)]
        given: Given,
    },
    #[command(flatten)]
    Part(Part),
}

/// Verbs on a part of a record, both as the API names them.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// Look at a part: get nw-demo1 services / 一部を見る
    Get(Of),
    /// A verb of its own: do ipp-a acquire network_id=nw-demo1 / 固有の操作
    Do(Of),
    /// Add to a part: add vif-a monitors title=web enabled=true / 追加する
    Add(Of),
    /// Remove from a part: remove nw-demo1 services name=gateway / 取り除く
    Remove(Of),
}

#[derive(Debug, Args)]
pub struct Of {
    pub id: String,
    /// Like dhcp_ranges/add, monitors/nwm-… / API の項目名
    #[arg(value_name = "PART")]
    pub part: String,
    #[command(flatten)]
    pub given: Given,
}

impl Part {
    fn of(&mut self) -> &mut Of {
        match self {
            Part::Get(of) | Part::Do(of) | Part::Add(of) | Part::Remove(of) => of,
        }
    }

    fn changes(&self) -> bool {
        match self {
            Part::Get(_) => false,
            Part::Do(_) | Part::Add(_) | Part::Remove(_) => true,
        }
    }

    /// The same, a name turned into the id that it means.
    pub async fn named<T: Named>(mut self, session: &Session<'_>) -> Result<Part, CliError> {
        let id = names::id_of::<T>(&session.client, &self.of().id).await?;
        self.of().id = id;
        Ok(self)
    }
}

#[derive(Debug, Default, Args)]
pub struct Given {
    /// As the API names it / API の項目名=値
    #[arg(value_name = "NAME=VALUE", value_parser = pair)]
    pub fields: Vec<(String, String)>,
}

pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}`: NAME=VALUE")),
    }
}

impl Command {
    /// Whether it does more than look.
    pub fn changes(&self) -> bool {
        match self {
            Command::List(_) | Command::Show { .. } => false,
            Command::Create(_) | Command::Update { .. } | Command::Delete { .. } => true,
            Command::Part(part) => part.changes(),
        }
    }
}

/// `arame report`: what was used, as a table.
pub async fn report(session: &mut Session<'_>, given: &Given) -> Result<(), CliError> {
    let rows: Vec<UsageInterval> = session.client.get(&format!("/reports{}", given.query())).await?;
    session.print(&rows, |language| {
        let head = [Message::Account, Message::Thing, Message::What, Message::At, Message::Seconds];
        let row = |one: &UsageInterval| {
            let (begun, seconds) = (one.begun_at.to_string(), one.seconds.to_string());
            vec![one.account_id.clone(), one.resource.clone(), one.what.clone(), begun, seconds]
        };
        table(language, &head, rows.iter().map(row).collect())
    })
}

impl Given {
    /// A name given twice is a list.
    fn body(&self) -> Value {
        let mut body = Map::new();
        for (name, value) in &self.fields {
            let value = Value::String(value.clone());
            match body.get_mut(name) {
                None => drop(body.insert(name.clone(), value)),
                Some(Value::Array(items)) => items.push(value),
                Some(one) => *one = Value::Array(vec![one.clone(), value]),
            }
        }
        Value::Object(body)
    }

    fn query(&self) -> String {
        let pairs: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// For a URL's path or query: everything but RFC 3986's unreserved characters is escaped.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

pub async fn run(session: &mut Session<'_>, noun: &Noun, command: Command) -> Result<(), CliError> {
    match command {
        Command::List(given) => {
            let path = format!("{}{}", noun.path, given.query());
            let rows: Vec<Value> = session.client.list(&path).await?;
            session.print(&rows, |language| many(language, noun, &rows))
        }
        Command::Show { id } => {
            let view: Value = session.client.get(&place(noun, &id)).await?;
            session.print(&view, |language| one(language, noun, &view))
        }
        Command::Create(given) => {
            let view: Value = session.client.post(noun.path, &given.body()).await?;
            session.print(&view, |language| one(language, noun, &view))
        }
        Command::Update { id, given } => {
            let view: Value = session.client.put(&place(noun, &id), &given.body()).await?;
            session.print(&view, |language| one(language, noun, &view))
        }
        Command::Delete { id, given } => {
            let answer: Value = session.client.delete(&format!("{}{}", place(noun, &id), given.query())).await?;
            session.remark(Message::Deleted, &[("id", &id)]);
            session.print(&answer, |_| String::new())
        }
        Command::Part(part) => run_part(session, noun, part).await,
    }
}

/// A verb on a part of a record.
pub async fn run_part(session: &mut Session<'_>, noun: &Noun, mut part: Part) -> Result<(), CliError> {
    let Of { id, part: name, given } = part.of();
    let steps: Vec<String> = name.split('/').map(escaped).collect();
    let path = format!("{}/{}", place(noun, id), steps.join("/"));
    let (body, query) = (given.body(), given.query());
    let view: Value = match part {
        Part::Get(_) => session.client.get(&format!("{path}{query}")).await?,
        Part::Do(_) => session.client.put(&path, &body).await?,
        Part::Add(_) => session.client.post(&path, &body).await?,
        Part::Remove(_) => session.client.delete(&format!("{path}{query}")).await?,
    };
    session.print(&view, |language| part_view(language, noun, &view))
}

/// A part as people read it: rows one a line, by the API's names.
fn part_view(language: Language, noun: &Noun, view: &Value) -> String {
    let page = view.get(0).and_then(|page| page.get("results"));
    match page.unwrap_or(view) {
        Value::Array(rows) if rows.is_empty() => format!("{}\n", word(language, Message::None_)),
        Value::Array(rows) => rows.iter().map(|row| format!("{}\n", line(row))).collect(),
        other => one(language, noun, other),
    }
}

fn line(row: &Value) -> String {
    let Value::Object(columns) = row else { return cell(row) };
    let told = columns.iter().filter(|(_, value)| !value.is_null());
    told.map(|(name, value)| format!("{name}={}", plain(&cell(value)))).collect::<Vec<_>>().join(" ")
}

fn place(noun: &Noun, id: &str) -> String {
    format!("{}/{}", noun.path, escaped(id))
}

/// What a person reads of a value.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(object) => object.get("id").map_or_else(|| value.to_string(), cell),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn shown(language: Language, value: &Value) -> String {
    match value {
        Value::Bool(true) => word(language, Message::Yes).to_owned(),
        Value::Bool(false) => word(language, Message::No).to_owned(),
        other => cell(other),
    }
}

fn many(language: Language, noun: &Noun, rows: &[Value]) -> String {
    let head: Vec<Message> = noun.columns.iter().map(|(heading, _)| *heading).collect();
    let row = |view: &Value| noun.columns.iter().map(|(_, name)| shown(language, &view[name])).collect();
    table(language, &head, rows.iter().map(row).collect())
}

/// The columns of one; an answer of another form as it came.
fn one(language: Language, noun: &Noun, view: &Value) -> String {
    if view.get("id").is_none() {
        return match view {
            Value::Object(object) if object.is_empty() => String::new(),
            Value::Object(object) => object.iter().map(|(name, value)| format!("{name}  {}\n", cell(value))).collect(),
            other => format!("{}\n", cell(other)),
        };
    }
    let secret = view.get("join_key").map(|key| (Message::JoinKey, cell(key)));
    let columns = noun.columns.iter().map(|(heading, name)| (*heading, shown(language, &view[name])));
    fields(language, columns.chain(secret).collect())
}

pub const INSTANCES: Noun = Noun {
    path: "/instances",
    columns: &[(Message::Id, "id"), (Message::Name, "display_name"), (Message::State, "state")],
};

pub const DC_NETWORKS: Noun = Noun {
    path: "/dc_networks",
    columns: &[
        (Message::Id, "id"),
        (Message::Name, "name"),
        (Message::Modes, "offering_network_modes"),
        (Message::TakesNetworks, "allow_new_networks"),
        (Message::VlanFirst, "vlan_first"),
        (Message::VlanLast, "vlan_last"),
        (Message::Description, "description"),
    ],
};

pub const NETWORKS: Noun = Noun {
    path: "/networks",
    columns: &[
        (Message::Id, "id"),
        (Message::Name, "display_name"),
        (Message::Subnet, "ipv4_network"),
        (Message::Gateway, "ipv4_gw"),
        (Message::Domain, "domain_name"),
        (Message::Range, "dhcp_ranges"),
        (Message::Vlan, "vlan_tag"),
    ],
};

pub const VIFS: Noun = Noun {
    path: "/network_vifs",
    columns: &[
        (Message::Id, "id"),
        (Message::Address, "ipv4_address"),
        (Message::Mac, "mac_addr"),
        (Message::Network, "network_id"),
        (Message::Instance, "instance_id"),
        (Message::Groups, "security_groups"),
    ],
};

const GROUP: &[(Message, &str)] = &[
    (Message::Id, "id"),
    (Message::Name, "name"),
    (Message::Members, "mapped_uuids"),
    (Message::Account, "account_id"),
    (Message::Created, "created_at"),
];

pub const HOST_GROUPS: Noun = Noun { path: "/host_node_groups", columns: GROUP };
pub const NETWORK_GROUPS: Noun = Noun { path: "/network_groups", columns: GROUP };
pub const STORAGE_GROUPS: Noun = Noun { path: "/storage_node_groups", columns: GROUP };

pub const HOSTS: Noun = Noun { path: "/host_nodes", columns: NODE };
pub const STORAGE: Noun = Noun { path: "/storage_nodes", columns: NODE };

const NODE: &[(Message, &str)] = &[
    (Message::Id, "id"),
    (Message::Name, "display_name"),
    (Message::Agent, "node_id"),
    (Message::State, "status"),
    (Message::Scheduling, "scheduling_enabled"),
];

pub const TYPES: Noun = Noun {
    path: "/instance_types",
    columns: &[
        (Message::Id, "id"),
        (Message::Name, "name"),
        (Message::Cpu, "cpu_cores"),
        (Message::Memory, "memory_size"),
        (Message::Disk, "disk_size"),
        (Message::Description, "description"),
    ],
};

pub const IMAGES: Noun = Noun {
    path: "/images",
    columns: &[
        (Message::Id, "id"),
        (Message::Name, "display_name"),
        (Message::State, "state"),
        (Message::Public, "is_public"),
        (Message::Description, "description"),
    ],
};

pub const BACKUP_STORAGES: Noun = Noun {
    path: "/backup_storages",
    columns: &[
        (Message::Id, "id"),
        (Message::Name, "display_name"),
        (Message::Type, "storage_type"),
        (Message::Place, "base_uri"),
        (Message::Created, "created_at"),
    ],
};

pub const BACKUP_OBJECTS: Noun = Noun {
    path: "/backup_objects",
    columns: &[
        (Message::Id, "id"),
        (Message::Name, "display_name"),
        (Message::State, "state"),
        (Message::Size, "size"),
        (Message::Place, "backup_storage_id"),
        (Message::Created, "created_at"),
    ],
};

pub const IP_POOLS: Noun = Noun {
    path: "/ip_pools",
    columns: &[
        (Message::Id, "id"),
        (Message::Name, "display_name"),
        (Message::DcNetworks, "dc_networks"),
        (Message::Created, "created_at"),
    ],
};

pub const IP_HANDLES: Noun = Noun {
    path: "/ip_handles",
    columns: &[
        (Message::Id, "id"),
        (Message::Address, "ipv4"),
        (Message::Network, "network"),
        (Message::Expires, "expires_at"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn given(texts: &[&str]) -> Given {
        Given { fields: texts.iter().map(|text| pair(text).unwrap()).collect() }
    }

    #[test]
    fn fields_become_a_body_or_a_query_and_one_given_twice_is_a_list() {
        let fields = given(&["name=lab 1", "mode=a", "mode=b=c", "rule="]);
        assert_eq!(fields.body(), json!({ "name": "lab 1", "mode": ["a", "b=c"], "rule": "" }));
        assert_eq!(fields.query(), "?name=lab%201&mode=a&mode=b%3Dc&rule=");
        assert!(pair("=x").is_err() && pair("x").is_err());
    }

    #[test]
    fn what_would_change_the_urls_path_is_escaped() {
        assert_eq!(place(&DC_NETWORKS, "../instances"), "/dc_networks/..%2Finstances");
    }

    #[test]
    fn a_record_is_shown_by_its_columns_in_both_languages() {
        let view =
            json!({ "id": "dcn-a", "name": "a", "allow_new_networks": true, "offering_network_modes": ["x", "y"] });
        let english = one(Language::En, &DC_NETWORKS, &view);
        assert!(english.contains("dcn-a") && english.contains("x,y") && english.contains("yes"), "{english}");
        assert!(one(Language::Ja, &DC_NETWORKS, &view).contains("はい"));
        assert_eq!(one(Language::En, &DC_NETWORKS, &json!({})), "");
    }
}
