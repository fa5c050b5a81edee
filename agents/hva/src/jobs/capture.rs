//! `hva.capture.take` and `hva.capture.drop`: a copy of a machine's disk for an image, and its end.
//!
//! Rule: a copy that is kept is never made again under its id: it would be of another moment. It appears inside a job, whole;
//! the copying before it outlives jobs, and ends with the drop. The machine is not touched.

use super::{effect, find};
use crate::Hva;
use crate::driver::captures::Capture;
use crate::takings::Found;
use arame_framework::agent::{Stopped, Work};
use arame_framework::rehearsal::{self, Sabotage};
use arame_schema::jobs::hva::{Captured, DropCapture, TakeCapture};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::model::{Fact, FactName, ImageId, Observation};
use sha2::{Digest, Sha256};

pub async fn take(hva: &Hva, job: &TakeCapture, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    match ensure(hva, job, work).await {
        Ok(true) => see(hva, &job.image, work, 0).await,
        Ok(false) => Ok(vec![work.fact(FactName::Captured, Fact::Maybe, work.standing.observe())]),
        Err(stopped) => match see(hva, &job.image, work, 0).await {
            Ok(facts) => Err(stopped.with_facts(facts)),
            Err(_) => Err(stopped),
        },
    }
}

/// Whether it came to its end.
async fn ensure(hva: &Hva, job: &TakeCapture, work: &Work) -> Result<bool, Stopped> {
    if let Some(found) = hva.captures.find(&job.image).await? {
        admit(&found, work)?;
        if found.generation < work.generation {
            let marked = Capture { generation: work.generation, ..found };
            effect(work, hva.captures.keep(&marked)).await?;
        }
        return Ok(true);
    }
    let checked = !rehearsal::sabotaged(Sabotage::SkipGenerationCheck);
    let buried = hva.captures.grave(&job.image).await?;
    if let Some(found_generation) = buried.filter(|buried| checked && *buried >= work.generation) {
        return Err(Stopped::Refused { found_generation, facts: Vec::new() });
    }
    check_machine(hva, job, work).await?;
    work.check()?;
    let (captures, image, instance) = (hva.captures.clone(), job.image.clone(), job.instance.clone());
    let begin = |report| async move { captures.take(&image, &instance, report).await };
    match hva.takings.watch(&job.image, begin, work).await? {
        Found::StillComing => Ok(false),
        Found::Taken(taken) => {
            let capture = Capture {
                installation: work.standing.installation,
                image: job.image.clone(),
                instance: job.instance.clone(),
                generation: work.generation,
                sha256: taken.sha256,
                size_bytes: taken.size_bytes,
                reader: hex::encode(Sha256::digest(job.reader.expose())),
                moment: Some(taken.moment),
            };
            effect(work, hva.captures.keep(&capture)).await.map(|()| true)
        }
    }
}

fn foreign(work: &Work, what: &str) -> Stopped {
    Stopped::failed(
        "foreign_thing",
        format!("{what} belongs to another installation than {}", work.thing),
        Retry::Never,
    )
}

fn admit(found: &Capture, work: &Work) -> Result<(), Stopped> {
    if found.installation != work.standing.installation {
        return Err(foreign(work, "the copy that is here"));
    }
    if found.generation > work.generation && !rehearsal::sabotaged(Sabotage::SkipGenerationCheck) {
        return Err(Stopped::Refused { found_generation: found.generation, facts: Vec::new() });
    }
    Ok(())
}

/// The machine is here and ours.
async fn check_machine(hva: &Hva, job: &TakeCapture, work: &Work) -> Result<(), Stopped> {
    let machine = find(hva, &job.instance).await?;
    let Some(record) = &machine.record else {
        let message = format!("{} is not on this host any more", job.instance);
        return Err(Stopped::failed("capture_machine_gone", message, Retry::Never));
    };
    if record.installation != work.standing.installation {
        return Err(foreign(work, job.instance.as_str()));
    }
    Ok(())
}

pub async fn end(hva: &Hva, job: &DropCapture, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    hva.takings.stop(&job.image).await;
    if let Some(found) = hva.captures.find(&job.image).await? {
        admit(&found, work)?;
    }
    let generation = work.generation.max(hva.captures.grave(&job.image).await?.unwrap_or(0));
    effect(work, hva.captures.remove(&job.image, &job.instance, generation)).await?;
    see(hva, &job.image, work, work.generation).await
}

/// What is seen; `removed`: the generation that an absence is answered with.
async fn see(hva: &Hva, image: &ImageId, work: &Work, removed: u64) -> Result<Vec<FactReport>, Stopped> {
    let observed = work.standing.observe();
    let found = hva.captures.find(image).await?;
    Ok(match found {
        Some(found) if found.installation != work.standing.installation => Vec::new(),
        Some(found) => vec![fact(hva, &found, observed)],
        None => vec![FactReport {
            thing: image.to_string(),
            name: FactName::Captured,
            value: Fact::No,
            generation: removed,
            observed,
            detail: None,
        }],
    })
}

/// One that is kept, as a fact.
pub fn fact(hva: &Hva, found: &Capture, observed: Observation) -> FactReport {
    let url = format!("{}/captures/{}", hva.captures.url().unwrap_or_default(), found.image);
    let captured = Captured { url, sha256: found.sha256.clone(), size_bytes: found.size_bytes, moment: found.moment };
    FactReport {
        thing: found.image.to_string(),
        name: FactName::Captured,
        value: Fact::Yes,
        generation: found.generation,
        observed,
        detail: serde_json::to_value(captured).ok(),
    }
}
