//! What is shown of instances.

use super::super::{Columns, Db, DbError, Long};
use arame_schema::api;
use arame_schema::model::instance::InstanceState;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

// Named one by one: the verdicts of a placement and the user data are long and not shown here. A row for each interface
// and group of it, which is less work for the server than a question for each; what most machines have none of is only
// looked for here. The hint keeps it from reading every open job when few are open.
const VIEW: &str = "SELECT i.id, i.account_id, i.host_node_id, i.image_id, i.ssh_key_pair_id, i.instance_type, i.hostname, \
    i.display_name, i.cpu_cores, i.memory_mib, i.disk_mib, i.generation, i.state, i.failure_code, i.failure_message, \
    i.created_at, i.updated_at, i.terminated_at, i.monitoring_enabled, i.monitoring_mail, \
    i.placement_group, i.placement_policy, i.node_group_id, i.restart_policy, i.deaths, \
    IF(i.rests_until > UTC_TIMESTAMP(3), i.rests_until, NULL) AS rests_until, k.display_name AS key_name, \
    h.arch AS host_arch, h.hypervisor AS host_hypervisor, \
    IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online, \
    v.id AS vif_id, v.network_id, v.device_index, v.ipv4, v.mac, n.domain_name, m.security_group_id, \
    j.progress, j.progress_note, \
    (SELECT x.ipv4 FROM ip_handles x WHERE x.network_vif_id = v.id) AS outer_ipv4, \
    (SELECT 1 FROM attachments t WHERE t.instance_id = i.id AND t.open = 1 LIMIT 1) AS has_volumes, \
    (SELECT 1 FROM resource_labels l WHERE l.resource = i.id LIMIT 1) AS has_labels, \
    (SELECT 1 FROM monitors o WHERE o.resource = i.id LIMIT 1) AS has_monitors \
    FROM instances i LEFT JOIN ssh_key_pairs k ON k.id = i.ssh_key_pair_id \
    LEFT JOIN host_nodes h ON h.id = i.host_node_id LEFT JOIN agents a ON a.id = h.agent_id \
    LEFT JOIN network_vifs v ON v.instance_id = i.id AND v.deleted_at IS NULL LEFT JOIN networks n ON n.id = v.network_id \
    LEFT JOIN network_vif_security_groups m ON m.vif_id = v.id \
    LEFT JOIN jobs j FORCE INDEX (one_open) ON j.thing = i.id AND j.open = 1 AND j.progress IS NOT NULL";

/// A view, and whether there is more to show of it than its own rows tell.
#[derive(Debug)]
pub struct Shown {
    pub instance: api::Instance,
    pub has_labels: bool,
    pub has_monitors: bool,
    has_volumes: bool,
}

/// What one row tells of an interface, which it shares with the rows of its other groups.
fn add_vif(shown: &mut Shown, row: &mysql_async::Row) -> Result<(), DbError> {
    let Some(id) = row.col::<Option<String>>("vif_id")? else { return Ok(()) };
    let group: Option<String> = row.col("security_group_id")?;
    let vifs = &mut shown.instance.vif;
    if let Some(known) = vifs.iter_mut().find(|vif| vif.vif_id == id) {
        // Also where two jobs of one machine tell their progress.
        known.security_groups.extend(group.filter(|group| !known.security_groups.contains(group)));
        return Ok(());
    }
    let domain: Option<String> = row.col("domain_name")?;
    let address = std::net::Ipv4Addr::from(row.col::<u32>("ipv4")?).to_string();
    let nat_address = row.col::<Option<u32>>("outer_ipv4")?.map(|one| std::net::Ipv4Addr::from(one).to_string());
    vifs.push(api::InstanceVif {
        vif_id: id,
        network_id: row.text("network_id")?,
        index: row.col("device_index")?,
        ipv4: Some(api::VifIpv4 { address, nat_address }),
        security_groups: group.into_iter().collect(),
        mac_addr: Some(row.text("mac")?),
        dns_name: domain.map(|domain| format!("{}.{domain}", shown.instance.hostname)),
    });
    Ok(())
}

/// The rows of each instance together, in the order in which they first came.
fn gather(rows: &[mysql_async::Row]) -> Result<Vec<Shown>, DbError> {
    let (mut all, mut at) = (Vec::<Shown>::new(), HashMap::<String, usize>::new());
    for row in rows {
        let number = match at.entry(row.text("id")?) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                all.push(view(row)?);
                *new.insert(all.len() - 1)
            }
        };
        add_vif(&mut all[number], row)?;
    }
    for shown in &mut all {
        shown.instance.vif.sort_by_key(|vif| vif.index);
        shown.instance.vif.iter_mut().for_each(|vif| vif.security_groups.sort());
    }
    Ok(all)
}

/// Writes the volumes into the views of those that have some, in the order of their attachment.
async fn add_volumes(db: &Db, all: &mut [Shown]) -> Result<(), DbError> {
    let ids: Vec<&str> = all.iter().filter(|one| one.has_volumes).map(|one| one.instance.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "SELECT t.instance_id, t.volume_id, v.state FROM attachments t JOIN volumes v ON v.id = t.volume_id \
         WHERE t.instance_id IN ({}) AND t.open = 1 ORDER BY t.created_at",
        vec!["?"; ids.len()].join(", ")
    );
    let found = db.rows(statement, ids).await?;
    let mut of = HashMap::<String, Vec<api::InstanceVolume>>::new();
    for row in &found {
        let volume = api::InstanceVolume { vol_id: row.text("volume_id")?, state: row.text("state")? };
        of.entry(row.text("instance_id")?).or_default().push(volume);
    }
    for shown in all {
        shown.instance.volume = of.remove(&shown.instance.id).unwrap_or_default();
    }
    Ok(())
}

fn view(row: &mysql_async::Row) -> Result<Shown, DbError> {
    let id = row.text("id")?;
    let hostname = row.text("hostname")?;
    let state = row.text("state")?;
    let terminated_at = row.time_opt("terminated_at")?;
    let key: Option<String> = row.col("ssh_key_pair_id")?;
    let key_name: Option<String> = row.col("key_name")?;
    let failure: Option<String> = row.col("failure_code")?;
    let message: Option<String> = row.col("failure_message")?;
    let host: Option<String> = row.col("host_node_id")?;
    let percent: Option<u8> = row.col("progress")?;
    let note: Option<String> = row.col("progress_note")?;
    let display_name = row.text("display_name")?;
    let rests_until = row.time_opt("rests_until")?.filter(|_| state != InstanceState::Running.as_str());
    let deaths: u32 = row.col("deaths")?;
    let instance = api::Instance {
        vif: Vec::new(),
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
        volume: Vec::new(),
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
        failure: match failure {
            Some(code) => Some(
                api::Failure::new(code)
                    .with("message", message.unwrap_or_default())
                    .with("host", host.clone().unwrap_or_default()),
            ),
            None => rests_until.map(|until| api::Failure::new("guest_died").with("count", deaths).with("until", until)),
        },
        host_node: host,
        placement_group: row.col("placement_group")?,
        placement_policy: row.col("placement_policy")?,
        node_group: row.col("node_group_id")?,
        restart_policy: row.text("restart_policy")?,
        progress: percent.map(|percent| api::Progress { percent, note: note.unwrap_or_default() }),
    };
    let has = |column| Ok::<_, DbError>(row.col::<Option<u8>>(column)?.is_some());
    Ok(Shown {
        instance,
        has_labels: has("has_labels")?,
        has_monitors: has("has_monitors")?,
        has_volumes: has("has_volumes")?,
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
        if let Some(text) = &f.search {
            terms.push(
                // Columns of ASCII are not comparable with what is not.
                "(CONVERT(i.id USING utf8mb4) LIKE ? OR i.display_name LIKE ? OR CONVERT(i.hostname USING utf8mb4) LIKE ? \
                 OR EXISTS (SELECT 1 FROM network_vifs y WHERE y.instance_id = i.id AND y.deleted_at IS NULL \
                 AND CONVERT(INET_NTOA(y.ipv4) USING utf8mb4) LIKE ?))"
                    .into(),
            );
            let part = super::super::containing(text);
            values.extend([super::super::prefix(text), part.clone(), part.clone(), part].map(mysql_async::Value::from));
        }
        if !self.states.is_empty() {
            terms.push(format!("i.state IN ({})", vec!["?"; self.states.len()].join(", ")));
            values.extend(self.states.iter().map(|state| mysql_async::Value::from(*state)));
        }
        (terms.join(" AND "), values)
    }

    pub fn count(&self) -> Count {
        let (condition, values) = self.condition();
        Count { statement: format!("SELECT COUNT(*) AS n FROM instances i WHERE {condition}"), values }
    }

    /// Behind a row of an account's list the server would walk from the newest one on, though the primary key at the end of
    /// this index leads it there: equality of the columns before is all it takes of an index by itself.
    fn hint(&self) -> &'static str {
        let f = self.filter;
        let narrow = f.id.is_some()
            || f.display_name.is_some()
            || f.search.is_some()
            || self.host.is_some()
            || super::super::sorted(f, COLUMNS).is_some();
        match (self.account, &self.ended, &f.after) {
            (Some(_), Ended::None, Some(_)) if !narrow => " FORCE INDEX (of_account)",
            _ => "",
        }
    }
}

/// How many instances a list has on all its pages.
pub struct Count {
    statement: String,
    values: Vec<mysql_async::Value>,
}

impl Count {
    /// # Errors
    /// The database's.
    pub async fn run(self, db: &Db) -> Result<u64, DbError> {
        let found = db.rows(self.statement, positional(self.values)).await?;
        found.first().map_or(Ok(0), |row| row.col("n"))
    }
}

/// A page, and how many there are of all its pages unless that is known. The page is chosen by an index alone; only its own
/// rows are read.
pub async fn list(db: &Db, to: &Filter<'_>, known: Option<u64>) -> Result<(u64, Vec<Shown>), DbError> {
    let (condition, values) = to.condition();
    let total = match known {
        Some(total) => total,
        None => to.count().run(db).await?,
    };
    let mut paged = values;
    let (behind, after) = Long::Instances.behind(to.filter, COLUMNS, "i.seq");
    paged.extend(after);
    paged.extend([to.filter.limit.into(), to.filter.start.into()]);
    let order = super::super::order(to.filter, COLUMNS, "i.seq");
    let hint = to.hint();
    let page =
        format!("SELECT i.seq FROM instances i{hint} WHERE {condition}{behind} ORDER BY {order} LIMIT ? OFFSET ?");
    let statement = format!("{VIEW} JOIN ({page}) page ON page.seq = i.seq ORDER BY {order}");
    let found = db.rows(statement, positional(paged)).await?;
    let mut all = gather(&found)?;
    add_volumes(db, &mut all).await?;
    Ok((total, all))
}

fn positional(values: Vec<mysql_async::Value>) -> mysql_async::Params {
    match values.is_empty() {
        true => mysql_async::Params::Empty,
        false => mysql_async::Params::Positional(values),
    }
}

pub async fn get(db: &Db, id: &str, account: Option<&str>) -> Result<Option<Shown>, DbError> {
    let statement = format!("{VIEW} WHERE i.id = ? AND (? IS NULL OR i.account_id = ?)");
    let mut found = gather(&db.rows(statement, (id, account, account)).await?)?;
    add_volumes(db, &mut found).await?;
    Ok(found.pop())
}
