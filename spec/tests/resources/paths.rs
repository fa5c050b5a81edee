//! The way from a guest to the disk of its volume, as an operator asks for it: well, with its storage node silent, and of a
//! volume that nobody uses.

use crate::support::{operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::volumes::path::why;
use arame_schema::api::{Code, Language, Localise, PathCondition, PathPart, VolumeWhy};
use arame_schema::model::instance::InstanceState;

fn has(view: &VolumeWhy, part: PathPart, condition: PathCondition) -> bool {
    view.path.iter().any(|step| (step.part, step.condition) == (part, condition))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_from_a_guest_to_its_disk_is_followed_and_what_is_silent_is_named() -> anyhow::Result<()> {
    let mut world = small().await?;
    let who = operator(&world);
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let volume = serde_json::from_value(serde_json::json!({ "volume_size": 64, "display_name": "data" }))?;
    let volume = told(app::volumes::create(&world.app, &world.demo(), volume).await)?.id;
    world.volume_in(&volume, "available").await?;
    let unused = told(why(&world.app, &who, &volume).await)?;
    ensure!(unused.code == "path_unused" && unused.instance_id.is_none(), "{unused:?}");

    told(app::volumes::attach(&world.app, &world.demo(), &volume, &one.id).await)?;
    world.volume_in(&volume, "attached").await?;
    world
        .until("every part of the path is well", async || {
            let view = told(why(&world.app, &who, &volume).await)?;
            Ok(view.code == "path_well" && view.path.iter().any(|step| step.code == "disk_counted"))
        })
        .await?;
    let well = told(why(&world.app, &who, &volume).await)?;
    for part in [PathPart::Host, PathPart::Disk, PathPart::Target, PathPart::Volume, PathPart::Pool] {
        ensure!(has(&well, part, PathCondition::Well), "{part:?}: {well:?}");
    }

    world.kill_agent("sta.s1").await;
    world
        .until("the storage node is named as what is wrong", async || {
            let view = told(why(&world.app, &who, &volume).await)?;
            // Not heard for a moment only: it has not answered.
            ensure!(["storage_silent", "path_unknown"].contains(&view.code.as_str()), "{view:?}");
            Ok(view.code == "storage_silent")
        })
        .await?;
    let mut silent = told(why(&world.app, &who, &volume).await)?;
    ensure!(has(&silent, PathPart::Disk, PathCondition::Well), "the guest has it still: {silent:?}");
    ensure!(has(&silent, PathPart::Pool, PathCondition::Unknown), "{silent:?}");
    silent.localise(Language::Ja);
    ensure!(silent.sentence.contains("sn-s1") && silent.sentence.contains("応答がありません"), "{}", silent.sentence);
    refused(why(&world.app, &who, "vol-nobody").await, Code::UnknownResource)?;
    Ok(())
}
