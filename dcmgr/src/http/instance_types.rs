//! `/instance_types`: the named sizes, kept by operators.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::list::{self, ListQuery};
use arame_schema::api::{InstanceType, Page, Refusal, SetInstanceType};
use arame_schema::limits::CPU_CORES;
use arame_schema::model::InstanceTypeId;

const ID: &str = "it-…";

/// Longest name: the column's width.
const NAME_BYTES_MAX: usize = 63;

/// List instance types.
#[utoipa::path(get, path = "/instance_types", tag = "instance types", params(ListQuery),
    responses((status = 200, body = Page<InstanceType>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<InstanceType>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::instance_types::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show an instance type.
#[utoipa::path(get, path = "/instance_types/{id}", tag = "instance types",
    responses((status = 200, body = InstanceType)))]
pub async fn get(asked: Asked) -> Answer<InstanceType> {
    let id: InstanceTypeId = asked.id(ID)?;
    let view = app::instance_types::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

fn set(fields: &mut Fields) -> Result<SetInstanceType, Refusal> {
    let id: Option<InstanceTypeId> = fields.parsed("id", ID)?;
    let cores = u64::from(*CPU_CORES.start())..=u64::from(*CPU_CORES.end());
    Ok(SetInstanceType {
        id: id.map(String::from),
        name: fields.text_within("name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        cpu_cores: fields.number("cpu_cores", cores)?.map(|cores| cores as u32),
        memory_size: fields.number("memory_size", 0..=u64::MAX >> 1)?,
        disk_size: fields.number("disk_size", 0..=u64::MAX >> 1)?,
        description: fields.text_within("description", super::instances::NAME_BYTES_MAX)?,
    })
}

/// Make an instance type.
#[utoipa::path(post, path = "/instance_types", tag = "instance types", request_body = SetInstanceType,
    responses((status = 200, body = InstanceType)))]
pub async fn create(mut asked: Asked) -> Answer<InstanceType> {
    let request = set(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::instance_types::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Change an instance type. Instances keep the size they were made with.
#[utoipa::path(put, path = "/instance_types/{id}", tag = "instance types", request_body = SetInstanceType,
    responses((status = 200, body = InstanceType)))]
pub async fn update(mut asked: Asked) -> Answer<InstanceType> {
    let id: InstanceTypeId = asked.id(ID)?;
    let change = set(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::instance_types::update(asked.app(), &asked.caller, id.as_str(), change).await?;
    asked.answer(view)
}

/// Delete an instance type. Instances keep the size they were made with.
#[utoipa::path(delete, path = "/instance_types/{id}", tag = "instance types",
    responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: InstanceTypeId = asked.id(ID)?;
    let gone = app::instance_types::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}
