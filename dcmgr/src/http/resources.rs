//! The routes of the data center's resources beside instances, volumes, keys and groups: one table, merged into the
//! document's.
//!
//! Rule: as there, a route exists in the document or not at all.

use super::Http;
use super::{
    backups, dc_networks, dns_records, images, instance_types, instances, ip_pools, labels, monitors, naming_nodes,
    networks, node_groups, nodes, reports, schedules, vifs,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes() -> OpenApiRouter<Http> {
    machines().merge(addresses()).merge(places())
}

/// What belongs to instances and images.
fn machines() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(instances::start))
        .routes(routes!(instances::stop))
        .routes(routes!(instances::volumes))
        .routes(routes!(instances::password, instances::delete_password))
        .routes(routes!(monitors::of_instance, monitors::add_to_instance))
        .routes(routes!(monitors::one_of_instance, monitors::update_of_instance, monitors::delete_of_instance))
        .routes(routes!(images::list, images::create))
        .routes(routes!(images::get, images::update, images::delete))
        .routes(routes!(images::content::upload))
        .routes(routes!(instance_types::list, instance_types::create))
        .routes(routes!(instance_types::get, instance_types::update, instance_types::delete))
        .routes(routes!(
            labels::instances::all,
            labels::instances::add_many,
            labels::instances::set_many,
            labels::instances::forget_all
        ))
        .routes(routes!(
            labels::instances::one,
            labels::instances::add_one,
            labels::instances::set_one,
            labels::instances::forget_one
        ))
        .routes(routes!(
            labels::images::all,
            labels::images::add_many,
            labels::images::set_many,
            labels::images::forget_all
        ))
        .routes(routes!(
            labels::images::one,
            labels::images::add_one,
            labels::images::set_one,
            labels::images::forget_one
        ))
        .routes(routes!(
            labels::security_groups::all,
            labels::security_groups::add_many,
            labels::security_groups::set_many,
            labels::security_groups::forget_all
        ))
        .routes(routes!(
            labels::security_groups::one,
            labels::security_groups::add_one,
            labels::security_groups::set_one,
            labels::security_groups::forget_one
        ))
        .routes(routes!(
            labels::ssh_key_pairs::all,
            labels::ssh_key_pairs::add_many,
            labels::ssh_key_pairs::set_many,
            labels::ssh_key_pairs::forget_all
        ))
        .routes(routes!(
            labels::ssh_key_pairs::one,
            labels::ssh_key_pairs::add_one,
            labels::ssh_key_pairs::set_one,
            labels::ssh_key_pairs::forget_one
        ))
}

/// Networks, interfaces, addresses.
fn addresses() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(dc_networks::list, dc_networks::create))
        .routes(routes!(dc_networks::get, dc_networks::update, dc_networks::delete))
        .routes(routes!(dc_networks::modes))
        .routes(routes!(dc_networks::add_modes))
        .routes(routes!(dc_networks::delete_modes))
        .routes(routes!(networks::list, networks::create))
        .routes(routes!(networks::get, networks::update, networks::delete))
        .routes(routes!(networks::ranges))
        .routes(routes!(networks::add_range))
        .routes(routes!(networks::remove_range))
        .routes(routes!(networks::reserve))
        .routes(routes!(networks::release))
        .routes(routes!(networks::services, networks::add_service, networks::remove_service))
        .routes(routes!(networks::routes))
        .routes(routes!(networks::vifs, networks::create_vif))
        .routes(routes!(networks::vif, networks::delete_vif))
        .routes(routes!(networks::attach))
        .routes(routes!(networks::detach))
        .routes(routes!(dns_records::list, dns_records::add))
        .routes(routes!(dns_records::get, dns_records::remove))
        .routes(routes!(dns_records::why))
        .routes(routes!(vifs::list))
        .routes(routes!(vifs::get))
        .routes(routes!(vifs::add_group))
        .routes(routes!(vifs::remove_group))
        .routes(routes!(vifs::external_addresses, vifs::add_external_address, vifs::remove_external_address))
        .routes(routes!(monitors::of_vif, monitors::add_to_vif))
        .routes(routes!(monitors::one_of_vif, monitors::update_of_vif, monitors::delete_of_vif))
        .routes(routes!(ip_pools::list, ip_pools::create))
        .routes(routes!(ip_pools::get, ip_pools::delete))
        .routes(routes!(ip_pools::handles))
        .routes(routes!(ip_pools::acquire))
        .routes(routes!(ip_pools::release))
        .routes(routes!(ip_pools::handle))
        .routes(routes!(ip_pools::expire))
}

/// The inside of the data center, and what was used of it.
fn places() -> OpenApiRouter<Http> {
    OpenApiRouter::new()
        .routes(routes!(nodes::hosts, nodes::create_host))
        .routes(routes!(nodes::host, nodes::set_host, nodes::delete_host))
        .routes(routes!(naming_nodes::list))
        .routes(routes!(naming_nodes::get, naming_nodes::set, naming_nodes::delete))
        .routes(routes!(nodes::declare_lost))
        .routes(routes!(nodes::host_usage))
        .routes(routes!(nodes::storage, nodes::create_storage))
        .routes(routes!(nodes::storage_one, nodes::set_storage, nodes::delete_storage))
        .routes(routes!(nodes::storage_usage))
        .routes(routes!(node_groups::hosts::list, node_groups::hosts::create))
        .routes(routes!(node_groups::hosts::get, node_groups::hosts::update, node_groups::hosts::delete))
        .routes(routes!(node_groups::networks::list, node_groups::networks::create))
        .routes(routes!(node_groups::networks::get, node_groups::networks::update, node_groups::networks::delete))
        .routes(routes!(node_groups::storage::list, node_groups::storage::create))
        .routes(routes!(node_groups::storage::get, node_groups::storage::update, node_groups::storage::delete))
        .routes(routes!(backups::storages, backups::create_storage))
        .routes(routes!(backups::storage, backups::update_storage, backups::delete_storage))
        .routes(routes!(backups::objects, backups::create_object))
        .routes(routes!(backups::back_up_volume))
        .routes(routes!(schedules::list, schedules::create))
        .routes(routes!(schedules::get, schedules::update, schedules::delete))
        .routes(routes!(backups::back_up_attached))
        .routes(routes!(backups::back_up_instance))
        .routes(routes!(backups::copy_object))
        .routes(routes!(backups::copy_image))
        .routes(routes!(backups::object, backups::update_object, backups::delete_object))
        .routes(routes!(reports::usage))
}
