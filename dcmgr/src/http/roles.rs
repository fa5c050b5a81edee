//! Who may do what: one table of routes and rights.
//!
//! Rule: a route that is not in the table is permitted to nobody, and a test asks that every route of the OpenAPI
//! document is in it. *Whose* resources are meant is the application's question (another account's resource is 404).

use super::API;
use arame_schema::api::Role;
use axum::http::Method;

/// What a route does, which decides who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Looks at an account's resources.
    Look,
    /// Changes an account's resources.
    Change,
    /// Looks into the data center: hosts, storage, audit.
    Inspect,
    /// Changes the data center.
    Operate,
    /// Looks at or changes what is one's own: one's session, one's password.
    Own,
    /// Needs no credential.
    Open,
}

/// The table. Paths are below [`API`], but for those that begin with `//`.
const TABLE: &[(&str, &str, Right)] = &[
    ("GET", "/accounts", Right::Look),
    ("POST", "/accounts", Right::Operate),
    ("GET", "/accounts/{id}", Right::Look),
    ("PUT", "/accounts/{id}", Right::Operate),
    ("DELETE", "/accounts/{id}", Right::Operate),
    ("GET", "/accounts/{id}/usage", Right::Look),
    ("PUT", "/accounts/{id}/instances/poweroff", Right::Change),
    ("PUT", "/accounts/{id}/instances/poweron", Right::Change),
    ("DELETE", "/accounts/{id}/instances", Right::Change),
    ("DELETE", "/accounts/{id}/volumes", Right::Change),
    ("DELETE", "/accounts/{id}/security_groups", Right::Change),
    ("DELETE", "/accounts/{id}/ssh_key_pairs", Right::Change),
    ("DELETE", "/accounts/{id}/backup_objects", Right::Change),
    ("GET", "/users", Right::Inspect),
    ("POST", "/users", Right::Operate),
    ("GET", "/users/{id}", Right::Inspect),
    ("PUT", "/users/{id}", Right::Operate),
    ("DELETE", "/users/{id}", Right::Operate),
    ("POST", "/sessions", Right::Open),
    ("DELETE", "/sessions/current", Right::Own),
    ("GET", "/whoami", Right::Own),
    ("PUT", "/whoami/password", Right::Own),
    ("GET", "/tokens", Right::Look),
    ("GET", "/tokens/{id}", Right::Look),
    ("POST", "/tokens", Right::Change),
    ("DELETE", "/tokens/{id}", Right::Change),
    ("GET", "/join_tokens", Right::Inspect),
    ("POST", "/join_tokens", Right::Operate),
    ("GET", "/join_tokens/{id}", Right::Inspect),
    ("DELETE", "/join_tokens/{id}", Right::Operate),
    ("POST", "/join", Right::Open),
    ("POST", "/leave", Right::Open),
    ("GET", "/audit_log", Right::Look),
    ("GET", "/audit", Right::Inspect),
    ("POST", "/audit/adopt", Right::Operate),
    ("POST", "/audit/remove", Right::Operate),
    ("POST", "/audit/confirm", Right::Operate),
    ("GET", "/events", Right::Look),
    ("GET", "/host_nodes", Right::Inspect),
    ("GET", "/host_nodes/{id}", Right::Inspect),
    ("GET", "/host_nodes/{id}/usage", Right::Inspect),
    ("PUT", "/host_nodes/{id}", Right::Operate),
    ("PUT", "/host_nodes/{id}/declare_lost", Right::Operate),
    ("GET", "/images", Right::Look),
    ("GET", "/images/{id}", Right::Look),
    ("GET", "/instance_types", Right::Look),
    ("GET", "/instances", Right::Look),
    ("POST", "/instances", Right::Change),
    ("GET", "/instances/{id}", Right::Look),
    ("DELETE", "/instances/{id}", Right::Change),
    ("PUT", "/instances/{id}/poweroff", Right::Change),
    ("PUT", "/instances/{id}/poweron", Right::Change),
    ("PUT", "/instances/{id}/reboot", Right::Change),
    ("PUT", "/instances/{id}/move", Right::Operate),
    ("DELETE", "/instances/{id}/move", Right::Operate),
    ("GET", "/instances/{id}/console_log", Right::Look),
    ("POST", "/instances/{id}/console", Right::Change),
    ("GET", "/instances/{id}/screenshot.png", Right::Look),
    ("GET", "/instances/{id}/usage", Right::Look),
    ("GET", "/instances/{id}/timeline", Right::Look),
    ("GET", "/instances/{id}/placement", Right::Look),
    ("GET", "/jobs", Right::Look),
    ("GET", "/jobs/{id}", Right::Look),
    ("GET", "/network_vifs", Right::Look),
    ("GET", "/networks", Right::Look),
    ("GET", "/networks/{id}", Right::Look),
    ("GET", "/security_groups", Right::Look),
    ("POST", "/security_groups", Right::Change),
    ("GET", "/security_groups/{id}", Right::Look),
    ("PUT", "/security_groups/{id}", Right::Change),
    ("DELETE", "/security_groups/{id}", Right::Change),
    ("GET", "/ssh_key_pairs", Right::Look),
    ("POST", "/ssh_key_pairs", Right::Change),
    ("GET", "/ssh_key_pairs/{id}", Right::Look),
    ("DELETE", "/ssh_key_pairs/{id}", Right::Change),
    ("GET", "/naming_nodes", Right::Inspect),
    ("GET", "/naming_nodes/{id}", Right::Inspect),
    ("PUT", "/naming_nodes/{id}", Right::Operate),
    ("DELETE", "/naming_nodes/{id}", Right::Operate),
    ("GET", "/storage_nodes", Right::Inspect),
    ("GET", "/storage_nodes/{id}", Right::Inspect),
    ("GET", "/storage_nodes/{id}/usage", Right::Inspect),
    ("PUT", "/storage_nodes/{id}", Right::Operate),
    ("GET", "/volumes", Right::Look),
    ("POST", "/volumes", Right::Change),
    ("GET", "/volumes/{id}", Right::Look),
    ("DELETE", "/volumes/{id}", Right::Change),
    ("PUT", "/volumes/{id}/attach", Right::Change),
    ("PUT", "/volumes/{id}/detach", Right::Change),
    ("PUT", "/volumes/{id}/rollback", Right::Change),
    ("GET", "/volumes/{id}/why", Right::Inspect),
    ("GET", "/volumes/{id}/schedules", Right::Look),
    ("POST", "/volumes/{id}/schedules", Right::Change),
    ("GET", "/volumes/{id}/schedules/{schedule}", Right::Look),
    ("PUT", "/volumes/{id}/schedules/{schedule}", Right::Change),
    ("DELETE", "/volumes/{id}/schedules/{schedule}", Right::Change),
    ("GET", "/volume_snapshots", Right::Look),
    ("POST", "/volume_snapshots", Right::Change),
    ("GET", "/volume_snapshots/{id}", Right::Look),
    ("PUT", "/volume_snapshots/{id}", Right::Change),
    ("DELETE", "/volume_snapshots/{id}", Right::Change),
    ("GET", "/snapshot_replicas", Right::Look),
    ("POST", "/snapshot_replicas", Right::Change),
    ("GET", "/snapshot_replicas/{id}", Right::Look),
    ("DELETE", "/snapshot_replicas/{id}", Right::Change),
    ("GET", "/instance_types/{id}", Right::Look),
    ("POST", "/instance_types", Right::Operate),
    ("PUT", "/instance_types/{id}", Right::Operate),
    ("DELETE", "/instance_types/{id}", Right::Operate),
    ("PUT", "/instances/{id}", Right::Change),
    ("PUT", "/instances/{id}/start", Right::Change),
    ("PUT", "/instances/{id}/stop", Right::Change),
    ("PUT", "/instances/{id}/backup", Right::Change),
    ("GET", "/instances/{id}/volumes", Right::Look),
    ("PUT", "/instances/{id}/volumes/{volume}/backup", Right::Change),
    ("GET", "/instances/{id}/password", Right::Look),
    ("DELETE", "/instances/{id}/password", Right::Change),
    ("GET", "/instances/{id}/monitoring", Right::Look),
    ("POST", "/instances/{id}/monitoring", Right::Change),
    ("GET", "/instances/{id}/monitoring/{monitor}", Right::Look),
    ("PUT", "/instances/{id}/monitoring/{monitor}", Right::Change),
    ("DELETE", "/instances/{id}/monitoring/{monitor}", Right::Change),
    ("POST", "/images", Right::Change),
    ("PUT", "/images/{id}", Right::Change),
    ("DELETE", "/images/{id}", Right::Change),
    ("PUT", "/images/{id}/copy_to", Right::Change),
    ("PUT", "/images/{id}/content", Right::Change),
    ("PUT", "/volumes/{id}", Right::Change),
    ("PUT", "/volumes/{id}/backup", Right::Change),
    ("PUT", "/ssh_key_pairs/{id}", Right::Change),
    ("POST", "/host_nodes", Right::Operate),
    ("DELETE", "/host_nodes/{id}", Right::Operate),
    ("POST", "/storage_nodes", Right::Operate),
    ("DELETE", "/storage_nodes/{id}", Right::Operate),
    ("GET", "/dc_networks", Right::Look),
    ("POST", "/dc_networks", Right::Operate),
    ("GET", "/dc_networks/{id}", Right::Look),
    ("PUT", "/dc_networks/{id}", Right::Operate),
    ("DELETE", "/dc_networks/{id}", Right::Operate),
    ("GET", "/dc_networks/{id}/offering_modes", Right::Look),
    ("PUT", "/dc_networks/{id}/offering_modes/add", Right::Operate),
    ("PUT", "/dc_networks/{id}/offering_modes/delete", Right::Operate),
    ("POST", "/networks", Right::Change),
    ("PUT", "/networks/{id}", Right::Change),
    ("DELETE", "/networks/{id}", Right::Change),
    ("GET", "/networks/{id}/dhcp_ranges", Right::Look),
    ("PUT", "/networks/{id}/dhcp_ranges/add", Right::Change),
    ("PUT", "/networks/{id}/dhcp_ranges/remove", Right::Change),
    ("PUT", "/networks/{id}/dhcp/reserve", Right::Change),
    ("PUT", "/networks/{id}/dhcp/release", Right::Change),
    ("GET", "/networks/{id}/services", Right::Look),
    ("POST", "/networks/{id}/services", Right::Change),
    ("DELETE", "/networks/{id}/services", Right::Change),
    ("GET", "/networks/{id}/routes", Right::Look),
    ("GET", "/networks/{id}/vifs", Right::Look),
    ("POST", "/networks/{id}/vifs", Right::Change),
    ("GET", "/networks/{id}/vifs/{vif}", Right::Look),
    ("DELETE", "/networks/{id}/vifs/{vif}", Right::Change),
    ("PUT", "/networks/{id}/vifs/{vif}/attach", Right::Change),
    ("PUT", "/networks/{id}/vifs/{vif}/detach", Right::Change),
    ("GET", "/networks/{id}/why", Right::Look),
    ("GET", "/networks/{id}/records", Right::Look),
    ("POST", "/networks/{id}/records", Right::Change),
    ("GET", "/networks/{id}/records/{record}", Right::Look),
    ("DELETE", "/networks/{id}/records/{record}", Right::Change),
    ("GET", "/network_vifs/{id}", Right::Look),
    ("PUT", "/network_vifs/{id}/add_security_group", Right::Change),
    ("PUT", "/network_vifs/{id}/remove_security_group", Right::Change),
    ("GET", "/network_vifs/{id}/external_ip", Right::Look),
    ("POST", "/network_vifs/{id}/external_ip", Right::Change),
    ("DELETE", "/network_vifs/{id}/external_ip", Right::Change),
    ("GET", "/network_vifs/{id}/monitors", Right::Look),
    ("POST", "/network_vifs/{id}/monitors", Right::Change),
    ("GET", "/network_vifs/{id}/monitors/{monitor}", Right::Look),
    ("PUT", "/network_vifs/{id}/monitors/{monitor}", Right::Change),
    ("DELETE", "/network_vifs/{id}/monitors/{monitor}", Right::Change),
    ("GET", "/instances/{id}/labels", Right::Look),
    ("POST", "/instances/{id}/labels", Right::Change),
    ("PUT", "/instances/{id}/labels", Right::Change),
    ("DELETE", "/instances/{id}/labels", Right::Change),
    ("GET", "/instances/{id}/labels/{name}", Right::Look),
    ("POST", "/instances/{id}/labels/{name}", Right::Change),
    ("PUT", "/instances/{id}/labels/{name}", Right::Change),
    ("DELETE", "/instances/{id}/labels/{name}", Right::Change),
    ("GET", "/images/{id}/labels", Right::Look),
    ("POST", "/images/{id}/labels", Right::Change),
    ("PUT", "/images/{id}/labels", Right::Change),
    ("DELETE", "/images/{id}/labels", Right::Change),
    ("GET", "/images/{id}/labels/{name}", Right::Look),
    ("POST", "/images/{id}/labels/{name}", Right::Change),
    ("PUT", "/images/{id}/labels/{name}", Right::Change),
    ("DELETE", "/images/{id}/labels/{name}", Right::Change),
    ("GET", "/security_groups/{id}/labels", Right::Look),
    ("POST", "/security_groups/{id}/labels", Right::Change),
    ("PUT", "/security_groups/{id}/labels", Right::Change),
    ("DELETE", "/security_groups/{id}/labels", Right::Change),
    ("GET", "/security_groups/{id}/labels/{name}", Right::Look),
    ("POST", "/security_groups/{id}/labels/{name}", Right::Change),
    ("PUT", "/security_groups/{id}/labels/{name}", Right::Change),
    ("DELETE", "/security_groups/{id}/labels/{name}", Right::Change),
    ("GET", "/ssh_key_pairs/{id}/labels", Right::Look),
    ("POST", "/ssh_key_pairs/{id}/labels", Right::Change),
    ("PUT", "/ssh_key_pairs/{id}/labels", Right::Change),
    ("DELETE", "/ssh_key_pairs/{id}/labels", Right::Change),
    ("GET", "/ssh_key_pairs/{id}/labels/{name}", Right::Look),
    ("POST", "/ssh_key_pairs/{id}/labels/{name}", Right::Change),
    ("PUT", "/ssh_key_pairs/{id}/labels/{name}", Right::Change),
    ("DELETE", "/ssh_key_pairs/{id}/labels/{name}", Right::Change),
    ("GET", "/host_node_groups", Right::Inspect),
    ("POST", "/host_node_groups", Right::Operate),
    ("GET", "/host_node_groups/{id}", Right::Inspect),
    ("PUT", "/host_node_groups/{id}", Right::Operate),
    ("DELETE", "/host_node_groups/{id}", Right::Operate),
    ("GET", "/network_groups", Right::Look),
    ("POST", "/network_groups", Right::Change),
    ("GET", "/network_groups/{id}", Right::Look),
    ("PUT", "/network_groups/{id}", Right::Change),
    ("DELETE", "/network_groups/{id}", Right::Change),
    ("GET", "/storage_node_groups", Right::Inspect),
    ("POST", "/storage_node_groups", Right::Operate),
    ("GET", "/storage_node_groups/{id}", Right::Inspect),
    ("PUT", "/storage_node_groups/{id}", Right::Operate),
    ("DELETE", "/storage_node_groups/{id}", Right::Operate),
    ("GET", "/backup_storages", Right::Look),
    ("POST", "/backup_storages", Right::Operate),
    ("GET", "/backup_storages/{id}", Right::Look),
    ("PUT", "/backup_storages/{id}", Right::Operate),
    ("DELETE", "/backup_storages/{id}", Right::Operate),
    ("GET", "/backup_objects", Right::Look),
    ("POST", "/backup_objects", Right::Change),
    ("GET", "/backup_objects/{id}", Right::Look),
    ("PUT", "/backup_objects/{id}", Right::Change),
    ("DELETE", "/backup_objects/{id}", Right::Change),
    ("PUT", "/backup_objects/{id}/copy_to", Right::Change),
    ("GET", "/ip_pools", Right::Look),
    ("POST", "/ip_pools", Right::Change),
    ("GET", "/ip_pools/{id}", Right::Look),
    ("DELETE", "/ip_pools/{id}", Right::Change),
    ("GET", "/ip_pools/{id}/ip_handles", Right::Look),
    ("PUT", "/ip_pools/{id}/acquire", Right::Change),
    ("PUT", "/ip_pools/{id}/release", Right::Change),
    ("GET", "/ip_handles/{id}", Right::Look),
    ("PUT", "/ip_handles/{id}/expire_at", Right::Change),
    ("GET", "/reports", Right::Look),
    ("GET", "//metrics", Right::Inspect),
    ("GET", "//", Right::Look),
];

/// Whether a role may use a route, named as the router names it.
pub fn permits(role: Role, method: &Method, route: &str) -> bool {
    right(method, route).is_some_and(|right| has(role, right))
}

/// The right a route needs.
pub fn right(method: &Method, route: &str) -> Option<Right> {
    let name = match route.strip_prefix(API) {
        Some(below) => below.to_owned(),
        None => format!("/{route}"),
    };
    TABLE.iter().find(|(verb, path, _)| *verb == method.as_str() && *path == name).map(|(_, _, right)| *right)
}

/// The words of `x-roles` in the document: the roles that may use a route, or that nobody needs one.
pub fn words(method: &Method, route: &str) -> Vec<&'static str> {
    match right(method, route) {
        Some(Right::Open) => vec!["anyone"],
        Some(right) => Role::ALL.into_iter().filter(|role| has(*role, right)).map(Role::as_str).collect(),
        None => Vec::new(),
    }
}

/// Whether a method changes something.
pub fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn has(role: Role, right: Right) -> bool {
    match (role, right) {
        (Role::Admin | Role::Operator, _) => true,
        (Role::Member, Right::Look | Right::Change) => true,
        (Role::Member, Right::Inspect | Right::Operate) => false,
        (_, Right::Own | Right::Open) => true,
        (Role::Auditor, Right::Look | Right::Inspect) => true,
        (Role::Auditor, Right::Change | Right::Operate) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use utoipa::openapi::HttpMethod;

    /// (method, path) of every operation of the document.
    fn documented() -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for (path, item) in &crate::http::document().paths.paths {
            let operations = [
                (HttpMethod::Get, &item.get),
                (HttpMethod::Post, &item.post),
                (HttpMethod::Put, &item.put),
                (HttpMethod::Delete, &item.delete),
            ];
            for (method, _) in operations.into_iter().filter(|(_, operation)| operation.is_some()) {
                let method = match method {
                    HttpMethod::Get => "GET",
                    HttpMethod::Post => "POST",
                    HttpMethod::Put => "PUT",
                    _ => "DELETE",
                };
                found.insert((method.to_owned(), path.clone()));
            }
        }
        found
    }

    #[test]
    fn every_route_of_the_document_is_in_the_table_and_the_other_way_round() {
        let documented = documented();
        assert!(documented.len() > 30, "{documented:?}");
        for (method, path) in &documented {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert!(right(&method, path).is_some(), "{method} {path} is in no row");
        }
        for (method, path, _) in TABLE.iter().filter(|(_, path, _)| !path.starts_with("//")) {
            let named = (method.to_string(), format!("{API}{path}"));
            assert!(documented.contains(&named), "{named:?} is not in the document");
        }
    }

    #[test]
    fn an_auditor_changes_nothing_and_a_member_sees_no_host() {
        for (method, path, right) in TABLE {
            let route = if path.starts_with("//") { path[1..].to_owned() } else { format!("{API}{path}") };
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let own = matches!(right, Right::Own | Right::Open);
            assert_eq!(permits(Role::Auditor, &method, &route), own || method == Method::GET, "{method} {path}");
            let inside = matches!(right, Right::Inspect | Right::Operate);
            assert_eq!(permits(Role::Member, &method, &route), !inside, "{method} {path}");
            assert!(permits(Role::Operator, &method, &route) && permits(Role::Admin, &method, &route));
        }
    }

    #[test]
    fn a_route_outside_the_table_is_permitted_to_nobody() {
        assert!(!permits(Role::Admin, &Method::DELETE, "/api/12.03/host_nodes"));
        assert!(!permits(Role::Admin, &Method::GET, ""));
    }
}
