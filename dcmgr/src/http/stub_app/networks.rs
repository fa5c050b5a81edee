//! What is inside networks, as the test application stands in for it: nothing is done.

pub mod records {
    use super::super::{App, Caller, nothing};
    use arame_schema::api::*;

    pub const TTL_RANGE: std::ops::RangeInclusive<u64> = 5..=86_400;

    pub async fn list(_: &App, _: &Caller, _: &str, _: ListFilter) -> Result<Page<DnsRecord>, Refusal> {
        nothing("list").await
    }

    pub async fn get(_: &App, _: &Caller, _: &str, _: &str) -> Result<DnsRecord, Refusal> {
        nothing("get").await
    }

    pub async fn add(_: &App, _: &Caller, _: &str, _: CreateDnsRecord) -> Result<DnsRecord, Refusal> {
        nothing("add").await
    }

    pub async fn remove(_: &App, _: &Caller, _: &str, _: &str) -> Result<(), Refusal> {
        nothing("remove").await
    }
}

pub mod why {
    use super::super::{App, Caller, nothing};
    use arame_schema::api::{NetworkWhy, Refusal};
    use arame_schema::model::{MacAddress, NetworkId};

    pub enum About {
        Mac(MacAddress),
        Name(String),
    }

    pub async fn why(_: &App, _: &Caller, _: &NetworkId, _: About) -> Result<NetworkWhy, Refusal> {
        nothing("why").await
    }
}

pub mod parts {
    use super::super::{App, Caller, nothing};
    use arame_schema::api::*;
    use std::net::Ipv4Addr;

    pub enum Turn {
        Give,
        Take,
    }

    macro_rules! verbs {
        ($($verb:ident($($kind:ty),*) -> $view:ty;)*) => {
            $(pub async fn $verb(_: &App, _: &Caller, _: &str $(, _: $kind)*) -> Result<$view, Refusal> {
                nothing(stringify!($verb)).await
            })*
        };
    }

    verbs! {
        change_range(DhcpRange, Turn) -> ();
        reserve(&[Ipv4Addr], Turn) -> ();
        services(ListFilter) -> Page<NetworkService>;
        set_service(&SetNetworkService, Turn) -> Network;
        routes(ListFilter) -> Page<NetworkRoute>;
        vifs(ListFilter) -> Page<NetworkVif>;
        vif(&str) -> NetworkVif;
        create_vif(CreateVif) -> NetworkVif;
        attach(&str, Option<&str>) -> NetworkVif;
        detach(&str) -> NetworkVif;
        delete_vif(&str) -> ();
    }
}

pub mod outside {
    use super::super::{App, Caller, nothing};
    use arame_schema::api::*;

    pub async fn list(_: &App, _: &Caller, _: &str) -> Result<Vec<ExternalAddress>, Refusal> {
        nothing("list").await
    }

    pub async fn bind(_: &App, _: &Caller, _: &str, _: &str) -> Result<ExternalAddress, Refusal> {
        nothing("bind").await
    }

    pub async fn unbind(_: &App, _: &Caller, _: &str, _: &str) -> Result<Vec<ExternalAddress>, Refusal> {
        nothing("unbind").await
    }
}
