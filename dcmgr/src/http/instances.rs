//! `/instances`: the original's verbs on virtual machines, and ours to see why one is as it is.

mod launched;

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::fields::{Fields, short};
use super::list::{self, ListQuery};
use arame_schema::api::instance::{DeletedOrPlan, InstanceOrPlan};
use arame_schema::api::{
    CreateInstance, Event, Instance, InstancePassword, InstanceUsage, MoveInstance, MovedOrPlan, Nothing, Page,
    Placement, PowerOff, Refusal, UpdateInstance, UpdateMonitoring, VifRequest, Volume,
};
use arame_schema::limits::{CPU_CORES, HOSTNAME_LENGTH_MAX, MEMORY_MIB, NICS_MAX, USER_DATA_BYTES_MAX};
use arame_schema::model::instance::Shutdown;
use arame_schema::model::{HostNodeId, InstanceId};
use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of the console's end that are shown unless asked otherwise, and at most: what QEMU's log ring is read for.
const CONSOLE_BYTES: u64 = 64 * 1024;
const CONSOLE_BYTES_MAX: u64 = 1024 * 1024;

/// Longest display name and description: the columns' width.
pub const NAME_BYTES_MAX: usize = 255;

const ID: &str = "i-…";

/// List instances.
#[utoipa::path(get, path = "/instances", tag = "instances", params(ListQuery),
    responses((status = 200, body = Page<Instance>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Instance>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::instances::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show an instance. A terminated one stays visible.
#[utoipa::path(get, path = "/instances/{id}", tag = "instances", responses((status = 200, body = Instance)))]
pub async fn get(asked: Asked) -> Answer<Instance> {
    let id: InstanceId = asked.id(ID)?;
    let view = app::instances::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Create an instance, or with `plan=true` only say where it would go.
#[utoipa::path(post, path = "/instances", tag = "instances", request_body = CreateInstance,
    params(("plan" = Option<bool>, Query,
        description = "Answer where it would go, its effect on the quota and what would refuse it, and make nothing.")),
    responses((status = 200, body = InstanceOrPlan)))]
pub async fn create(mut asked: Asked) -> Result<Response, Refused> {
    let plan = asked.fields.flag("plan")?.unwrap_or(false);
    let request = create_instance(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    if plan {
        let plan = app::instances::plan(asked.app(), &asked.caller, request).await?;
        return Ok(asked.answer(plan)?.into_response());
    }
    let view = app::instances::create(asked.app(), &asked.caller, request).await?;
    Ok(asked.answer(view)?.into_response())
}

/// Delete an instance: everything of it is removed from its host. With `plan=true` only say what that would be.
#[utoipa::path(delete, path = "/instances/{id}", tag = "instances",
    params(("plan" = Option<bool>, Query, description = "Answer what would go and what would refuse it, and delete nothing.")),
    responses((status = 200, body = DeletedOrPlan)))]
pub async fn delete(mut asked: Asked) -> Result<Response, Refused> {
    let id: InstanceId = asked.id(ID)?;
    if asked.fields.flag("plan")?.unwrap_or(false) {
        let plan = app::instances::plan_delete(asked.app(), &asked.caller, id.as_str()).await?;
        return Ok(asked.answer(plan)?.into_response());
    }
    let gone = app::instances::delete(asked.app(), &asked.caller, id.as_str()).await?;
    Ok(asked.answer(gone)?.into_response())
}

/// Switch off. `force=true` (the default, as in the original) does not wait for the guest.
#[utoipa::path(put, path = "/instances/{id}/poweroff", tag = "instances", request_body = PowerOff,
    responses((status = 200, description = "`{instance_id}`")))]
pub async fn power_off(mut asked: Asked) -> Result<Json<BTreeMap<&'static str, String>>, Refused> {
    let id: InstanceId = asked.id(ID)?;
    let force = asked.fields.flag("force")?.unwrap_or(true);
    asked.fields.clone().finish()?;
    let method = if force { Shutdown::Hard } else { Shutdown::Soft };
    app::instances::power_off(asked.app(), &asked.caller, id.as_str(), method).await?;
    Ok(Json(BTreeMap::from([("instance_id", id.to_string())])))
}

/// Switch on a halted instance.
#[utoipa::path(put, path = "/instances/{id}/poweron", tag = "instances",
    responses((status = 200, description = "`{instance_id}`")))]
pub async fn power_on(asked: Asked) -> Result<Json<BTreeMap<&'static str, String>>, Refused> {
    let id: InstanceId = asked.id(ID)?;
    app::instances::power_on(asked.app(), &asked.caller, id.as_str()).await?;
    Ok(Json(BTreeMap::from([("instance_id", id.to_string())])))
}

/// Switch off a running instance: the original's other word for it. Nothing is lost.
#[utoipa::path(put, path = "/instances/{id}/stop", tag = "instances", responses((status = 200, body = Vec<String>)))]
pub async fn stop(asked: Asked) -> Answer<Vec<String>> {
    let id: InstanceId = asked.id(ID)?;
    app::instances::power_off(asked.app(), &asked.caller, id.as_str(), Shutdown::Soft).await?;
    asked.answer(vec![id.to_string()])
}

/// Switch on a halted instance: the original's other word for it.
#[utoipa::path(put, path = "/instances/{id}/start", tag = "instances", responses((status = 200, body = Vec<String>)))]
pub async fn start(asked: Asked) -> Answer<Vec<String>> {
    let id: InstanceId = asked.id(ID)?;
    app::instances::power_on(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(vec![id.to_string()])
}

/// Change an instance's words, key, security groups or monitoring. What is absent stays.
#[utoipa::path(put, path = "/instances/{id}", tag = "instances", request_body = UpdateInstance,
    responses((status = 200, body = Instance)))]
pub async fn update(mut asked: Asked) -> Answer<Instance> {
    let id: InstanceId = asked.id(ID)?;
    let change = update_of(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::instances::changes::update(asked.app(), &asked.caller, id.as_str(), change).await?;
    asked.answer(view)
}

fn update_of(fields: &mut Fields) -> Result<UpdateInstance, Refusal> {
    let groups = fields.has("security_groups");
    let groups = if groups { Some(fields.list("security_groups", "sg-…")?) } else { None };
    Ok(UpdateInstance {
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?,
        ssh_key_id: fields.parsed("ssh_key_id", "ssh-…")?,
        security_groups: groups,
        monitoring: monitoring(fields)?,
        restart_policy: launched::restart_policy(fields)?,
    })
}

/// `monitoring[enabled]`, `monitoring[mail_address][]`; an empty text clears the addresses.
fn monitoring(fields: &mut Fields) -> Result<Option<UpdateMonitoring>, Refusal> {
    let Some(map) = fields.map("monitoring")? else { return Ok(None) };
    let names = map.keys().cloned().collect();
    let mut inner = Fields::new(map, names);
    let has_mail = inner.has("mail_address");
    let mail: Vec<String> = inner.texts("mail_address")?.into_iter().filter(|text| !text.trim().is_empty()).collect();
    if let Some(long) = mail.iter().find(|text| text.len() > NAME_BYTES_MAX) {
        return Err(fields.invalid("monitoring[mail_address]", short(long), format!("<= {NAME_BYTES_MAX} bytes")));
    }
    Ok(Some(UpdateMonitoring { enabled: inner.flag("enabled")?, mail_address: has_mail.then_some(mail) }))
}

/// Volumes that are attached, or on their way to or from it.
#[utoipa::path(get, path = "/instances/{id}/volumes", tag = "instances", responses((status = 200, body = Vec<Volume>)))]
pub async fn volumes(asked: Asked) -> Answer<Vec<Volume>> {
    let id: InstanceId = asked.id(ID)?;
    let found = app::volumes::of_instance(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(found)
}

/// The password that the guest made, encrypted for the instance's key.
#[utoipa::path(get, path = "/instances/{id}/password", tag = "instances",
    responses((status = 200, body = InstancePassword)))]
pub async fn password(asked: Asked) -> Answer<InstancePassword> {
    let id: InstanceId = asked.id(ID)?;
    let view = app::instances::changes::password(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Forget the password.
#[utoipa::path(delete, path = "/instances/{id}/password", tag = "instances",
    responses((status = 200, body = Nothing)))]
pub async fn delete_password(asked: Asked) -> Answer<Nothing> {
    let id: InstanceId = asked.id(ID)?;
    app::instances::changes::delete_password(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(Nothing {})
}

/// Reboot a running instance, once.
#[utoipa::path(put, path = "/instances/{id}/reboot", tag = "instances", responses((status = 200, body = Vec<String>)))]
pub async fn reboot(asked: Asked) -> Answer<Vec<String>> {
    let id: InstanceId = asked.id(ID)?;
    app::instances::reboot(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(vec![id.to_string()])
}

/// Bring a running instance to another host while it runs. Answers when that was begun; see its state. With `plan=true` only
/// say how long it would take, by what its host measures now, and what would refuse it.
#[utoipa::path(put, path = "/instances/{id}/move", tag = "instances", request_body = MoveInstance,
    params(("plan" = Option<bool>, Query, description = "Answer how long it would take and what would refuse it, and move nothing.")),
    responses((status = 200, body = MovedOrPlan)))]
pub async fn move_to(mut asked: Asked) -> Result<Response, Refused> {
    let id: InstanceId = asked.id(ID)?;
    let plan = asked.fields.flag("plan")?.unwrap_or(false);
    let host: Option<HostNodeId> = asked.fields.parsed("host_node_id", "hn-…")?;
    let host = asked.fields.needed("host_node_id", host)?;
    asked.fields.clone().finish()?;
    if plan {
        let plan = app::moves::forecast::plan(asked.app(), &asked.caller, id.as_str(), host.as_str()).await?;
        return Ok(asked.answer(plan)?.into_response());
    }
    app::moves::start(asked.app(), &asked.caller, id.as_str(), host.as_str()).await?;
    Ok(Json(BTreeMap::from([("instance_id", id.to_string())])).into_response())
}

/// Take a move back: the instance stays on, or comes back to, the host it is from.
#[utoipa::path(delete, path = "/instances/{id}/move", tag = "instances",
    responses((status = 200, description = "`{instance_id}`")))]
pub async fn cancel_move(asked: Asked) -> Result<Json<BTreeMap<&'static str, String>>, Refused> {
    let id: InstanceId = asked.id(ID)?;
    app::moves::cancel(asked.app(), &asked.caller, id.as_str()).await?;
    Ok(Json(BTreeMap::from([("instance_id", id.to_string())])))
}

/// The end of the serial console, as text.
#[utoipa::path(get, path = "/instances/{id}/console_log", tag = "instances",
    params(("bytes" = Option<u64>, Query, description = "How much of the end; 65536 unless said.")),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn console_log(mut asked: Asked) -> Result<Response, Refused> {
    let id: InstanceId = asked.id(ID)?;
    let bytes = asked.fields.number("bytes", 1..=CONSOLE_BYTES_MAX)?.unwrap_or(CONSOLE_BYTES);
    let text = app::instances::console_log(asked.app(), &asked.caller, id.as_str(), bytes as _).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// What its guest uses, asked of its host now, with the last hour by the minute.
#[utoipa::path(get, path = "/instances/{id}/usage", tag = "instances", responses((status = 200, body = InstanceUsage)))]
pub async fn usage(asked: Asked) -> Answer<InstanceUsage> {
    let id: InstanceId = asked.id(ID)?;
    let view = app::instances::figures::usage(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Everything that happened to it, oldest first.
#[utoipa::path(get, path = "/instances/{id}/timeline", tag = "instances", responses((status = 200, body = Vec<Event>)))]
pub async fn timeline(asked: Asked) -> Answer<Vec<Event>> {
    let id: InstanceId = asked.id(ID)?;
    let events = app::instances::timeline(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(events)
}

/// Why it is on its host, or on none.
#[utoipa::path(get, path = "/instances/{id}/placement", tag = "instances", responses((status = 200, body = Placement)))]
pub async fn placement(asked: Asked) -> Answer<Placement> {
    let id: InstanceId = asked.id(ID)?;
    let placement = app::instances::placement(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(placement)
}

/// Reads the body of a creation.
pub fn create_instance(fields: &mut Fields) -> Result<CreateInstance, Refusal> {
    let image_id = fields.parsed("image_id", "wmi-…")?;
    let image_id = fields.needed("image_id", image_id)?;
    let cpu_range = u64::from(*CPU_CORES.start())..=u64::from(*CPU_CORES.end());
    let cpu_cores = fields.number("cpu_cores", cpu_range)?.map(|cores| cores as u32);
    let memory_size = fields.number("memory_size", MEMORY_MIB)?;
    let security_groups = fields.list("security_groups", "sg-…")?;
    Ok(CreateInstance {
        image_id,
        instance_type: instance_type(fields, cpu_cores.is_some() && memory_size.is_some())?,
        cpu_cores,
        memory_size,
        hypervisor: plain(fields, "hypervisor")?,
        vifs: vifs(fields)?,
        hostname: hostname(fields)?,
        user_data: fields.text_within("user_data", USER_DATA_BYTES_MAX)?.filter(|text| !text.is_empty()),
        ssh_key_id: fields.parsed("ssh_key_id", "ssh-…")?,
        display_name: plain(fields, "display_name")?,
        host_node_id: host_node(fields)?,
        node_group: fields.parsed("node_group", "hng-…")?,
        placement_group: launched::placement_group(fields)?,
        placement_policy: launched::placement_policy(fields)?,
        restart_policy: launched::restart_policy(fields)?,
        security_groups,
        volumes: launched::volumes(fields)?,
        labels: launched::labels(fields)?,
    })
}

/// Old clients send `instance_spec_name` beside the numbers, where the original did not look at it.
fn instance_type(fields: &mut Fields, sized: bool) -> Result<Option<String>, Refusal> {
    let spec_name = plain(fields, "instance_spec_name")?;
    let name = plain(fields, "instance_type")?.or(spec_name.filter(|_| !sized));
    if name.is_none() && !sized {
        return Err(fields.needed("instance_type", None::<()>).expect_err("nothing was given"));
    }
    Ok(name)
}

fn plain(fields: &mut Fields, name: &str) -> Result<Option<String>, Refusal> {
    Ok(fields.text_within(name, NAME_BYTES_MAX)?.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// The original's form, within RFC 1123's: no hyphen at the end.
fn hostname(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    let Some(name) = plain(fields, "hostname")? else { return Ok(None) };
    let formed = name.len() <= HOSTNAME_LENGTH_MAX
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if formed { Ok(Some(name)) } else { Err(fields.invalid("hostname", short(&name), "[0-9a-z][0-9a-z-]{0,31}")) }
}

/// The original took three names for it.
fn host_node(fields: &mut Fields) -> Result<Option<arame_schema::model::HostNodeId>, Refusal> {
    let mut chosen = None;
    for name in ["host_pool_id", "host_id", "host_node_id"] {
        chosen = fields.parsed(name, "hn-…")?.or(chosen);
    }
    Ok(chosen)
}

fn vifs(fields: &mut Fields) -> Result<BTreeMap<String, VifRequest>, Refusal> {
    let mut given = fields.hashes("vifs")?;
    if given.len() > NICS_MAX {
        return Err(fields.invalid("vifs", given.len(), format!("<= {NICS_MAX}")));
    }
    given.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut taken = BTreeSet::new();
    let mut vifs = BTreeMap::new();
    for (position, (name, mut inner)) in given.into_iter().enumerate() {
        let vif = vif(&mut inner, position as u32)?;
        if !taken.insert(vif.index) {
            return Err(inner.invalid("index", vif.index, "0, 1, 2, …"));
        }
        inner.finish()?;
        vifs.insert(short(&name), vif);
    }
    Ok(vifs)
}

fn vif(fields: &mut Fields, position: u32) -> Result<VifRequest, Refusal> {
    let network = fields.parsed("network", "nw-…")?;
    let index = fields.number("index", 0..=NICS_MAX as u64 - 1)?.map_or(position, |index| index as u32);
    Ok(VifRequest {
        index,
        network: fields.needed("network", network)?,
        security_groups: fields.list("security_groups", "sg-…")?,
        ipv4_addr: fields.parsed("ipv4_addr", "192.0.2.1")?,
        mac_addr: fields.parsed("mac_addr", "52:54:00:00:00:01")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parameters;
    use arame_schema::api::Code;

    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";

    fn read(content_type: &str, body: &str) -> Result<CreateInstance, Refusal> {
        let mut fields = parameters("", content_type, body.as_bytes())?;
        let request = create_instance(&mut fields)?;
        fields.finish().map(|()| request)
    }

    #[test]
    fn the_originals_form_and_modern_json_ask_for_the_same() {
        let form = "image_id=wmi-tiny&hypervisor=kvm&cpu_cores=1&memory_size=256&ssh_key_id=ssh-demo&hostname=web1\
            &vifs[eth0][index]=0&vifs[eth0][network]=nw-demo1&vifs[eth0][security_groups]=sg-default\
            &service_type=std&ha_enabled=false&instance_spec_name=vz.small";
        let json = r#"{"image_id": "wmi-tiny", "hypervisor": "kvm", "cpu_cores": 1, "memory_size": 256,
            "ssh_key_id": "ssh-demo", "hostname": "web1",
            "vifs": {"eth0": {"network": "nw-demo1", "security_groups": ["sg-default"]}}}"#;
        let from_form = read(FORM, form).unwrap();
        assert_eq!(from_form, read(JSON, json).unwrap());
        assert_eq!(from_form.vifs["eth0"].network.as_str(), "nw-demo1");
        assert_eq!(from_form.instance_type, None);
    }

    #[test]
    fn vifs_may_be_json_text_in_a_form() {
        let body = "image_id=wmi-tiny&instance_type=small&vifs=%7B%22eth0%22%3A%7B%22network%22%3A%22nw-a%22%7D%7D%0A";
        assert_eq!(read(FORM, body).unwrap().vifs["eth0"].network.as_str(), "nw-a");
    }

    #[test]
    fn interfaces_without_an_index_are_counted_by_name() {
        let body = r#"{"image_id": "wmi-a", "instance_type": "small",
            "vifs": {"eth1": {"network": "nw-b"}, "eth0": {"network": "nw-a"}}}"#;
        let vifs = read(JSON, body).unwrap().vifs;
        assert_eq!((vifs["eth0"].index, vifs["eth1"].index), (0, 1));
    }

    #[test]
    fn what_the_cli_writes_is_what_is_read() {
        let request = read(FORM, "image_id=wmi-a&instance_type=small&vifs[eth0][network]=nw-a&hostname=w").unwrap();
        let written = serde_json::to_string(&request).unwrap();
        assert_eq!(read(JSON, &written).unwrap(), request);
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        let base = "image_id=wmi-a&instance_type=small&";
        for (more, code, name) in [
            ("cpu_cores=0", Code::InvalidParameter, "cpu_cores"),
            ("cpu_cores=129", Code::InvalidParameter, "cpu_cores"),
            ("memory_size=1", Code::InvalidParameter, "memory_size"),
            ("hostname=Web", Code::InvalidParameter, "hostname"),
            ("hostname=a-", Code::InvalidParameter, "hostname"),
            ("ssh_key_id=i-1", Code::InvalidParameter, "ssh_key_id"),
            ("host_id=i-1", Code::InvalidParameter, "host_id"),
            ("vifs[eth0][index]=0", Code::MissingParameter, "vifs[eth0][network]"),
            ("vifs[eth0][network]=nw-a&vifs[eth0][ipv4_addr]=1.2.3", Code::InvalidParameter, "vifs[eth0][ipv4_addr]"),
            ("vifs[a][network]=nw-a&vifs[a][index]=1&vifs[b][network]=nw-a", Code::InvalidParameter, "vifs[b][index]"),
            ("vifs=nonsense", Code::InvalidParameter, "vifs"),
        ] {
            let refused = read(FORM, &format!("{base}{more}")).unwrap_err();
            assert_eq!((refused.code, refused.values["name"].as_str()), (code, name), "{more}");
        }
        let many: String = (0..=NICS_MAX).map(|n| format!("vifs[e{n}][network]=nw-a&")).collect();
        assert_eq!(read(FORM, &format!("{base}{many}")).unwrap_err().values["name"], "vifs");
        let long = format!("{base}user_data={}", "a".repeat(USER_DATA_BYTES_MAX + 1));
        assert_eq!(read(FORM, &long).unwrap_err().values["name"], "user_data");
    }

    #[test]
    fn a_size_is_a_type_or_both_numbers() {
        assert_eq!(read(FORM, "image_id=wmi-a").unwrap_err().values["name"], "instance_type");
        assert_eq!(read(FORM, "image_id=wmi-a&cpu_cores=1").unwrap_err().code, Code::MissingParameter);
        assert_eq!(read(FORM, "instance_type=small").unwrap_err().values["name"], "image_id");
        let named = read(FORM, "image_id=wmi-a&instance_spec_name=small").unwrap();
        assert_eq!(named.instance_type.as_deref(), Some("small"));
    }

    #[test]
    fn modern_json_refuses_a_misspelt_name() {
        let body = r#"{"image_id": "wmi-a", "instance_type": "small", "hostnam": "w"}"#;
        assert_eq!(read(JSON, body).unwrap_err().code, Code::UnknownParameter);
    }
}
