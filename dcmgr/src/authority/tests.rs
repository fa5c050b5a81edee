//! Made once, kept while good, renewed for the same key; whole after a stop anywhere.

use super::*;

fn wish(folder: &Path, names: &[&str]) -> Wish {
    Wish {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        certificate_file: folder.join("broker.pem"),
        key_file: folder.join("broker.key"),
        group: None,
    }
}

/// Every file in the folder with its content, by name.
fn seen(folder: &Path) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut seen: Vec<_> = files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    seen.sort();
    seen
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_good_is_left_alone_and_renewed_a_month_before_it_ends_for_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let (at, now) = (folder.path(), SystemTime::now());
    let wish = wish(at, &["dcm.example", "10.0.0.1", "::1"]);
    let authority = Authority::at(at, now).unwrap();
    assert_eq!(authority.ensure(&wish, now).unwrap(), Outcome::Signed);
    for (file, expected) in [("ca.key", 0o600), ("broker.key", 0o600), ("ca.pem", 0o644), ("broker.pem", 0o644)] {
        assert_eq!(mode(&at.join(file)), expected, "{file}");
    }
    let first = seen(at);
    assert_eq!(first.len(), 4, "{first:?}");

    let again = Authority::at(at, now).unwrap();
    assert_eq!(again.ensure(&wish, now + DAY * 334).unwrap(), Outcome::GoodStill);
    assert_eq!(seen(at), first);
    assert_eq!(again.ensure(&wish, now + DAY * 336).unwrap(), Outcome::Signed);
    let later = seen(at);
    let changed: Vec<_> = later.iter().filter(|file| !first.contains(file)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(changed, ["broker.pem"]);
    assert!(again.would_be_believed(&wish, now + DAY * 700).is_ok());
    assert!(again.would_be_believed(&wish, now + DAY * 702).is_err(), "it ends");
}

#[test]
fn a_certificate_without_one_of_the_names_of_another_authority_or_key_is_made_anew() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, now) = (folder.path(), SystemTime::now());
    let authority = Authority::at(at, now).unwrap();
    let one = wish(at, &["dcm.example"]);
    authority.ensure(&one, now).unwrap();
    assert_eq!(authority.ensure(&wish(at, &["dcm.example", "10.0.0.1"]), now).unwrap(), Outcome::Signed);
    assert_eq!(authority.ensure(&one, now).unwrap(), Outcome::GoodStill, "one name more does no harm");

    let stranger = Authority::at(elsewhere.path(), now).unwrap();
    let theirs = wish(elsewhere.path(), &["dcm.example"]);
    stranger.ensure(&theirs, now).unwrap();
    std::fs::copy(&theirs.certificate_file, &one.certificate_file).unwrap();
    std::fs::copy(&theirs.key_file, &one.key_file).unwrap();
    assert_eq!(authority.ensure(&one, now).unwrap(), Outcome::Signed);
    std::fs::remove_file(&one.key_file).unwrap();
    assert_eq!(authority.ensure(&one, now).unwrap(), Outcome::Signed, "the key it was for is gone");
}

#[test]
fn stopped_after_any_file_and_run_again_it_ends_whole() {
    let now = SystemTime::now();
    let whole = tempfile::tempdir().unwrap();
    Authority::at(whole.path(), now).unwrap().ensure(&wish(whole.path(), &["dcm.example"]), now).unwrap();
    let order = ["ca.key", "ca.pem", "broker.key", "broker.pem"];
    for kept in 0..=order.len() {
        let folder = tempfile::tempdir().unwrap();
        for file in &order[..kept] {
            std::fs::copy(whole.path().join(file), folder.path().join(file)).unwrap();
        }
        // The next one was being written.
        if let Some(next) = order.get(kept) {
            std::fs::write(folder.path().join(format!("{next}.new")), "hal").unwrap();
        }
        let wish = wish(folder.path(), &["dcm.example"]);
        let authority = Authority::at(folder.path(), now).unwrap();
        authority.ensure(&wish, now).unwrap();
        authority.would_be_believed(&wish, now).unwrap();
        let names: Vec<String> = seen(folder.path()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["broker.key", "broker.pem", "ca.key", "ca.pem"], "{kept} files were there");
        for file in &order[..kept] {
            let same =
                std::fs::read(whole.path().join(file)).unwrap() == std::fs::read(folder.path().join(file)).unwrap();
            assert!(same, "{file} was there and is another");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_in_both_languages_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (at, now) = (folder.path(), SystemTime::now());
    let authority = Authority::at(at, now).unwrap();
    let before = seen(at);
    let group = Wish { group: Some("no-such-group".into()), ..wish(at, &["dcm.example"]) };
    for (wish, told) in [(wish(at, &["dcm.example", "not a name"]), "not a name"), (group, "no-such-group")] {
        let refused = authority.ensure(&wish, now).unwrap_err();
        assert!(refused.to_string().contains(told) && refused.japanese().contains(told), "{refused}");
        assert!(!refused.japanese().is_ascii(), "{refused}");
    }
    assert_eq!(seen(at), before);

    std::fs::remove_file(at.join("ca.key")).unwrap();
    let refused = Authority::at(at, now).err().unwrap();
    assert!(matches!(refused, AuthorityError::KeyElsewhere { .. }), "{refused}");
    assert!(!at.join("ca.key").exists(), "an authority of somebody else's is not replaced");
    std::fs::write(at.join("ca.key"), "no key").unwrap();
    assert!(matches!(Authority::at(at, now).err().unwrap(), AuthorityError::Damaged { .. }));
}

#[test]
fn all_that_was_signed_and_is_still_there_is_renewed_by_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (at, now) = (folder.path(), SystemTime::now());
    assert!(renew(at, now).unwrap().is_empty());
    assert!(seen(at).is_empty(), "nothing to renew makes no authority");
    let authority = Authority::at(at, now).unwrap();
    let broker = wish(at, &["dcm.example"]);
    let api = Wish { certificate_file: at.join("api.pem"), key_file: at.join("api.key"), ..broker.clone() };
    let gone = Wish { certificate_file: at.join("gone.pem"), key_file: at.join("gone.key"), ..broker.clone() };
    for wish in [&broker, &gone, &api, &broker] {
        authority.ensure(wish, now).unwrap();
        remember(at, wish).unwrap();
    }
    let more = wish(at, &["dcm.example", "10.0.0.1"]);
    authority.ensure(&more, now).unwrap();
    remember(at, &more).unwrap();
    std::fs::remove_file(&gone.certificate_file).unwrap();

    let told = |later: u32| {
        let renewed = renew(at, now + DAY * later).unwrap();
        renewed.into_iter().map(|(path, outcome)| (path, outcome.unwrap())).collect::<Vec<_>>()
    };
    let both = |outcome| [(at.join("api.pem"), outcome), (at.join("broker.pem"), outcome)];
    assert_eq!(told(0), both(Outcome::GoodStill));
    assert_eq!(told(340), both(Outcome::Signed));
    authority.would_be_believed(&more, now + DAY * 700).unwrap();
    assert!(!gone.certificate_file.exists(), "what was deleted stays so");

    // One that cannot be keeps no other.
    remember(at, &Wish { group: Some("no-such-group".into()), ..api }).unwrap();
    let outcomes: Vec<bool> = renew(at, now).unwrap().iter().map(|(_, outcome)| outcome.is_ok()).collect();
    assert_eq!(outcomes, [true, false]);
}

#[test]
fn a_groups_members_may_read_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (at, now) = (folder.path(), SystemTime::now());
    let own = Group::from_gid(nix::unistd::getgid()).unwrap().unwrap();
    let wish = Wish { group: Some(own.name), ..wish(at, &["dcm.example"]) };
    Authority::at(at, now).unwrap().ensure(&wish, now).unwrap();
    assert_eq!(mode(&wish.key_file), 0o640);
    assert_eq!(mode(&at.join("ca.key")), 0o600, "the authority's stays root's");
}
