//! The named sizes of machines, kept by operators.
//!
//! Rule: an instance keeps the size it was made with; a type that changes or goes changes no instance.

use super::{App, AppError, Caller, once};
use crate::db;
use arame_schema::api::{Code, InstanceType, ListFilter, Page, Refusal, SetInstanceType};
use arame_schema::limits::{CPU_CORES, MEMORY_MIB};
use arame_schema::model::InstanceTypeId;

/// Boot disk of a type in MiB: a bootable system is not smaller, and a host's disk not larger.
const DISK_MIB: std::ops::RangeInclusive<u64> = 1..=16 * 1024 * 1024;

pub async fn list(app: &App, _caller: &Caller, filter: ListFilter) -> Result<Page<InstanceType>, Refusal> {
    let found = db::access::instance_types(app.db()).await.map_err(AppError::from)?;
    super::page(found, &filter)
}

pub async fn get(app: &App, _caller: &Caller, id: &str) -> Result<InstanceType, Refusal> {
    let found = db::access::instance_types(app.db()).await.map_err(AppError::from)?;
    found.into_iter().find(|one| one.id == id).ok_or_else(|| Refusal::unknown(id))
}

fn check(one: &InstanceType) -> Result<(), Refusal> {
    let within = |name: &str, value: u64, low: u64, high: u64| {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        let refusal = Refusal::new(Code::InvalidParameter).with("name", name).with("value", value);
        Err(refusal.with("expected", format!("{low}..{high}")))
    };
    within("cpu_cores", one.cpu_cores.into(), (*CPU_CORES.start()).into(), (*CPU_CORES.end()).into())?;
    within("memory_size", one.memory_size, *MEMORY_MIB.start(), *MEMORY_MIB.end())?;
    within("disk_size", one.disk_size, *DISK_MIB.start(), *DISK_MIB.end())
}

pub async fn create(app: &App, caller: &Caller, request: SetInstanceType) -> Result<InstanceType, Refusal> {
    fn needed<T>(name: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| Refusal::new(Code::MissingParameter).with("name", name))
    }
    let id = request.id.unwrap_or_else(|| InstanceTypeId::from_entropy(once::entropy()).to_string());
    let one = InstanceType {
        id: id.clone(),
        name: needed("name", request.name)?,
        cpu_cores: needed("cpu_cores", request.cpu_cores)?,
        memory_size: needed("memory_size", request.memory_size)?,
        disk_size: needed("disk_size", request.disk_size)?,
        description: request.description.unwrap_or_default(),
    };
    check(&one)?;
    let made = crate::change!(app, "create instance type", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, InstanceTypeId::PREFIX).await? {
            return Ok(made);
        }
        if db::access::lock_instance_type(tx, &id).await? {
            return Err(Refusal::new(Code::AlreadyExists).with("id", &id).into());
        }
        refuse_name(&db::access::instance_types_in(tx).await?, &one)?;
        db::access::set_instance_type(tx, &one).await?;
        once::keep(tx, caller, "instance_type.create", &id).await?;
        Ok(id.clone())
    })?;
    get(app, caller, &made).await
}

/// The column compares without case.
fn refuse_name(all: &[InstanceType], one: &InstanceType) -> Result<(), Refusal> {
    let taken = all.iter().any(|other| other.id != one.id && other.name.to_lowercase() == one.name.to_lowercase());
    if taken { Err(Refusal::new(Code::NameTaken).with("name", &one.name)) } else { Ok(()) }
}

pub async fn update(app: &App, caller: &Caller, id: &str, change: SetInstanceType) -> Result<InstanceType, Refusal> {
    crate::change!(app, "update instance type", Some(caller.request), |tx, _ringing| {
        db::access::lock_instance_type(tx, id).await?;
        let all = db::access::instance_types_in(tx).await?;
        let old = all.iter().find(|one| one.id == id).ok_or_else(|| Refusal::unknown(id))?;
        let one = InstanceType {
            id: id.to_owned(),
            name: change.name.clone().unwrap_or_else(|| old.name.clone()),
            cpu_cores: change.cpu_cores.unwrap_or(old.cpu_cores),
            memory_size: change.memory_size.unwrap_or(old.memory_size),
            disk_size: change.disk_size.unwrap_or(old.disk_size),
            description: change.description.clone().unwrap_or_else(|| old.description.clone()),
        };
        check(&one)?;
        refuse_name(&all, &one)?;
        db::access::set_instance_type(tx, &one).await?;
        Ok(db::events::audit(tx, &caller.who(), "instance_type.update", id).await?)
    })?;
    get(app, caller, id).await
}

pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete instance type", Some(caller.request), |tx, _ringing| {
        if !db::access::lock_instance_type(tx, id).await? {
            return Err(Refusal::unknown(id).into());
        }
        db::access::delete_instance_type(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "instance_type.delete", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}
