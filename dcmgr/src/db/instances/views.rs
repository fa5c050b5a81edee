//! What is shown of instances.

use super::super::{Columns, Db, DbError, Long};
use arame_schema::api;
use arame_schema::model::instance::InstanceState;

// Named one by one: the verdicts of a placement and the user data are long and not shown here.
const VIEW: &str = "SELECT i.id, i.account_id, i.host_node_id, i.image_id, i.ssh_key_pair_id, i.instance_type, i.hostname, \
    i.display_name, i.cpu_cores, i.memory_mib, i.disk_mib, i.generation, i.state, i.failure_code, i.failure_message, \
    i.created_at, i.updated_at, i.terminated_at, i.monitoring_enabled, i.monitoring_mail, k.display_name AS key_name, h.arch AS host_arch, h.hypervisor AS host_hypervisor, \
    IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online, \
    (SELECT GROUP_CONCAT(CONCAT_WS('|', v.id, v.network_id, v.device_index, v.ipv4, v.mac, n.domain_name) \
            ORDER BY v.device_index SEPARATOR ';') FROM network_vifs v JOIN networks n ON n.id = v.network_id \
     WHERE v.instance_id = i.id AND v.deleted_at IS NULL) AS vifs, \
    (SELECT GROUP_CONCAT(CONCAT_WS('|', m.vif_id, m.security_group_id) ORDER BY m.security_group_id SEPARATOR ';') \
     FROM network_vif_security_groups m JOIN network_vifs v ON v.id = m.vif_id \
     WHERE v.instance_id = i.id AND v.deleted_at IS NULL) AS vif_groups, \
    (SELECT GROUP_CONCAT(CONCAT_WS('|', t.volume_id, v.state) ORDER BY t.created_at SEPARATOR ';') \
     FROM attachments t JOIN volumes v ON v.id = t.volume_id WHERE t.instance_id = i.id AND t.open = 1) AS volumes, \
    (SELECT CONCAT_WS('|', j.progress, j.progress_note) FROM jobs j WHERE j.thing = i.id AND j.open = 1 \
     AND j.progress IS NOT NULL LIMIT 1) AS progress \
    FROM instances i LEFT JOIN ssh_key_pairs k ON k.id = i.ssh_key_pair_id \
    LEFT JOIN host_nodes h ON h.id = i.host_node_id LEFT JOIN agents a ON a.id = h.agent_id";

fn vif_views(row: &mysql_async::Row, hostname: &str) -> Result<Vec<api::InstanceVif>, DbError> {
    let vifs: Option<String> = row.col("vifs")?;
    let groups: Option<String> = row.col("vif_groups")?;
    let groups = groups.unwrap_or_default();
    let mut views = Vec::new();
    for vif in vifs.unwrap_or_default().split(';').filter(|vif| !vif.is_empty()) {
        let parts: Vec<&str> = vif.split('|').collect();
        let [id, network, index, ipv4, mac, domain] = parts[..] else {
            return Err(super::super::row::strange("vifs", vif));
        };
        let address = ipv4.parse::<u32>().map_err(|e| super::super::row::strange("vifs", e))?;
        let member = format!("{id}|");
        views.push(api::InstanceVif {
            vif_id: id.to_owned(),
            network_id: network.to_owned(),
            index: index.parse().map_err(|e: std::num::ParseIntError| super::super::row::strange("vifs", e))?,
            ipv4: Some(api::VifIpv4 { address: std::net::Ipv4Addr::from(address).to_string(), nat_address: None }),
            security_groups: groups.split(';').filter_map(|m| m.strip_prefix(&member)).map(str::to_owned).collect(),
            mac_addr: Some(mac.to_owned()),
            dns_name: Some(format!("{hostname}.{domain}")),
        });
    }
    Ok(views)
}

fn view(row: &mysql_async::Row) -> Result<api::Instance, DbError> {
    let id = row.text("id")?;
    let hostname = row.text("hostname")?;
    let state = row.text("state")?;
    let terminated_at = row.time_opt("terminated_at")?;
    let key: Option<String> = row.col("ssh_key_pair_id")?;
    let key_name: Option<String> = row.col("key_name")?;
    let volumes: Option<String> = row.col("volumes")?;
    let failure: Option<String> = row.col("failure_code")?;
    let message: Option<String> = row.col("failure_message")?;
    let host: Option<String> = row.col("host_node_id")?;
    let progress: Option<String> = row.col("progress")?;
    let display_name = row.text("display_name")?;
    Ok(api::Instance {
        vif: vif_views(row, &hostname)?,
        id,
        account_id: row.text("account_id")?,
        cpu_cores: row.col("cpu_cores")?,
        memory_size: row.col("memory_mib")?,
        arch: row.col::<Option<String>>("host_arch")?.unwrap_or_default(),
        image_id: row.text("image_id")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        terminated_at,
        deleted_at: terminated_at,
        state: InstanceState::parse(&state).ok_or_else(|| super::super::row::strange("state", state))?,
        status: if row.flag("online")? { "online".into() } else { "offline".into() },
        ssh_key_pair: key.map(|uuid| api::KeyOfInstance { uuid, display_name: key_name }),
        volume: volumes
            .unwrap_or_default()
            .split(';')
            .filter_map(|v| v.split_once('|'))
            .map(|(vol_id, state)| api::InstanceVolume { vol_id: vol_id.into(), state: state.into() })
            .collect(),
        hostname,
        ha_enabled: 0,
        hypervisor: row.col::<Option<String>>("host_hypervisor")?.unwrap_or_default(),
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        service_type: "std".into(),
        monitoring: api::instance::Monitoring {
            enabled: row.flag("monitoring_enabled")?,
            mail_address: row.json_opt("monitoring_mail")?.unwrap_or_default(),
            items: std::collections::BTreeMap::new(),
        },
        labels: Vec::new(),
        boot_volume_id: None,
        disk_size: row.col("disk_mib")?,
        instance_type: Some(row.text("instance_type")?).filter(|name| !name.is_empty()),
        generation: row.col("generation")?,
        failure: failure.map(|code| {
            api::Failure::new(code)
                .with("message", message.unwrap_or_default())
                .with("host", host.clone().unwrap_or_default())
        }),
        host_node: host,
        progress: progress.and_then(|text| {
            let (percent, note) = text.split_once('|')?;
            Some(api::Progress { percent: percent.parse().ok()?, note: note.to_owned() })
        }),
    })
}

/// Which terminated instances a list has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ended {
    #[default]
    None,
    /// Those that ended within the last 900 s, as the original.
    Recent,
    All,
}

/// Which instances of a list.
#[derive(Debug, Clone)]
pub struct Filter<'a> {
    pub account: Option<&'a str>,
    /// States to show; empty: all.
    pub states: &'a [&'a str],
    pub ended: Ended,
    pub host: Option<&'a str>,
    pub filter: &'a api::ListFilter,
}

const COLUMNS: &[(&str, &str)] = &[
    ("id", "i.id"),
    ("created_at", "i.seq"),
    ("updated_at", "i.updated_at"),
    ("display_name", "i.display_name"),
    ("state", "i.state"),
];

impl Filter<'_> {
    /// What its number of rows depends on.
    pub fn counted(&self) -> (String, Vec<mysql_async::Value>) {
        self.condition()
    }

    /// Only what was asked for, so that an index serves it.
    fn condition(&self) -> (String, Vec<mysql_async::Value>) {
        let (mut terms, mut values) = (vec!["1 = 1".to_owned()], Vec::new());
        let mut asks = |term: &str, value: Option<&str>| {
            if let Some(value) = value {
                terms.push(term.to_owned());
                values.push(mysql_async::Value::from(value));
            }
        };
        let f = self.filter;
        asks("i.account_id = ?", self.account);
        asks("i.display_name = ?", f.display_name.as_deref());
        asks("i.host_node_id = ?", self.host);
        asks("i.id LIKE ?", f.id.as_deref().map(super::super::prefix).as_deref());
        let [created_since, created_until, ended_since, ended_until] = super::super::moments(f);
        asks("i.created_at >= ?", created_since.as_deref());
        asks("i.created_at < ?", created_until.as_deref());
        asks("i.terminated_at >= ?", ended_since.as_deref());
        asks("i.terminated_at < ?", ended_until.as_deref());
        match self.ended {
            Ended::None => terms.push("i.terminated_at IS NULL".into()),
            Ended::Recent => terms
                .push("(i.terminated_at IS NULL OR i.terminated_at > UTC_TIMESTAMP(3) - INTERVAL 900 SECOND)".into()),
            Ended::All => {}
        }
        if !self.states.is_empty() {
            terms.push(format!("i.state IN ({})", vec!["?"; self.states.len()].join(", ")));
            values.extend(self.states.iter().map(|state| mysql_async::Value::from(*state)));
        }
        (terms.join(" AND "), values)
    }
}

/// A page, and how many there are of all its pages unless that is known. The page is chosen by an index alone; only its own
/// rows are read.
pub async fn list(db: &Db, to: &Filter<'_>, known: Option<u64>) -> Result<(u64, Vec<api::Instance>), DbError> {
    let (condition, values) = to.condition();
    let total = match known {
        Some(total) => total,
        None => {
            let count = format!("SELECT COUNT(*) AS n FROM instances i WHERE {condition}");
            let found = db.rows(count, positional(values.clone())).await?;
            found.first().map_or(Ok(0), |row| row.col("n"))?
        }
    };
    let mut paged = values;
    let (behind, after) = Long::Instances.behind(to.filter, COLUMNS, "i.seq");
    paged.extend(after);
    paged.extend([to.filter.limit.into(), to.filter.start.into()]);
    let order = super::super::order(to.filter, COLUMNS, "i.seq");
    let page = format!("SELECT i.seq FROM instances i WHERE {condition}{behind} ORDER BY {order} LIMIT ? OFFSET ?");
    let statement = format!("{VIEW} JOIN ({page}) page ON page.seq = i.seq ORDER BY {order}");
    let found = db.rows(statement, positional(paged)).await?;
    Ok((total, found.iter().map(view).collect::<Result<_, _>>()?))
}

fn positional(values: Vec<mysql_async::Value>) -> mysql_async::Params {
    match values.is_empty() {
        true => mysql_async::Params::Empty,
        false => mysql_async::Params::Positional(values),
    }
}

pub async fn get(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::Instance>, DbError> {
    let statement = format!("{VIEW} WHERE i.id = ? AND (? IS NULL OR i.account_id = ?)");
    db.rows(statement, (id, account, account)).await?.first().map(view).transpose()
}
