//! Pools of addresses and the handles that hold them: the original's keys in its order.

use super::language::wordless;
use super::{DcNetwork, Timestamp};
use crate::model::{IpHandleId, IpPoolId, NetworkId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest a handle is held from now on: the original's, a year.
pub const HANDLE_SECONDS_MAX: u64 = 31_536_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IpPool {
    pub id: String,
    pub display_name: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub dc_networks: Vec<DcNetwork>,
    // Ours from here on.
    pub account_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateIpPool {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<IpPoolId>,
    pub display_name: String,
    /// Ids or names.
    pub dc_networks: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IpHandle {
    pub id: String,
    pub network: HandleNetwork,
    /// The interface whose external address it is.
    pub network_vif: Option<String>,
    pub ipv4: String,
    pub display_name: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    // Ours from here on.
    pub ip_pool_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HandleNetwork {
    pub id: String,
}

/// What was acquired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcquiredAddress {
    pub ip_handle_id: String,
    pub dc_network_id: String,
    pub network_id: String,
    pub ipv4: String,
}

/// The handle of an interface's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IpHandleOfLease {
    pub id: String,
    pub display_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcquireAddress {
    #[schema(value_type = String, example = "nw-demo1")]
    pub network_id: NetworkId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseAddress {
    #[schema(value_type = String, example = "ip-abcd1234")]
    pub ip_handle_id: IpHandleId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpireHandle {
    /// Seconds from now, 1 to 31536000.
    pub time_to: u64,
}

wordless!(IpPool, IpHandle, AcquiredAddress);
