//! An example body of each operation that has one.
//!
//! Rule: an example is taken by its operation as it stands, as far as what it names exists; the walk over roles
//! (`spec/tests/authorization.rs`) sends them.

use axum::http::Method;
use serde_json::{Value, json};

/// What adds to or takes from a network, or groups and pools.
fn of_networks(method: &str, below: &str) -> Option<Value> {
    Some(match (method, below) {
        ("POST", "/dc_networks") => json!({ "name": "lab", "vlan_first": 300, "vlan_last": 320 }),
        ("PUT", "/dc_networks/{id}") => json!({ "description": "the laboratory", "allow_new_networks": true }),
        ("PUT", "/dc_networks/{id}/offering_modes/add" | "/dc_networks/{id}/offering_modes/delete") => {
            json!({ "mode": ["securitygroup"] })
        }
        ("POST", "/networks") => json!({ "dc_network": "dcn-demo", "network": "10.9.0.0", "prefix": 24,
            "network_mode": "securitygroup", "display_name": "lab", "dhcp_range": "default" }),
        ("PUT", "/networks/{id}") => json!({ "display_name": "lab" }),
        ("PUT", "/networks/{id}/dhcp/reserve" | "/networks/{id}/dhcp/release") => json!({ "ipaddr": ["10.9.0.77"] }),
        ("PUT", "/networks/{id}/dhcp_ranges/add" | "/networks/{id}/dhcp_ranges/remove") => {
            json!({ "range_begin": "10.9.0.50", "range_end": "10.9.0.99" })
        }
        ("POST" | "DELETE", "/networks/{id}/services") => json!({ "name": "gateway" }),
        ("POST", "/networks/{id}/records") => json!({ "name": "www", "type": "CNAME", "value": "web1" }),
        ("POST", "/networks/{id}/vifs") => json!({ "mac_addr": "52:54:00:aa:bb:01" }),
        ("PUT", "/network_vifs/{id}/add_security_group" | "/network_vifs/{id}/remove_security_group") => {
            json!({ "security_group_id": "sg-default" })
        }
        ("POST", "/network_vifs/{id}/monitors" | "/instances/{id}/monitoring") => {
            json!({ "title": "web", "enabled": true, "params": { "port": 80 } })
        }
        ("PUT", "/network_vifs/{id}/monitors/{monitor}" | "/instances/{id}/monitoring/{monitor}") => {
            json!({ "enabled": false })
        }
        ("POST" | "DELETE", "/network_vifs/{id}/external_ip") => json!({ "ip_handle_id": "ip-kpzz2px7" }),
        ("POST", "/ip_pools") => json!({ "display_name": "outside", "dc_networks": ["dcn-demo"] }),
        ("PUT", "/ip_pools/{id}/acquire") => json!({ "network_id": "nw-demo1" }),
        ("PUT", "/ip_pools/{id}/release") => json!({ "ip_handle_id": "ip-kpzz2px7" }),
        ("PUT", "/ip_handles/{id}/expire_at") => json!({ "time_to": 3600 }),
        ("POST", "/host_node_groups" | "/network_groups" | "/storage_node_groups") => json!({ "name": "rack1" }),
        ("PUT", "/host_node_groups/{id}") => json!({ "host_nodes": ["hn-h1"], "placement_weight": "pack" }),
        ("PUT", "/network_groups/{id}") => json!({ "networks": ["nw-demo1"] }),
        ("PUT", "/storage_node_groups/{id}") => json!({ "storage_nodes": ["sn-s1"] }),
        _ => return None,
    })
}

/// What an account has, and what an operator keeps.
fn of_resources(method: &str, below: &str) -> Option<Value> {
    if below.ends_with("/labels") {
        return Some(json!({ "name": ["env", "owner"], "value": ["test", "hanako"] }));
    }
    if below.ends_with("/labels/{name}") {
        return Some(json!({ "value": "test" }));
    }
    Some(match (method, below) {
        ("POST", "/host_nodes") => json!({ "node_id": "hva.h9", "display_name": "rack 1, upper" }),
        ("POST", "/storage_nodes") => json!({ "node_id": "sta.s9", "display_name": "rack 1, lower" }),
        ("POST", "/instance_types") => {
            json!({ "name": "large", "cpu_cores": 4, "memory_size": 4096, "disk_size": 20480 })
        }
        ("PUT", "/instance_types/{id}") => json!({ "memory_size": 8192 }),
        ("PUT", "/instances/{id}") => json!({ "display_name": "web" }),
        ("POST", "/instances/{id}/console") => json!({ "kind": "serial" }),
        ("PUT", "/instances/{id}/move") => json!({ "host_node_id": "hn-h2" }),
        ("POST", "/images") => json!({ "display_name": "debian-12", "file_format": "qcow2",
            "uri": "https://192.0.2.10/debian-12.qcow2", "description": "from the mirror" }),
        ("PUT", "/images/{id}") => json!({ "display_name": "debian-12", "is_public": true }),
        ("PUT", "/volumes/{id}" | "/ssh_key_pairs/{id}" | "/backup_objects/{id}" | "/volume_snapshots/{id}") => {
            json!({ "display_name": "mine" })
        }
        ("POST", "/backup_storages") => json!({ "storage_type": "local", "base_uri": "file:///srv/backup/" }),
        ("PUT", "/backup_storages/{id}") => json!({ "display_name": "nightly" }),
        ("POST", "/backup_objects") => json!({ "backup_storage_id": "bkst-kpzz2px7", "object_key": "web1.raw.zst" }),
        _ => return None,
    })
}

/// An example of an operation's body, where a sample of its type would not do.
pub fn body(method: &Method, path: &str) -> Option<Value> {
    let below = path.strip_prefix(super::API).unwrap_or(path);
    let vifs = || json!({ "eth0": { "index": 0, "network": "nw-demo1", "security_groups": ["sg-default"] } });
    Some(match (method.as_str(), below) {
        ("POST", "/instances") => json!({ "image_id": "wmi-tiny", "instance_type": "tiny", "hostname": "web1",
            "ssh_key_id": "ssh-demo", "vifs": vifs() }),
        ("PUT", "/instances/{id}/poweroff" | "/accounts/{id}/instances/poweroff") => json!({ "force": true }),
        ("POST", "/volumes") => json!({ "volume_size": 1024, "display_name": "data" }),
        ("PUT", "/networks/{id}/vifs/{vif}/attach") => json!({ "instance_id": "i-kpzz2px7" }),
        ("PUT", "/volumes/{id}/attach") => json!({ "instance_id": "i-kpzz2px7" }),
        ("PUT", "/volumes/{id}/backup" | "/instances/{id}/volumes/{volume}/backup") => {
            json!({ "backup_storage_id": "bkst-kpzz2px7", "display_name": "nightly" })
        }
        ("PUT", "/instances/{id}/backup") => json!({ "display_name": "web, before the update", "all": true }),
        ("PUT", "/backup_objects/{id}/copy_to" | "/images/{id}/copy_to") => json!({ "destination": "bkst-kpzz2px7" }),
        ("POST", "/volumes/{id}/schedules") => json!({ "every": "day", "hour": 3, "minute": 30, "makes": "snapshot",
            "time_zone": "Asia/Tokyo", "keep_daily": 7, "keep_weekly": 4, "display_name": "nightly" }),
        ("PUT", "/volumes/{id}/schedules/{schedule}") => json!({ "enabled": false }),
        ("PUT", "/volumes/{id}/detach") => json!({ "force": false }),
        ("PUT", "/volumes/{id}/rollback") => json!({ "snapshot_id": "snap-before", "destroy_newer": false }),
        ("DELETE", "/volumes/{id}") => json!({ "with_snapshots": false }),
        ("POST", "/snapshot_replicas") => json!({ "snapshot_id": "snap-before", "storage_node_id": "sn-s2" }),
        ("POST", "/volume_snapshots") => json!({ "volume_id": "vol-data", "display_name": "before" }),
        ("POST", "/security_groups") => json!({ "display_name": "web", "rule": "tcp:80,80,ip4:0.0.0.0\n" }),
        ("PUT", "/security_groups/{id}") => json!({ "rule": "tcp:22,22,ip4:10.0.0.0/8\n" }),
        ("POST", "/ssh_key_pairs") => json!({ "display_name": "laptop" }),
        ("PUT", "/host_nodes/{id}") => {
            json!({ "scheduling_enabled": true, "cpu_allocation_percent": 400, "reserved_memory_size": 4096 })
        }
        ("PUT", "/naming_nodes/{id}") => json!({ "scheduling_enabled": true }),
        ("PUT", "/host_nodes/{id}/declare_lost") => json!({ "confirm": "hn-h1" }),
        ("PUT", "/storage_nodes/{id}") => json!({ "scheduling_enabled": false }),
        ("POST", "/accounts") => json!({ "id": "a-team", "display_name": "The team", "quota_instances": 20 }),
        ("PUT", "/accounts/{id}") => json!({ "quota_instances": "none", "enabled": true }),
        ("POST", "/tokens") => json!({ "role": "member", "display_name": "ci", "expires_in": 86400 }),
        ("POST", "/users") => json!({ "name": "hanako", "password": "correct horse battery",
            "memberships": [{ "account_id": "a-demo", "role": "member" }] }),
        ("PUT", "/users/{id}") => json!({ "enabled": false }),
        ("POST", "/join_tokens") => json!({ "agent": "hva.h3", "expires_in": 3600 }),
        ("POST", "/join") => json!({
            "secret": "Zm9yIG9uZSBtYWNoaW5lLCBvbmNlLCBmb3IgYW4gaG91cg",
            "agent_key": "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90",
            "broker_password": "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9",
            "machine": "4f1c6e6d7d5b4c0f8a4b1d2e3f405162"
        }),
        ("POST", "/leave") => json!({
            "agent": "hva.h3", "agent_key": "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90", "check": true
        }),
        ("POST", "/sessions") => json!({ "name": "hanako", "password": "correct horse battery" }),
        ("PUT", "/whoami/password") => {
            json!({ "password": "correct horse battery", "new_password": "staple that too" })
        }
        ("POST", "/audit/adopt" | "/audit/remove") => json!({ "id": "i-kpzz2px7" }),
        (method, _) => return of_networks(method, below).or_else(|| of_resources(method, below)),
    })
}
