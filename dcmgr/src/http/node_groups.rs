//! `/host_node_groups`, `/network_groups`, `/storage_node_groups`.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::fields::{Fields, short};
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use app::node_groups::Kind;
use arame_schema::api::{CreateNodeGroup, NodeGroup, Page, Refusal, UpdateNodeGroup};
use arame_schema::model::placement::PlacementWeight;
use arame_schema::model::{HostNodeGroupId, HostNodeId, NetworkGroupId, NetworkId, StorageNodeGroupId, StorageNodeId};
use std::str::FromStr;

async fn list_of(mut asked: Asked, kind: Kind) -> Answer<[Page<NodeGroup>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let name = asked.fields.text_within("name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty());
    let page = app::node_groups::list(asked.app(), &asked.caller, kind, filter, name.as_deref()).await?;
    asked.page(page)
}

async fn create_of<T: FromStr + ToString>(mut asked: Asked, kind: Kind, form: &str) -> Answer<NodeGroup> {
    let fields = &mut asked.fields;
    let id: Option<T> = fields.parsed("id", form)?;
    let name = fields.text_within("name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty());
    let request = CreateNodeGroup {
        id: id.map(|id| id.to_string()),
        name: fields.needed("name", name)?,
        attributes: fields.text_within("attributes", NAME_BYTES_MAX)?.unwrap_or_default(),
    };
    asked.fields.clone().finish()?;
    let view = app::node_groups::create(asked.app(), &asked.caller, kind, request).await?;
    asked.answer(view)
}

/// Members, if the request names any; an empty text or list clears them.
fn members<T: FromStr + ToString>(fields: &mut Fields, name: &str, form: &str) -> Result<Option<Vec<String>>, Refusal> {
    if !fields.has(name) {
        return Ok(None);
    }
    let ids: Vec<T> = fields.list(name, form)?;
    Ok(Some(ids.iter().map(ToString::to_string).collect()))
}

/// Only hosts are chosen by it; an empty text clears it.
fn weight(fields: &mut Fields, kind: Kind) -> Result<Option<String>, Refusal> {
    if kind != Kind::Hosts {
        return Ok(None);
    }
    let Some(word) = fields.text("placement_weight")? else { return Ok(None) };
    match word.is_empty() || PlacementWeight::parse(&word).is_some() {
        true => Ok(Some(word)),
        false => Err(fields.invalid("placement_weight", short(&word), "spread | pack")),
    }
}

async fn update_of(mut asked: Asked, kind: Kind, id: &str) -> Answer<NodeGroup> {
    let fields = &mut asked.fields;
    let request = UpdateNodeGroup {
        name: fields.text_within("name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        attributes: fields.text_within("attributes", NAME_BYTES_MAX)?,
        host_nodes: members::<HostNodeId>(fields, "host_nodes", "hn-…")?,
        networks: members::<NetworkId>(fields, "networks", "nw-…")?,
        storage_nodes: members::<StorageNodeId>(fields, "storage_nodes", "sn-…")?,
        placement_weight: weight(fields, kind)?,
    };
    asked.fields.clone().finish()?;
    let view = app::node_groups::update(asked.app(), &asked.caller, kind, id, request).await?;
    asked.answer(view)
}

/// The verbs of one kind of group.
macro_rules! groups {
    ($module:ident, $kind:expr, $id:ty, $form:literal, $many:literal, $one:literal) => {
        pub mod $module {
            use super::*;

            /// List groups.
            #[utoipa::path(get, path = $many, tag = "node groups",
                                params(ListQuery, ("name" = Option<String>, Query, description = "Exactly this name.")),
                                responses((status = 200, body = Page<NodeGroup>)))]
            pub async fn list(asked: Asked) -> Answer<[Page<NodeGroup>; 1]> {
                super::list_of(asked, $kind).await
            }

            /// Make a group.
            #[utoipa::path(post, path = $many, tag = "node groups", request_body = CreateNodeGroup,
                                responses((status = 200, body = NodeGroup)))]
            pub async fn create(asked: Asked) -> Answer<NodeGroup> {
                super::create_of::<$id>(asked, $kind, $form).await
            }

            /// Show a group.
            #[utoipa::path(get, path = $one, tag = "node groups", responses((status = 200, body = NodeGroup)))]
            pub async fn get(asked: Asked) -> Answer<NodeGroup> {
                let id: $id = asked.id($form)?;
                let view = app::node_groups::get(asked.app(), &asked.caller, $kind, id.as_str()).await?;
                asked.answer(view)
            }

            /// Change a group. What is absent stays; an empty list clears the members.
            #[utoipa::path(put, path = $one, tag = "node groups", request_body = UpdateNodeGroup,
                                responses((status = 200, body = NodeGroup)))]
            pub async fn update(asked: Asked) -> Answer<NodeGroup> {
                let id: $id = asked.id($form)?;
                super::update_of(asked, $kind, id.as_str()).await
            }

            /// Delete a group. Its members stay.
            #[utoipa::path(delete, path = $one, tag = "node groups", responses((status = 200, body = Vec<String>)))]
            pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
                let id: $id = asked.id($form)?;
                let gone = app::node_groups::delete(asked.app(), &asked.caller, $kind, id.as_str()).await?;
                asked.answer(gone)
            }
        }
    };
}

groups!(hosts, Kind::Hosts, HostNodeGroupId, "hng-…", "/host_node_groups", "/host_node_groups/{id}");
groups!(networks, Kind::Networks, NetworkGroupId, "nwg-…", "/network_groups", "/network_groups/{id}");
groups!(storage, Kind::Storage, StorageNodeGroupId, "sng-…", "/storage_node_groups", "/storage_node_groups/{id}");
