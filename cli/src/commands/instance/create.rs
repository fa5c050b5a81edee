//! `arame instance create`: names become ids, what is not said is chosen and told.

use super::super::volume::mib_of;
use super::super::{Waiting, record};
use super::{finish, read_file, show};
use crate::failure::{CliError, REFUSED};
use crate::names::{self, Named};
use crate::session::Session;
use crate::words::{Message, word};
use arame_schema::api::{
    HostNode, Image, Instance, InstanceType, LaunchPlan, Network, SecurityGroup, SshKeyPair, Volume,
};
use clap::Args;
use serde_json::{Map, Value, json};

#[derive(Debug, Args)]
pub struct Create {
    /// Image it starts from, name or id / イメージ
    #[arg(long)]
    pub image: String,
    /// Its name, also its hostname / 名前（ホスト名にもなります）
    #[arg(long)]
    pub name: Option<String>,
    /// SSH key that may log in as, name or id / ログインに使う SSH 鍵
    #[arg(long)]
    pub ssh_key: Option<String>,
    /// Network; several make several interfaces / ネットワーク（複数可） [default: the first]
    #[arg(long)]
    pub network: Vec<String>,
    /// Address in the first network / 最初のネットワークでのアドレス [default: chosen for you]
    #[arg(long, value_name = "IPV4")]
    pub address: Option<String>,
    /// Instance type, name or id / インスタンスタイプ [default: the smallest]
    #[arg(long = "type", value_name = "TYPE")]
    pub instance_type: Option<String>,
    /// CPU cores in place of the type's / CPU コア数
    #[arg(long)]
    pub cpu_cores: Option<u32>,
    /// MiB of memory in place of the type's / メモリー（MiB）
    #[arg(long)]
    pub memory_size: Option<u64>,
    /// Only this host will do / ホストを指定する
    #[arg(long)]
    pub host: Option<String>,
    /// Only hosts of this group (its id) will do / ホストグループを指定する
    #[arg(long)]
    pub node_group: Option<String>,
    /// Placed with an eye to others of this name / 同じ名前のグループを見て配置する
    #[arg(long, value_name = "NAME")]
    pub placement_group: Option<String>,
    /// apart (never two on one host), together or spread / 配置の方針 [default: apart]
    #[arg(long, value_name = "POLICY", requires = "placement_group")]
    pub placement_policy: Option<String>,
    /// When its guest dies: always (started again), on-failure (a few times) or never / 異常終了時の方針 [default: always]
    #[arg(long, value_name = "POLICY")]
    pub restart_policy: Option<String>,
    /// Security group, several allowed / セキュリティグループ（複数可） [default: that named default]
    #[arg(long)]
    pub security_group: Vec<String>,
    /// A volume with it: a size (1G), a backup (bo-…) or a snapshot (snap-…), made and deleted with it, or the name or id of one; several allowed / 一緒に使うボリューム（複数可）
    #[arg(long, value_name = "SIZE|VOLUME")]
    pub volume: Vec<String>,
    /// Label, several allowed / ラベル（複数可）
    #[arg(long, value_name = "NAME=VALUE", value_parser = record::pair)]
    pub label: Vec<(String, String)>,
    /// File given to the guest as user-data, - is standard input / ユーザーデータのファイル
    #[arg(long, value_name = "FILE")]
    pub user_data: Option<String>,
    /// Make nothing, say where it would go / 作成せず配置の判定だけを表示する
    #[arg(long)]
    pub plan: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

pub async fn run(session: &mut Session<'_>, create: Create) -> Result<(), CliError> {
    let body = body(session, &create).await?;
    if create.plan {
        let placement: LaunchPlan = session.client.post("/instances?plan=true", &body).await?;
        return session.print(&placement, |language| show::plan(language, &placement));
    }
    let instance: Instance = session.client.post("/instances", &body).await?;
    finish(session, &instance.id, &["running"], 0, create.waiting).await
}

async fn body(session: &mut Session<'_>, create: &Create) -> Result<Value, CliError> {
    let client = session.client.clone();
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    put("image_id", json!(names::id_of::<Image>(&client, &create.image).await?));
    if let Some(name) = &create.name {
        put("hostname", json!(name));
        put("display_name", json!(name));
    }
    if let Some(key) = &create.ssh_key {
        put("ssh_key_id", json!(names::id_of::<SshKeyPair>(&client, key).await?));
    }
    if let Some(host) = &create.host {
        put("host_node_id", json!(names::id_of::<HostNode>(&client, host).await?));
    }
    if let Some(path) = &create.user_data {
        put("user_data", json!(read_file(session, path)?));
    }
    put("instance_type", json!(instance_type(session, create).await?));
    put("node_group", json!(create.node_group));
    put("placement_group", json!(create.placement_group));
    put("placement_policy", json!(create.placement_policy));
    put("restart_policy", json!(create.restart_policy));
    put("cpu_cores", json!(create.cpu_cores));
    put("memory_size", json!(create.memory_size));
    let groups = groups(session, create).await?;
    put("security_groups", json!(groups));
    put("volumes", volumes(session, create).await?);
    let labels: Map<String, Value> = create.label.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    put("labels", if labels.is_empty() { Value::Null } else { Value::Object(labels) });
    put("vifs", vifs(session, create).await?);
    Ok(Value::Object(body))
}

/// The named type; the smallest when neither a type nor both numbers are given.
async fn instance_type(session: &mut Session<'_>, create: &Create) -> Result<Option<String>, CliError> {
    if let Some(name) = &create.instance_type {
        return Ok(Some(names::id_of::<InstanceType>(&session.client, name).await?));
    }
    if create.cpu_cores.is_some() && create.memory_size.is_some() {
        return Ok(None);
    }
    let types: Vec<InstanceType> = session.client.list(InstanceType::PATH).await?;
    let smallest = types.into_iter().min_by_key(|one| (one.memory_size, one.cpu_cores, one.id.clone()));
    let smallest = smallest.ok_or_else(|| nothing::<InstanceType>(session))?;
    session.remark(Message::ChoseType, &[("name", &smallest.name)]);
    Ok(Some(smallest.id))
}

/// The named groups; without any that called `default`, so that a first machine can be reached.
async fn groups(session: &mut Session<'_>, create: &Create) -> Result<Vec<String>, CliError> {
    let mut ids = Vec::new();
    for name in &create.security_group {
        ids.push(names::id_of::<SecurityGroup>(&session.client, name).await?);
    }
    if ids.is_empty() {
        let known: Vec<SecurityGroup> = session.client.list(SecurityGroup::PATH).await?;
        let default = known.into_iter().find(|group| group.display_name.as_deref() == Some("default"));
        if let Some(group) = default {
            session.remark(Message::ChoseGroup, &[("group", &group.id)]);
            ids.push(group.id);
        }
    }
    Ok(ids)
}

async fn vifs(session: &mut Session<'_>, create: &Create) -> Result<Value, CliError> {
    let mut networks = Vec::new();
    for name in &create.network {
        networks.push(names::id_of::<Network>(&session.client, name).await?);
    }
    if networks.is_empty() {
        let known: Vec<Network> = session.client.list(Network::PATH).await?;
        let first = known.into_iter().min_by(|one, other| one.id.cmp(&other.id));
        let first = first.ok_or_else(|| nothing::<Network>(session))?;
        session.remark(Message::ChoseNetwork, &[("network", &first.id)]);
        networks.push(first.id);
    }
    let mut vifs = Map::new();
    for (index, network) in networks.into_iter().enumerate() {
        let mut vif = json!({ "index": index, "network": network });
        if let (0, Some(address)) = (index, &create.address) {
            vif["ipv4_addr"] = json!(address);
        }
        vifs.insert(format!("eth{index}"), vif);
    }
    Ok(Value::Object(vifs))
}

/// By a size new ones, by a name or id those that are there.
async fn volumes(session: &Session<'_>, create: &Create) -> Result<Value, CliError> {
    let mut volumes = Map::new();
    for (index, text) in create.volume.iter().enumerate() {
        let volume = match mib_of(text) {
            Some(mib) => json!({ "volume_size": mib }),
            None if text.starts_with("snap-") => json!({ "snapshot_id": text }),
            None if text.starts_with("bo-") => json!({ "backup_object_id": text }),
            None => json!({ "volume_id": names::id_of::<Volume>(&session.client, text).await? }),
        };
        volumes.insert(format!("{index:02}"), volume);
    }
    Ok(if volumes.is_empty() { Value::Null } else { Value::Object(volumes) })
}

fn nothing<T: Named>(session: &Session<'_>) -> CliError {
    let words = [Message::NothingToChoose, Message::NothingToChooseCause, Message::NothingToChooseNext];
    CliError::own(REFUSED, session.language(), words, &[("kind", word(session.language(), T::KIND))])
}
